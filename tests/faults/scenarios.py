"""Faults at one chosen moment each: what chance would seldom meet."""

import errno
import os
import shutil
import signal
import time
import weakref
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from pyro_vae import _files, checkpoints
from pyro_vae.commands import train
from pyro_vae.training import Run
from pyro_vae.training.progress_bar import Bar
from pyro_vae.training.state import State

from .disks import Disk, check_end, finish
from .trainings import (
    KILLED,
    STREAMED,
    References,
    Training,
    Violation,
    partial_files,
    position,
    require,
    result,
    resume_command,
    start,
)

Scenario = Callable[[References, Path], None]
SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    """Add a function to `SCENARIOS`, under its name in words."""
    SCENARIOS[function.__name__.replace("_", " ")] = function
    return function


def run_all(references: References, first: int) -> Iterator[Counter]:
    """Run the scenarios, or the first of them, which are the quickest.

    Raises:
        Violation: at the end, naming all scenarios that failed.
    """
    failed = []
    for name in list(SCENARIOS)[:first]:
        folder = references.folder / name.replace(" ", "-")
        folder.mkdir()
        try:
            SCENARIOS[name](references, folder)
        except Violation as violation:
            failed.append(f"{name}: {violation}")
        shutil.rmtree(folder)
        yield Counter(scenarios=1)
    require(not failed, "\n\n".join(failed))


def slow_steps(seconds: float = 0.04) -> None:
    """Let each step take longer, so that there is time to do something meanwhile."""
    quick = Bar.step

    def step(self: Bar) -> None:
        quick(self)
        time.sleep(seconds)

    Bar.step = step  # type: ignore[method-assign]


def until(training: Training, holds: Callable[[], object], seconds: float = 120) -> None:
    """Wait for something while a training is running."""
    deadline = time.monotonic() + seconds
    while not holds():
        if training.poll() is not None:
            raise Violation(f"it ended too early:\n{training.text()[-3000:]}")
        require(time.monotonic() < deadline, "nothing happens")
        time.sleep(0.002)


def stopped_at(references: References, folder: Path, steps: int) -> Run:
    """Return a training that `kill -9` ended when a checkpoint held at least so many steps."""
    reference = references["plain"]
    training = start(reference.new(folder), folder.with_suffix(".log"), before=slow_steps)
    until(training, lambda: training.made > steps)
    training.send(signal.SIGKILL)
    training.wait()
    return Run(folder)


def continued(references: References, run: Run) -> Training:
    """Continue a training to its end."""
    log = run.folder.with_suffix(".log")
    training = start(references["plain"].resumed(run.folder), log)
    require(training.wait() == 0, f"it cannot be continued:\n{training.text()[-3000:]}")
    return training


def flip(path: Path) -> None:
    """Flip a bit of the largest record in a checkpoint."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        record = max(archive.infolist(), key=lambda each: each.file_size)
        at = content.index(archive.read(record))
    content[at + record.file_size // 2] ^= 16
    path.write_bytes(content)


def refused(training: Training, *codes: int) -> str:
    """Return the line in which a training was refused."""
    training.wait()
    text = training.text()
    lines = [line for line in text.splitlines() if line.startswith("error: ")]
    require(training.code in codes and len(lines) == 1 and "Traceback" not in text, text[-3000:])
    return lines[0]


@scenario
def two_trainings_in_one_folder(references: References, folder: Path) -> None:
    """The second is refused in a line, at whatever moment it comes; the first ends well."""
    reference, out = references["plain"], folder / "run"
    # Slow enough to be running still when the third has been started, on a busy machine, too.
    first = start(reference.new(out), folder / "first.log", before=lambda: slow_steps(0.4))
    until(first, out.exists)
    second = start(reference.new(out), folder / "second.log")
    refused(second, 1, 2)
    until(first, Run(out).exists)
    third = start(reference.resumed(out), folder / "third.log")
    require("Another training" in refused(third, 1), third.text())
    require(first.wait() == 0, first.text())
    reference.check(out)


@scenario
def the_first_signal_ends_after_the_step(references: References, folder: Path) -> None:
    """Each signal has its exit code; the command that is printed works as printed."""
    reference, out = references["plain"], folder / "run"
    arguments = reference.new(out)
    for steps, number in ((1, signal.SIGTERM), (3, signal.SIGHUP), (2, signal.SIGINT)):
        training = start(arguments, folder / "run.log", before=slow_steps)
        before = position(Run(out)) if Run(out).exists() else 0
        until(training, lambda training=training, steps=steps: training.made >= steps)
        training.send(number)
        require(training.wait() == 128 + number, f"{number}: {training.code} {training.text()}")
        require(position(Run(out)) == before + training.made, "steps are lost")
        require(not partial_files(out), "half-written files are left")
        arguments = resume_command(training.text())
    training = start(arguments, folder / "run.log")
    require(training.wait() == 0, training.text())
    reference.check(out)


@scenario
def the_third_signal_ends_at_once(references: References, folder: Path) -> None:
    """A step that takes forever is not waited for any more."""
    reference, out = references["plain"], folder / "run"
    training = start(reference.new(out), folder / "run.log", before=lambda: slow_steps(600))
    until(training, lambda: training.made == 1)
    for _ in range(3):
        require(training.poll() is None, "it ended before the third signal")
        training.send(signal.SIGTERM)
        time.sleep(0.3)
    require(training.wait(5) == -signal.SIGTERM, training.text())
    continued(references, Run(out))
    reference.check(out)


@scenario
def a_signal_while_drawing(references: References, folder: Path) -> None:
    """It ends at once, and says how to continue."""
    reference, out = references["plain"], folder / "run"
    drawing = folder / "drawing"

    def draw_forever(*_: object, **__: object) -> None:
        drawing.touch()
        time.sleep(600)

    def before() -> None:
        train.draw = draw_forever  # type: ignore[attr-defined]

    training = start(reference.new(out), folder / "run.log", before=before)
    until(training, drawing.exists)
    training.send(signal.SIGTERM)
    require(training.wait(10) == 128 + signal.SIGTERM, training.text())
    reference.check(out)
    training = start(resume_command(training.text()), folder / "run.log")
    require(training.wait() == 0, training.text())
    reference.check(out)


@scenario
def a_signal_where_exceptions_are_ignored(references: References, folder: Path) -> None:
    """Python ignores what is raised in a weak reference's callback; the signal is not lost."""

    class Thing:
        pass

    def draw_forever(*_: object, **__: object) -> None:
        thing = Thing()
        kept = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
        del thing
        while kept() is None:
            time.sleep(0.01)

    def before() -> None:
        train.draw = draw_forever  # type: ignore[attr-defined]

    reference, out = references["plain"], folder / "run"
    training = start(reference.new(out), folder / "run.log", before=before)
    require(training.wait(30) == 128 + signal.SIGTERM, training.text())
    reference.check(out)


@scenario
def a_signal_after_the_last_step(references: References, folder: Path) -> None:
    """It is not forgotten, though nothing is left to train."""
    reference, out = references["plain"], folder / "run"
    restore = State.restore_kept

    def restored(self: State) -> None:
        restore(self)
        os.kill(os.getpid(), signal.SIGTERM)

    def before() -> None:
        State.restore_kept = restored  # type: ignore[method-assign]

    training = start(reference.new(out), folder / "run.log", before=before)
    require(training.wait() == 128 + signal.SIGTERM, training.text())
    training = start(resume_command(training.text()), folder / "run.log")
    require(training.wait() == 0, training.text())
    reference.check(out)


@scenario
def the_last_checkpoint_is_damaged(references: References, folder: Path) -> None:
    """The one before it is taken, which is said, and the end is the same."""
    run = stopped_at(references, folder / "run", 5)
    held = position(run)
    flip(run.last)
    require(0 < position(run) < held, "there is no checkpoint before it")
    text = continued(references, run).text()
    require("last.pt" in text and "The one before it is used" in text, text)
    references["plain"].check(run.folder)


@scenario
def the_best_weights_are_damaged_at_the_end(references: References, folder: Path) -> None:
    """No epoch follows: those before them take their place, and are evaluated."""
    run = Run(shutil.copytree(references.folder_of("plain"), folder / "run"))
    flip(run.weights)
    text = continued(references, run).text()
    require("best_vae.pt" in text and "The one before it is used" in text, text)
    checkpoints.load(run.weights)
    found = result(run.folder)
    other = [n for n, value in references["plain"].result.items() if found[n] != value]
    require(set(other) <= {"model_weights/best_vae.pt", "evaluation.json"}, f"{other} differ")


@scenario
def a_disk_that_fills_within_the_first_epoch(references: References, folder: Path) -> None:
    """Checkpoints of it are kept, although no epoch is finished."""
    reference, out = references["plain"], folder / "run"
    disk = Disk(lasting=True, number=errno.ENOSPC)

    def before() -> None:
        disk.install()
        counted, made = Bar.step, count(1)

        def step(self: Bar) -> None:
            counted(self)
            if next(made) == 5:  # Of 6; 4 are in a checkpoint.
                disk.at = disk.done

        Bar.step = step  # type: ignore[method-assign]

    training = start(reference.new(out), out.with_suffix(".log"), before=before)
    training.wait()
    check_end(training.code, training.text(), os.strerror(errno.ENOSPC))
    require(position(Run(out)) == 4, "the checkpoint is lost")
    finish(reference, out, made=training.made)


@scenario
def the_lock_goes_with_the_process(references: References, folder: Path) -> None:
    """Processes that read images for it may live a little longer: they hold no lock."""
    reference, out = references[STREAMED], folder / "run"
    training = start(reference.new(out), folder / "run.log", before=slow_steps)
    until(training, lambda: training.made >= 3)
    training.send(signal.SIGKILL)
    require(training.wait() == KILLED, training.text())
    training = start(reference.resumed(out), folder / "run.log")
    require(training.wait() == 0, training.text())
    reference.check(out)


@scenario
def a_signal_that_is_ignored(references: References, folder: Path) -> None:
    """Under `nohup`, a terminal that closes ends nothing."""
    reference, out = references["plain"], folder / "run"

    def before() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        slow_steps(0.02)

    training = start(reference.new(out), folder / "run.log", before=before)
    until(training, lambda: training.made >= 1)
    training.send(signal.SIGHUP)
    require(training.wait() == 0, training.text())
    reference.check(out)


@scenario
def two_trainings_at_once(references: References, folder: Path) -> None:
    """Of two that start at one moment, one ends well."""
    reference, out = references["plain"], folder / "run"
    both = [start(reference.new(out), folder / f"{number}.log") for number in range(2)]
    codes = sorted(training.wait() for training in both)
    require(codes[0] == 0 and codes[1] in (1, 2), f"exit codes {codes}")
    refused(next(training for training in both if training.code), 1, 2)
    reference.check(out)


@scenario
def the_best_weights_are_damaged(references: References, folder: Path) -> None:
    """Those before them are taken, which is said; there are best weights at the end."""
    run = stopped_at(references, folder / "run", 13)
    flip(run.weights)
    text = continued(references, run).text()
    require("best_vae.pt" in text and "The one before it is used" in text, text)
    references["plain"].check(run.folder)  # The last epoch is the best.


@scenario
def a_start_that_is_killed(references: References, folder: Path) -> None:
    """Before the first checkpoint there is nothing to continue; the folder is free again."""
    reference, out = references["plain"], folder / "run"
    killed = start(reference.new(out), folder / "run.log", before=Disk(14, kill=True).install)
    require(killed.wait() == KILLED and out.exists() and not Run(out).exists(), killed.text())
    resumed = start(reference.resumed(out), folder / "run.log")
    require("holds no run" in refused(resumed, 2), resumed.text())
    again = start(reference.new(out), folder / "run.log")
    require(again.wait() == 0, again.text())
    reference.check(out)
    third = start(reference.new(out), folder / "run.log")
    require("already holds a run" in refused(third, 2), third.text())
    reference.check(out)


@scenario
def a_kill_between_two_renames(references: References, folder: Path) -> None:
    """Between the old checkpoint's new name and the new checkpoint's name, and after it."""
    for at, (name, after) in enumerate(
        (name, after) for name in ("last.pt", "best_vae.pt") for after in (False, True)
    ):
        out = folder / str(at)

        def before(name: str = name, after: bool = after) -> None:
            _files.os = Killing(name, times=3, after=after)  # type: ignore[assignment]

        reference = references["plain"]
        training = start(reference.new(out), folder / "run.log", before=before)
        require(training.wait() == KILLED, training.text())
        require(training.made > 0, "it is killed too early")
        continued(references, Run(out))
        reference.check(out)


class Killing:
    """The module `os`, in which renaming to a certain name kills the process.

    Args:
        name: that name.
        times: the how many-th such rename it is.
        after: whether the file is renamed first.
    """

    def __init__(self, name: str, times: int, *, after: bool) -> None:
        self._name, self._left, self._after = name, times, after

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def replace(self, source: Path, target: Path) -> None:
        self._left -= Path(target).name == self._name
        if self._left == 0 and not self._after:
            os.kill(os.getpid(), signal.SIGKILL)
        os.replace(source, target)
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
