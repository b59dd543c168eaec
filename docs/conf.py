"""How Sphinx builds these pages. Tables and tutorials are computed anew at every build."""

import json
from itertools import groupby
from pathlib import Path

from sphinx_gallery.scrapers import figure_rst

from pyro_vae import slots
from pyro_vae.analysis.gallery import NEEDS, PICTURES
from pyro_vae.recipes import listing

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
suppress_warnings = ["config.cache"]  # A function among the settings of sphinx-gallery.
exclude_patterns = ["_build", "generated", "results", "tutorials"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"


def our_figure(block: tuple, block_vars: dict, gallery: dict) -> str:
    """Show a tutorial's `figure` where it is one of our pictures, which pyplot knows nothing of."""
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

HERE = Path(__file__).parent
GENERATED = HERE / "generated"


def slots_tables() -> str:
    """Every prior, posterior and likelihood: its class, source and equation."""
    lines: list[str] = []
    for slot, rows in groupby(slots.table(), lambda row: row.slot):
        lines += [f"\n## {slot.capitalize()}s\n", "| class and source | equation |", "|---|---|"]
        for row in rows:
            # A bar would end the table's cell.
            equation = row.equation.replace(r"\|", r"\Vert ").replace("|", r"\vert ")
            what = f"`{row.name}`: {row.summary}<br>*{row.source}*"
            lines.append(f"| {what} | ${equation}$ |")
    return "\n".join(lines) + "\n"


def pictures_table() -> str:
    """Every picture of the suite: its file, what to look for, and when there is none."""
    lines = ["| file | what to look for | not drawn where |", "|---|---|---|"]
    for name, each in PICTURES.items():
        if not name.endswith("_beside_autoencoder"):
            beside = f"{name}_beside_autoencoder" in PICTURES
            missing = "; ".join(NEEDS[need][1] for need in each.needs)
            more = "<br>and `_beside_autoencoder`" if beside else ""
            lines.append(f"| `{each.file}`{more} | {each.caption} | {missing} |")
    return "\n".join(lines) + "\n"


def likelihoods_table() -> str:
    """What `evaluate.py --json` printed of each experiment that was measured."""
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


GENERATED.mkdir(exist_ok=True)
(GENERATED / "slots.md").write_text(slots_tables())
(GENERATED / "pictures.md").write_text(pictures_table())
(GENERATED / "likelihoods.md").write_text(likelihoods_table())
(GENERATED / "recipes.md").write_text(f"```text\n{listing()}\n```\n")
