"""The report: what it says about a run, how it looks in a browser, how the command writes it."""

import base64
import html
import io
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from browser import DESK, PHONE, headless_browser, opened, width_of_content  # noqa: F401
from called import called
from conftest import images_of, small_vae
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from pyro_vae import checkpoints, likelihoods, networks, posteriors, priors
from pyro_vae._files import write_json, write_text
from pyro_vae._program import program
from pyro_vae._settings import declared
from pyro_vae.analysis import PICTURES, Choices, Subject, comparison, draw, training_curves
from pyro_vae.analysis.pages import report
from pyro_vae.analysis.pages.page import document
from pyro_vae.commands import analyze as analyze_command
from pyro_vae.commands.compare import trade_off
from pyro_vae.data import Dataset
from pyro_vae.evaluation import evaluate
from pyro_vae.evaluation.table import ROWS
from pyro_vae.experiments import Experiment
from pyro_vae.experiments.configuration import choose_recipe
from pyro_vae.recipes import Recipe
from pyro_vae.training.run_folder import Run

DRAWN = ["reconstruct_after_train", "training_curves", "interpolation_film"]
CONFIGURATION = """\
data: digits
likelihood:
  class_path: pyro_vae.likelihoods.Normal
  init_args:
    scale: 0.5
    learned: true
latent_size: 2
as_published: false
"""
HISTORY = [
    {"epoch": 1, "learning_rate": 1e-3, "train_loss": 40.0, "validation_loss": 41.25},
    {"epoch": 2, "learning_rate": 5e-4, "train_loss": 30.0, "validation_loss": 31.5},
]


STARTS = [
    {
        "started": "2025-01-02T03:04:05+00:00",
        "command": "pyro-vae train --data '<b>'",
        "versions": {"python": "3.12.1", "torch": "2.6.0"},
        "machine": {"system": "Linux", "cores": 2, "device": "cpu", "accelerator": None},
    }
]


@pytest.fixture(scope="module")
def few(digits) -> Dataset:
    return Dataset("digits", digits.train.select(slice(200)), digits.test.select(slice(60)))


def subject(few, **slots) -> Subject:
    torch.manual_seed(0)
    vae = small_vae(**slots).eval()
    with torch.no_grad():  # images that vary, so that the film moves
        for parameter in vae.parameters():
            parameter *= 2
    return Subject(vae, few, history=HISTORY, progress=False)


@pytest.fixture(scope="module")
def written(few, tmp_path_factory) -> tuple[Run, Subject]:
    """A run folder with a hostile name, and its pictures, report and explorer."""
    run = Run(tmp_path_factory.mktemp("runs") / 'a <b>bold & "quoted" run\'s')
    looked_at = subject(few)
    write_text(run.configuration, CONFIGURATION)
    write_json(run.evaluation, evaluate(looked_at.vae, few.test, samples=30).as_dict())
    write_json(run.provenance, STARTS)
    draw(looked_at, run.folder, DRAWN, progress=False)
    assert report.write(looked_at, run, progress=False) == [
        run.folder / "report.html",
        run.folder / "explorer.html",
    ]
    return run, looked_at


@pytest.fixture(scope="module")
def text(written) -> str:
    return (written[0].folder / "report.html").read_text()


def plain(page: str) -> str:
    """Return the words of a page."""
    page = re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_every_number_has_its_unit_and_its_meaning(written, text):
    numbers = json.loads(written[0].evaluation.read_text())
    words = plain(text)
    shown = [row for row in ROWS if numbers.get(row[0]) is not None]
    assert len(shown) >= 5
    for row in shown:
        value = f"{numbers[row.key]:.2f}".replace("-", "−")
        assert f"{row.name} {value} {row.unit} {row.meaning}" in words
    assert numbers["verdict"] in words
    assert len({row.key for row in ROWS}) == len(ROWS) and all(row.meaning for row in ROWS)


def test_every_picture_is_within_and_says_what_to_look_for(written, text):
    images = [
        (data, html.unescape(alt))
        for data, alt in re.findall(
            r'<img[^>]*src="data:image/webp;base64,([^"]+)" alt="([^"]+)"', text
        )
    ]
    assert len(images) == len(DRAWN)
    for picture in (PICTURES[name] for name in DRAWN):
        assert f"{picture.title} {picture.caption}" in plain(text)
        assert any(alt == f"{picture.title}. {picture.caption}" for _, alt in images)
    folder = written[0].folder
    sizes = {Image.open(io.BytesIO(base64.b64decode(data))).size for data, _ in images}
    assert Image.open(folder / "reconstruct_after_train.png").size in sizes
    film = next(data for data, alt in images if alt.startswith("Interpolation as a film"))
    frames = Image.open(io.BytesIO(base64.b64decode(film))).n_frames  # equal frames are merged
    assert 1 < frames <= Image.open(folder / "interpolation_film.gif").n_frames
    assert "prefers-reduced-motion" in text


def test_chosen_pictures_alone_are_shown(written):
    run, looked_at = written
    page = report.page(looked_at, run, pictures=["reconstruct_after_train"])
    assert PICTURES["reconstruct_after_train"].caption in plain(page)
    assert "Interpolation as a film" not in page


def test_history_configuration_and_name_are_given(text):
    words = plain(text)
    assert "1 1.00e-03 40.00 41.25 2 5.00e-04 30.00 31.50" in words
    assert "likelihood Normal(scale=0.5, learned=True)" in words and "as published no" in words
    assert f"latent size 2 {declared(Recipe)['latent_size'].help}" in words
    assert "<b>bold" not in text and 'a <b>bold & "quoted" run\'s' in words


def repeating(page: str) -> list[list[str]]:
    """Return the commands that repeat a run: train, evaluate and analyze."""
    section = page.partition('<section id="repeat">')[2]
    found = re.findall(r"<pre><code>(.*?)</code></pre>", section)
    return [shlex.split(html.unescape(command)) for command in found]


def test_every_start_of_the_training_is_shown(text):
    words = plain(text)
    started = "2025-01-02T03:04:05+00:00 pyro-vae train --data '<b>' python 3.12.1, torch 2.6.0"
    assert f"{started} system Linux, cores 2, device cpu" in words
    assert "<b>" not in text


def test_the_commands_repeat_the_run(written, text):
    run = written[0]
    commands = repeating(text)
    calls = [shlex.split(program(name)) for name in ("train", "evaluate", "analyze")]
    starts = [command[: len(call)] for command, call in zip(commands, calls, strict=True)]
    assert starts == calls
    train, evaluated, analyzed = (
        command[len(call) :] for command, call in zip(commands, calls, strict=True)
    )
    given = dict(zip(train[::2], train[1::2], strict=True))
    assert given["--config"] == str(run.configuration)
    assert choose_recipe(train).data != ""  # the command accepts them
    assert evaluated == [str(run.folder), "--samples", "5000"]
    assert analyzed == [str(run.folder)]
    assert analyze_command.options().parse_args(analyzed).run == analyzed


def test_the_files_are_small_and_load_nothing(written, text):
    explorer = (written[0].folder / "explorer.html").read_text()
    assert len(text) < 1_000_000 and len(explorer) < 3_000_000
    namespace = "http://www.w3.org/2000/svg"  # a name that is never fetched
    assert set(re.findall(r"https?://[^\"'< ]*", text)) == {namespace}


def test_a_bare_folder_gets_a_report(few, tmp_path):
    looked_at = Subject(small_vae().eval(), few, progress=False)
    words = plain(report.page(looked_at, Run(tmp_path)))
    for sentence in (
        "has not been evaluated",
        "No training history",
        "No configuration",
        "has no evaluation.json",
    ):
        assert sentence in words
    assert f"`{program('evaluate')}`" in words
    assert "Provenance" not in words  # runs of earlier versions have none


# Warnings

SOUND = {
    "images": 60,
    "verdict": "Not collapsed: fine.",
    "rate": 5.0,
    "active_units": 9,
    "latent_size": 9,
    "untrusted": 0.0,
    "samples": 100,
}


def titles(looked_at, numbers=SOUND):
    return [title for title, _ in report.warnings(looked_at, numbers)]


def with_likelihood(few, make, **options):
    decoder = networks.ConvDecoder(2, (1, 8, 8), channels=(8,))
    return subject(few, likelihood=make(decoder, **options))


def test_a_sound_run_has_no_warnings(few, tmp_path):
    sound, run = with_likelihood(few, likelihoods.DiscretizedLogistic), Run(tmp_path)
    assert titles(sound) == []
    write_json(run.evaluation, SOUND)
    assert "Warnings Nothing stood out." in plain(report.page(sound, run))
    write_json(run.evaluation, SOUND | {"rate": 0.01})
    words = plain(report.page(sound, run))
    assert "Nothing stood out" not in words
    assert "Posterior collapse. Collapsed: the latent vector carries 0.01 nats" in words


def test_each_danger_is_named(few):
    sound = with_likelihood(few, likelihoods.DiscretizedLogistic)
    for collapsed in ({"rate": 0.01}, {"active_units": 0}):
        assert titles(sound, SOUND | collapsed) == ["Posterior collapse"]
    ((title, explanation),) = report.warnings(sound, SOUND | {"active_units": 4})
    assert title == "Partial posterior collapse" and "4 of 9" in explanation
    (found,) = report.warnings(sound, {**SOUND, "untrusted": 0.25})
    assert found[0] == "Unreliable importance weights" and "25.0%" in found[1]
    assert "100 samples" in found[1] and "0.7" in found[1]
    assert titles(sound, {}) == ["Not evaluated"]
    both = ("drive the learning rate", "choose the weights")
    for roles in (("choose the weights",), both):
        judged = replace(sound, roles_of_test=roles)
        assert titles(judged) == [f"The test images {' and '.join(roles)}"]
    assert titles(replace(sound, roles_of_test=())) == []


def test_a_likelihood_outside_its_support_is_named(few):
    gray = with_likelihood(few, likelihoods.Bernoulli, gray_levels=True)
    assert titles(gray) == ["A likelihood outside its support"]
    assert titles(with_likelihood(few, likelihoods.Bernoulli)) == []
    assert titles(with_likelihood(few, likelihoods.Normal)) == ["A density on discrete levels"]
    binary = few.map(lambda part: part.with_pixels("binarized"))
    assert titles(with_likelihood(binary, likelihoods.Bernoulli, gray_levels=True)) == []
    noisy = few.map(lambda part: part.with_pixels("dequantized"))
    assert titles(with_likelihood(noisy, likelihoods.Normal)) == []


def test_a_plain_autoencoder_has_no_elbo(few):
    encoder = networks.ConvEncoder((1, 8, 8), channels=(8,))
    plain_one = subject(few, prior=priors.Flat(2), posterior=posteriors.Delta(encoder, 2))
    assert titles(plain_one)[0] == "No ELBO"
    with_prior = subject(few, posterior=posteriors.Delta(encoder, 2))
    title, explanation = report.warnings(with_prior, SOUND)[0]
    assert title == "No ELBO" and "plain autoencoder" not in explanation


# In the browser


@pytest.mark.parametrize(
    ("viewport", "scheme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk", "phone"]
)
def test_the_report_opens_from_disk(browser, written, viewport, scheme):
    path = written[0].folder / "report.html"
    with opened(browser, path, viewport, color_scheme=scheme) as page:
        widths = page.locator("img").evaluate_all(
            "all => Promise.all(all.map(i => i.decode().then(() => i.naturalWidth)))"
        )
        assert len(widths) == len(DRAWN) and min(widths) > 0
        assert width_of_content(page) == viewport["width"]
        assert page.locator("h1").count() == 1
        targets = page.locator("nav a").evaluate_all("all => all.map(a => a.hash)")
        assert all(page.locator(target).count() == 1 for target in targets)
        canvas = "document.querySelector('.decoded').toDataURL()"
        before = page.evaluate(canvas)
        page.locator(".map").focus()
        page.keyboard.press("Shift+ArrowRight")
        page.wait_for_timeout(700)
        assert page.evaluate(canvas) != before


def colors(css: str) -> dict[str, tuple[float, ...]]:
    pairs = re.findall(r"--([\w-]+): #(\w{6})", css)
    return {name: tuple(int(h[i : i + 2], 16) / 255 for i in (0, 2, 4)) for name, h in pairs}


def contrast(a, b) -> float:
    """Return the contrast ratio of two colors, as WCAG 2 defines it."""

    def luminance(color):
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_stands_out_in_light_and_dark():
    light, dark = map(colors, document("", Markup()).split("prefers-color-scheme: dark"))
    assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)
    for look in (light, dark):
        for ink in ("ink", "quiet", "accent"):
            assert contrast(look[ink], look["paper"]) > 4.5
            assert contrast(look[ink], look["panel"]) > 4.5
        assert contrast(look["on-accent"], look["accent"]) > 4.5
        assert contrast(look["warning"], look["warning-panel"]) > 4.5


# The command


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Path]:
    """Two trained runs, of different dimensions."""
    folders = []
    torch.set_num_threads(1)
    for name, beta in (("first", 1), ("second", 3)):
        folder = tmp_path_factory.mktemp("trained") / name
        settings = f"--recipe fashion_conv --data digits --epochs 1 --limit 200 --beta {beta}"
        settings += f" --device cpu --out {folder}"
        experiment = Experiment.start(settings.split())
        experiment.train(experiment.build())
        folders.append(folder)
    return folders


def analyze(*arguments) -> None:
    """Run the command."""
    analyze_command.main([str(argument) for argument in arguments])


def test_a_run_gets_chosen_pictures_a_report_and_an_explorer(runs, capsys):
    folder = runs[0]
    analyze(folder, "--only", "interpolation", "--pair", 3, 8, "--steps", 7)
    said = capsys.readouterr().out
    assert [Path(line).name for line in said.split()] == [
        "interpolation.png",
        "report.html",
        "explorer.html",
    ]
    assert PICTURES["interpolation"].caption in plain((folder / "report.html").read_text())
    looked_at = chosen(folder, pair=(3, 8), steps=7)
    figure = PICTURES["interpolation"].make(looked_at)
    names = looked_at.test.class_names
    labels = looked_at.test.labels
    assert len(images_of(figure)) == 7
    expected = f"From {names[labels[3]]} to {names[labels[8]]}: 7 steps"
    assert figure.get_suptitle().startswith(expected)
    assert pixels(folder / "interpolation.png") == pixels(figure)


def chosen(folder: Path, **choices) -> Subject:
    """Return what the command shows with these options."""
    vae, dataset = checkpoints.load(Run(folder).weights), Experiment.open(folder).dataset
    return Subject(vae, dataset, progress=False, choices=Choices(**choices))


def pixels(picture: Path | Figure) -> bytes:
    if isinstance(picture, Figure):
        file = io.BytesIO()
        picture.savefig(file)
        file.seek(0)
        picture = file
    return Image.open(picture).tobytes()


def test_the_command_of_the_report_works_from_another_folder(runs, tmp_path):
    looked_at = Subject(checkpoints.load(Run(runs[0]).weights), Experiment.open(runs[0]).dataset)
    *command, samples = repeating(report.page(looked_at, Run(runs[0])))[1]
    assert command[-2:] == [str(runs[0]), "--samples"] and samples == "5000"
    done = called(tmp_path, *command, "20", "--images", "10", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["samples"] == 20


def test_ranges_and_dimensions_are_options(runs):
    analyze(
        runs[0], "--only", "linearly_sampled_reconstructions", "--range", -5, 4,
        "--dimensions", 2, 1,
    )  # fmt: skip
    looked_at = chosen(runs[0], range=(-5, 4), plane=(1, 0))
    figure = PICTURES["linearly_sampled_reconstructions"].make(looked_at)
    ax = figure.axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("z₂", "z₁")
    assert ax.get_xlim()[0] == pytest.approx(-5 - 9 / 38)
    assert pixels(runs[0] / "linearly_sampled_reconstructions.png") == pixels(figure)
    page = (runs[0] / "explorer.html").read_text()
    assert '"names":["z₂","z₁"]' in page


def test_several_runs_are_compared(runs, tmp_path, capsys):
    out = tmp_path / "compared"
    names = ("reconstruct_after_train", "interpolation_film", "training_curves")
    analyze(*runs, "--only", *names, "--out", out)
    said = capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {
        "reconstruct_after_train.png",
        "interpolation_film.gif",
        "training_curves.png",
        "rate_distortion.png",
        "table.txt",
    }
    subjects = {run.name: chosen(run) for run in runs}
    histories = {run.name: Experiment.open(run).history() for run in runs}
    curves = training_curves.training_curves(histories)  # the curves of both share their axes
    assert pixels(out / "training_curves.png") == pixels(curves)
    make = PICTURES["reconstruct_after_train"].make
    both = comparison.beside({name: make(s) for name, s in subjects.items()}, columns=2)
    assert pixels(out / "reconstruct_after_train.png") == pixels(both)
    with Image.open(out / "interpolation_film.gif") as film:
        assert film.size == (256 + 8 + 256, 256) and film.n_frames > 1
    head, *lines = (out / "table.txt").read_text().rstrip().split("\n")
    assert head.split() == ["first", "second"]
    elbo = next(line for line in lines if line.strip().startswith("ELBO"))
    numbers = [json.loads(Run(run).evaluation.read_text())["elbo"] for run in runs]
    assert elbo.split()[1:3] == [f"{number:.2f}" for number in numbers]
    assert elbo in said and numbers[0] != numbers[1]


def test_distortions_on_different_scales_are_not_drawn_together(tmp_path, capsys):
    numbers = {
        "first": {"distortion": 90.0, "rate": 8.0, "measure": "mass"},
        "second": {"distortion": -50.0, "rate": 3.0, "measure": "density"},
    }
    assert trade_off(numbers, tmp_path) == [] == list(tmp_path.iterdir())
    assert "not drawn: these distortions are on different scales" in capsys.readouterr().out
    numbers["second"]["measure"] = "mass"
    assert trade_off(numbers, tmp_path) == list(tmp_path.iterdir()) != []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--only", "interpolaton"], "Did you mean interpolation\\?"),
        (["--dimensions", 1, 9], "from 1 to 2"),
        (["--pair", 0, 100000], "--pair takes"),
        (["--steps", 1], "2 or more"),
        (["--range", 2, 1], "--range"),
    ],
)
def test_options_that_do_not_fit_are_answered_in_words(runs, options, words):
    with pytest.raises(ValueError, match=words):
        analyze(runs[0], *options)
