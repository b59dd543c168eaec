"""The distributions that Pyro does not have, as Pyro distributions.

Divergences in closed form are registered with torch's `kl_divergence`.
"""

from pyro_vae.distributions.base import has_density
from pyro_vae.distributions.flows import Flow, Planar, zuko
from pyro_vae.distributions.latents import FlatDistribution, StraightThroughBernoulli
from pyro_vae.distributions.mixtures import Mixture
from pyro_vae.distributions.pixels import (
    LEVELS,
    ContinuousBernoulli,
    DiscretizedLogistic,
    GreyBernoulli,
    LevelCategorical,
    levels,
)
from pyro_vae.distributions.spheres import HypersphereUniform, PowerSpherical, log_area

__all__ = [
    "LEVELS",
    "ContinuousBernoulli",
    "DiscretizedLogistic",
    "FlatDistribution",
    "Flow",
    "GreyBernoulli",
    "HypersphereUniform",
    "LevelCategorical",
    "Mixture",
    "Planar",
    "PowerSpherical",
    "StraightThroughBernoulli",
    "has_density",
    "levels",
    "log_area",
    "zuko",
]
