"""What the pictures of a trained run show."""

from dataclasses import replace

import torch

from pyro_vae.analysis import Choices, Subject
from pyro_vae.experiments import Experiment
from pyro_vae.training import choose_device


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
    plain = Experiment.open(run.folder) if run.exists() else None
    return Subject(
        experiment.load().to(device),
        replace(experiment.dataset, train=experiment.parts[0]),
        history=experiment.history(),
        training_steps=experiment.steps(),
        stages=experiment.stages(),
        autoencoder=plain.load().to(device) if plain else None,
        autoencoder_stages=plain.stages() if plain else (),
        seed=seed,
        choices=choices or Choices(),
        roles_of_test=experiment.roles_of_test,
    )
