"""Variational autoencoders as Pyro programs: three distributions, one loop, every picture."""

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
from pyro_vae.evaluation import Evaluation, evaluate
from pyro_vae.training import fit
from pyro_vae.vae import VAE

__all__ = [
    "VAE",
    "Evaluation",
    "annealing",
    "data",
    "evaluate",
    "fit",
    "likelihoods",
    "load",
    "networks",
    "objectives",
    "posteriors",
    "priors",
    "save",
    "schedules",
]
