"""Variational autoencoders as Pyro programs: three distributions, one loop, every picture."""

import sys
from importlib.metadata import PackageNotFoundError, version

from pyro_vae import (
    annealing,
    data,
    likelihoods,
    networks,
    objectives,
    posteriors,
    priors,
    schedules,
)
from pyro_vae.checkpoints import load, save
from pyro_vae.errors import PyroVAEError
from pyro_vae.evaluation import Evaluation, evaluate, importance
from pyro_vae.training import fit
from pyro_vae.vae import VAE

try:
    __version__ = version("pyro-vae")
except PackageNotFoundError:  # Used from a checkout that is not installed.
    __version__ = "unknown"

# Its place up to version 0.1, from which it may be imported for good.
sys.modules[f"{__name__}.importance"] = importance

__all__ = [
    "VAE",
    "Evaluation",
    "PyroVAEError",
    "annealing",
    "data",
    "evaluate",
    "fit",
    "importance",
    "likelihoods",
    "load",
    "networks",
    "objectives",
    "posteriors",
    "priors",
    "save",
    "schedules",
]
