"""Images to train on, by name or by path: `load` returns a `Dataset` of two `ImageData`."""

from pyro_vae.data.catalog import load, names
from pyro_vae.data.images import Dataset, ImageData
from pyro_vae.data.messages import DataError

__all__ = ["DataError", "Dataset", "ImageData", "load", "names"]
