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
IGNORED = re.compile(
    r"# sphinx_gallery_start_ignore\n(.*?)# sphinx_gallery_end_ignore\n", re.DOTALL
)


def prose(page: Path) -> str:
    """The text of a page, without mathematics, code, and names of files and sections."""
    source = IGNORED.sub("", page.read_text())
    opening = re.match(r'r"""(.*?)"""', source, re.DOTALL)
    assert opening, f"{page.name} does not open with a text"
    comments = re.findall(r"^# %%\n((?:#.*\n)*)", source, re.MULTILINE)
    text = opening[1] + "\n".join(re.sub("^# ?", "", each, flags=re.MULTILINE) for each in comments)
    text = re.sub(
        r"(?ms)^( *)\.\. (?:math|code-block|diagram|literalinclude)::.*?\n(?=\S|\1\S)", "", text
    )
    text = re.sub(r"(?:section|Matplotlib)\s+\d+\.\d+", "", text)
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_say_what_they_teach_ask_and_end_with_an_exercise(page):
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
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
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_run_as_programs(page, tmp_path):
    surroundings = os.environ | {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, str(page)], cwd=tmp_path, env=surroundings, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert not list(tmp_path.iterdir())


def test_the_gap_of_a_shifted_posterior_is_half_a_nat_for_each_dimension(capsys):
    found = solution("shifted_posterior", capsys)
    assert found["gap"] == pytest.approx(found["D"] / 2, abs=0.05)


def test_a_baseline_lowers_the_noise_of_the_score_function(capsys):
    for size, (without, with_baseline) in solution("baseline", capsys)["found"].items():
        assert with_baseline.std() < 0.7 * without.std()
        assert with_baseline.mean() == pytest.approx(1, abs=0.2), size


def test_the_rate_of_a_student_t_is_its_integral(capsys):
    found = solution("student_rate", capsys)
    assert found["draws"].mean() == pytest.approx(found["exact"].item(), abs=0.015)
    assert 1_000 < found["needed"] < 20_000


def test_the_loss_that_is_read_has_the_gradient_of_its_elbo(capsys):
    found = solution("read_a_loss", capsys)
    assert found["cosine"] > 1 - 1e-6 and found["scale"] == pytest.approx(39.3, abs=0.05)


@pytest.mark.slow
def test_two_of_the_other_cures_work(capsys):
    found = solution("other_cures", capsys)["found"]
    assert found["as it came"].active_units == 0
    for name in ("free bits", "one wide layer"):
        assert found[name].elbo > found["as it came"].elbo + 0.5
        assert found[name].active_units >= 1
    assert max(found, key=lambda name: found[name].elbo) == "one wide layer"


@pytest.mark.slow
def test_codes_on_a_sphere_have_length_one_and_its_equator_is_closed(capsys):
    found = solution("on_a_sphere", capsys)
    assert torch.allclose(found["lengths"], torch.ones(()), atol=1e-4)
    assert torch.allclose(found["walk"][0], found["walk"][-1], atol=1e-4)
    assert found["found"].rate > 1 and found["steps"].min() > 0.1


@pytest.mark.slow
def test_more_components_are_better_only_up_to_a_number(capsys):
    elbos = solution("how_many_components", capsys)["elbos"]
    held_out = {components: test for components, (_, test) in elbos.items()}
    assert max(held_out, key=lambda components: held_out[components]) in (3, 10, 30)
    assert all(training > test for training, test in elbos.values())


@pytest.mark.slow
def test_a_likelihood_of_seventeen_levels_needs_few_bits(capsys):
    found = solution("seventeen_levels", capsys)["found"]
    assert found.measure == "mass" and 1.5 < found.bits_per_dimension < 2.8


@pytest.mark.slow
def test_the_digits_that_are_asked_for_are_drawn(capsys):
    assert solution("draw_a_digit", capsys)["right"].mean() > 0.9


def test_the_slip_divides_the_rate_by_the_number_of_dimensions(capsys):
    for size, (published, exact) in solution("find_the_slip", capsys)["found"].items():
        assert exact == pytest.approx(size * published, rel=1e-4)


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
