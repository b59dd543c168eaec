"""Training: `fit`, the one loop for every model, objective and data set, and its settings."""

from pyro_vae.training.device import choose_device
from pyro_vae.training.loop import batches, fit, train_epoch, validate
from pyro_vae.training.run_folder import Run
from pyro_vae.training.settings import Keep, TrainingSettings
from pyro_vae.training.state import Record, TrainingError

__all__ = [
    "Keep",
    "Record",
    "Run",
    "TrainingError",
    "TrainingSettings",
    "batches",
    "choose_device",
    "fit",
    "train_epoch",
    "validate",
]
