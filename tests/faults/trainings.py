"""Small trainings, each in a fork of a process that has imported everything, and what they leave.

A fork starts in milliseconds, so that most of its time is training. The parent never trains, as
torch's backward pass does not survive a fork.
"""

import hashlib
import json
import mmap
import os
import re
import shlex
import signal
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from pyro_vae import checkpoints, commands, data
from pyro_vae.analysis import reconstructions, samples
from pyro_vae.analysis.style import Figure
from pyro_vae.commands import train
from pyro_vae.training import Run
from pyro_vae.training.progress_bar import Bar

EPOCHS, IMAGES, BATCH, INTERVAL = 3, 240, 40, 2
STEPS = IMAGES // BATCH
SMALL = (
    f"--recipe fashion_conv --data digits --limit {IMAGES} --batch-size {BATCH} "
    f"--epochs {EPOCHS} --validation 60 --checkpoint-every {INTERVAL} --device cpu --lr 3e-3 "
    "--encoder MLPEncoder --encoder.hidden [12] --decoder MLPDecoder --decoder.hidden [12]"
)
BATCH_NORM = (
    "--encoder BatchNormEncoder --encoder.channels [4,4] --encoder.strides [1,2] "
    "--decoder BatchNormDecoder --decoder.channels [4,4] --decoder.strides [1,2]"
)
#: Trainings that differ in what they must continue from.
VARIANTS = {
    "plain": "",
    "binarized": "--pixels binarized --likelihood.gray_levels false",
    "averaged, Plateau, batch norm": f"--average 0.9 --schedule Plateau {BATCH_NORM}",
    "VampPrior, IWAE": "--prior VampPrior --prior.components 6 --objective IWAE "
    "--objective.samples 3 --recipe mnist_mlp --validation 60",
    "OneCycle, annealed, clipped": "--schedule OneCycle --annealing Cyclical --clip 0.5",
    "streamed": "--data IMAGES --stream true",
    "keep last": "--keep last --optimizer RMSprop",
    "autoencoder beside": "--with-autoencoder",
    "drawn": "",
    "short": "--epochs 2 --checkpoint-every 3",
}
DRAWN, STREAMED, BESIDE, SHORT = "drawn", "streamed", "autoencoder beside", "short"
#: A signal that ends a process without its own doing, as `os.waitstatus_to_exitcode` gives it.
KILLED = -signal.SIGKILL
#: Those that may still be running.
_started: list["Training"] = []
_RESUME = re.compile(r"^  .*\btrain (--resume .*)$", re.MULTILINE)


class Violation(AssertionError):
    """Something that must be true is not."""


def require(holds: object, message: str) -> None:
    """Check what must be true.

    Raises:
        Violation: it is not.
    """
    if not holds:
        raise Violation(message)


def prepare() -> None:
    """Import and read what every training needs, before the first fork."""
    os.environ["MPLBACKEND"] = "Agg"
    torch.set_num_threads(1)
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])  # It imports a compiler.
    data.load("digits")
    sys.argv = [str(Path(sys.executable).with_name("pyro-vae")), "train"]


def images_in(folder: Path) -> Path:
    """Make a folder of image files to stream, and return it."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(IMAGES + 120):
        levels = random.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(levels).save(folder / f"{number:03d}.png")
    return folder


@dataclass
class Training:
    """A training in a child process.

    Attributes:
        process: the child's number.
        log: what it prints.
        steps: a counter of the steps that it has made, shared with the child.
        code: its exit code, once it has ended.
    """

    process: int
    log: Path
    steps: mmap.mmap
    code: int | None = None

    @property
    def made(self) -> int:
        """The number of steps that the child has made."""
        return int(struct.unpack("q", self.steps[:8])[0])

    def text(self) -> str:
        """Return what it has printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def poll(self) -> int | None:
        """Return the exit code if it has ended, else None."""
        if self.code is None:
            ended, status = os.waitpid(self.process, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if ended else None
        return self.code

    def wait(self, seconds: float = 240) -> int:
        """Return the exit code once it has ended.

        Raises:
            Violation: it does not end.
        """
        deadline = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > deadline:
                os.kill(self.process, signal.SIGKILL)
                raise Violation(f"a training did not end within {seconds:g} s")
            time.sleep(0.002)
        return int(self.code or 0)

    def send(self, number: int) -> bool:
        """Send a signal, and return whether the training was still running."""
        if self.poll() is not None:
            return False
        os.kill(self.process, number)
        return True


def start(
    arguments: list[str],
    log: Path,
    *,
    drawn: bool = False,
    before: Callable[[], None] | None = None,
) -> Training:
    """Start `pyro-vae train` in a fork.

    Args:
        arguments: the command's.
        log: the file that its output goes to.
        drawn: whether the pictures are drawn; they take most of the time.
        before: what else is done in the child first.
    """
    steps = mmap.mmap(-1, 8)
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        _started.append(Training(process, log, steps))
        return _started[-1]
    code = 99
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        # pytest, and shells with jobs in the background, have changed these.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = [sys.argv[0], "train", *arguments]
        tqdm._instances.clear()  # type: ignore[attr-defined]  # The parent's own bar.
        _count_steps(steps)
        _draw_few() if drawn else _draw_nothing()
        if before:
            before()
        code = 0
        commands.run("train", arguments)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 99
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def end_all() -> None:
    """End the trainings that are still running, as after a violation."""
    for training in _started:
        training.send(signal.SIGKILL)
        training.wait()
    _started.clear()


def _count_steps(steps: mmap.mmap) -> None:
    counted = Bar.step

    def step(self: Bar) -> None:
        steps[:8] = struct.pack("q", struct.unpack("q", steps[:8])[0] + 1)
        counted(self)

    Bar.step = step  # type: ignore[method-assign]


def _draw_few() -> None:
    """Draw three of the pictures after the training; all of them take most of a minute."""
    all_of_them, few = train.draw, ["training_curves", "embedding_visualize", "traversals"]

    def draw(subject: Any, folder: Path) -> Any:
        return all_of_them(subject, folder, few)

    train.draw = draw  # type: ignore[attr-defined]


def _draw_nothing() -> None:
    """Draw empty pictures; what is drawn from the models stays as it is."""

    def empty(*_: object, **__: object) -> Figure:
        return Figure(figsize=(1, 1))

    for module in (reconstructions, samples):
        module.image_panels = empty  # type: ignore[attr-defined]
    train.draw = lambda *_, **__: []  # type: ignore[attr-defined]
    train.report.write = lambda *_, **__: None  # type: ignore[attr-defined]


def arguments_of(variant: str, images: Path) -> list[str]:
    """Return the arguments of a variant, without its folder."""
    return [*SMALL.split(), *VARIANTS[variant].replace("IMAGES", str(images)).split()]


def resume_command(text: str) -> list[str]:
    """Return the arguments of the command that a stopped training prints.

    Raises:
        Violation: it printed none.
    """
    found = _RESUME.search(text)
    if found is None:
        raise Violation("a stopped training did not say how to continue")
    return shlex.split(found[1])


def position(run: Run) -> int:
    """Return the number of steps that the newest sound checkpoint holds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, _ = checkpoints.newest_contents(run.last)
    unfinished = found["unfinished"]
    left = len(unfinished["totals"]["bounds"]) if unfinished else 0
    return len(found["history"]) * STEPS + left


def partial_files(folder: Path) -> list[str]:
    """Return what is left half-written in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.partial"))


def result(folder: Path) -> dict[str, str]:
    """Return hashes of what a training has reached: weights, optimizer, records, steps, codes.

    Times are left out.
    """
    return dict(_hashes(folder))


def _hashes(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix == ".pt" and not path.stem.endswith((".previous", ".damaged")):
            yield name, digest(torch.load(path, weights_only=True))
        elif path.name in ("history.json", "evaluation.json"):
            yield name, digest(json.loads(path.read_text()))
        elif path.suffix == ".csv" and path.parent.name == "training_progress":
            yield name, digest(path.read_text())
        elif path.suffix in (".png", ".html", ".gif"):
            yield name, "is there"


def digest(value: Any) -> str:
    """Return a hash of plain values and tensors, without times."""
    found = hashlib.sha256()
    for part in _bytes(value):
        found.update(part)
    return found.hexdigest()


def _bytes(value: Any) -> Iterator[bytes]:
    if isinstance(value, torch.Tensor):
        yield f"{value.dtype}{tuple(value.shape)}".encode()
        yield value.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, Mapping):
        for key in value:
            if key not in ("seconds", "train_seconds"):
                yield f"{key!r}:".encode()
                yield from _bytes(value[key])
    elif isinstance(value, list | tuple):
        yield f"{type(value).__name__}{len(value)}".encode()
        for item in value:
            yield from _bytes(item)
    else:
        yield f"{value!r};".encode()


@dataclass
class Reference:
    """A training that nothing disturbed.

    Attributes:
        arguments: of its command, without the folder.
        drawn: whether its pictures were drawn.
        seconds: how long it took.
        result: what it reached.
        beside: whether another training follows it.
    """

    arguments: list[str]
    drawn: bool
    seconds: float
    result: dict[str, str] = field(repr=False)
    beside: bool = False

    def new(self, folder: Path) -> list[str]:
        """Return the arguments that start it in a folder."""
        return [*self.arguments, "--out", str(folder)]

    def resumed(self, folder: Path) -> list[str]:
        """Return the arguments that continue it."""
        return ["--resume", "--out", str(folder), *["--with-autoencoder"] * self.beside]

    def check(self, folder: Path) -> None:
        """Compare what a disturbed training has reached.

        Raises:
            Violation: it is something else.
        """
        found = result(folder)
        other = {n for n in found.keys() | self.result.keys() if found.get(n) != self.result.get(n)}
        require(not other, f"other results: {', '.join(sorted(other))}")
        left = partial_files(folder)
        require(not left, f"half-written files are left: {', '.join(left)}")


class References:
    """References, each made when it is first needed.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: dict[str, Reference] = {}
        self._images: Path | None = None

    def __getitem__(self, variant: str) -> Reference:
        if variant not in self._made:
            self._made[variant] = self._make(variant)
        return self._made[variant]

    def folder_of(self, variant: str) -> Path:
        """Return the folder of a reference."""
        return self.folder / f"reference-{list(VARIANTS).index(variant)}"

    def _make(self, variant: str) -> Reference:
        if variant == STREAMED and self._images is None:
            self._images = images_in(self.folder / "images")
        arguments = arguments_of(variant, self._images or self.folder)
        folder, drawn = self.folder_of(variant), variant == DRAWN
        began = time.monotonic()
        training = start(
            [*arguments, "--out", str(folder)], self.folder / "reference.log", drawn=drawn
        )
        require(training.wait() == 0, f"the {variant} training fails:\n{training.text()}")
        seconds = time.monotonic() - began
        return Reference(arguments, drawn, seconds, result(folder), variant == BESIDE)
