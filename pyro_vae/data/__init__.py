"""Images to train on, by name or by path: `load` returns a `Dataset` of two `ImageData`."""

from pyro_vae.data.catalog import load, names
from pyro_vae.data.decisions import VERSION_0_2, Decisions
from pyro_vae.data.images import Dataset, ImageData
from pyro_vae.data.messages import DataError

__all__ = ["VERSION_0_2", "DataError", "Dataset", "Decisions", "ImageData", "load", "names"]
