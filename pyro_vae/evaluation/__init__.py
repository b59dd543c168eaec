"""Evaluation: the ELBO and its parts, the log-likelihood, and whether the posterior collapsed."""

from pyro_vae.evaluation.bits import bits_per_dimension, measure_of
from pyro_vae.evaluation.bound import Evaluation, evaluate, has_elbo, has_prior, terms
from pyro_vae.evaluation.collapse import ACTIVE_VARIANCE, active_units, active_units_of, verdict
from pyro_vae.evaluation.importance import LogLikelihood, log_likelihood, log_weights

__all__ = [
    "ACTIVE_VARIANCE",
    "Evaluation",
    "LogLikelihood",
    "active_units",
    "active_units_of",
    "bits_per_dimension",
    "evaluate",
    "has_elbo",
    "has_prior",
    "log_likelihood",
    "log_weights",
    "measure_of",
    "terms",
    "verdict",
]
