"""Results to take elsewhere: tables of codes and scores, image files, and networks without Pyro."""

from pyro_vae.outputs.codes import Codes, encode
from pyro_vae.outputs.exporting import Exported, ExportError, export
from pyro_vae.outputs.files import OutputError, require_empty, require_table
from pyro_vae.outputs.pictures import save_reconstructions, save_samples
from pyro_vae.outputs.scores import Scores, score

__all__ = [
    "Codes",
    "ExportError",
    "Exported",
    "OutputError",
    "Scores",
    "encode",
    "export",
    "require_empty",
    "require_table",
    "save_reconstructions",
    "save_samples",
    "score",
]
