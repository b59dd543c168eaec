"""Configuration of Sphinx. The tables and tutorials are computed anew at every build."""

import dataclasses
import json
from collections.abc import Iterable
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx_gallery.scrapers import figure_rst

from pyro_vae import slots
from pyro_vae._settings import Setting, declared
from pyro_vae.analysis import PICTURES
from pyro_vae.analysis.suite import NEEDS
from pyro_vae.recipes import Recipe, listing
from pyro_vae.training import TrainingSettings

project = "pyro_vae"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "sphinx-mathjax-offline",
]
myst_enable_extensions = ["dollarmath"]
html_theme = "furo"
html_title = "pyro_vae"
html_static_path = ["static"]
html_css_files = ["tables.css"]
html_show_copyright = False
suppress_warnings = ["config.cache"]  # The settings of sphinx-gallery hold a function.
exclude_patterns = ["_build", "generated", "results", "tutorials"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"


def our_figure(block: tuple, block_vars: dict, gallery: dict) -> str:
    """Show a tutorial's `figure` if it is one of our pictures, which pyplot does not know."""
    figure = block_vars["example_globals"].get("figure")
    if figure is None or figure.canvas.manager is not None:
        return ""
    path = next(block_vars["image_path_iterator"])
    figure.savefig(path)
    del block_vars["example_globals"]["figure"]
    return figure_rst([path], gallery["src_dir"])


sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "learn",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "capture_repr": (),
    "image_scrapers": ("matplotlib", our_figure),
    "download_all_examples": False,
    "write_computation_times": False,
}


def skip_fields(app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any) -> bool:
    """Skip the fields of named tuples, which the docstrings of their classes describe."""
    return skip or (getattr(member, "__doc__", None) or "").startswith("Alias for field number")


def setup(app: Sphinx) -> None:
    """Connect what Sphinx calls."""
    app.connect("autodoc-skip-member", skip_fields)


HERE = Path(__file__).parent
GENERATED = HERE / "generated"


def slots_tables() -> str:
    """Return every prior, posterior and likelihood with its class, source and equation."""
    lines: list[str] = []
    for slot, rows in groupby(slots.overview(), lambda row: row.slot):
        lines += [f"\n## {slot.capitalize()}s\n", "| class and source | equation |", "|---|---|"]
        for row in rows:
            # A vertical bar would end the cell of the table.
            equation = row.equation.replace(r"\|", r"\Vert ").replace("|", r"\vert ")
            what = f"`{row.name}`: {row.summary}<br>*{row.source}*"
            lines.append(f"| {what} | ${equation}$ |")
    return "\n".join(lines) + "\n"


def pictures_table() -> str:
    """Return every picture of the suite: its file, what to look for, and when it is not drawn."""
    lines = ["| file | what to look for | not drawn when |", "|---|---|---|"]
    for name, each in PICTURES.items():
        if not name.endswith("_beside_autoencoder"):
            beside = f"{name}_beside_autoencoder" in PICTURES
            missing = "; ".join(NEEDS[need][1] for need in each.needs)
            more = "<br>and `_beside_autoencoder`" if beside else ""
            lines.append(f"| `{each.file}`{more} | {each.caption} | {missing} |")
    return "\n".join(lines) + "\n"


def likelihoods_table() -> str:
    """Return what `pyro-vae evaluate --json` printed for each measured experiment."""
    lines = [
        "| experiment | −ELBO | distortion | rate | −log p(x) | bits/dim | active | untrusted |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for path in sorted((HERE / "experiments").glob("*.json")):
        found = json.loads(path.read_text())
        bits = found["log_likelihood_bits"]
        lines.append(
            f"| `{path.stem}` | {-found['elbo']:.2f} | {found['distortion']:.2f} | "
            f"{found['rate']:.2f} | {-found['log_likelihood']:.2f} ± "
            f"{found['log_likelihood_error']:.2f} | {bits:.3f} | "
            f"{found['active_units']} of {found['latent_size']} | {found['untrusted']:.0%} |"
        )
    return "\n".join(lines) + "\n"


def settings_table(settings: Iterable[Setting]) -> str:
    """Return settings with their command-line names, defaults, accepted values and help."""
    lines = ["| setting | default | accepted | meaning |", "|---|---|---|---|"]
    for each in settings:
        options = ", ".join(f"`{option}`" for option in (each.option, *each.aliases))
        accepted = f"any `{each.part.__name__}`" if each.part else each.accepted
        accepted += "; or none" * each.optional
        cells = [f"`{each.name}`<br>{options}", default_of(each), accepted, each.help]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def default_of(setting: Setting) -> str:
    """Return a setting's default as it is written on the command line."""
    if setting.default is dataclasses.MISSING:
        return "set by each recipe"
    if setting.default is None:
        return "none"
    if isinstance(setting.default, bool):
        return f"`{setting.default}`".lower()
    value = setting.default.func if isinstance(setting.default, partial) else setting.default
    return f"`{getattr(value, '__name__', value)}`"


OF_TRAINING, OF_RECIPES = declared(TrainingSettings), declared(Recipe)

GENERATED.mkdir(exist_ok=True)
(GENERATED / "slots.md").write_text(slots_tables())
(GENERATED / "pictures.md").write_text(pictures_table())
(GENERATED / "likelihoods.md").write_text(likelihoods_table())
(GENERATED / "settings.md").write_text(settings_table(OF_TRAINING.values()))
(GENERATED / "recipe_settings.md").write_text(
    settings_table(each for name, each in OF_RECIPES.items() if name not in OF_TRAINING)
)
(GENERATED / "recipes.md").write_text(f"```text\n{listing()}\n```\n")
