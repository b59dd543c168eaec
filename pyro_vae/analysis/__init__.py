"""Pictures of what a model has learned: functions of a `VAE` and images that return figures.

They show and save nothing by themselves; `draw` saves them all, and `report_after_training` has
`fit` leave them in its folder, with the report.
"""

from pyro_vae.analysis.animation import save_gif
from pyro_vae.analysis.embeddings import decode, embed
from pyro_vae.analysis.pictures import PICTURES
from pyro_vae.analysis.report_callback import report_after_training
from pyro_vae.analysis.subject import Choices, Subject
from pyro_vae.analysis.suite import draw

__all__ = [
    "PICTURES",
    "Choices",
    "Subject",
    "decode",
    "draw",
    "embed",
    "report_after_training",
    "save_gif",
]
