"""`pyro-vae evaluate`: a trained run on its test images, each number with its unit."""

import json

from jsonargparse.typing import NonNegativeInt, PositiveInt

from pyro_vae._memory import keep_freed_memory
from pyro_vae._program import program
from pyro_vae.commands.runs import experiment_of
from pyro_vae.evaluation.table import as_text
from pyro_vae.experiments.configuration import Formatter
from pyro_vae.experiments.options import OPTIONS
from pyro_vae.experiments.parsing import Parser
from pyro_vae.training import choose_device

DESCRIPTION = """Evaluate a run on its test images: ELBO, distortion, rate, each with its unit.

    {program} runs/fashion_conv
    {program} runs/fashion_conv --samples 5000 --images 1000 --json
"""

DATA = (
    "where the run's data are now, or other data, which are all test images unless they have parts "
    "of their own (default: where the run's were)"
)


def main(arguments: list[str]) -> None:
    """Evaluate what the command line asks for."""
    keep_freed_memory()
    called = program("evaluate")
    parser = Parser(
        prog=called,
        usage="%(prog)s RUN [options]",
        description=DESCRIPTION.format(program=called),
        formatter_class=Formatter,
    )
    parser.add_argument("run", type=str, help="folder of a trained run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--device", type=str | None, help=OPTIONS["device"].help)
    parser.add_argument(
        "--samples",
        type=NonNegativeInt,
        default=0,
        help="number of importance samples per image for log p(x); the literature uses 5000",
    )
    parser.add_argument(
        "--images", type=PositiveInt | None, help="evaluate the first IMAGES test images only"
    )
    parser.add_argument("--data", type=str | None, help=DATA)
    parser.add_argument("--skip-corrupt", action="store_true", help=OPTIONS["skip_corrupt"].help)
    parser.add_argument("--trust", action="store_true", help=OPTIONS["trust"].help)
    settings = parser.read(arguments)
    experiment = experiment_of(settings.run, settings)
    vae = experiment.load().to(choose_device(settings.device))
    numbers = experiment.evaluate(vae, settings.samples, settings.images)
    print(json.dumps(numbers) if settings.json else as_text(numbers))
