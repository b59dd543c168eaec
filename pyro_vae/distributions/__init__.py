"""Distributions that Pyro lacks, as Pyro distributions.

Their closed-form divergences are registered with torch's `kl_divergence`.
"""

from pyro_vae._spelling import old_names
from pyro_vae.distributions.base import has_density
from pyro_vae.distributions.flows import Flow, Planar, zuko
from pyro_vae.distributions.latents import FlatDistribution, StraightThroughBernoulli
from pyro_vae.distributions.mixtures import Mixture
from pyro_vae.distributions.pixels import (
    LEVELS,
    ContinuousBernoulli,
    DiscretizedLogistic,
    GrayBernoulli,
    LevelCategorical,
    Normal,
    levels,
)
from pyro_vae.distributions.spheres import HypersphereUniform, PowerSpherical, log_area

__all__ = [
    "LEVELS",
    "ContinuousBernoulli",
    "DiscretizedLogistic",
    "FlatDistribution",
    "Flow",
    "GrayBernoulli",
    "HypersphereUniform",
    "LevelCategorical",
    "Mixture",
    "Normal",
    "Planar",
    "PowerSpherical",
    "StraightThroughBernoulli",
    "has_density",
    "levels",
    "log_area",
    "zuko",
]

__getattr__ = old_names(__name__, {"GreyBernoulli": GrayBernoulli})
