"""Settings: from the command line, to a file and back, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import small_vae  # noqa: F401

from pyro_vae import annealing, posteriors, priors
from pyro_vae.commands.compare import comparison_table
from pyro_vae.experiments import ConfigurationError, Experiment
from pyro_vae.experiments.configuration import parse, read_configuration
from pyro_vae.experiments.folders import STARTING, claimed, require_free
from pyro_vae.experiments.parts import classes
from pyro_vae.experiments.results import MODEL_PARTS, ResultRow, markdown
from pyro_vae.recipes import RECIPES
from pyro_vae.training import Run


def test_parts_and_their_arguments_are_chosen_by_name():
    recipe = parse(["--posterior", "DiagonalNormal", "--posterior.spread", "log_scale"]).recipe
    vae = recipe.build((1, 8, 8))
    assert isinstance(vae.posterior, posteriors.DiagonalNormal)
    assert vae.posterior.factor == 1.0
    vae = parse(["--prior", "Flat", "--latent-size", "7"]).recipe.build((1, 8, 8))
    assert isinstance(vae.prior, priors.Flat) and vae.latent_size == 7


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("flags", [[], ["--as-published"], ["--autoencoder"]])
def test_a_configuration_reproduces_itself(tmp_path, name, flags):
    arguments = ["--recipe", name, *flags, "--lr", "0.5", "--limit", "7", "--seed", "3"]
    first = parse(arguments)
    (tmp_path / "config.yaml").write_text(first.text)
    second = read_configuration(tmp_path / "config.yaml")
    assert second.text == first.text
    assert second.recipe.published_loss == first.recipe.published_loss
    assert second.recipe.summary == first.recipe.summary
    assert second.recipe.learning_rate == 0.5
    assert second.settings.limit == 7 and second.settings.seed == 3
    assert str(second.recipe.build((1, 8, 8))) == str(first.recipe.build((1, 8, 8)))


EXPERIMENTS = sorted((Path(__file__).parent.parent / "docs" / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_of_the_docs_is_a_configuration(path):
    configuration = read_configuration(path)
    shape = RECIPES[configuration.recipe.name].image_shape
    assert configuration.recipe.build(shape).latent_size == configuration.recipe.latent_size
    before = configuration.settings.start_from
    assert before is None or any(Path(before).name == other.stem for other in EXPERIMENTS)
    if configuration.recipe.name == "fashion_conv":  # Measured before its beta rose by default.
        assert isinstance(configuration.recipe.annealing(), annealing.Constant)  # type: ignore[call-arg]


def test_as_published_is_the_source_and_ours_is_not():
    ours, published = parse([]).recipe, parse(["--as-published"]).recipe
    assert published.validation == 0 and ours.validation == 5000
    assert published.objective().analytic_kl and not ours.objective().analytic_kl  # type: ignore[call-arg]
    assert published.epochs == 100 and published.learning_rate == 1e-3
    assert published.beta == ours.beta == 2.048


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "fashon_conv"], "fashon_conv.*Did you mean fashion_conv"),
        (["--prior", "StandardNorml"], "prior 'StandardNorml'.*Did you mean StandardNormal"),
        (["--likelihood", "bernouli"], "likelihood 'bernouli'.*Did you mean Bernoulli"),
        (["--prior.help", "MixtureOfGausians"], "Did you mean MixtureOfGaussians"),
        (["--config", "missing.yaml"], "missing.yaml cannot be read"),
    ],
)
def test_a_misspelled_name_is_answered_with_the_nearest(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        parse(arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bath-size", "3"], ["--bath-size", "Did you mean --batch-size"]),
        (["--batch-size", "0"], ["--batch-size must be a whole number, 1 or more", ", got 0."]),
        (["--epochs", "many"], ["--epochs must be a whole number, 1 or more, got many."]),
        (["--size", "0"], ["--size must be a whole number, 1 or more", ", got 0."]),
        (["--beta", "-1"], ["--beta must be a number, 0 or more, got -1"]),
        (["--objective.particle", "3"], ["--objective.particle: ELBO", "Did you mean particles?"]),
        (["--prior.scale", "3"], ["--prior.scale: StandardNormal has no", "It has none."]),
        (
            ["--prior", "MixtureOfGaussians", "--prior.compnents", "3"],
            ["--prior.compnents: MixtureOfGaussians", "Did you mean components? Known: comp"],
        ),
        (
            ["--prior", "MixtureOfGaussians", "--prior.components", "x"],
            ["--prior.components of MixtureOfGaussians must be a whole number, 1 or more, got x."],
        ),
        (
            ["--encoder.channels", "many"],
            ["--encoder.channels of ConvEncoder must be a sequence", "each a whole number"],
        ),
        (["--prior", "my.Prior"], ["--prior: my.Prior", "pyro_vae.priors.Prior: No module named"]),
        (["--prior", "math.sqrt"], ["pyro_vae.priors.Prior: derive it", "made with (latent_size)"]),
        (
            ["--posterior.spread", "log"],
            ["--posterior.spread of DiagonalNormal must be one of", "log_variance", "got log."],
        ),
    ],
)
def test_unknown_options_and_bad_values_are_refused_by_name(arguments, words, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error


def test_a_changed_likelihood_is_not_measured_on_the_sources_scale():
    assert parse(["--epochs", "3"]).recipe.published_loss
    changed = parse(["--epochs", "3", "--likelihood", "Normal"]).recipe
    assert changed.published_loss is None
    assert changed.summary.endswith("changed: likelihood, epochs")


def test_other_images_are_not_padded_unless_asked(tmp_path):
    assert parse([]).recipe.padding == 2
    assert parse(["--data", "digits"]).recipe.padding == 0
    assert parse(["--data", "digits", "--padding", "1"]).recipe.padding == 1
    saved = tmp_path / "mine.yaml"
    saved.write_text("data: digits\n")
    assert parse(["--config", str(saved)]).recipe.padding == 0


def test_the_library_knows_its_classes():
    assert {"StandardNormal", "Flat"} <= classes("prior").keys()
    assert "Prior" not in classes("prior")


def test_a_new_run_never_overwrites_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = Experiment.start(["--recipe", "fashion_conv", "--data", "digits"])
    assert str(first.run.folder) == "runs/fashion_conv"
    first.run.last.parent.mkdir(parents=True)
    first.run.last.touch()
    assert str(Experiment.start([]).run.folder) == "runs/fashion_conv-2"
    with pytest.raises(ConfigurationError, match="already holds a run.*--resume"):
        Experiment.start(["--out", "runs/fashion_conv"])


def test_two_trainings_started_together_go_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [Experiment.start([]).run.folder for _ in range(3)]
    assert len(set(folders)) == 3 and all(folder.is_dir() for folder in folders)


def test_binarized_once_every_part_has_noise_of_its_own(tmp_path):
    half = np.full((20, 8, 8), 128, np.uint8)
    np.savez(tmp_path / "same.npz", train_images=half, test_images=half)
    settings = ["--data", str(tmp_path / "same.npz"), "--pixels", "binarized-once"]
    parts = [parse([*settings, "--seed", seed]).dataset() for seed in ("3", "3")]
    assert torch.equal(parts[0].train.images, parts[1].train.images)
    assert not torch.equal(parts[0].train.images, parts[0].test.images)


def test_a_handful_of_images_is_judged_by_the_test_images_and_this_is_said(tmp_path):
    path = tmp_path / "few.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (9, 8, 8), np.uint8))
    out = ["--out", str(tmp_path / "run")]
    few = Experiment.start(["--data", str(path), *out])
    assert few.parts[1] is few.dataset.test and few.roles_of_test == ("choose the weights",)
    last = Experiment.start(["--data", str(path), "--keep", "last", *out])
    assert last.roles_of_test == ()
    plateau = ["--keep", "last", "--schedule", "Plateau"]
    followed = Experiment.start(["--data", str(path), *plateau, *out])
    assert followed.roles_of_test == ("drive the learning rate",)
    both = Experiment.start(["--data", str(path), "--schedule", "Plateau", *out])
    assert both.roles_of_test == ("drive the learning rate", "choose the weights")
    assert Experiment.start(["--data", "digits", *out]).roles_of_test == ()


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("fashion_conv", ("drive the learning rate", "choose the weights")),
        ("mnist_fc", ("drive the learning rate",)),
        *[(name, ()) for name in list(RECIPES)[2:]],
    ],
)
def test_as_published_the_test_images_do_what_the_source_has_them_do(name, roles, tmp_path):
    arguments = ["--recipe", name, "--data", "digits", "--out", str(tmp_path / "run")]
    assert Experiment.start([*arguments, "--as-published"]).roles_of_test == roles
    assert Experiment.start(arguments).roles_of_test == ()


def test_few_images_are_seen_more_often_unless_it_is_said_how_often(tmp_path):
    def epochs(*arguments):
        out = str(tmp_path / "run")
        given = ["--recipe", "fashion_conv", "--data", "digits", "--out", out, *arguments]
        return Experiment.start(given).epochs

    assert epochs() == 87  # of 23 batches: 2,001 steps
    assert epochs("--batch-size", "32") == 44
    assert epochs("--epochs", "7") == 7
    assert epochs("--as-published") == 100
    assert epochs("--limit", "64") == 8
    mine = ["--recipe", "fashion_conv", "--data", "digits"]
    (tmp_path / "config.yaml").write_text(parse(mine).text)
    assert epochs("--config", str(tmp_path / "config.yaml")) == 87
    (tmp_path / "config.yaml").write_text(parse([*mine, "--epochs", "3"]).text)
    assert epochs("--config", str(tmp_path / "config.yaml")) == 3
    recipe = RECIPES["fashion_conv"]
    assert recipe.epochs_for(55_000) == recipe.epochs and recipe.epochs_for(1) == 200
    assert parse(["--epochs", "8"]).changed == () and parse(["--epochs", "7"]).changed == (
        "epochs",
    )


@pytest.mark.slow
def test_the_default_recipe_learns_a_code_of_few_images(tmp_path):
    given = ["--recipe", "fashion_conv", "--data", "digits", "--out", str(tmp_path / "run")]
    experiment = Experiment.start(given)
    vae = experiment.build()
    experiment.train(vae, progress=False)
    found = experiment.evaluate(vae)
    assert found["active_units"] == 2 and found["rate"] > 0.5 and found["elbo"] > -26
    assert "epochs: 87\n" in experiment.run.configuration.read_text()
    assert Experiment.open(experiment.run.folder).epochs == 87


def test_resuming_keeps_the_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="holds no run"):
        Experiment.start(["--resume"])
    run = Experiment.start(["--data", "digits", "--lr", "0.01"])
    run.run.last.parent.mkdir(parents=True)
    run.run.last.touch()
    run.run.configuration.write_text(run.configuration.text)
    again = Experiment.start(["--resume", "--epochs", "50", "--device", "cpu"])
    assert again.recipe.learning_rate == 0.01 and again.recipe.epochs == 50
    assert again.recipe.data == "digits" and again.run.folder == run.run.folder
    with pytest.raises(ConfigurationError, match="cannot change: learning_rate"):
        Experiment.start(["--resume", "--lr", "0.02"])


class Unbuilt(priors.Prior):
    """A prior that does not take what recipes give one."""

    def __init__(self) -> None:
        super().__init__()


def test_a_part_that_cannot_be_made_is_told_what_it_is_made_with(tmp_path):
    given = ["--data", "digits", "--prior", "test_configuration.Unbuilt"]
    experiment = Experiment.start([*given, "--out", str(tmp_path / "run")])
    with pytest.raises(ConfigurationError, match=r"prior\(latent_size\), likelihood\(decoder\)"):
        experiment.build()


def test_what_is_resumed_is_the_run_that_was_trained_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(["fashion_conv", "mnist_fc-2", "auto", "mnist_fc"]):
        run = Run(Path("runs") / name)
        recipe = name.removesuffix("-2")
        run.last.parent.mkdir(parents=True)
        run.last.touch()
        os.utime(run.last, (10_000 - age, 10_000 - age))
        run.configuration.write_text(parse(["--recipe", recipe, "--data", "digits"]).text)
    assert Experiment.start(["--resume"]).run.folder == Path("runs/fashion_conv")
    for asked in (["--recipe", "mnist_fc"], ["--recipe=mnist_fc"]):
        assert Experiment.start(["--resume", *asked]).run.folder == Path("runs/mnist_fc-2")
    assert Experiment.start(["--resume", "--out", "runs/auto"]).recipe.name == "auto"


def arguments_of(part, *arguments):
    """Return what a part of a model is made with, by the command line."""
    made = getattr(parse(list(arguments)).recipe, part)
    return getattr(made, "keywords", {})


OTHERS = [
    ("mnist_mlp", "likelihood", "DiscretizedLogistic", {"scale": 0.1, "learned": "value"}),
    ("auto", "likelihood", "Normal", {"scale": 1.0, "learned": False}),
    ("fashion_batchnorm", "likelihood", "StudentT", {"scale": 1.0, "degrees": 5.0}),
    ("fashion_conv", "encoder", "BatchNormEncoder", {"channels": [32, 64, 64, 64]}),
    ("cifar_resnet", "decoder", "ConvDecoder", {"channels": [128, 64, 32]}),
    ("fashion_conv", "schedule", "OneCycle", {"warm_up": 0.1}),
]


@pytest.mark.parametrize(("recipe", "part", "name", "own"), OTHERS)
def test_a_part_of_another_class_starts_from_its_own_defaults(tmp_path, recipe, part, name, own):
    published = ["--as-published"] * (part == "schedule")
    before = ["--recipe", recipe, *published]
    config = tmp_path / "config.yaml"
    config.write_text(parse(before).text)
    other = [f"--{part}", name]
    for arguments in ([*before, *other], ["--config", str(config), *other]):
        found = arguments_of(part, *arguments)
        assert {each: found[each] for each in own} == own
        assert part in parse(arguments).changed or recipe == "auto"
    config.write_text(f"recipe: {recipe}\n{part}: {name}\n")
    found = arguments_of(part, "--config", str(config), *published)
    assert {each: found[each] for each in own} == own


def test_networks_of_another_class_are_built_for_the_images():
    networks = ["--encoder", "BatchNormEncoder", "--decoder", "BatchNormDecoder"]
    vae = parse(networks).recipe.build((3, 16, 16))  # Once, three channels had four strides.
    images = torch.zeros(2, 3, 16, 16)
    assert vae.likelihood(vae.posterior(images).sample()).sample().shape == images.shape


def test_a_part_of_the_same_class_keeps_the_arguments_and_those_given_are_always_kept(tmp_path):
    same = arguments_of("likelihood", "--recipe", "mnist_mlp", "--likelihood", "Normal")
    assert same["scale"] == pytest.approx(0.5**0.5)
    given = ["--likelihood.scale", "0.3", "--likelihood", "Laplace"]
    assert arguments_of("likelihood", "--recipe", "mnist_mlp", *given)["scale"] == 0.3
    config = tmp_path / "config.yaml"
    config.write_text("prior: {class_path: Laplace, init_args: {scale: 2.0}}\n")
    assert arguments_of("prior", "--config", str(config))["scale"] == 2.0
    again = ["--config", str(config), "--prior", "pyro_vae.priors.Laplace"]
    assert arguments_of("prior", *again)["scale"] == 2.0
    assert arguments_of("prior", "--config", str(config), "--prior", "Normal")["scale"] == 1.0
    inline = '{"class_path": "Normal", "init_args": {"learned": true}}'
    found = arguments_of("prior", "--config", str(config), "--prior", inline)
    assert found["scale"] == 1.0 and found["learned"]


def test_options_override_a_configuration_wherever_it_stands(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("epochs: 5\nseed: 3\nprior: {class_path: Laplace}\n")
    options = ["--epochs", "7", "--prior", "StandardNormal"]
    for name in (["--config", str(config)], [f"--config={config}"]):
        for i in (0, 2, 4):
            found = parse([*options[:i], *name, *options[i:]])
            assert (found.settings.epochs, found.settings.seed) == (7, 3)
            assert found.part_names["prior"] == "StandardNormal"
    with pytest.raises(ConfigurationError, match="given twice: give one file"):
        parse(["--config", str(config), *options, f"--config={config}"])


def test_weights_are_started_from_with_another_part_and_its_own_defaults(tmp_path):
    run = Run(tmp_path)
    run.configuration.write_text(parse(["--recipe", "mnist_mlp", "--data", "digits"]).text)
    start = ["--start-from", str(tmp_path)]
    assert arguments_of("likelihood", *start)["scale"] == pytest.approx(0.5**0.5)
    assert arguments_of("likelihood", *start, "--likelihood", "Laplace")["scale"] == 1.0


@pytest.mark.parametrize("part", ["prior", "likelihood", "posterior", "objective"])
def test_the_help_of_a_class_shows_its_own_defaults_in_plain_text(part, capsys):
    for name, kind in classes(part).items():
        with pytest.raises(SystemExit) as stop:
            parse(["--recipe", "mnist_mlp", f"--{part}.help", name])
        shown = capsys.readouterr().out
        assert stop.value.code == 0 and kind.__name__ in shown
        assert ":math:" not in shown and "\\" not in shown
    with pytest.raises(SystemExit):
        parse(["--recipe", "mnist_mlp", "--likelihood.help", "DiscretizedLogistic"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "P(x|z) = ∏_i [F_i(x_i + δ) - F_i(x_i - δ)]:" in shown and "default: 0.1)" in shown


def test_old_names_on_the_command_line_still_work(tmp_path):
    with pytest.warns(FutureWarning, match="binarised-once is now called binarized-once"):
        assert parse(["--pixels", "binarised-once"]).recipe.pixels == "binarized-once"
    with pytest.warns(FutureWarning, match="dequantised is now called dequantized"):
        assert parse(["--pixels=dequantised"]).recipe.pixels == "dequantized"
    with pytest.warns(FutureWarning, match="grey_levels is now called gray_levels"):
        vae = parse(["--likelihood.grey_levels", "false"]).recipe.build((1, 8, 8))
    assert vae.likelihood.support == "binary"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe: [a]", "recipe: .* is not a setting"),
        ("1: 2", "1: 2 is not a setting"),
        ("data: null", "data must be text, got nothing"),
        ("prior: null", "prior must be Prior, got nothing"),
        ("optimizer: null", "optimizer must be Optimizer, got nothing"),
        ("prior: {class_path: pyro_vae.priors.Normal, init_args: [1]}", "init_args of prior"),
    ],
)
def test_a_configuration_file_that_cannot_be_is_refused_in_words(tmp_path, text, message):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        read_configuration(tmp_path / "config.yaml")


def test_a_start_that_was_killed_gives_its_folder_to_the_next_and_a_run_does_not(tmp_path):
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    (run.folder / STARTING).write_text("")
    (run.folder / "config.yaml").write_text("epochs: 1")
    require_free(run.folder)
    with claimed(run, resume=False):
        assert [path.name for path in run.folder.iterdir()] == [STARTING]
        run.history.write_text("[]")
    assert not (run.folder / STARTING).exists()
    (run.folder / STARTING).write_text("")  # As where it was killed later, and its weights lost.
    with pytest.raises(ConfigurationError, match="not an empty folder"):
        require_free(run.folder)


def row(likelihood, measure, **arguments):
    """Return a row of the table of results."""
    parts = {part: ("Same", {}) for part in MODEL_PARTS} | {"likelihood": (likelihood, arguments)}
    return ResultRow(likelihood, [{"seed": 0, "negative_elbo": 1.0, "measure": measure}], parts)


def test_runs_whose_nats_are_of_different_measures_are_told_apart():
    table = markdown([row("Normal", "density"), row("Categorical", "mass")])
    assert "| density" in table and "| probability mass" in table and "different scales" in table
    alike = markdown([row("Laplace", "density"), row("Normal", "density")])
    assert "likelihood" in alike and "measure" not in alike and "prior" not in alike


def test_of_a_class_that_two_runs_share_the_arguments_that_differ_are_shown():
    rows = [row("Normal", "density", scale=scale, learned=False) for scale in (0.123456, 1.0)]
    rows += [row("Laplace", "density", scale=3.0)]
    cells = [line.split("|")[3].strip() for line in markdown(rows).splitlines()[2:5]]
    assert cells == ["Normal (scale 0.123)", "Normal (scale 1)", "Laplace"]


def test_runs_side_by_side_say_what_their_nats_are_of():
    density, mass = ({"elbo": 1.0, "measure": measure} for measure in ("density", "mass"))
    assert "probability mass" in comparison_table({"a": density, "b": mass})
    assert "mass" not in comparison_table({"a": mass, "b": mass})


def test_results_go_with_the_weights_that_they_are_of(tmp_path):
    run = Run(tmp_path)
    results = (run.evaluation, run.code_table, run.score_table)
    for result in results[:2]:
        result.write_text("of other weights")
    run.forget_results()
    assert not any(result.exists() for result in results)
