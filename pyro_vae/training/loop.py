"""The training loop: one, for every model, objective and data set."""

import inspect
import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae._arguments import in_short
from pyro_vae._modes import evaluating, seeded
from pyro_vae.data import ImageData
from pyro_vae.errors import ArgumentError
from pyro_vae.evaluation import has_elbo
from pyro_vae.evaluation.fitting import as_images
from pyro_vae.objectives import Bound, Objective, ObjectiveError
from pyro_vae.processes import is_first, joined, world_size
from pyro_vae.processes.group import align, by_first, do_first, first_only
from pyro_vae.slots import check_slots, check_support
from pyro_vae.training.averaging import Average
from pyro_vae.training.compilation import compiled
from pyro_vae.training.device import choose_device
from pyro_vae.training.epoch import Starts, train_epoch, validate
from pyro_vae.training.failures import Diverged, TrainingError
from pyro_vae.training.finiteness import Watch
from pyro_vae.training.history import History
from pyro_vae.training.layout import in_memory_format
from pyro_vae.training.lock import locked
from pyro_vae.training.optimizers import make_optimizer
from pyro_vae.training.precision import in_precision
from pyro_vae.training.progress_bar import Bar
from pyro_vae.training.run_folder import Run
from pyro_vae.training.settings import TrainingSettings, takes_settings
from pyro_vae.training.state import State
from pyro_vae.training.step import Step
from pyro_vae.training.stopping import Stop, Stopped, stopping
from pyro_vae.training.totals import Record
from pyro_vae.vae import VAE, name_of

#: Fewer validation images than these cannot tell which epoch was best.
FEW_TO_JUDGE = 10

logger = logging.getLogger("pyro_vae.training")


@takes_settings
@joined()
def fit(
    vae: VAE,
    images: ImageData | Tensor | np.ndarray,
    *,
    validation: ImageData | Tensor | np.ndarray | None = None,
    device: str | torch.device | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callable[[VAE, Record], None]] = (),
    published_loss: Callable[[float, float], float] | None = None,
    progress: bool = True,
    **settings: Any,
) -> History:
    """Train a model; afterward it holds the weights to keep, in evaluation mode.

    A trained model is trained further from its weights, with another objective, say. Processes that
    `torchrun` has started train one model together; `batch_size` counts the images of all.

    Args:
        vae: the model; moved to the device and changed in place.
        images: the training images: `ImageData`, or a tensor or an array (N, C, H, W) of bytes, or
            of floats in [0, 1].
        validation: images that choose the weights and drive the schedule; without them the
            training loss does.
        device: CUDA, else MPS, else the CPU, unless given.
        folder: where checkpoints, the history and the numbers of every step are kept, after every
            epoch and every `checkpoint_every` within one; nothing is kept if it is not given.
        resume: continue from the last checkpoint in `folder`, exactly as if never stopped.
        callbacks: called after every epoch with the model that is validated and the epoch's record.
            One that has a method `after_training(vae, history, folder)` has it called at the end
            with the weights to keep, such as `pyro_vae.analysis.report_after_training(dataset)`.
        published_loss: the loss on a source's own scale, from distortion and rate; shown beside
            ours.
        progress: show a progress bar for each epoch.
        **settings: any of `TrainingSettings`, such as `epochs=30, learning_rate=3e-3`.

    Returns:
        A record for each epoch: losses, distortion and rate in nats per image, learning rate,
        seconds in all and seconds of training alone. It is a list that shows as a table.

    Raises:
        Stopped: a signal asked for it (Ctrl-C, SIGTERM, SIGHUP); the state after the last step is
            kept in `folder`. It is a `KeyboardInterrupt`.
        TrainingError: a number is no longer finite, there is nothing to resume, or `folder` holds
            another training.
        ArgumentError: a setting is unknown or out of its bounds, or there are no images.
        ArgumentTypeError: the images are something else; of a `DataLoader` or a data set, it says
            how to make images of it.
        SupportError: the images are outside the likelihood's support.
        SlotError: a slot returns something other than what is expected of it.
        ObjectiveError: the objective needs something that the distributions do not have.

    Example:
        >>> from pyro_vae import VAE, data, fit, likelihoods, networks, posteriors, priors
        >>> _ = torch.manual_seed(0)
        >>> digits = data.load("digits")
        >>> vae = VAE(
        ...     priors.StandardNormal(2),
        ...     likelihoods.Bernoulli(networks.MLPDecoder(2, (1, 8, 8)), gray_levels=True),
        ...     posteriors.DiagonalNormal(networks.MLPEncoder((1, 8, 8)), 2),
        ... )
        >>> history = fit(vae, digits.train, epochs=2, learning_rate=3e-3, progress=False)
        >>> history[1]["train_loss"] < history[0]["train_loss"]
        True
    """
    chosen = TrainingSettings.of(**settings)
    images = as_images("fit", images)
    if validation is not None:
        validation = as_images("fit", validation, "validation")
    check_images(images, validation)
    check_callbacks(callbacks, folder)
    objective, annealing, schedule = chosen.parts()
    objective.start(len(images))
    check_processes(chosen.batch_size)
    device = choose_device(device)
    vae.to(device)
    check_support(vae, images)
    few = images.as_float(slice(0, 4)).to(device)
    shown = progress and is_first()
    check_slots(vae, few)
    check_objective(vae, few, objective, chosen.beta * annealing(0.0))
    images = images.to(device)
    validation = validation.to(device) if validation else None  # An empty part counts as none.
    align(vae, device)
    optimizer = make_optimizer(chosen, vae.parameters())
    schedule.start(optimizer, chosen.learning_rate)
    run = Run(Path(folder)) if folder else None
    average = None if chosen.average is None else Average(vae, chosen.average)
    state = State(
        vae, optimizer, schedule, run, Watch(vae, math.prod(images.image_shape)),
        chosen.learning_rate, {"objective": objective, "annealing": annealing},
        chosen.keep, average, rolls_back=chosen.on_nan == "rollback",
    )  # fmt: skip
    steps = math.ceil(len(images) / chosen.batch_size)

    step = Step(state, objective, annealing, chosen, steps)
    starts: Starts = {}

    compilation = 0.0

    def epoch(stop: Stop) -> None:
        nonlocal compilation
        bar = Bar(state.epoch, chosen.epochs, steps, has_elbo(vae), published_loss, shown)
        try:
            done = train_epoch(state, images, step, chosen, bar, stop)
            record = {"epoch": state.epoch + 1} | done.totals.record("train", published_loss)
            record |= {"learning_rate": optimizer.param_groups[0]["lr"]}
            record |= {"train_seconds": done.seconds}
            start = time.perf_counter()
            if validation is not None:
                seed = state.epoch + 1 if chosen.new_draws else 0
                validated = validate(
                    state.judged, validation, objective, chosen, seed, bar, stop, starts
                )
                record |= validated.record("validation", published_loss)
                bar.announce(record, "validation")
        finally:
            bar.close()
        record["seconds"] = compilation + done.seconds + time.perf_counter() - start
        compilation = 0.0  # It is a part of the first epoch.
        if state.rollbacks:
            record["rollbacks"] = state.rollbacks
        record = by_first(lambda: record)  # The clocks of processes differ.
        state.add(record, done.totals.bounds)
        for callback in callbacks:
            do_first(partial(callback, state.judged, record))
        state.save()
        bar.conclude(record)

    with stopping() as stop, first_only(lambda: locked(run.folder) if run else nullcontext()):
        if resume:
            state.load()
        else:
            do_first(lambda: check_free(run))
            initialize_prior(vae, images)
            state.save()
        layout = in_memory_format(vae, optimizer, chosen.memory_format)
        faster = compiled(vae, few) if chosen.compile else nullcontext(0.0)
        with in_precision(vae, chosen.precision), layout, faster as compilation:
            while state.epoch < chosen.epochs and not state.finished:
                try:
                    epoch(stop)
                    stop.agree()
                    stop.check()
                except Diverged as error:
                    state.roll_back(error)
                except Stopped:
                    state.save()
                    raise
        state.restore_kept()
        history = History(state.history)
        for callback in callbacks:
            if callable(conclude := getattr(callback, "after_training", None)):
                do_first(partial(conclude, vae, history, run.folder if run else None))
    return history


def check_processes(batch_size: int) -> None:
    """Refuse batches of fewer images than there are processes to share them.

    Raises:
        ArgumentError: it says how many images are needed.
    """
    if batch_size < world_size():
        raise ArgumentError(
            f"fit: batch_size counts the images of all {world_size()} processes, and must be "
            f"{world_size()} or more, got {batch_size}."
        )


def check_free(run: Run | None) -> None:
    """Refuse a folder in which there is another training already.

    Raises:
        TrainingError: it says how to continue that one.
    """
    if run is None:
        return
    if run.exists() or run.weights.exists() or run.history.exists():
        raise TrainingError(
            f"{run.folder} already holds a training: continue it (resume=True), or choose another "
            "folder."
        )
    run.tidy()


def check_images(images: ImageData, validation: ImageData | None) -> None:
    """Refuse to train on nothing; warn of images from which little can be learned or judged.

    Raises:
        ArgumentError: there are no training images.
    """
    if not len(images):
        raise ArgumentError("fit: images is empty: at least one image is needed.")
    first = images.levels(slice(0, 1000))
    if len(first) > 1 and bool((first == first[:1]).all()):
        logger.warning(
            "%s training images are the same: there is nothing to learn. Look at the data.",
            "All" if len(first) == len(images) else f"The first {len(first):,}",
        )
    if validation is not None and 0 < len(validation) < FEW_TO_JUDGE:
        logger.warning(
            "Only %d image%s: the best epoch and the learning rate are left to chance. Hold out "
            "more, or keep the last weights (keep='last', --keep last).",
            len(validation),
            " validates" if len(validation) == 1 else "s validate",
        )


def check_callbacks(
    callbacks: Sequence[Callable[[VAE, Record], None]], folder: str | Path | None
) -> None:
    """Refuse a callback that leaves files where there is no folder for them.

    Raises:
        ArgumentError: it names the callback.
    """
    for callback in callbacks:
        if folder is None and getattr(callback, "needs_folder", False):
            raise ArgumentError(
                f"fit: the callback {type(callback).__name__} needs a folder to write to: give "
                "folder=..."
            )


@torch.no_grad()
def check_objective(vae: VAE, x: Tensor, objective: Objective, beta: float) -> None:
    """Try an objective on a few images, before anything is written.

    Raises:
        ObjectiveError: it takes or returns something else than an objective does.
    """
    name, given = name_of(objective), (vae, x, beta, 0.0)
    try:
        inspect.signature(objective).bind(*given)
    except TypeError:
        raise ObjectiveError(
            f"{name} must take what an objective takes: (vae, x, beta=1.0, elapsed=1.0), where "
            "elapsed is the fraction of the training that is done."
        ) from None
    with evaluating(vae), seeded(0, x.device):
        found: object = objective(*given)
    if not isinstance(found, Bound):
        raise ObjectiveError(
            f"{name} must return pyro_vae.objectives.Bound(loss, distortion, rate), got "
            f"{in_short(found)}."
        )


def initialize_prior(vae: VAE, images: ImageData, count: int = 5000) -> None:
    """Let a prior that starts at real images, such as a VampPrior, choose among the first ones."""
    initialize = getattr(vae.prior, "initialize", None)
    if callable(initialize):
        initialize(images.as_float(slice(0, count)))
