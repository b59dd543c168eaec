"""The learning path: its pages in order, their numbers asserted, their exercises solved."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

TUTORIALS = Path(__file__).parent.parent / "docs" / "tutorials"
PAGES = sorted(TUTORIALS.glob("*.py"))
#: The pages that teach a beginner; the others predate the path.
FIRST = PAGES[:4]
IGNORED = re.compile(
    r"# sphinx_gallery_start_ignore\n(.*?)# sphinx_gallery_end_ignore\n", re.DOTALL
)


def prose(page: Path) -> str:
    """The text of a page, without mathematics, code and the names of files."""
    source = IGNORED.sub("", page.read_text())
    opening = re.match(r'r"""(.*?)"""', source, re.DOTALL)
    assert opening, f"{page.name} does not open with a text"
    comments = re.findall(r"^# %%\n((?:#.*\n)*)", source, re.MULTILINE)
    text = opening[1] + "\n".join(re.sub("^# ?", "", each, flags=re.MULTILINE) for each in comments)
    text = re.sub(
        r"(?ms)^( *)\.\. (?:math|code-block|diagram|literalinclude)::.*?\n(?=\S|\1\S)", "", text
    )
    return re.sub(r":\w+:`.*?`|``.*?``", "", text, flags=re.DOTALL)


def solution(name: str, capsys) -> dict:
    """The names that a solution has left, run as a program."""
    state = torch.get_rng_state()
    try:
        return runpy.run_path(str(TUTORIALS / "solutions" / f"{name}.py"))
    finally:
        torch.set_rng_state(state)
        capsys.readouterr()


def test_the_pages_are_numbered_in_the_order_of_the_path():
    numbers = [int(page.name[:2]) for page in PAGES]  # A page may have parts: 05, 05b, 05c.
    assert sorted(set(numbers)) == list(range(1, max(numbers) + 1))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_refer_to_pages_that_exist_and_show_their_figures(page):
    text = page.read_text()
    for name in re.findall(r":doc:`(\w+)`", text):
        assert (TUTORIALS / f"{name}.py").exists(), f"{page.name} refers to {name}"
    for name in re.findall(r"literalinclude:: \.\./tutorials/(\S+)", text):
        assert (TUTORIALS / name).exists(), f"{page.name} includes {name}"
    # Run as a program, a page opens each of its figures.
    if "plt." in text:
        assert text.rindex("plt.show()") > max(
            text.rindex(each) for each in ("plt.figure", "plt.sub") if each in text
        )


@pytest.mark.parametrize("page", FIRST, ids=lambda page: page.stem)
def test_first_pages_say_what_they_teach_ask_and_end_with_an_exercise(page):
    text = page.read_text()
    assert ".. admonition:: What you will be able to do" in text
    assert "*You need to know*" in text and re.search(r"\*\d\d minutes\.\*", text)
    asked = text.count(".. admonition:: Predict, then run")
    assert 2 <= asked <= 4 and text.count(".. dropdown:: Answer") == asked
    last = text[text.index(".. admonition:: Exercise") :]
    assert ".. dropdown:: Solution" in last and "literalinclude:: ../tutorials/solutions/" in last


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_block_of_code_is_hidden_as_a_whole(page):
    # The page would show an empty box in its place.
    for block in re.split(
        r"^# %%\n(?:#(?! sphinx_gallery).*\n)*", page.read_text(), flags=re.MULTILINE
    )[1:]:
        if IGNORED.search(block):
            assert IGNORED.sub("", block).strip(), f"{page.name} hides:\n{block}"


@pytest.mark.parametrize("page", FIRST, ids=lambda page: page.stem)
def test_every_number_with_a_decimal_point_in_the_prose_is_asserted_or_chosen(page):
    source = page.read_text()
    checked = "\n".join(IGNORED.findall(source))
    code = "\n".join(line for line in source.splitlines() if not line.startswith("#"))
    code = re.sub(r'r""".*?"""', "", code, count=1, flags=re.DOTALL)
    for number in re.findall(r"-?\d+\.\d+", prose(page)):
        assert number in checked or number in code, f"{page.name} does not check {number}"


def test_every_solution_is_that_of_an_exercise_and_is_tested_here():
    solutions = {path.stem for path in (TUTORIALS / "solutions").glob("*.py")}
    shown = set(re.findall(r"solutions/(\w+)\.py", "\n".join(p.read_text() for p in PAGES)))
    tested = set(re.findall(r'solution\("(\w+)"', Path(__file__).read_text()))
    assert solutions == shown == tested


@pytest.mark.slow
def test_a_code_of_eight_numbers_is_better_and_costs_more(capsys):
    found = solution("eight_numbers", capsys)["found"]
    assert found[8].elbo > found[2].elbo + 10
    assert found[8].distortion < found[2].distortion and found[8].rate > found[2].rate


@pytest.mark.slow
def test_autoencoders_leave_less_than_pca_at_every_size(capsys):
    errors = solution("against_pca", capsys)["errors"]
    assert all(curved < 0.8 * linear for linear, curved in errors.values())
    gains = {size: linear - curved for size, (linear, curved) in errors.items()}
    assert max(gains, key=lambda size: gains[size]) == 2
    for results in zip(*errors.values(), strict=True):
        assert list(results) == sorted(results, reverse=True)


@pytest.mark.slow
def test_the_learned_deviation_is_the_root_of_the_mean_squared_error(capsys):
    found = solution("learned_deviation", capsys)
    assert found["deviation"] == pytest.approx(found["error"], rel=0.05)
    assert found["runaway"] > 2 * found["blurred"]


def test_bernoulli_pixels_cost_their_binary_cross_entropy(capsys):
    found = solution("bernoulli_pixels", capsys)
    assert torch.allclose(found["minus_log_prob"], found["cross_entropy"])
    assert found["losses"][-1] < 0.8 * found["losses"][0]


@pytest.mark.slow
@pytest.mark.parametrize("page", FIRST, ids=lambda page: page.stem)
def test_first_pages_run_as_programs(page, tmp_path):
    surroundings = os.environ | {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, str(page)], cwd=tmp_path, env=surroundings, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert not list(tmp_path.iterdir())


def test_diagrams_are_drawn_for_both_themes(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(TUTORIALS.parent))
    import diagrams

    diagrams.draw_all(tmp_path)
    used = {name for page in PAGES for name in re.findall(r"diagram:: (\w+)", page.read_text())}
    assert used == set(diagrams.DIAGRAMS)
    for name in used:
        drawn = [(tmp_path / f"{name}-{theme}.svg").read_text() for theme in ("light", "dark")]
        assert drawn[0] != drawn[1]
        for theme, text in zip(("light", "dark"), drawn, strict=True):
            assert diagrams.THEMES[theme]["network"] in text


@pytest.mark.slow
def test_the_solutions_of_later_pages_run_to_their_end(capsys):
    for found in (
        solution("baseline", capsys),
        solution("draw_a_digit", capsys),
        solution("find_the_slip", capsys),
        solution("how_many_components", capsys),
        solution("on_a_sphere", capsys),
        solution("other_cures", capsys),
        solution("read_a_loss", capsys),
        solution("seventeen_levels", capsys),
        solution("shifted_posterior", capsys),
        solution("student_rate", capsys),
    ):
        assert found["__name__"]
