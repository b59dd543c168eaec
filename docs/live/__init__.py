"""Models that run within the documentation: pages that need no server and load nothing.

`write_all` writes the HTML that the pages include. The explorer's data are those of a default run,
which `explorer.py` writes into `explorer.json`; `drawing.json` is written by `drawing.py`.
"""

import json
from importlib.resources import files
from pathlib import Path

from pyro_vae.analysis.pages.page import render

HERE = Path(__file__).parent
#: The explorer follows the system's theme by itself; here it is told of the documentation's.
FOLLOW_THEME = """<script>
new MutationObserver(() => document.querySelector(".explorer").explorer.redraw()).observe(
  document.body, { attributeFilter: ["data-theme"] });
</script>
"""


def explorer_page() -> str:
    """Return the explorer of a default run, of which `explorer.json` holds the data."""
    found = json.loads((HERE / "explorer.json").read_text())
    return str(render("explorer.html", **found)) + FOLLOW_THEME


def drawing_page() -> str:
    """Return the canvas to draw a digit on, with the networks that encode and decode it."""
    networks = files("pyro_vae.analysis.pages") / "templates" / "networks.js"
    parts = {
        "NETWORKS": networks.read_text(),
        **{name.upper(): (HERE / f"drawing.{name}").read_text() for name in ("css", "js", "json")},
    }
    page = (HERE / "drawing.html").read_text()
    for name, text in parts.items():
        page = page.replace(f"[{name}]", text)
    return page


def differences() -> str:
    """Return in words by how much the networks of the drawing differ from the trained ones."""
    off = json.loads((HERE / "drawing.json").read_text())["differences"]
    return (
        "Because the weights are rounded, the networks of the page are not quite those that were "
        f"trained. Over all test images the mean of q(z|x) is {off['mean']:.2f} away at most "
        f"({off['mean_on_average']:.3f} on average), its standard deviations differ by at most "
        f"{off['scale']:.1%}, and a pixel of the reconstruction by at most {off['pixel']:.0f} of "
        f"255 levels ({off['pixel_on_average']:.2f} on average).\n"
    )


def write_all(folder: Path) -> None:
    """Write both, `explorer.html` and `drawing.html`, and `differences.md` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "explorer.html").write_text(explorer_page())
    (folder / "drawing.html").write_text(drawing_page())
    (folder / "differences.md").write_text(differences())
