"""Evaluate a trained run on its test images: ELBO, distortion, rate, each with its unit.

python scripts/evaluate.py runs/fashion_conv
python scripts/evaluate.py runs/fashion_conv --samples 5000 --images 1000 --json
"""

import json
import sys

from jsonargparse import ArgumentParser
from jsonargparse.typing import NonNegativeInt, PositiveInt

from pyro_vae.console import plain_errors
from pyro_vae.evaluation_table import table
from pyro_vae.experiments import Experiment
from pyro_vae.memory import keep_freed_memory
from pyro_vae.training import choose_device


def main(arguments: list[str]) -> None:
    """Evaluate, as the command line says."""
    keep_freed_memory()
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("run", type=str, help="the folder of a trained run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--device", type=str | None, help="cuda, mps or cpu")
    parser.add_argument(
        "--samples",
        type=NonNegativeInt,
        default=0,
        help="importance samples per image for log p(x); the literature's number is 5000",
    )
    parser.add_argument("--images", type=PositiveInt | None, help="evaluate the first IMAGES alone")
    settings = parser.parse_args(arguments)
    experiment = Experiment.open(settings.run)
    vae = experiment.load().to(choose_device(settings.device))
    numbers = experiment.evaluate(vae, settings.samples, settings.images)
    print(json.dumps(numbers) if settings.json else table(numbers))


if __name__ == "__main__":
    with plain_errors():
        main(sys.argv[1:])
