"""Training: one loop, for every model, objective and data set."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor
from torch.optim import Adam

from pyro_vae.annealing import Annealing, Constant
from pyro_vae.data import ImageData
from pyro_vae.evaluation import has_elbo
from pyro_vae.modes import evaluating, seeded
from pyro_vae.objectives import ELBO, Bound, Objective
from pyro_vae.priors import Prior
from pyro_vae.runs import Run
from pyro_vae.schedules import OneCycle, Schedule
from pyro_vae.slots import check_slots, check_support
from pyro_vae.training_bar import DIVERGED, Bar, Totals
from pyro_vae.training_state import Keep, Record, State, TrainingError
from pyro_vae.vae import VAE

OUTSIDE = (
    "A value lies outside a distribution's support: an image outside the likelihood's, or a draw "
    "of the posterior outside the prior's. Choose distributions that fit."
)


def fit(
    vae: VAE,
    images: ImageData,
    *,
    validation: ImageData | None = None,
    objective: Objective | None = None,
    beta: float = 1.0,
    annealing: Annealing | None = None,
    epochs: int = 10,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    epsilon: float = 1e-8,
    schedule: Schedule | None = None,
    keep: Keep = "best",
    new_draws: bool = False,
    device: str | torch.device | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callable[[VAE, Record], None]] = (),
    published_loss: Callable[[float, float], float] | None = None,
    progress: bool = True,
) -> list[Record]:
    """Train a model with Adam; afterwards it holds the weights to keep, in evaluation mode.

    A trained model is trained on from its weights: with another objective, say.

    Args:
        vae: the model; moved to the device and changed in place.
        images: the training images.
        validation: images that choose the weights and drive the schedule; without them the
            training loss does.
        objective: the bound to maximise; `ELBO()` unless given.
        beta: the weight of the rate.
        annealing: which part of beta counts when; all of it throughout unless given.
        epochs: how often every image is seen.
        batch_size: images per step.
        learning_rate: Adam's, at its highest.
        epsilon: Adam's: what is small beside it, of a gradient in nats per image, counts less.
        schedule: of the learning rate; `OneCycle()` unless given.
        keep: the weights of the "best" epoch by the validation loss, or of the "last" one.
        new_draws: validate every epoch at new draws of the codes, as most programs do, not at the
            same ones, which tell epochs apart with less noise.
        device: CUDA, else MPS, else the CPU, unless given.
        folder: where checkpoints, the history and the numbers of every step are kept after every
            epoch; none if not given.
        resume: go on after the last finished epoch in `folder`, exactly as if never stopped.
        callbacks: called after every epoch with the model and the epoch's record.
        published_loss: the loss on a source's own scale, from distortion and rate; shown beside
            ours.
        progress: show a progress bar for each epoch.

    Returns:
        A record for each epoch: losses, distortion and rate in nats per image, learning rate,
        seconds in all and for training alone.

    Raises:
        TrainingError: the loss is no longer a number, or there is nothing to resume.
        ValueError: a setting is out of its range.
        SupportError: the images are outside the likelihood's support.
        SlotError: a slot returns something else than is expected of it.
        ObjectiveError: the objective needs what the distributions do not have.
    """
    objective, annealing = objective or ELBO(), annealing or Constant()
    check_settings(images, beta, epochs, batch_size, keep)
    objective.start(len(images))
    device = choose_device(device)
    vae.to(device)
    check_support(vae, images)
    few = images.as_float(slice(0, 4)).to(device)
    check_slots(vae, few)
    check_objective(vae, few, objective, beta * annealing(0.0))
    images = images.to(device)
    validation = validation.to(device) if validation else None  # An empty one is none.
    settings = {"lr": learning_rate, "eps": epsilon, "fused": device.type != "mps"}
    optimizer = Adam(vae.parameters(), **settings)
    schedule = schedule or OneCycle()
    schedule.start(optimizer, learning_rate)
    state = State(vae, optimizer, schedule, folder and Run(Path(folder)), keep)
    if resume:
        state.load()
    else:
        start_from(vae, images)
        state.save()

    steps, bounded = math.ceil(len(images) / batch_size), has_elbo(vae)

    def step(x: Tensor, made: int) -> Bound:
        """One step of Adam on images x, when so many of the epoch's are made."""
        done = (state.epoch + made / steps) / epochs
        schedule.before_step(done)
        bound = objective(vae, x, beta * annealing(done), done)
        optimizer.zero_grad()
        bound.loss.backward()
        optimizer.step()
        return bound

    while state.epoch < epochs and not state.finished:
        start = time.perf_counter()
        bar = Bar(state.epoch, epochs, steps, bounded, published_loss, progress)
        trained = train_epoch(vae, images, step, batch_size, bar)
        record = {"epoch": state.epoch + 1} | trained.record("train", published_loss)
        record |= {"learning_rate": optimizer.param_groups[0]["lr"]}
        record |= {"train_seconds": time.perf_counter() - start}
        if validation is not None:
            seed = state.epoch + 1 if new_draws else 0
            validated = validate(vae, validation, objective, beta, batch_size, seed)
            record |= validated.record("validation", published_loss)
            bar.announce(record, "validation")
        bar.close()
        record["seconds"] = time.perf_counter() - start
        state.add(record, trained.bounds)
        for callback in callbacks:
            callback(vae, record)
        state.save()
    state.restore_kept()
    return state.history


def train_epoch(
    vae: VAE, images: ImageData, step: Callable[[Tensor, int], Bound], batch_size: int, bar: Bar
) -> Totals:
    """Every image once, in random order; what the steps gave."""
    totals = Totals()
    vae.train()
    for made, x in enumerate(batches(images, batch_size)):
        with explained(bar):
            totals.add(step(x, made), len(x))
        bar.show(totals)
    return totals


@torch.no_grad()
def validate(
    vae: VAE,
    images: ImageData,
    objective: Objective,
    beta: float,
    batch_size: int,
    seed: int,
) -> Totals:
    """The objective on images that are not trained on, at draws that follow a seed."""
    totals = Totals()
    with evaluating(vae), seeded(seed, images.images.device):
        for x in images.batches(batch_size):
            totals.add(objective(vae, x, beta), len(x))
    return totals


def batches(images: ImageData, batch_size: int) -> Iterator[Tensor]:
    """All images once, in random order, as float batches (B, C, H, W) in [0, 1]."""
    return images.batches(batch_size, torch.randperm(len(images)))


@contextmanager
def explained(bar: Bar) -> Iterator[None]:
    """Say in words what Pyro's validation refuses; a sound model passed it at the start."""
    try:
        yield
    except ValueError as error:
        if "invalid values" not in str(error):
            raise
        bar.close()
        outside = "within the support" in str(error)  # Else a network returned NaN.
        raise TrainingError(f"{OUTSIDE if outside else DIVERGED} ({bar.name})") from error


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """The device of that name, or else CUDA where there is one, else Apple's MPS, else the CPU.

    Raises:
        TrainingError: this machine has no such device.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise TrainingError(f"The device {name!r} cannot be used here: {reason}") from None


def check_settings(
    images: ImageData, beta: float, epochs: int, batch_size: int, keep: Keep
) -> None:
    """Refuse settings with which a training would go wrong silently, or far from here."""
    if not isinstance(images, ImageData):
        raise TypeError(f"fit needs ImageData, such as dataset.train, not {type(images).__name__}.")
    if not (math.isfinite(beta) and beta >= 0):
        raise ValueError(f"beta must be 0 or more, got {beta}.")
    if min(epochs, batch_size) < 1:
        raise ValueError(f"epochs and batch_size must be positive, got {epochs} and {batch_size}.")
    if keep not in get_args(Keep):
        raise ValueError(f"keep must be one of {', '.join(get_args(Keep))}, got {keep!r}.")


@torch.no_grad()
def check_objective(vae: VAE, x: Tensor, objective: Objective, beta: float) -> None:
    """Try an objective on a few images, before anything is written."""
    with evaluating(vae), seeded(0, x.device):
        objective(vae, x, beta)


def start_from(vae: VAE, images: ImageData, count: int = 5000) -> None:
    """Let a prior that begins at real images (a VampPrior) choose among the first of them."""
    if isinstance(vae.prior, Prior) and type(vae.prior).start_from is not Prior.start_from:
        vae.prior.start_from(images.as_float(slice(0, count)))
