"""`pyro-vae score`: how well a run explains each image, as a table, the strangest first."""

from jsonargparse.typing import NonNegativeInt

from pyro_vae.commands.results_of_run import (
    TABLE,
    add_computation,
    add_images,
    parser_of,
    write_table,
)
from pyro_vae.outputs import score

DESCRIPTION = """Write how well a run explains each image, in nats: its ELBO, distortion and rate.
The table begins with the strangest image, that of the lowest ELBO.
Without --out, the ten strangest are shown.

    {program} runs/fashion_conv
    {program} runs/fashion_conv --out scores.csv
    {program} runs/fashion_conv --data path/to/other/images --samples 1000 --out scores.csv
"""


def main(arguments: list[str]) -> None:
    """Score what the command line asks for."""
    parser = parser_of("score", DESCRIPTION, TABLE, usage="RUN")
    add_images(parser)
    parser.add_argument(
        "--samples",
        type=NonNegativeInt,
        default=0,
        help="number of importance samples per image for log p(x) and its error",
    )
    add_computation(parser)
    settings = parser.read(arguments)
    write_table(settings, score, samples=settings.samples)
