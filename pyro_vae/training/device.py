"""The device that a model is trained on."""

import logging

import torch
from torch.nn import functional as F

from pyro_vae.processes import world_size
from pyro_vae.processes.group import agreed, local_processes, local_rank
from pyro_vae.training.failures import DeviceError

#: What torch raises where a device is unknown, missing, too old, out of memory or broken.
_FAILURES = (AssertionError, ImportError, RuntimeError, TypeError, ValueError)

#: What a process among several found, from the best to the worst.
_CPU, _CUDA, _FAILED, _REFUSED = range(4)
_UNUSED = "The device %s is here, but is not used: %s."

logger = logging.getLogger("pyro_vae.training")


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """Return the named device, or else CUDA where available, else Apple's MPS, else the CPU.

    A device is tried before it is returned. One that was found, not named, and fails is left for
    the next, with a warning. Of several processes, each has a CUDA device of its own, whichever is
    named, or all have the CPU.

    Raises:
        DeviceError: the named device cannot be used; it says why, and which can.
    """
    if world_size() > 1:
        return _of_several(name)
    if name is not None:
        return _named(name)
    for found in _accelerators():
        try:
            return _tried(found)
        except _FAILURES as error:
            logger.warning(_UNUSED, found, _reason(error))
    return torch.device("cpu")


def _of_several(name: str | torch.device | None) -> torch.device:
    """Return the device of this process among several, whose kind may be named.

    All have CUDA devices, or all have the CPU: what each found is compared, whatever it is.

    Raises:
        DeviceError: there is not one for each process, or one that was named fails.
    """
    kind = str(name).partition(":")[0] if name is not None else _kind()
    own, state, reason = torch.device("cpu"), _CPU, ""
    if kind not in ("cuda", "cpu"):
        state = _REFUSED
        reason = (
            f"The device {kind!r} cannot be shared by {world_size()} processes: choose cuda, of "
            "which each takes one, or cpu."
        )
    elif kind == "cuda" and local_processes() > (devices := torch.cuda.device_count()):
        state = _REFUSED
        reason = (
            f"{local_processes()} processes are on this machine, and it has {devices} CUDA "
            f"device{'s' * (devices != 1)}: start one process for each, or choose the device cpu."
        )
    elif kind == "cuda":
        try:
            own, state = _tried(f"cuda:{local_rank()}"), _CUDA
        except _FAILURES as error:
            state, reason = _FAILED, _reason(error)
    worst, best = agreed(state, -state)
    if worst == _REFUSED:
        raise DeviceError(reason or "Another process has no device: see what it says.")
    if worst == -best and worst != _FAILED:
        return own
    if state != _FAILED:
        reason = "another process has none that works"
    if name is not None and kind == "cuda":
        raise DeviceError(f"The device 'cuda' cannot be used here: {reason}. Choose cpu.")
    if kind == "cuda":
        logger.warning(_UNUSED, f"cuda:{local_rank()}", reason)
    return torch.device("cpu")


def _kind() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _named(name: str | torch.device) -> torch.device:
    try:
        return _tried(name)
    except DeviceError:
        raise
    except _FAILURES as error:
        reason = _reason(error) if _is_device(name) else "torch knows no such device"
        usable = " or ".join([*filter(_works, _accelerators()), "cpu"])
        raise DeviceError(
            f"The device {str(name)!r} cannot be used here: {reason}. Choose {usable}, or name "
            "none."
        ) from None


def _is_device(name: str | torch.device) -> bool:
    try:
        torch.device(name)
    except (RuntimeError, TypeError):
        return False
    return True


def _accelerators() -> list[str]:
    """Return the names of the accelerators that torch finds, the preferred one first."""
    found = []
    if torch.cuda.is_available():
        found += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def _works(name: str) -> bool:
    try:
        _tried(name)
    except _FAILURES:
        return False
    return True


def _tried(name: str | torch.device) -> torch.device:
    """Return a device that computes what networks need: sums, products and convolutions.

    Raises:
        DeviceError: it holds no numbers.
        Exception: it fails; one of `_FAILURES`.
    """
    x = torch.ones(4, 4, device=name)
    if x.device.type == "meta":
        raise DeviceError("The device 'meta' holds shapes alone, and no numbers to train with.")
    image = x[None, None]
    total = (x @ x).sum() + F.conv2d(image, image).sum()
    if total.item() != 80:  # Reading it waits for the device, whose errors come late.
        raise RuntimeError("it computes wrong numbers")
    return x.device


def _reason(error: Exception) -> str:
    """Return why a device fails, in one line."""
    # These come from the build of PyTorch; other errors of torch tell of the device itself.
    if isinstance(error, AssertionError | ImportError | NotImplementedError):
        return f"PyTorch {torch.__version__}, as installed, was built without it"
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
