"""Pictures of what a model learned: functions of a `VAE` and images, returning figures.

Nothing here is shown or saved by itself, and nothing in the library imports it.
"""

from pyro_vae.analysis.animation import save_gif
from pyro_vae.analysis.embeddings import decode, embed
from pyro_vae.analysis.gallery import PICTURES, Subject, draw

__all__ = ["PICTURES", "Subject", "decode", "draw", "embed", "save_gif"]
