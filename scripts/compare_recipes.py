"""Train recipes on the same images, with the same likelihood and time, and compare their ELBO.

    python scripts/compare_recipes.py digits shapes --minutes 5 --jobs 2 --out runs/recipes

Every recipe keeps its networks, latent size, prior, posterior, batch size and schedules; all are
given `DiscretizedLogistic` (`Bernoulli` for masks) and the ELBO with beta = 1. The time is that of
one core, counted by the operating system, so that a busy machine does not matter: steps are timed
first, and the number of epochs follows, so that every schedule runs to its end. Where an epoch
would take longer, there are fewer training images. The weights are chosen on at most 1,000 held-out
images, and the bound is that of at most 2,000 test images.

`--data-dir` must hold MNIST, as `pyro_vae.data.load` finds it. The table and all numbers are kept;
when the script is called again, it continues with the trainings that are missing.
"""

import json
import math
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import pyro
import torch
from jsonargparse.typing import PositiveFloat, PositiveInt
from judged_images import MAKERS, made
from tqdm import tqdm

from pyro_vae._files import write_json, write_text
from pyro_vae._memory import keep_freed_memory
from pyro_vae.analysis import reconstructions
from pyro_vae.analysis.style import save_figure
from pyro_vae.commands.console import plain_errors, show_messages
from pyro_vae.data import Dataset, ImageData, load
from pyro_vae.evaluation import evaluate
from pyro_vae.experiments.configuration import Formatter
from pyro_vae.experiments.fitting import facts_of
from pyro_vae.experiments.parsing import Parser
from pyro_vae.likelihoods import Bernoulli, DiscretizedLogistic
from pyro_vae.recipes import AUTO, RECIPES, Recipe, auto
from pyro_vae.training import fit
from pyro_vae.vae import VAE

NAMES = (*RECIPES, AUTO)
TIMED_STEPS = 12
SHOWN = slice(0, 8)
MOST_HELD_OUT, MOST_TESTED = 1000, 2000


@dataclass(frozen=True)
class Trained:
    """What one training gave.

    Attributes:
        data: the images.
        recipe: the name of the recipe.
        elbo: the bound on the test images, in nats per image.
        bits: the same in bits per dimension.
        rate: in nats per image.
        active: the number of latent dimensions in use.
        latent_size: the number of latent dimensions.
        epochs: the number of epochs.
        images: the number of training images.
        seconds: the time of the processor, in seconds.
    """

    data: str
    recipe: str
    elbo: float
    bits: float
    rate: float
    active: int
    latent_size: int
    epochs: int
    images: int
    seconds: float


def images_of(name: str, data_dir: Path | None, judged: Path) -> Dataset:
    """Return the images of a data set by name, of a folder or file, or of those that are made."""
    return load(made(name, judged) if name in MAKERS else name, data_dir)


def trained(
    data: str,
    name: str,
    minutes: float,
    data_dir: Path | None,
    judged: Path,
    seed: int,
    out: Path,
) -> Trained:
    """Train a recipe on images for a time, evaluate it, and draw reconstructions in `out`."""
    dataset = images_of(data, data_dir, judged)
    train, held_out = dataset.split(min(MOST_HELD_OUT, len(dataset.train) // 10))
    recipe = recipe_for(name, train)
    train, epochs = planned(recipe, train, held_out, 60 * minutes)
    vae = built(recipe, dataset, seed)
    start = time.process_time()
    settings = recipe.training | {"epochs": epochs}
    fit(vae, train, validation=held_out, progress=False, **settings)
    seconds = time.process_time() - start
    found = evaluate(vae, dataset.test.select(slice(MOST_TESTED)))
    figure = reconstructions.side_by_side(vae, dataset.test.select(SHOWN))
    save_figure(figure, out / f"{Path(data).stem}_{name}.png")
    assert found.elbo is not None and found.rate is not None
    return Trained(
        data=Path(data).stem,
        recipe=name,
        elbo=found.elbo,
        bits=-found.elbo / math.prod(dataset.image_shape) / math.log(2),
        rate=found.rate,
        active=found.active_units,
        latent_size=found.latent_size,
        epochs=epochs,
        images=len(train),
        seconds=seconds,
    )


def recipe_for(name: str, train: ImageData) -> Recipe:
    """Return a recipe with the likelihood that all are given, and beta = 1."""
    facts = facts_of(train)
    likelihood = Bernoulli if facts.binary else DiscretizedLogistic
    recipe = auto(facts) if name == AUTO else RECIPES[name]
    return recipe.with_settings(likelihood=likelihood, beta=1.0)


def built(recipe: Recipe, dataset: Dataset, seed: int) -> VAE:
    """Return the untrained model, whose weights follow the seed."""
    pyro.set_rng_seed(seed)
    return recipe.build(dataset.image_shape)


def planned(
    recipe: Recipe, train: ImageData, held_out: ImageData, seconds: float
) -> tuple[ImageData, int]:
    """Return the training images and the number of epochs that fill the time."""
    size = min(recipe.batch_size, len(train))
    one = train.select(slice(0, size))
    vae = recipe.build(train.image_shape)
    timed = partial(fit, vae, progress=False, **recipe.training | {"epochs": 1})
    timed(one)  # The first step is slower.
    start = _seconds(partial(timed, one))  # What a training takes besides its steps, and one.
    # Times are noisy where steps are fast; where they are slow, few are enough.
    steps = math.ceil(min(TIMED_STEPS, seconds / 10 / start))
    few = train.select(slice(0, steps * size))
    a_pass = math.ceil(len(few) / size)
    passes = 1 + math.ceil(steps / a_pass)
    more = max(_seconds(partial(timed, few, epochs=passes)) - start, start / 10)
    step = more / (passes * a_pass - 1)
    validation = max(_seconds(partial(timed, one, validation=held_out)) - start, 0.0)
    epoch = step * math.ceil(len(train) / size) + validation
    if epoch > seconds:
        steps = max(1, int((seconds - validation) / step))
        return train.select(slice(0, steps * size)), 1
    return train, round(seconds / epoch)


def _seconds(call: "partial[object]") -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def table(found: Sequence[Trained]) -> str:
    """Return a Markdown table: a row for each data set, a column for each recipe."""
    recipes = list(dict.fromkeys(each.recipe for each in sorted(found, key=_place)))
    lines = [f"| images | {' | '.join(recipes)} |", "|---" * (len(recipes) + 1) + "|"]
    for data in dict.fromkeys(each.data for each in found):
        same = {each.recipe: each for each in found if each.data == data}
        cells = [_cell(same[name]) if name in same else "" for name in recipes]
        lines.append(f"| {data} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(each: Trained) -> str:
    number = f"{-each.elbo:.2f}" if each.data == "masks" else f"{each.bits:.3f}"
    return f"{number} ({each.seconds:.0f} s)"


def _place(each: Trained) -> int:
    return NAMES.index(each.recipe)


def prepare() -> None:
    """Set up the process of a training."""
    torch.set_num_threads(1)
    keep_freed_memory()


def parser() -> Parser:
    """Return the parser of the command line."""
    result = Parser(description=__doc__, formatter_class=Formatter, allow_abbrev=False)
    add = result.add_argument
    add("data", nargs="+", help=f"data sets, their paths, or {', '.join(MAKERS)}")
    add("--recipes", nargs="+", choices=NAMES, default=list(NAMES), help="recipes")
    add("--minutes", type=PositiveFloat, default=5.0, help="time of one core for each training")
    add("--jobs", type=PositiveInt, default=1, help="number of trainings at once")
    add("--seed", type=int, default=0, help="seed of the weights, the order and the draws")
    add("--data-dir", type=Path | None, help="folder where data sets are kept")
    add("--judged", type=Path, default=Path("runs/judged"), help="folder of the images made")
    add("--out", type=Path, default=Path("runs/recipes"), help="folder of the table and numbers")
    return result


def main(arguments: Sequence[str]) -> None:
    """Train all recipes on all images, and compare them."""
    chosen = parser().parse_args(list(arguments))
    kept = Path(chosen.out) / "trainings.json"
    found = [Trained(**each) for each in json.loads(kept.read_text())] if kept.exists() else []
    done = {(each.data, each.recipe) for each in found}
    pairs = product(chosen.data, chosen.recipes)
    plan = [pair for pair in pairs if (Path(pair[0]).stem, pair[1]) not in done]
    places = chosen.minutes, chosen.data_dir, chosen.judged, chosen.seed, Path(chosen.out)
    with ProcessPoolExecutor(
        chosen.jobs, get_context("spawn"), prepare, max_tasks_per_child=1
    ) as executor:
        futures = [executor.submit(trained, *each, *places) for each in plan]
        for future in tqdm(as_completed(futures), "trainings", len(futures)):
            found.append(future.result())
            write_json(kept, [asdict(each) for each in found])
            write_text(Path(chosen.out) / "table.md", table(found) + "\n")
    print(f"{table(found)}\nAll numbers are in {chosen.out}.")


if __name__ == "__main__":
    show_messages()
    with plain_errors():
        main(sys.argv[1:])
