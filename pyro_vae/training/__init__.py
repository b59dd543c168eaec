"""Training: `fit`, the one loop for every model, objective and data set, and its settings."""

from pyro_vae.training.device import choose_device
from pyro_vae.training.epoch import batches
from pyro_vae.training.failures import TrainingError
from pyro_vae.training.loop import fit
from pyro_vae.training.run_folder import Run
from pyro_vae.training.settings import Keep, TrainingSettings
from pyro_vae.training.stopping import Stopped, stopping
from pyro_vae.training.totals import Record

__all__ = [
    "Keep",
    "Record",
    "Run",
    "Stopped",
    "TrainingError",
    "TrainingSettings",
    "batches",
    "choose_device",
    "fit",
    "stopping",
]
