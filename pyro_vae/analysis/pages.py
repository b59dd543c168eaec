"""Pages that stand alone: templates filled in, values escaped, pictures within the file itself.

Such a page loads nothing: its policy forbids it whatever is not in the file.
"""

import base64
import html
import io
import json
from importlib import resources
from string import Template
from typing import Any

import numpy as np
from PIL import Image


def read(name: str) -> str:
    """The text of a template file."""
    return resources.files("pyro_vae.analysis").joinpath("templates", name).read_text("utf-8")


def fill(name: str, **values: str) -> str:
    """A template with every `$value` put in as it is: escape text by `text` first.

    Raises:
        KeyError: a value is not given.
    """
    return Template(read(name)).substitute(values)


def page(title: str, body: str) -> str:
    """A whole page around the HTML of its body."""
    return fill("page.html", title=text(title), style=read("page.css"), body=body)


def text(value: Any) -> str:
    """A value as text within HTML, or within a quoted attribute."""
    return html.escape(str(value))


def script_data(value: Any) -> str:
    """Plain values as JSON that nothing within can end the script element of."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def image_bytes(pixels: np.ndarray, **options: Any) -> bytes:
    """Pixels (H, W) or (H, W, 3), uint8, as a WebP file; `options` are Pillow's."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", **options)
    return file.getvalue()


def data_uri(contents: bytes, kind: str = "image/webp") -> str:
    """A file as an address that holds all of it."""
    return f"data:{kind};base64,{base64.b64encode(contents).decode()}"
