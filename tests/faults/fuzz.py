"""Damaged inputs for every reader: of images (`fuzz_data`), and of what a run folder holds."""

import faulthandler
import json
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from fuzz_data import CASES, Case, mutated, of_damaged_record
from PIL import Image

from pyro_vae import checkpoints
from pyro_vae.errors import PyroVAEError
from pyro_vae.experiments import Experiment
from pyro_vae.training.records import (
    read_codes,
    read_numbers,
    read_records,
    read_settings,
    read_starts,
)
from pyro_vae.training.step_log import read_steps

from .trainings import require

SAVED = Path(__file__).parent.parent / "runs_of_0_1" / "finished"
#: The most that a reader may take: seconds of the processor, and bytes.
SECONDS, BYTES = 5.0, 2 << 30
WORKERS = 2
#: How many inputs a worker goes on after that were not answered as they must be.
_MOST_FAILURES = 20
#: How often a reader's turn comes, beside the others'.
_SELDOM = dict.fromkeys(("png", "jpg", "tiff", "gif", "bmp", "pgm", "tga"), 2)
_SELDOM["configuration"] = 1
_OFTEN = 4
_ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 1e39, 10**30, float("nan"), float("inf"), "", "x", "\x1b[2J", "../../x",
    [], [[]], {}, {"class_path": "os.system"}, "9" * 400, "\udcff",
)  # fmt: skip


class _Late(BaseException):
    """A reader takes too long."""


def run_files() -> dict[str, Case]:
    """Return a case for each reader of a run folder's files."""
    return {
        "configuration": _configuration,
        "settings": _file("config.yaml", read_settings),
        "history": _json("history.json", read_records),
        "evaluation": _json("evaluation.json", read_numbers),
        "provenance": _json("provenance.json", read_starts),
        "steps": _file("training_progress/steps_001.csv", lambda path: read_steps([path])),
        "codes": _archive("training_progress/codes_001.pt", read_codes),
        "checkpoint": _archive("model_weights/best_vae.pt", checkpoints.load),
        "last": _archive("model_weights/last.pt", checkpoints.contents),
    }


def _refused(read: Callable[[Path], Any], path: Path) -> None:
    try:
        read(path)
    except (PyroVAEError, OSError) as error:
        require(str(error).strip(), "an error without words")


def _file(name: str, read: Callable[[Path], Any]) -> Case:
    def case(rng: random.Random, folder: Path) -> None:
        path = folder / Path(name).name
        path.write_bytes(mutated(rng, _saved(name)))
        _refused(read, path)

    return case


def _json(name: str, read: Callable[[Path], Any]) -> Case:
    """Damage bytes of a JSON file, or put odd values into it."""

    def case(rng: random.Random, folder: Path) -> None:
        path = folder / name
        content = _saved(name)
        if rng.random() < 0.5:
            content = mutated(rng, content)
        else:
            content = json.dumps(_with_odd_values(rng, json.loads(content))).encode()
        path.write_bytes(content)
        _refused(read, path)

    return case


def _with_odd_values(rng: random.Random, value: Any) -> Any:
    if rng.random() < 0.1:
        return rng.choice(_ODD)
    if isinstance(value, dict):
        found = {key: _with_odd_values(rng, item) for key, item in value.items()}
        if found and rng.random() < 0.1:
            del found[rng.choice(list(found))]
        return found
    if isinstance(value, list):
        return [_with_odd_values(rng, item) for item in value for _ in range(rng.choice((1, 1, 2)))]
    return value


def _configuration(rng: random.Random, folder: Path) -> None:
    """Damage a configuration in a run folder, and open the run."""
    run = folder / "run"
    if not run.exists():
        shutil.copytree(SAVED, run)
    content = _saved("config.yaml")
    if rng.random() < 0.5:
        content = mutated(rng, content)
    else:
        lines = content.decode().splitlines()
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(lines))
            name = lines[at].partition(":")[0]
            lines[at] = f"{name}: {json.dumps(rng.choice(_ODD))}"
        content = "\n".join(lines).encode("utf-8", "surrogateescape")
    (run / "config.yaml").write_bytes(content)
    _refused(Experiment.open, run)


def _archive(name: str, read: Callable[[Path], Any]) -> Case:
    """Damage bytes of a file of tensors, or of a record whose checksum is then right."""

    def case(rng: random.Random, folder: Path) -> None:
        path = folder / Path(name).name
        content = _saved(name)
        path.write_bytes(
            mutated(rng, content) if rng.random() < 0.4 else of_damaged_record(rng, content)
        )
        _refused(read, path)

    return case


@cache
def _saved(name: str) -> bytes:
    content = (SAVED / name).read_bytes() if (SAVED / name).exists() else b""
    if not content and name == "provenance.json":  # Version 0.1 wrote none.
        content = json.dumps(
            [{"started": "2026-01-01", "command": "train", "versions": {"torch": "2"},
              "machine": {"cores": 2, "accelerator": None}}]
        ).encode()  # fmt: skip
    require(content, f"there is no {name} to damage")
    return content


def fuzz(count: int, seed: int, *, workers: int = WORKERS) -> Iterator[Counter]:
    """Read `count` damaged inputs, each made by its number and the seed, in worker processes.

    Yields:
        The number of inputs of each reader, some at a time.

    Raises:
        Violation: naming the inputs that were not answered in words, in time or in memory.
    """
    Image.init()
    cases = CASES | run_files()
    turns = [name for name in cases for _ in range(_SELDOM.get(name, _OFTEN))]
    shared = [mmap.mmap(-1, 16) for _ in range(workers)]
    with tempfile.TemporaryDirectory() as folder:
        running: dict[int, tuple[int, Path]] = {}
        for at, numbers in enumerate(range(first, count, workers) for first in range(workers)):
            place = Path(folder) / str(at)
            process = _worker(cases, turns, numbers, seed, place, shared[at])
            running[process] = (at, place.with_suffix(".log"))
        try:
            yield from _watched(running, shared, lambda number: turns[number % len(turns)])
        finally:
            for process in running:  # After a violation of another one.
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)


def _watched(
    running: dict[int, tuple[int, Path]], shared: list[mmap.mmap], reader: Callable[[int], str]
) -> Iterator[Counter]:
    """Wait for the workers, each with its number and its log; those that ended are taken out."""
    before, failed = 0, []
    while running:
        time.sleep(0.1)
        for process, (at, log) in list(running.items()):
            ended, status = os.waitpid(process, os.WNOHANG)
            if not ended:
                continue
            del running[process]
            if os.waitstatus_to_exitcode(status) != 0:
                number = struct.unpack("qq", shared[at][:16])[1]
                said = log.read_text()[-3000:]
                failed.append(f"up to input {number}, of the reader {reader(number)}:\n{said}")
        now = sum(struct.unpack("qq", each[:16])[0] for each in shared)
        yield Counter(inputs=now - before)
        before = now
    require(not failed, "\n".join(failed))


def _worker(
    cases: dict[str, Case],
    turns: list[str],
    numbers: range,
    seed: int,
    folder: Path,
    shared: mmap.mmap,
) -> int:
    process = os.fork()
    if process:
        return process
    code, bad = 1, 0
    try:
        output = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        _limit()
        for done, number in enumerate(numbers):
            shared[:16] = struct.pack("qq", done, number)
            name = turns[number % len(turns)]
            try:
                one(cases[name], f"{seed} {number}", folder)
            except BaseException:
                bad += 1
                print(f"\n{name}, input {number}:\n{traceback.format_exc()[-1200:]}", flush=True)
                shutil.rmtree(folder, ignore_errors=True)
            if bad >= _MOST_FAILURES:
                break
        shared[:8] = struct.pack("q", len(numbers))
        code = int(bad > 0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def one(case: Case, seed: str, folder: Path) -> None:
    """Read one damaged input, in a folder that is emptied afterward.

    Raises:
        BaseException: whatever the reader raises that it must not, or `_Late`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    faulthandler.dump_traceback_later(12 * SECONDS, exit=True)  # What waits takes no time.
    try:
        case(random.Random(seed), folder)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
    shutil.rmtree(folder, ignore_errors=True)


def _limit() -> None:
    """Bound the time and the memory of what this process does from now on."""

    def late(number: int, frame: FrameType | None) -> None:
        raise _Late

    signal.signal(signal.SIGPROF, late)
    torch.set_num_threads(1)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
