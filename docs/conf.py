"""Configuration of Sphinx. Tables, diagrams and tutorials are computed anew at every build."""

import dataclasses
import importlib
import inspect
import json
import pkgutil
import sys
from collections.abc import Iterable
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import pyro_vae
from pyro_vae import slots
from pyro_vae._settings import Setting, declared
from pyro_vae.analysis import PICTURES
from pyro_vae.analysis.suite import NEEDS
from pyro_vae.recipes import RECIPES, Recipe, listing
from pyro_vae.training import TrainingSettings

HERE = Path(__file__).parent
GENERATED = HERE / "generated"

logger = logging.getLogger(__name__)

sys.path.insert(0, str(HERE))
import command_help  # noqa: E402  # These lie beside this file.
import diagrams  # noqa: E402
import layers  # noqa: E402
import live  # noqa: E402
import sources  # noqa: E402
import thumbnails  # noqa: E402

torch.set_num_threads(1)  # What pages assert does not depend on the number of cores.

project = "pyro_vae"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinx-mathjax-offline",
    "linked_terms",  # These lie beside this file.
    "search_words",
]
myst_enable_extensions = ["dollarmath"]
html_theme = "furo"
html_title = "pyro_vae"
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_show_copyright = False
smartquotes = False  # An option such as --prior keeps both of its dashes.
exclude_patterns = ["_build", "generated", "results", "tutorials", "live"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Copy what is typed: neither prompts nor what a tutorial printed.
copybutton_selector = "div:not(.sphx-glr-script-out) > div.highlight pre"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "learn",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "capture_repr": (),
    "remove_config_comments": True,
    "download_all_examples": False,
    "write_computation_times": False,
}


class Diagram(SphinxDirective):
    """A diagram of `diagrams.py`, in the version that suits the reader's theme."""

    required_arguments = 1
    option_spec = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Return one image for each theme, of which the page shows one, in a frame that scrolls."""
        name, frame = self.arguments[0], nodes.container(classes=["diagram-frame"])
        if name not in diagrams.DIAGRAMS:
            raise self.error(f"There is no diagram {name!r} in diagrams.py.")
        for theme in diagrams.THEMES:
            path = f"/{GENERATED.name}/diagrams/{name}-{theme}.svg"
            image = nodes.image(uri=path, alt=self.options["alt"])
            image["classes"] += [f"only-{theme}", "diagram"]
            frame += image
        return [frame]


def skip_fields(app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any) -> bool:
    """Skip the fields of named tuples, which the docstrings of their classes describe."""
    return skip or (getattr(member, "__doc__", None) or "").startswith("Alias for field number")


def show_thumbnails(
    app: Sphinx, what: str, name: str, member: Any, options: Any, lines: list[str]
) -> None:
    """Show the pictures that a function draws above what its docstring says."""
    for picture in thumbnails.NAMES:
        if thumbnails.function_of(picture) == name:
            path = thumbnails.path_of(picture).relative_to(HERE)
            alt = PICTURES[picture].title
            lines[:0] = [f".. image:: /{path}", f"   :alt: {alt}", "   :class: thumbnail", ""]


#: Modules that the reference does not list as a whole: of `vae` it shows the class.
APART = ("commands", "vae")


def check_reference(app: Sphinx, failure: Exception | None) -> None:
    """Warn of public classes and functions that the reference leaves out."""
    if failure is not None:
        return
    listed = app.env.domains.python_domain.objects
    for found in pkgutil.iter_modules(pyro_vae.__path__):
        if found.name.startswith("_") or found.name in APART:
            continue
        package = importlib.import_module(f"pyro_vae.{found.name}")
        for name in getattr(package, "__all__", [*vars(package)]):
            member = getattr(package, name)
            home = getattr(member, "__module__", "")
            callable_here = inspect.isclass(member) or inspect.isfunction(member)
            if name.startswith("_") or not callable_here or not home.startswith(package.__name__):
                continue
            if not {f"{home}.{name}", f"{package.__name__}.{name}"} & listed.keys():
                logger.warning("The reference leaves out %s.%s.", package.__name__, name)
    for function in map(thumbnails.function_of, thumbnails.NAMES):
        if function not in listed:
            logger.warning("The reference leaves out %s, which draws a picture.", function)


def setup(app: Sphinx) -> None:
    """Connect what Sphinx calls."""
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("autodoc-process-docstring", show_thumbnails)
    app.connect("build-finished", check_reference)
    app.add_directive("diagram", Diagram)


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
            function = thumbnails.function_of(name)
            small = f"![{each.title}](images/thumbnails/{name}.png)"
            file = f"{{py:func}}`{each.file} <{function}>`{more}<br>{small}"
            lines.append(f"| {file} | {each.caption} | {missing} |")
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
diagrams.draw_all(GENERATED / "diagrams")
live.write_all(GENERATED / "live")
(GENERATED / "slots.md").write_text(slots_tables())
(GENERATED / "pictures.md").write_text(pictures_table())
(GENERATED / "likelihoods.md").write_text(likelihoods_table())
(GENERATED / "settings.md").write_text(settings_table(OF_TRAINING.values()))
(GENERATED / "recipe_settings.md").write_text(
    settings_table(each for name, each in OF_RECIPES.items() if name not in OF_TRAINING)
)
(GENERATED / "recipes.md").write_text(f"```text\n{listing()}\n```\n")
(GENERATED / "command_line.md").write_text(command_help.page())
for name, recipe in RECIPES.items():
    (GENERATED / f"layers_{name}.md").write_text(layers.table(recipe))
(GENERATED / "articles.md").write_text(sources.table(sources.ARTICLES))
(GENERATED / "papers.md").write_text(sources.table(sources.PAPERS))
