"""Experiments: a configuration, its images and its run folder, brought together."""

from pyro_vae.experiments.configuration import Configuration
from pyro_vae.experiments.experiment import Experiment
from pyro_vae.experiments.trust import ConfigurationError

__all__ = ["Configuration", "ConfigurationError", "Experiment"]
