"""Self-contained web pages: Jinja2 templates, escaped values, pictures embedded in the file.

Such a page opens from disk and loads nothing: its content security policy forbids it to fetch
anything that is not in the file.
"""

import base64
import io
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

_LOADER = PackageLoader("pyro_vae.analysis.pages")
_ENVIRONMENT = Environment(
    loader=_LOADER,
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
# JSON within a page, by the filter `tojson`, which escapes what could end a script element.
_ENVIRONMENT.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}


def _source(name: str) -> Markup:
    """Return the text of a style sheet or a script, which a template includes as it is."""
    return Markup(_LOADER.get_source(_ENVIRONMENT, name)[0])


_ENVIRONMENT.globals["source"] = _source


def render(template: str, **values: Any) -> Markup:
    """Return a template filled with values; all but `Markup` are escaped.

    Args:
        template: file name in `templates/`.
        values: the template's variables; a missing one is an error.
    """
    return Markup(_ENVIRONMENT.get_template(template).render(values))


def document(title: str, body: Markup) -> str:
    """Return a complete page around the HTML of its body."""
    return str(render("page.html", title=title, body=body))


def image_bytes(pixels: np.ndarray, **options: Any) -> bytes:
    """Return pixels (H, W) or (H, W, 3), uint8, as a WebP file; `options` are Pillow's."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", **options)
    return file.getvalue()


def data_uri(contents: bytes, kind: str = "image/webp") -> str:
    """Return a `data:` address that holds a whole file.

    Example:
        >>> data_uri(b"abc", "text/plain")
        'data:text/plain;base64,YWJj'
    """
    return f"data:{kind};base64,{base64.b64encode(contents).decode()}"
