"""One epoch: every image once, in random order, and the validation after it."""

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from pyro_vae._modes import evaluating, random_state, seeded, set_random_state
from pyro_vae.data import ImageData
from pyro_vae.objectives import Bound, Objective
from pyro_vae.training.failures import Diverged, explained
from pyro_vae.training.interval import Interval
from pyro_vae.training.progress_bar import Bar
from pyro_vae.training.settings import TrainingSettings
from pyro_vae.training.state import Epoch, State
from pyro_vae.training.stopping import Stop
from pyro_vae.training.totals import Totals
from pyro_vae.vae import VAE

Step = Callable[[Tensor, int], Bound]
"""Takes one step on images (B, C, H, W), given the number of steps made before in the epoch."""


def train_epoch(
    state: State,
    images: ImageData,
    step: Step,
    settings: TrainingSettings,
    bar: Bar,
    stop: Stop,
) -> Epoch:
    """Train on every image once, in random order, or on those that are left of an epoch.

    Returns:
        What the steps gave, those before a stop included.

    Raises:
        Diverged: a number is no longer finite.
        Stopped: a signal asked for it, after a step.
    """
    device, size = state.vae.device, settings.batch_size
    done, start = state.unfinished, time.perf_counter()
    if done is None:
        done = Epoch(random_state(device))
        order = torch.randperm(len(images), device="cpu")
    else:
        now = random_state(device)
        set_random_state(done.random, device)
        order = torch.randperm(len(images), device="cpu")
        set_random_state(now, device)
    totals, before = done.totals, len(done.totals.bounds)
    seconds, interval = done.seconds, Interval(settings.checkpoint_every)
    left = order[before * size :]
    state.unfinished = done
    state.watch.start_epoch(before)
    bar.start_at(before)
    state.vae.train()
    for number, x in enumerate(images.batches(size, left) if len(left) else (), start=before):
        try:
            with explained(state.vae, x, bar.name):
                totals.add(step(x, number), len(x))
        except Diverged:
            state.watch.check(totals.bounds, bar.name)  # It can name the step and the slot.
            raise
        done.seconds = seconds + time.perf_counter() - start
        bar.step()
        due = interval.passed()
        if due or stop.number is not None or bar.due(number + 1):
            state.watch.check(totals.bounds, bar.name)
            bar.show(totals)
        stop.check()
        if due:
            state.save()
    return done


@torch.no_grad()
def validate(
    vae: VAE,
    images: ImageData,
    objective: Objective,
    settings: TrainingSettings,
    seed: int,
    bar: Bar,
    stop: Stop,
) -> Totals:
    """Return the objective on images that are not trained on, at draws that follow a seed.

    Raises:
        Diverged: the model's numbers are no longer finite.
        Stopped: a signal asked for it; the epoch is validated anew when the training is resumed.
    """
    totals = Totals()
    with evaluating(vae), seeded(seed, images.images.device):
        for x in images.batches(settings.batch_size):
            with explained(vae, x, f"validation of {bar.name}"):
                totals.add(objective(vae, x, settings.beta), len(x))
            stop.check()
    return totals


def batches(images: ImageData, batch_size: int) -> Iterator[Tensor]:
    """Return all images once, in random order, as float batches (B, C, H, W) in [0, 1]."""
    return images.batches(batch_size, torch.randperm(len(images), device="cpu"))
