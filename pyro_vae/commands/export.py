"""`pyro-vae export`: encoder and decoder as programs that need neither this library nor Pyro."""

from pyro_vae.commands.results_of_run import FOLDER, folder_of, opened, parser_of
from pyro_vae.outputs import export

DESCRIPTION = """Export encoder (image to mean and scale) and decoder (code to mean image).

They need neither this library nor Pyro: torch.export.load reads them, and any ONNX runtime where
the packages for it are installed here (pip install 'pyro-vae[onnx]'). They are loaded again and
compared.

    {program} runs/fashion_conv --out exported
"""


def main(arguments: list[str]) -> None:
    """Export the run that the command line names."""
    parser = parser_of("export", DESCRIPTION, FOLDER)
    parser.add_argument(
        "--onnx",
        type=bool | None,
        help="whether to write ONNX files (default: where their packages are installed)",
    )
    settings = parser.read(arguments)
    folder = folder_of(parser, settings)
    experiment, vae = opened(settings)
    print(
        export(
            vae,
            folder,
            experiment.dataset.test,
            margin=experiment.recipe.padding,
            onnx=settings.onnx,
            overwrite=settings.overwrite,
        )
    )
