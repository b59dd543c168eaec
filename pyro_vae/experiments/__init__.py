"""Experiments: a configuration, its images and its run folder, brought together."""

from pyro_vae.experiments.configuration import Configuration, ConfigurationError
from pyro_vae.experiments.experiment import Experiment

__all__ = ["Configuration", "ConfigurationError", "Experiment"]
