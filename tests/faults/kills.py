"""Signals at random moments: the training is continued, and reaches what it always reaches."""

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyro_vae.training import Run

from .trainings import (
    DRAWN,
    INTERVAL,
    KILLED,
    SHORT,
    VARIANTS,
    Reference,
    References,
    Training,
    Violation,
    partial_files,
    position,
    require,
    resume_command,
    start,
)

#: Drawing takes most of the time of a training, and few signals need to fall into it.
_DRAWN_OF = 25


def kills(references: References, number: int, count: int, rng: random.Random) -> Iterator[Counter]:
    """Send a signal `count` times, and yield what was seen of each training.

    Args:
        references: the trainings.
        number: SIGKILL or SIGTERM.
        count: number of signals.
        rng: chooses the moments.

    Raises:
        Violation: naming the training and the seed of its moments.
    """
    plain = [variant for variant in VARIANTS if variant not in (DRAWN, SHORT)]
    sent, trainings = 0, 0
    while sent < count:
        drawn = trainings % _DRAWN_OF == _DRAWN_OF - 1
        variant = DRAWN if drawn else plain[trainings % len(plain)]
        seed = rng.randrange(2**32)
        times = min(random.Random(seed).choice((1, 1, 2, 3)), count - sent)
        folder = references.folder / f"disturbed-{trainings}"
        with named(f"{signal.Signals(number).name}, {variant}, seed {seed}"):
            seen = disturb(references[variant], folder, number, times, random.Random(seed))
        shutil.rmtree(folder)
        sent, trainings = sent + seen["signals"], trainings + 1
        yield seen


def disturb(
    reference: Reference, folder: Path, number: int, times: int, rng: random.Random
) -> Counter:
    """Train in a folder, with signals at random moments, until the end.

    Returns:
        The number of signals, and how often the training was begun anew.

    Raises:
        Violation: it does not reach what it reaches undisturbed, or says something wrong.
    """
    seen: Counter = Counter(trainings=1)
    log, arguments = folder.with_suffix(".log"), reference.new(folder)
    while True:
        run = Run(folder)
        before = position(run) if run.exists() else 0
        began = time.monotonic()
        training = start(arguments, log, drawn=reference.drawn)
        moment = rng.uniform(0, reference.seconds) if times > seen["signals"] else 0
        sent = moment > 0 and _after(training, moment) and training.send(number)
        since = time.monotonic()
        code = training.wait()
        if not sent or (code == 0 and time.monotonic() - since < 0.05):
            require(code == 0, f"exit code {code}:\n{training.text()[-3000:]}")
            reference.check(folder)
            if arguments == reference.new(folder):  # The machine has less to do than before.
                reference.seconds = min(reference.seconds, time.monotonic() - began)
            return seen
        seen["signals"] += 1
        check = _after_kill if number == signal.SIGKILL else _after_stop
        again = check(reference, folder, training, before)
        if again is None:
            shutil.rmtree(folder, ignore_errors=True)
            seen["begun anew"] += 1
        arguments = again or reference.new(folder)


def _after(training: Training, moment: float) -> bool:
    """Wait, and return whether a training is still running then."""
    deadline = time.monotonic() + moment
    while time.monotonic() < deadline:
        if training.poll() is not None:
            return False
        time.sleep(0.002)
    return True


def _after_kill(
    reference: Reference, folder: Path, training: Training, before: int
) -> list[str] | None:
    """Check what `kill -9` left, and return the arguments that continue it, if it can be."""
    require(training.code == KILLED, f"exit code {training.code}:\n{training.text()[-3000:]}")
    run = Run(folder)
    if not run.exists():
        require(training.made == 0, f"{training.made} steps are lost, and there is no checkpoint")
        return None
    if not reference.beside:
        lost = before + training.made - position(run)
        require(0 <= lost <= INTERVAL, f"{lost} steps are repeated, of an interval of {INTERVAL}")
    return reference.resumed(folder)


def _after_stop(
    reference: Reference, folder: Path, training: Training, before: int
) -> list[str] | None:
    """Check what SIGTERM left, and return the arguments of the command that it said."""
    text, run = training.text(), Run(folder)
    codes = (128 + signal.SIGTERM, -signal.SIGTERM)  # The second, before it listens and after.
    require(training.code in codes, f"exit code {training.code}:\n{text[-3000:]}")
    require("Traceback" not in text, f"a traceback:\n{text[-3000:]}")
    left = partial_files(folder)
    require(not left, f"half-written files are left: {', '.join(left)}")
    if not run.exists():
        require(not folder.exists(), "a folder without a checkpoint is left")
        return None
    if not reference.beside:
        lost = before + training.made - position(run)
        require(lost == 0, f"{lost} steps are lost")
    begun = "training images from" in text
    if training.code == codes[1] or not begun:  # It had not looked at the folder yet, or was done.
        return reference.resumed(folder)
    return resume_command(text)


@contextmanager
def named(what: str) -> Iterator[None]:
    """Name what was tried in a violation."""
    try:
        yield
    except Violation as violation:
        raise Violation(f"{what}: {violation}") from violation
