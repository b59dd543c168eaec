"""The group of processes: joining and leaving it, and what its members agree upon."""

import logging
import os
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from datetime import timedelta
from itertools import chain, zip_longest
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from pyro_vae._modes import random_state, seeded, set_random_state
from pyro_vae.errors import PyroVAEError

#: How long a process waits for one that is alive and does not answer; a dead one ends the wait at
#: once. The first process may download data or draw pictures meanwhile.
TIMEOUT = timedelta(minutes=30)
#: How long a process that failed waits for the others to fail in the same place.
ALIKE = timedelta(seconds=30)
#: The environment by which `torchrun` tells a process of the others.
_TOLD = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

T = TypeVar("T")
_alone: ContextVar[bool] = ContextVar("alone", default=False)
#: The default group, and those beside it, of CPU tensors: for decisions, and for failures.
_groups: tuple[Any, Any, Any] = (None, None, None)


class ProcessError(PyroVAEError, RuntimeError):
    """One of several processes was lost, failed alone, or cannot work with the others."""

    exit_code = 1


def join() -> None:
    """Join the processes that `torchrun` started beside this one; a second call does nothing.

    They talk through NCCL about tensors on CUDA and through gloo about others. A process group
    that was initialized before is used as it is.
    """
    if not dist.is_available() or dist.is_initialized() or not all(n in os.environ for n in _TOLD):
        return
    if int(os.environ["WORLD_SIZE"]) == 1:
        return
    cuda = torch.cuda.is_available() and dist.is_nccl_available()
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=TIMEOUT)
    agreed(0)  # Until all are connected, nobody may end: the first one keeps their addresses.


def leave() -> None:
    """Leave the group: this process then works alone."""
    global _groups
    _groups = (None, None, None)
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def alone() -> Iterator[None]:
    """Let this process work within a block as if there were no others."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def world_size() -> int:
    """Return the number of processes that work together."""
    return dist.get_world_size() if _grouped() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if _grouped() else 0


def is_first() -> bool:
    """Return whether this process is the one that writes files and messages."""
    return rank() == 0


def local_rank() -> int:
    """Return the number of this process among those of its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", rank())) if _grouped() else 0


def local_processes() -> int:
    """Return the number of processes of this machine that work together."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", world_size())) if _grouped() else 1


def by_first(make: Callable[[], T]) -> T:
    """Call a function in the first process alone; return its result, or raise its error, in all.

    Raises:
        ProcessError: the first process was lost.
    """
    if world_size() == 1:
        return make()
    result: Any = None
    error: Exception | None = None
    if is_first():
        try:
            with alone():
                result = make()
        except Exception as raised:
            error = raised
    result, error = _broadcast((result, error))
    if error is not None:
        raise error
    return result


def do_first(action: Callable[[], object]) -> None:
    """Do in the first process alone what leaves files, say; raise its error in all.

    Raises:
        ProcessError: the first process was lost.
    """

    def done() -> None:  # What an action returns need not be such that it can be sent.
        action()

    by_first(done)


def first_then_all(make: Callable[[], T]) -> T:
    """Call a function in the first process, which may download, say; then in all others."""
    made: list[T] = []
    do_first(lambda: made.append(make()))
    return made[0] if made else make()


@contextmanager
def first_only(context: Callable[[], AbstractContextManager[Any]]) -> Iterator[None]:
    """Enter a context in the first process alone; an error in entering it is raised in all."""
    with ExitStack() as stack:
        do_first(lambda: stack.enter_context(context()))
        yield


def agreed(*values: int) -> tuple[int, ...]:
    """Return the largest that any process has, of each value.

    Raises:
        ProcessError: a process was lost.
    """
    if world_size() == 1:
        return values
    largest = torch.tensor(values, dtype=torch.int64, device="cpu")
    with _connected():
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=_decision_group())
    return tuple(largest.tolist())


def interleaved(own: Sequence[T]) -> list[T]:
    """Return the results of all processes, which took turns, in the order of the turns.

    Args:
        own: this process's, of turns `rank()`, `rank() + world_size()`, and so on. Their tensors
            are best on the CPU.
    """
    if world_size() == 1:
        return list(own)
    found: list[Any] = [None] * world_size()
    with _connected():
        dist.all_gather_object(found, list(own), group=_decision_group())
    missing = object()
    turns = chain.from_iterable(zip_longest(*found, fillvalue=missing))
    return [each for each in turns if each is not missing]


def align(module: nn.Module, device: torch.device) -> None:
    """Give every process the first one's weights, buffers and random state."""
    if world_size() == 1:
        return
    with _connected(), torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            whole = tensor.contiguous()
            dist.broadcast(whole, 0)
            tensor.copy_(whole)
    set_random_state(by_first(lambda: random_state(device)), device)


@contextmanager
def own_draws(device: torch.device) -> Iterator[None]:
    """Draw other numbers in every process within a block; afterward all continue alike."""
    if world_size() == 1:
        yield
        return
    seed = int(torch.randint(2**62, (), device="cpu"))
    with seeded(seed + rank(), device):
        yield


@contextmanager
def joined() -> Iterator[None]:
    """Join the others, if there are any; within the block, only the first shows messages."""
    join()
    if is_first():
        yield
        return
    logger = logging.getLogger("pyro_vae")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


@contextmanager
def together() -> Iterator[None]:
    """Pass on an error that all processes raise within a block; end where only some do.

    Those that did not fail wait for those that did, so that nothing can be agreed with them.

    Raises:
        ProcessError: this process failed alone, or another was lost.
    """
    if world_size() == 1:
        yield
        return
    try:
        yield
    except ProcessError:
        raise
    except Exception as error:
        if not _all_failed():
            raise _lost(error) from error
        raise


def _grouped() -> bool:
    # In this order: torch.compile traces the first two, and breaks a graph at the last.
    return dist.is_available() and dist.is_initialized() and not _alone.get()


def _groups_beside() -> tuple[Any, Any]:
    """Return the groups for decisions and for failures, in which gradients are never summed."""
    global _groups
    if _groups[0] is not dist.group.WORLD:
        _groups = (
            dist.group.WORLD,
            dist.new_group(backend="gloo", timeout=TIMEOUT),
            dist.new_group(backend="gloo", timeout=ALIKE),
        )
    return _groups[1], _groups[2]


def _decision_group() -> Any:
    return _groups_beside()[0]


def _broadcast(value: T) -> T:
    """Return the first process's value; an error that cannot be sent becomes one that can."""
    sent = [_sendable(value) if is_first() else None]
    with _connected():
        dist.broadcast_object_list(sent, 0, group=_decision_group(), device=torch.device("cpu"))
    return value if is_first() else sent[0]  # type: ignore[return-value]


def _sendable(value: Any) -> Any:
    result, error = value
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = ProcessError(f"The first process failed: {error}")
    return result, error


def _all_failed() -> bool:
    try:
        dist.barrier(_groups_beside()[1])
    except RuntimeError:
        return False
    return True


@contextmanager
def _connected() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # What gloo raises has no type of its own.
        raise _lost(error) from error


def _lost(error: Exception) -> ProcessError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return ProcessError(
        f"Process {dist.get_rank()} of {dist.get_world_size()} failed or lost another: {reason} "
        "The last checkpoint, where there is one, is whole: resume the training from it."
    )
