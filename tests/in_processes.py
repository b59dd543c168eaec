"""Functions called in several processes at once, which find one another as under `torchrun`."""

import multiprocessing
import os
import pickle
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

#: The processes begin as copies of this one: nothing is imported anew.
_FORK = multiprocessing.get_context("fork")


def environment(rank: int, size: int, port: int) -> dict[str, str]:
    """What `torchrun` tells a process of the others."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    told |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return {name: str(value) for name, value in told.items()}


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def started(size: int, function: Callable[..., Any], folder: Path, *arguments: Any) -> list[Any]:
    """Start `size` processes that call a function; `results` waits for what they return."""
    folder.mkdir(parents=True, exist_ok=True)
    port, processes = free_port(), []
    for rank in range(size):
        given = (environment(rank, size, port), folder / f"{rank}.pkl", function, arguments)
        processes.append(_FORK.Process(target=_call, args=given))
        processes[-1].start()
    return processes


def results(processes: list[Any], folder: Path, seconds: float = 300) -> list[Any]:
    """What each process returned or raised, or None of one that was killed."""
    for process in processes:
        process.join(seconds)
        if process.is_alive():
            process.kill()
            raise AssertionError(f"process {process.name} did not end")
    paths = [folder / f"{rank}.pkl" for rank in range(len(processes))]
    return [pickle.loads(path.read_bytes()) if path.exists() else None for path in paths]


def in_processes(size: int, function: Callable[..., Any], folder: Path, *arguments: Any) -> Any:
    """What a function returned in each of `size` processes."""
    found = results(started(size, function, folder, *arguments), folder)
    for each in found:
        assert not isinstance(each, BaseException), f"{each!r}\n{each.__notes__}"
    return found


def _call(told: dict[str, str], path: Path, function: Callable[..., Any], given: Any) -> None:
    os.environ |= told
    torch.set_num_threads(1)
    try:
        result = function(*given)
    except BaseException as error:
        error.add_note(traceback.format_exc())
        error.__traceback__ = error.__cause__ = None
        result = error
    path.write_bytes(pickle.dumps(result))
    os._exit(0)  # Nothing of the copied process is ended, such as pytest's own.
