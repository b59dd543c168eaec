"""The programs, run as a user runs them: one epoch on real digits, and what users do wrong."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from called import Done, called
from PIL import Image

from pyro_vae import checkpoints
from pyro_vae.commands import main
from pyro_vae.commands.subjects import subject_of_run
from pyro_vae.commands.train import Snapshots, autoencoder_beside
from pyro_vae.experiments import Experiment
from pyro_vae.training import Run

SCRIPTS = Path(__file__).parent.parent / "scripts"
SYSTEM_1_PICTURES = {
    "real_test_images_before_train.png",
    "reconstruct_before_train.png",
    "real_test_images_after_train.png",
    "reconstruct_after_train.png",
    "embedding_visualize.png",
    "image_grid_on_embeddings.png",
    "linearly_sampled_reconstructions.png",
    "normally_sampled_reconstructions.png",
    "latent_distribution.png",
    "training_progress",
    "latent_progress.png",
    "latent_progress_beside_autoencoder.png",
    "training_steps.png",
    "model_weights",
}


PROGRESS = ("epoch_001.png", "samples_001.png")


def run(folder: Path, script: str, *arguments: object) -> Done:
    return called(folder, SCRIPTS / script, *arguments)


def run_apart(folder: Path, script: str, *arguments: object) -> Done:
    """Run a program that starts processes, which import its main module again."""
    command = [sys.executable, SCRIPTS / script, *map(str, arguments)]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return Done(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with a run, of the VAE and of the autoencoder beside it."""
    folder = tmp_path_factory.mktemp("user")
    settings = ("--recipe", "fashion_conv", "--data", "digits", "--epochs", 1)
    settings += ("--with-autoencoder", "--device", "cpu")
    done = run(folder, "train_svi.py", *settings, "--out", "runs/first")
    assert done.returncode == 0, done.stderr
    (folder / "output").write_text(done.stdout)
    return folder


def test_training_leaves_pictures_weights_numbers_and_says_where(trained):
    folder = trained / "runs" / "first"
    names = {path.name for path in folder.iterdir()}
    assert names >= SYSTEM_1_PICTURES
    assert names >= {"config.yaml", "history.json", "evaluation.json", "autoencoder"}
    progress = {path.name for path in (folder / "training_progress").iterdir()}
    assert progress == {"codes_000.pt", "codes_001.pt", "steps_001.csv", *PROGRESS}
    assert torch.load(folder / "model_weights" / "best_vae.pt", weights_only=True)["weights"]
    for path in folder.glob("*.png"):
        assert len(Image.open(path).convert("RGB").getcolors(10**6) or [0, 0, 0]) > 2, path.name
    output = (trained / "output").read_text()
    assert "runs/first" in output and "nats per image" in output and "ELBO" in output
    (record,) = json.loads((folder / "history.json").read_text())
    assert record["epoch"] == 1 and record["seconds"] > 0


def test_evaluation_prints_what_training_reached(trained):
    done = run(trained, "evaluate.py", "runs/first", "--json")
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout)
    assert numbers["elbo"] == pytest.approx(-numbers["distortion"] - numbers["rate"])
    reached = 500 / 64 * numbers["distortion"] + numbers["rate"]  # 500 BCE + KL
    assert numbers["published_loss"] == pytest.approx(reached, rel=1e-5)
    table = run(trained, "evaluate.py", "runs/first", "--samples", 50, "--images", 20).stdout
    assert "20 test images" in table and "50 samples an image" in table
    alone = json.loads(run(trained, "evaluate.py", "runs/first/autoencoder", "--json").stdout)
    assert alone["elbo"] is None and alone["rate"] is None and alone["distortion"] > 0


def test_pictures_are_drawn_again_by_name(trained):
    target = trained / "runs" / "first" / "latent_distribution.png"
    target.unlink()
    done = run(trained, "analyze.py", "runs/first", "--only", "latent_distribution")
    assert done.returncode == 0, done.stderr
    assert target.exists() and "latent_distribution.png" in done.stdout
    refused = run(trained, "analyze.py", "runs/first", "--out", "elsewhere")
    assert refused.returncode == 2 and "--out is for several runs" in refused.stderr


def test_a_finished_run_goes_on_with_more_epochs(trained):
    more = ("--epochs", 2, "--skip-pictures")
    done = run(trained, "train_svi.py", "--resume", "--out", "runs/first", *more)
    assert done.returncode == 0, done.stderr
    assert "scripts/analyze.py runs/first` draws them" in done.stdout
    history = json.loads((trained / "runs" / "first" / "history.json").read_text())
    assert [record["epoch"] for record in history] == [1, 2]


def test_what_goes_on_keeps_its_settings_and_no_old_numbers(tmp_path):
    settings = "--recipe mnist_mlp --data digits --limit 60 --latent-size 3 --epochs 1"
    parts = "--prior MixtureOfGaussians --prior.components 4 --objective IWAE"
    run_folder = str(tmp_path / "run")
    first = Experiment.start([*f"{settings} {parts}".split(), "--out", run_folder])
    vae = first.build()
    first.train(vae, progress=False)
    first.evaluate(vae, samples=10)
    more = ["--resume", "--out", run_folder, "--epochs", "2", "--with-autoencoder"]
    longer = Experiment.start(more)
    longer.train(longer.build(), progress=False)
    assert not first.run.evaluation.exists()
    assert Experiment.open(run_folder).recipe.epochs == 2

    assert len(subject_of_run(longer, device="cpu").dataset.train) == 60  # those trained on

    beside = autoencoder_beside(longer)
    recipe, text = beside.recipe, beside.configuration.text
    assert (recipe.data, recipe.latent_size, recipe.epochs, recipe.beta) == ("digits", 3, 2, 1.0)
    assert len(beside.parts[0]) == 60 and "Flat" in text and "MixtureOfGaussians" not in text
    beside.train(beside.build(), progress=False)
    evaluated = beside.evaluate(beside.load())
    assert evaluated["elbo"] is None and evaluated["distortion"] > 0
    assert autoencoder_beside(Experiment.start(more)).configuration.settings.resume


def test_a_run_goes_on_without_the_one_it_started_from(tmp_path):
    def started(name, *more):
        settings = "--recipe mnist_mlp --data digits --limit 60 --epochs 1 --out"
        return Experiment.start([*settings.split(), str(tmp_path / name), *more])

    first = started("first")
    first.train(first.build(), progress=False)
    second = started("second", "--start-from", str(tmp_path / "first"))
    second.train(second.build(), progress=False)
    (tmp_path / "first").rename(tmp_path / "elsewhere")
    longer = Experiment.start(["--resume", "--out", str(tmp_path / "second"), "--epochs", "2"])
    longer.train(longer.build(), progress=False)
    assert len(longer.history()) == 2


def test_a_run_starts_from_the_weights_of_another(trained):
    more = ("--data", "digits", "--epochs", 1, "--start-from", "runs/first")
    more += ("--skip-pictures",)
    done = run(trained, "train_svi.py", *more, "--lr", 1e-6, "--out", "runs/second")
    assert done.returncode == 0, done.stderr
    first, second = (
        json.loads((trained / "runs" / name / "history.json").read_text())
        for name in ("first", "second")
    )
    before = min(first, key=lambda record: record["validation_loss"])
    assert second[0]["validation_elbo"] == pytest.approx(before["validation_elbo"], rel=0.01)
    other = ("--data", "digits", "--latent-size", 3, "--start-from", "runs/first")
    refused = run(trained, "train_svi.py", *other)
    assert refused.returncode == 2 and "different one" in refused.stderr
    assert "Traceback" not in refused.stderr


def table_of(text: str) -> list[dict[str, str]]:
    """Return the rows of a table in Markdown, each by the headings of its columns."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    headings, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    return [dict(zip(headings, row, strict=True)) for row in rows]


def test_results_of_many_runs_in_one_table(trained):
    seeds = [trained / "runs" / f"seed-{seed}" for seed in (1, 2)]
    for seed, folder in zip((1, 2), seeds, strict=True):
        settings = f"--recipe mnist_mlp --data digits --epochs 1 --seed {seed} --out {folder}"
        experiment = Experiment.start(settings.split())
        vae = experiment.build()
        experiment.train(vae, progress=False)
        experiment.evaluate(vae)
    assert run(trained, "evaluate.py", "runs/first/autoencoder").returncode == 0
    done = run(trained, "results.py", *seeds, "runs/first", "runs/first/autoencoder")
    assert done.returncode == 0, done.stderr
    both, one, plain = table_of(done.stdout)
    assert (both["run"], both["seeds"]) == ("seed-1: `mnist_mlp`; data digits, epochs 1", "2")
    reached = [-json.loads((f / "evaluation.json").read_text())["elbo"] for f in seeds]
    assert both["−ELBO"].split(" ± ")[0] == f"{sum(reached) / 2:.2f}"
    assert both["−ELBO"].split(" ± ")[1] == f"{abs(reached[0] - reached[1]) / 2**0.5:.2f}"
    assert one["seeds"] == "1" and "autoencoder" in plain["run"] and plain["−ELBO"] == "–"
    assert [row["prior"] for row in (both, one, plain)] == ["StandardNormal"] * 2 + ["Flat"]
    assert both["likelihood"] == "Normal" and one["likelihood"] == "Bernoulli"
    assert both["measure"] == "density" and one["measure"] == "not normalized"
    assert "different scales" in done.stdout
    same = run(trained, "results.py", *seeds)
    assert same.returncode == 0 and "different scales" not in same.stdout
    assert not {"prior", "likelihood", "posterior", "measure"} & table_of(same.stdout)[0].keys()
    (trained / "runs" / "first" / "evaluation.json").rename(trained / "kept")
    refused = run(trained, "results.py", "runs/first", "runs")
    (trained / "kept").rename(trained / "runs" / "first" / "evaluation.json")
    assert refused.returncode == 2 and "evaluate.py" in refused.stderr
    assert "runs is left out: it holds no run" in refused.stderr


def test_of_many_epochs_not_every_one_is_drawn(tmp_path):
    options = ["--data", "digits", "--epochs", "250", "--out", str(tmp_path / "run")]
    experiment = Experiment.start(options)
    callback, vae = Snapshots(experiment), experiment.build()
    for epoch in range(1, 8):
        callback(vae, {"epoch": epoch, "seconds": 1000.0})
    drawn = {path.name for path in experiment.run.snapshots.iterdir()}
    names = ("epoch_{:03d}.png", "samples_{:03d}.png", "codes_{:03d}.pt")
    assert drawn == {name.format(epoch) for name in names for epoch in (3, 6)}


def test_after_short_epochs_drawing_takes_no_more_than_its_share_and_the_last_is_drawn(tmp_path):
    options = ["--data", "digits", "--epochs", "20", "--out", str(tmp_path / "run")]
    experiment = Experiment.start(options)
    callback, vae = Snapshots(experiment), experiment.build()
    for epoch in range(1, 21):
        callback(vae, {"epoch": epoch, "seconds": 1e-6})
    names = {path.name for path in experiment.run.snapshots.glob("epoch_*")}
    assert names == {"epoch_001.png", "epoch_020.png"} and callback.left_out == 18


def test_the_time_of_a_continued_training_counts_what_was_before(tmp_path, capsys):
    folder = tmp_path / "run"
    settings = "--recipe mnist_mlp --data digits --limit 64 --epochs 1 --device cpu --skip-pictures"
    main(["train", *settings.split(), "--out", str(folder)])
    assert "before it was continued" not in capsys.readouterr().out
    experiment, checkpoint = Experiment.open(folder), Run(folder).last
    assert experiment.seconds_trained() == experiment.history()[0]["seconds"]
    saved, _ = checkpoints.newest_contents(checkpoint)
    saved["history"][0]["seconds"] = 540.0
    saved["unfinished"] = {"seconds": 60.0}
    state = {name: value for name, value in saved.items() if name not in ("model", "weights")}
    checkpoints.save(experiment.build(), checkpoint, **state)
    assert experiment.seconds_trained() == 600.0
    checkpoints.save(experiment.build(), checkpoint, **state | {"unfinished": None})
    main(["train", "--resume", "--out", str(folder), "--skip-pictures"])
    assert "9.0 of them before it was continued." in capsys.readouterr().out


@pytest.mark.slow
def test_the_benchmark_compares_the_same_model_on_the_same_images(tmp_path):
    settings = ("--data", "digits", "--epochs", 2, "--seeds", 1, "--device", "cpu", "--jobs", 2)
    done = run_apart(tmp_path, "benchmark.py", "mnist_mlp", *settings, "--out", "table")
    assert done.returncode == 0, done.stderr
    ours, plain = json.loads((tmp_path / "table" / "trainings.json").read_text())["trainings"]
    assert (ours["trainer"], plain["trainer"]) == ("pyro_vae", "plain PyTorch")
    assert ours["parameters"] == plain["parameters"]
    assert ours["loss"] == pytest.approx(plain["loss"], rel=0.2)
    table = (tmp_path / "table" / "table.md").read_text()
    assert table in done.stdout and "| mnist_mlp | plain PyTorch | 1 | 2 |" in table
    kept = json.loads((tmp_path / "table" / "mnist_mlp_seed_0" / "evaluation.json").read_text())
    assert kept["published_loss"] == pytest.approx(ours["loss"], rel=0.02)


@pytest.mark.slow
def test_a_stopped_benchmark_goes_on_where_it_stopped(tmp_path):
    settings = ("mnist_mlp", "--data", "digits", "--epochs", 1, "--device", "cpu", "--out", "table")
    settings += ("--first-seed", 5)
    assert run_apart(tmp_path, "benchmark.py", *settings, "--seeds", 1).returncode == 0
    path = tmp_path / "table" / "trainings.json"
    first = json.loads(path.read_text())
    ours, plain = first["trainings"]
    assert ours["seed"] == plain["seed"] == 5
    path.write_text(json.dumps({**first, "trainings": [plain]}))
    assert run_apart(tmp_path, "benchmark.py", *settings, "--seeds", 1).returncode == 0
    # The one is kept, to the last digit of its seconds; the other goes on from its run folder.
    assert json.loads(path.read_text())["trainings"] == [ours, plain]
    refused = run_apart(tmp_path, "benchmark.py", *settings, "--limit", 500)
    assert refused.returncode == 2 and "other settings" in refused.stderr
    path.write_text("[]")  # As benchmarks wrote it that could not go on.
    refused = run_apart(tmp_path, "benchmark.py", *settings)
    assert refused.returncode == 2 and "cannot be read" in refused.stderr
    assert "Traceback" not in refused.stderr


def meet(system: str, seed: int, settings: object, out: Path) -> tuple[int, bool]:
    """A training that ends when another has begun: whether one had, within a minute."""
    (out / f"seed_{seed}").touch()
    end = time.monotonic() + 60
    while time.monotonic() < end and len(list(out.iterdir())) < 2:
        time.sleep(0.05)
    return seed, len(list(out.iterdir())) == 2


@pytest.mark.slow
def test_a_benchmark_of_two_jobs_trains_side_by_side(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    import benchmark

    monkeypatch.setitem(benchmark.TRAINERS, "pyro_vae", meet)
    plan = [("mnist_mlp", seed, "pyro_vae") for seed in (0, 1)]
    found = benchmark.train_all(plan, 2, benchmark.Settings(*[None] * 6), tmp_path)
    assert sorted(found) == [(0, True), (1, True)]


@pytest.mark.slow
def test_a_benchmark_that_fails_says_why_and_starts_nothing_more(tmp_path):
    settings = ("--data", "nothing-there", "--device", "cpu", "--jobs", 2, "--seeds", 3)
    refused = run_apart(tmp_path, "benchmark.py", "mnist_mlp", "mnist_fc", *settings)
    assert refused.returncode == 2 and "nothing-there" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_ctrl_c_leaves_a_usable_run_that_goes_on(tmp_path):
    settings = ("--data", "digits", "--epochs", 3000, "--batch-size", 20, "--device", "cpu")
    training = subprocess.Popen(
        [sys.executable, SCRIPTS / "train_svi.py", *map(str, settings), "--out", "stopped"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # Tests in the background of a shell are started with Ctrl-C ignored, and so is this.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    folder = tmp_path / "stopped"
    deadline = time.monotonic() + 120
    while not (folder / "training_progress" / "steps_002.csv").exists():
        assert time.monotonic() < deadline and training.poll() is None
        time.sleep(0.1)
    training.send_signal(signal.SIGINT)
    _, error = training.communicate(timeout=60)
    assert training.returncode == 128 + signal.SIGINT and "Traceback" not in error
    assert "--resume --out stopped" in error
    assert run(tmp_path, "evaluate.py", "stopped").returncode == 0
    epochs = len(json.loads((folder / "history.json").read_text()))
    assert epochs >= 1 and not list(folder.rglob("*.partial"))
    done = run(
        tmp_path,
        "train_svi.py",
        "--resume",
        "--out",
        "stopped",
        "--epochs",
        epochs + 1,
        "--skip-pictures",
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads((folder / "history.json").read_text())) == epochs + 1


def test_a_folder_of_your_own_images(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for name in ("cats", "dogs"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for i in range(12):
            levels = torch.randint(0, 256, (20, 14, 3), generator=generator).to(torch.uint8)
            Image.fromarray(levels.numpy()).save(tmp_path / "mine" / name / f"{i}.png")
    settings = ("--data", "mine", "--epochs", 1, "--out", "run", "--skip-pictures")
    done = run(tmp_path, "train_svi.py", *settings)
    assert done.returncode == 0, done.stderr
    assert "analyze.py run` draws them" in done.stdout
    names = ("normally_sampled_reconstructions", "embedding_visualize")
    done = run(tmp_path, "analyze.py", "run", "--only", *names)
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / "run" / f"{name}.png").exists() for name in names)


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("train_svi.py", ["--recipe", "fashon_conv"], "Did you mean fashion_conv"),
        ("train_svi.py", ["--data", "fashion-mnst"], "fashion-mnist"),
        ("train_svi.py", ["--data", "digits", "--device", "warp"], "warp"),
        ("train_svi.py", ["--data", "digits", "--lr", "1e9", "--epochs", "1"], "learning rate"),
        ("train_svi.py", ["--data", "digits", "--likelihood", "Bernoulli"], "binary"),
        ("train_svi.py", ["--data", "digits", "--schedule.factor", "2"], "--schedule.factor"),
        ("train_svi.py", ["--resume"], "holds no run"),
        ("train_svi.py", ["--epoch", "3"], "--epochs"),
        ("evaluate.py", ["nowhere"], "nowhere holds no run"),
        ("analyze.py", ["nowhere"], "nowhere holds no run"),
    ],
)
def test_mistakes_are_answered_in_words_without_a_traceback(tmp_path, script, arguments, words):
    refused = run(tmp_path, script, *arguments)
    assert refused.returncode != 0
    assert words in refused.stderr and "Traceback" not in refused.stderr, refused.stderr
    folders = list((tmp_path / "runs").glob("*"))
    assert not folders or (folders[0] / "config.yaml").exists()  # no empty one is left


@pytest.mark.parametrize("script", ["train_svi.py", "evaluate.py", "analyze.py", "results.py"])
def test_help_is_given_under_the_name_of_the_script(tmp_path, script):
    shown = run(tmp_path, script, "--help")
    assert shown.returncode == 0 and shown.stdout.startswith("usage: ")
    assert str(SCRIPTS / script) in shown.stdout.splitlines()[0]


def speeds(folder: Path, *arguments: object) -> tuple[str, dict]:
    """Run the speed benchmark on some digits; return what it says and its numbers."""
    settings = ("--data", "digits", "--network", "mlp", "--images", 320, "--threads", 1)
    done = run(folder, "benchmark.py", "speed", *settings, "--out", "speed", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr, json.loads((folder / "speed" / "mlp.json").read_text())


@pytest.mark.slow
def test_the_speed_benchmark_trains_the_same_model_in_turn(tmp_path):
    peers = ("pyro_vae", "PyTorch, our data path")
    said, numbers = speeds(tmp_path, "--rounds", 2, "--peers", *peers)
    ours, plain = numbers["peers"]
    assert ours["loss"] == pytest.approx(plain["loss"], rel=0.01)
    assert len(ours["seconds"]) == len(plain["seconds"]) == 2
    # Matrix products take two operations a weight forward, and as many again twice backward;
    # images need no gradient, which saves one of the first layer's.
    weights = (784 * 512, 2 * 512, 2 * 512, 2 * 512, 512 * 784)
    operations = sum(6 * each for each in weights) - 2 * weights[0]
    assert numbers["floors"]["operations"] == operations
    assert all(
        peer in said and peer in (tmp_path / "speed" / "mlp.md").read_text() for peer in peers
    )


@pytest.mark.slow
def test_every_peer_that_is_installed_reaches_the_same_loss(tmp_path):
    said, numbers = speeds(tmp_path, "--rounds", 5)
    losses = {each["peer"]: each["loss"] for each in numbers["peers"]}
    assert {"pyro_vae", "PyTorch, as published", "Pyro"} <= set(losses)
    missing = {"NumPyro", "Pythae", "pyroVED"} - set(losses)
    assert all(f"{peer} is left out" in said for peer in missing)
    # JAX's layers start from other weights.
    for peer, loss in losses.items():
        assert loss == pytest.approx(losses["PyTorch, our data path"], rel=0.1), peer


def test_the_benchmark_of_data_reads_the_same_images_wherever_they_are_kept(tmp_path, monkeypatch):
    settings = ("--images", 200, "--side", 16, "--channels", 3, "--rounds", 1, "--out", "data")
    done = run(tmp_path, "benchmark.py", "data", *settings)
    assert done.returncode == 0, done.stderr
    places = json.loads((tmp_path / "data" / "data.json").read_text())["places"]
    memory, array, files = places
    assert memory["bytes"] == array["bytes"] == 16 * 16 * 3
    # A file is decoded, which takes many times what a copy does.
    assert files["read"] > 5 * memory["read"] > 0
    assert all(0 <= place["waited"] <= 1 and place["step"] > 0 for place in places)
    monkeypatch.syspath_prepend(SCRIPTS)
    import benchmark_data

    levels = torch.randint(0, 256, (30, 16, 16, 3), dtype=torch.uint8)
    for _, images, _ in benchmark_data.kept(tmp_path, levels.numpy()):
        assert torch.equal(images.levels(slice(None)), levels.permute(0, 3, 1, 2))


@pytest.mark.slow
def test_the_benchmark_of_what_follows_a_training_counts_its_operations(tmp_path):
    """Each image is coded and decoded at least once: 1.6 million operations in these networks."""
    settings = ("--recipe", "mnist_mlp", "--train-images", 60, "--test-images", 50)
    settings += ("--samples", 20, "--rounds", 1, "--out", "analysis")
    done = run_apart(tmp_path, "benchmark.py", "analysis", *settings)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads((tmp_path / "analysis" / "analysis.json").read_text())["recipes"]
    assert 50 * 1.6e6 < found["operations"] < 1e11 and found["decodes"][0] > 0
    assert 0 < found["floor"] < found["seconds"][0] and found["processor"][0] > 1


@pytest.mark.slow
def test_the_benchmark_of_processes_compares_one_with_several(tmp_path):
    settings = ("--recipe", "mnist_mlp", "--images", 1280, "--rounds", 1, "--out", "processes")
    done = run_apart(tmp_path, "benchmark.py", "processes", *settings)
    assert done.returncode == 0, done.stderr
    (turn,) = json.loads((tmp_path / "processes/processes.json").read_text())["images/s, seconds"]
    assert list(turn) == ["1", "2"] and all(speed > 0 < cost for speed, cost in turn.values())


@pytest.mark.slow
def test_the_benchmark_of_growth_finds_the_exponent(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    import benchmark_growth

    sizes = (16, 64, 256, 1024)
    for power in (0.5, 1.0, 1.5, 2.0):
        values = [3 + 0.2 * size**power for size in sizes]
        assert benchmark_growth.exponent(sizes, values) == pytest.approx(power, abs=0.15)
    assert benchmark_growth.exponent(sizes, [5.0, 5.1, 5.0, 5.2]) is None
    monkeypatch.setitem(benchmark_growth.AXES, "side", ((16,), *benchmark_growth.AXES["side"][1:]))
    (point,) = benchmark_growth.measure(["side"], 1)
    assert (point.axis, point.size) == ("side", 16) and point.seconds > 0 and point.memory >= 0


def test_recipes_are_compared_in_the_time_given_and_in_one_unit(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    import compare_recipes

    given = {"minutes": 0.02, "data_dir": None, "judged": tmp_path, "seed": 0, "out": tmp_path}
    found = [compare_recipes.trained("digits", name, **given) for name in ("auto", "mnist_fc")]
    for each in found:
        assert each.bits == pytest.approx(-each.elbo / 64 / math.log(2))
        assert each.epochs >= 1 and each.active <= each.latent_size
        assert (tmp_path / f"digits_{each.recipe}.png").exists()
    head, _, row = compare_recipes.table(found[::-1]).splitlines()
    assert head == "| images | mnist_fc | auto |"
    cells = [f"{each.bits:.3f} ({each.seconds:.0f} s)" for each in found[::-1]]
    assert row == f"| digits | {' | '.join(cells)} |"
