"""`pyro-vae sample`: new images as PNG files."""

from jsonargparse.typing import PositiveInt

from pyro_vae.commands.results_of_run import (
    FOLDER,
    add_computation,
    computation,
    folder_of,
    opened,
    parser_of,
)
from pyro_vae.outputs import save_samples

DESCRIPTION = """Write new images as PNG files, numbered, in the size of the data.

    {program} runs/fashion_conv -n 1000 --out samples
"""


def main(arguments: list[str]) -> None:
    """Draw as many images as the command line asks for."""
    parser = parser_of("sample", DESCRIPTION, FOLDER)
    parser.add_argument(
        "--number", "-n", type=PositiveInt, default=100, help="number of new images"
    )
    add_computation(parser)
    settings = parser.read(arguments)
    folder = folder_of(parser, settings)
    experiment, vae = opened(settings)
    paths = save_samples(
        vae,
        settings.number,
        folder,
        margin=experiment.recipe.padding,
        overwrite=settings.overwrite,
        **computation(settings),
    )
    print(f"{folder}: {len(paths)} new image{'s' * (len(paths) != 1)}")
