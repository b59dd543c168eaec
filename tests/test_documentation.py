"""What surrounds the learning path: the glossary, its links, and the words that all pages use."""

import doctest
import importlib
import io
import json
import math
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from PIL import Image

from pyro_vae import priors
from pyro_vae.commands import COMMANDS, main
from pyro_vae.evaluation.collapse import verdict
from pyro_vae.recipes import RECIPES

DOCS = Path(__file__).parent.parent / "docs"
TROUBLES = (DOCS / "troubleshooting.md").read_text()
PAGES = sorted([*DOCS.glob("*.md"), *(DOCS / "tutorials").glob("*.py")])
GREEK = re.compile(
    r"\\(alpha|beta|gamma|delta|(?:var)?epsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|"
    r"(?:var)?phi|chi|psi|omega)\b"
)
#: Other words for a term of the glossary, which no page uses.
INSTEAD = {
    "latent code": "latent vector",
    "latent variable vector": "latent vector",
    "evidence-lower": "evidence lower bound",
    "KL loss": "rate",
    "regularization term": "rate",
    "KL-divergence": "KL divergence",
    "KL warm-up": "KL annealing",
    "bits per dim ": "bits per dimension",
    "bits per pixel": "bits per dimension",
    "reparametriz": "reparameterization",
    "inference network": "encoder",
    "generative network": "decoder",
    "approximate posterior": "posterior",
}


def glossary() -> list[str]:
    """The terms of the glossary, as it spells them."""
    blocks = re.findall(r"```\{glossary\}\n(.*?)```", (DOCS / "glossary.md").read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if re.match(r"\S", line)]


def mathematics(page: Path) -> str:
    """The formulas of a tutorial."""
    text = re.sub("^# ?", "", page.read_text(), flags=re.MULTILINE)
    displayed = re.findall(r"\.\. math::\n\n((?: +.*\n|\n)+)", text)
    return "\n".join([*re.findall(r":math:`(.*?)`", text, re.DOTALL), *displayed])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_page_has_another_word_for_a_term(page):
    if page.stem == "glossary":  # It says which other words there are.
        return
    text = " ".join(page.read_text().split()).lower()
    found = {word: term for word, term in INSTEAD.items() if word.lower() in text}
    assert not found, f"{page.name} should say {', '.join(found.values())}"


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_fences_are_fences(page):
    # Markdown takes a line of backticks that holds another one for text.
    for fence in re.findall(r"^(`{3,}.*)$", page.read_text(), re.MULTILINE):
        assert "`" not in fence.lstrip("`"), f"{page.name}: {fence}"


def test_words_are_replaced_by_terms_of_the_glossary():
    terms = {term.lower() for term in glossary()}
    assert len(terms) == len(glossary()) > 60
    assert {term.lower() for term in INSTEAD.values()} <= terms


@pytest.mark.parametrize("page", sorted((DOCS / "tutorials").glob("*.py")), ids=lambda p: p.stem)
def test_every_greek_letter_of_the_tutorials_is_in_the_notation(page):
    notation = (DOCS / "notation.md").read_text()
    for letter in set(GREEK.findall(mathematics(page))):
        assert rf"\{letter}" in notation, f"{page.name} uses {letter}"


def built(source: dict[str, str], extension: str, folder: Path, monkeypatch) -> tuple[Path, str]:
    """Build pages with an extension of the documentation; return its folder and the warnings."""
    application = pytest.importorskip("sphinx.application").Sphinx
    pytest.importorskip("myst_parser")
    monkeypatch.syspath_prepend(str(DOCS))
    (folder / "docs").mkdir()
    for name, text in source.items():
        (folder / "docs" / name).write_text(text)
    conf = {"extensions": ["myst_parser", extension], "root_doc": next(iter(source))[:-3]}
    warnings, out = io.StringIO(), folder / "html"
    places = folder / "docs", None, out, folder / "trees"
    application(*places, "html", conf, status=None, warning=warnings).build()
    return out, warnings.getvalue()


def test_terms_are_linked_where_a_page_first_uses_them(tmp_path, monkeypatch):
    source = {
        "page.md": (
            "# The rate\n\n```python\nELBO = -rate  # nats\n```\n\n"
            "The learning rate is small, in `rate` and in code. The *rates* fall, the rate\n"
            "does. The evidence\nlower bound, or ELBO; a latent vector.\n"
        ),
        "glossary.md": (
            "# Glossary\n\n```{glossary}\nELBO\nevidence lower bound\n  A bound.\n\nrate\n"
            "  A cost.\n\nlearning rate\n  A step.\n\nlatent vector\ncode\n  Numbers.\n```\n"
        ),
    }
    out, _ = built(source, "linked_terms", tmp_path, monkeypatch)
    text = (out / "page.html").read_text()
    links = re.findall(r'href="glossary.html#(term-[^"]+)"><span[^>]*>([^<]+)</span>', text)
    assert [(place, " ".join(words.split())) for place, words in links] == [
        ("term-learning-rate", "learning rate"),
        ("term-rate", "rates"),
        ("term-ELBO", "evidence lower bound"),
        ("term-latent-vector", "latent vector"),
    ]


def test_sources_are_linked_wherever_they_are_named(tmp_path, monkeypatch):
    source = {
        "index.md": (
            "# Weights (Burda et al., 2016)\n\nOf them (Burda\net al., 2016), "
            "`(Burda et al., 2016)` "
            "and *a book (Gumbel, 1958)*.\nSee Burda et al., 2016.\n"
        )
    }
    out, _ = built(source, "linked_terms", tmp_path, monkeypatch)
    text = (out / "index.html").read_text()
    links = re.findall(r'href="https://arxiv.org/abs/1509.00519"><span[^>]*>([^<]+)</span>', text)
    assert [" ".join(words.split()) for words in links] == ["Burda et al., 2016"] * 2


def test_every_source_that_is_named_is_known(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import sources

    known = [name for each in sources.SOURCES for name in each.names]
    assert len(known) == len(set(known))
    code = [*(DOCS.parent / "pyro_vae").rglob("*.py"), DOCS.parent / "CONTRIBUTING.md"]
    found = 0
    for path in [*PAGES, *code]:
        text = re.sub(r"\s*\n\s*#? ?", " ", path.read_text())
        text = re.sub(r"`([^`<]+) <[^>]*>`_", r"\1", text)  # A link shows its words.
        for named in re.findall(r"\(([^()]*[A-Z][a-z]+(?: et al\.)?, (?:19|20)\d\d)\b", text):
            found += 1
            assert named.endswith(tuple(known)), f"{path.name} names {named}"
    assert found > 80


# ------------------------------------------------------------------------- search


def test_a_page_is_found_by_the_other_spelling_and_by_what_people_type(tmp_path, monkeypatch):
    source = {
        "index.md": "# Gray images\n\nThey are normalized and colored.\n",
        "outputs.md": "# Results\n\nScores of images.\n",
    }
    out, warnings = built(source, "search_words", tmp_path, monkeypatch)
    text = (out / "searchindex.js").read_text()
    index = json.loads(text[text.index("(") + 1 : text.rindex(")")])
    names = index["docnames"]
    for word in ("grey", "normalis", "colour"):  # The index has stems.
        assert names[index["terms"][word]] == "index", word
    for word in ("anomali", "outlier", "detect"):
        assert names[index["terms"][word]] == "outputs", word
    ((place, _, main),) = index["indexentries"]["anomaly detection"]
    assert (names[place], main) == ("outputs", True)
    # Of the pages that are not in this small documentation, each is named.
    assert "names the page glossary, which does not exist" in warnings
    assert "does not find" not in warnings


def test_a_phrase_that_finds_nothing_is_warned_of(tmp_path, monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS))
    import search_words

    monkeypatch.setattr(search_words.AddWords, "apply", lambda self: None)
    _, warnings = built({"index.md": "# Gray\n"}, "search_words", tmp_path, monkeypatch)
    assert "A search for 'install' does not find index." in warnings
    assert "A search for 'grey' does not find what 'gray' finds." in warnings


def test_the_words_of_the_search_belong_to_pages_that_exist(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS))
    import search_words

    for page in search_words.PHRASES:
        folder, _, name = page.rpartition("/")
        path = DOCS / ("tutorials" if folder else "") / f"{name}.{'py' if folder else 'md'}"
        assert path.exists(), page


# ------------------------------------------------------------------------- generated pages


@pytest.mark.parametrize("name", RECIPES)
def test_the_layers_of_a_recipe_are_all_of_its_networks(name, monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import layers

    recipe = RECIPES[name]
    vae = recipe.with_settings(prior=priors.StandardNormal).build(recipe.image_shape)
    rows = [row.split("|")[1:-1] for row in layers.table(recipe).splitlines()[2:]]
    counted = sum(int(row[2].replace(",", "")) for row in rows if row[2].strip())
    scale = sum(each.numel() for each in vae.likelihood.parameters(recurse=False))
    assert counted + scale == sum(each.numel() for each in vae.parameters())
    shapes = [tuple(map(int, re.findall(r"\d+", row[1]))) for row in rows]
    assert shapes[0] == recipe.image_shape
    assert math.prod(shapes[-1]) == math.prod(recipe.image_shape)  # An MLP's are still in a row.
    page = (DOCS / "recipes.md").read_text()
    assert f"generated/layers_{name}.md" in page


def test_the_command_line_is_that_of_the_programs(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import command_help

    before = sys.argv, os.environ.get("COLUMNS")
    page = command_help.page()
    assert (sys.argv, os.environ.get("COLUMNS")) == before
    assert re.findall(r"^## `pyro-vae (\w+)`$", page, re.MULTILINE) == list(COMMANDS)
    for option in ("--latent-size", "--samples", "--only", "--resume", "--data-dir", "--overwrite"):
        assert f"  {option}" in page
    assert sys.executable not in page and page.count("usage: pyro-vae ") == len(COMMANDS) + 1


def test_every_picture_has_a_thumbnail_and_a_function_that_draws_it(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import thumbnails

    assert {path.stem for path in thumbnails.FOLDER.glob("*")} == set(thumbnails.NAMES)
    for name in thumbnails.NAMES:
        module, _, function = thumbnails.function_of(name).rpartition(".")
        assert callable(getattr(importlib.import_module(module), function))
        with Image.open(thumbnails.path_of(name)) as small:
            assert 200 < max(small.size) <= thumbnails.WIDTH
    assert sum(path.stat().st_size for path in thumbnails.FOLDER.glob("*")) < 500_000


@pytest.mark.slow
def test_the_thumbnails_can_be_drawn_anew(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import thumbnails

    monkeypatch.setattr(thumbnails, "FOLDER", tmp_path / "thumbnails")
    monkeypatch.setattr(thumbnails, "EPOCHS", 3)
    thumbnails.main()
    assert {path.stem for path in (tmp_path / "thumbnails").glob("*")} == set(thumbnails.NAMES)


# ------------------------------------------------------------------------- troubleshooting


def blocks(language: str) -> list[str]:
    """The blocks of troubleshooting in a language."""
    return re.findall(rf"```{language}\n(.*?)```", TROUBLES, re.DOTALL)


def test_its_python_prints_what_stands_below_it():
    lines = "\n".join(blocks("pycon"))
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    example = doctest.DocTestParser().get_doctest(lines, {}, "troubleshooting", None, 0)
    said: list[str] = []
    failed, tried = doctest.DocTestRunner(optionflags=flags).run(example, out=said.append)
    assert not failed, "".join(said)
    assert tried > 20


def test_its_commands_say_what_stands_below_them(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["pyro-vae"])
    calls = [
        call for block in blocks("console") for call in re.split(r"^\$ ", block, flags=re.M)[1:]
    ]
    assert len(calls) == 4
    for call in calls:
        line, _, expected = call.partition("\n")
        program, *arguments = shlex.split(line)
        with pytest.raises(SystemExit):
            main(arguments)
        printed = capsys.readouterr().err
        assert program == "pyro-vae"
        assert printed[printed.index("error:") :].split() == expected.split()


def test_its_messages_are_those_of_the_library():
    sentences = [
        verdict(0.0, 0, 2),
        verdict(3.2, 2, 10),
        verdict(1e6, 2, 2, 64),
    ]
    quoted = [" ".join(block.split()) for block in blocks("text")]
    assert set(sentences) <= set(quoted)
    source = "".join(path.read_text() for path in (DOCS.parent / "pyro_vae").rglob("*.py"))
    # A message is spread over lines and holds what is inserted into it: look for its fixed parts.
    source = " ".join(re.sub(r'"\s+f?"', "", source).split())
    fixed = [
        "unreliable, with a Pareto k above",
        "is not reparameterized: its gradient is that of the score function, which has a high "
        "variance. Expect slow training, or average over many images and particles.",
        "cannot be used here:",
        "names code from outside this library",
        "already holds a run: continue it (--resume), or choose another --out",
    ]
    page = " ".join(TROUBLES.split())
    for part in fixed:
        assert part in page and part in source, part
    assert len(quoted) == len(sentences) + 3


def test_every_option_in_it_exists(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import command_help

    known = {name: command_help.help_of(name) for name in COMMANDS}
    for block in blocks("bash"):
        for line in block.splitlines():
            program, command, *arguments = shlex.split(line)
            assert program == "pyro-vae"
            for option in (each for each in arguments if each.startswith("--")):
                name = option.partition(".")[0].partition("=")[0]
                assert re.search(rf"{name}\b", known[command]), line
