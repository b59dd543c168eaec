"""One epoch: every image once, in random order, and the validation after it."""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import torch
from torch import Tensor

from pyro_vae._modes import evaluating, random_state, seeded, set_random_state
from pyro_vae.data import ImageData
from pyro_vae.objectives import Bound, Objective
from pyro_vae.processes import rank, world_size
from pyro_vae.processes.group import by_first, interleaved, own_draws, together
from pyro_vae.processes.shares import own_part, shared
from pyro_vae.training.failures import Diverged, explained
from pyro_vae.training.interval import Interval
from pyro_vae.training.progress_bar import Bar
from pyro_vae.training.settings import TrainingSettings
from pyro_vae.training.state import Epoch, State
from pyro_vae.training.stopping import Stop
from pyro_vae.training.strays import Validation, check_inside
from pyro_vae.training.totals import Totals
from pyro_vae.vae import VAE

Step = Callable[[Tensor, int], Bound]
"""Takes one step on images (B, C, H, W), given the number of steps made before in the epoch."""

Starts = dict[int, list[dict[str, Tensor]]]
"""The random state at which the draws of each validation batch begin, by the seed of the first."""


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
        # A callback of the first process may have drawn since the last epoch.
        set_random_state(by_first(lambda: random_state(device)), device)
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
    for number, (x, count) in enumerate(own_batches(images, size, left), start=before):
        try:
            with together(), explained(state.vae, x, bar.name), own_draws(device), shared(count):
                totals.add(step(x, number), count)
        except Diverged:
            state.watch.check(totals.bounds, bar.name)  # It can name the step and the slot.
            raise
        done.seconds = seconds + time.perf_counter() - start
        bar.step()
        due = stop.agree(interval.passed())
        if due or stop.number is not None or bar.due(number + 1):
            state.watch.check(totals.bounds, bar.name)
            bar.show(totals)
        stop.check()
        if due:
            state.save()
    return done


def own_batches(images: ImageData, size: int, order: Tensor) -> Iterator[tuple[Tensor, int]]:
    """Yield this process's part of each batch, as float images, and the size of the whole batch.

    Args:
        images: the images.
        size: number of images in every batch but the last.
        order: int64, (n,): their positions.
    """
    if not len(order):
        return
    if world_size() == 1:
        yield from ((x, len(x)) for x in images.batches(size, order))
        return
    device = images.images.device
    batches = (order if images.streamed else order.to(device)).split(size)
    own = images.batches_at([own_part(batch) for batch in batches])
    for batch in batches:
        with own_draws(device) if images.pixels != "gray" else nullcontext():
            x = next(own)
        yield x, len(batch)


@torch.no_grad()
def validate(
    vae: VAE,
    images: ImageData,
    objective: Objective,
    settings: TrainingSettings,
    seed: int,
    bar: Bar,
    stop: Stop,
    starts: Starts | None = None,
) -> Totals:
    """Return the objective on images that are not trained on, at draws that follow a seed.

    Several processes share the batches, and draw what one process would.

    Args:
        vae: the model.
        images: the images.
        objective: the objective.
        settings: those of the training.
        seed: seed of the draws.
        bar: names the epoch.
        stop: whether to stop.
        starts: where the draws of each batch begin, at the seeds of earlier validations.

    Raises:
        Diverged: the model's numbers are no longer finite.
        TrainingError: a value is outside a distribution's support.
        Stopped: a signal asked for it; the epoch is validated anew when the training is resumed.
    """
    totals, where = Totals(), f"validation of {bar.name}"
    inside: list[Tensor] = []
    validation = Validation(objective)

    def bound_of(x: Tensor) -> Bound:
        with together(), explained(vae, x, where), validation.batch() as own:
            bound = objective(vae, x, settings.beta)
        inside.extend(own)
        return bound

    with evaluating(vae), seeded(seed, images.images.device):
        if world_size() > 1:
            known = None if settings.new_draws or starts is None else starts.setdefault(seed, [])
            for bound, count in shared_bounds(images, settings.batch_size, bound_of, known):
                totals.add(bound, count)
            stop.agree()
            stop.check()
        else:
            for x in images.batches(settings.batch_size):
                totals.add(bound_of(x), len(x))
                stop.check()
    check_inside(inside, where)
    return totals


def shared_bounds(
    images: ImageData,
    size: int,
    bound_of: Callable[[Tensor], Bound],
    starts: list[dict[str, Tensor]] | None,
) -> list[tuple[Bound, int]]:
    """Return the bound of every batch and its number of images; processes take the batches in turn.

    The draws of a batch begin where those of the batch before end, which nobody knows beforehand.
    So the first time every process takes all batches, and notes where they begin.

    Args:
        images: the images.
        size: number of images in every batch but the last.
        bound_of: maps images (B, C, H, W) to their bound.
        starts: the random state at the beginning of each batch, where they are known; a list that
            is empty is filled. Without it, every process draws for itself.
    """
    device = images.images.device
    parts = torch.arange(len(images), device="cpu").split(size)
    everything = starts is not None and not starts
    turns = range(len(parts)) if everything else range(rank(), len(parts), world_size())
    batches, found = images.batches_at([parts[turn] for turn in turns]), []
    with own_draws(device) if starts is None else nullcontext():
        for turn in turns:
            if starts is not None and everything:
                starts.append(random_state(device))
            elif starts is not None:
                set_random_state(starts[turn], device)
            x = next(batches)
            found.append((bound_of(x), len(x)))
    moved = [(Bound(*(term.cpu() for term in bound)), count) for bound, count in found]
    return moved if everything else interleaved(moved)


def batches(images: ImageData, batch_size: int) -> Iterator[Tensor]:
    """Return all images once, in random order, as float batches (B, C, H, W) in [0, 1]."""
    return images.batches(batch_size, torch.randperm(len(images), device="cpu"))
