"""What the pictures of a trained run show."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from pyro_vae.analysis import Choices, Subject
from pyro_vae.analysis.stages import Stage
from pyro_vae.data import DataError, ImageData
from pyro_vae.experiments import ConfigurationError, Experiment
from pyro_vae.training import choose_device
from pyro_vae.training.records import warn_once
from pyro_vae.vae import VAE


def subject_of_run(
    experiment: Experiment,
    *,
    device: str | torch.device | None = None,
    seed: int = 0,
    choices: Choices | None = None,
) -> Subject:
    """Return what the pictures of a run show: it, and the autoencoder trained beside it, if any.

    Args:
        experiment: the run's.
        device: CUDA, else MPS, else the CPU, unless given.
        seed: of all randomness.
        choices: what a person wants shown.
    """
    device, run = choose_device(device), experiment.run.autoencoder
    plain = Experiment.open(run.folder, trust=experiment.trusted) if run.exists() else None
    vae, autoencoder = experiment.load(), plain.load() if plain else None
    own = not experiment.on_other_data
    return Subject(
        vae.to(device),
        replace(experiment.dataset, train=trained_on(experiment), divided=True),
        history=experiment.history(),
        training_steps=experiment.steps(),
        stages=stages_of(experiment, vae) if own else (),
        autoencoder=autoencoder.to(device) if autoencoder else None,
        autoencoder_stages=stages_of(plain, autoencoder) if own and plain and autoencoder else (),
        seed=seed,
        choices=choices or Choices(),
        roles_of_test=experiment.roles_of_test if own else (),
    )


def trained_on(experiment: Experiment) -> ImageData:
    """Return the images that a run was trained on; if they cannot be had, those it is given."""
    if not experiment.on_other_data:
        return experiment.parts[0]
    own = Experiment.open(experiment.run.folder, trust=experiment.trusted)
    try:
        return own.parts[0]
    except (ConfigurationError, DataError) as error:
        warn_once(f"Pictures cannot show what {own.run.folder} was trained on: {error}")
        return experiment.dataset.train


def stages_of(experiment: Experiment, vae: VAE) -> Sequence[Stage]:
    """Return the codes kept during a training, unless they are not those of its test images."""
    stages = experiment.stages()
    if not stages:
        return stages
    kept, size = stages[0][1].shape
    if size == vae.latent_size and kept <= len(experiment.dataset.test):
        return stages
    warn_once(
        f"The codes in {experiment.run.snapshots}, {kept} of dimension {size}, are not those of "
        "the run's test images, and are left out."
    )
    return ()
