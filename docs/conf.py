"""How Sphinx builds these pages. Tables are generated from the code at every build."""

from pathlib import Path

from pyro_vae import slots
from pyro_vae.recipes import listing

project = "pyro_vae"
extensions = ["myst_parser", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath"]
html_theme = "furo"
html_title = "pyro_vae"
exclude_patterns = ["_build", "generated"]

GENERATED = Path(__file__).parent / "generated"


def slots_table() -> str:
    """Every prior, posterior and likelihood: its class, equation and source."""
    lines = ["| slot | class | what | equation | source |", "|---|---|---|---|---|"]
    for row in slots.table():
        equation = row.equation.replace("|", r"\mid ")
        lines.append(f"| {row.slot} | `{row.name}` | {row.summary} | ${equation}$ | {row.source} |")
    return "\n".join(lines) + "\n"


GENERATED.mkdir(exist_ok=True)
(GENERATED / "slots.md").write_text(slots_table())
(GENERATED / "recipes.md").write_text(f"```text\n{listing()}\n```\n")
