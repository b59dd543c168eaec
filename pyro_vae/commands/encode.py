"""`pyro-vae encode`: the codes of a run's images, or of others, as a table."""

from jsonargparse.typing import PositiveInt

from pyro_vae.commands.results_of_run import (
    TABLE,
    add_computation,
    add_images,
    parser_of,
    write_table,
)
from pyro_vae.outputs import encode

DESCRIPTION = """Write the codes of images as a table, a row for each: its file, part, class and
attributes, and the posterior's mean and standard deviation (scale) of each dimension.
Without --out, the first ten are shown.

    {program} runs/fashion_conv --out codes.csv
    {program} runs/fashion_conv --data path/to/other/images --out codes.npz
"""


def main(arguments: list[str]) -> None:
    """Encode what the command line asks for."""
    parser = parser_of("encode", DESCRIPTION, TABLE, usage="RUN")
    add_images(parser)
    parser.add_argument(
        "--draws",
        type=PositiveInt,
        default=100,
        help="number of draws that estimate a mean or a scale that has no closed form",
    )
    add_computation(parser)
    settings = parser.read(arguments)
    write_table(settings, encode, draws=settings.draws)
