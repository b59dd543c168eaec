"""`pyro-vae reconstruct`: the reconstruction of each image as a PNG file."""

from pyro_vae.commands.results_of_run import (
    FOLDER,
    add_computation,
    add_images,
    chosen_parts,
    computation,
    folder_of,
    opened,
    parser_of,
)
from pyro_vae.outputs import save_reconstructions

DESCRIPTION = """Write the reconstruction of each image as a PNG file, in the size of the data.

Each is named after the image's file.

    {program} runs/fashion_conv --out reconstructions
    {program} runs/fashion_conv --data path/to/other/images --out reconstructions
"""


def main(arguments: list[str]) -> None:
    """Reconstruct what the command line asks for."""
    parser = parser_of("reconstruct", DESCRIPTION, FOLDER)
    add_images(parser, default="test")
    add_computation(parser)
    settings = parser.read(arguments)
    folder = folder_of(parser, settings)
    experiment, vae = opened(settings)
    paths = save_reconstructions(
        vae,
        chosen_parts(experiment, settings, default="test"),
        folder,
        margin=experiment.recipe.padding,
        overwrite=settings.overwrite,
        **computation(settings),
    )
    print(f"{folder}: {len(paths)} reconstruction{'s' * (len(paths) != 1)}")
