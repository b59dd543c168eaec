"""The device that a model is trained on."""

import torch

from pyro_vae.training.failures import TrainingError


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """Return the named device, or else CUDA where available, else Apple's MPS, else the CPU.

    Raises:
        TrainingError: this machine has no such device.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise TrainingError(f"The device {name!r} cannot be used here: {reason}") from None
    if device.type == "meta":
        raise TrainingError("The device 'meta' holds shapes alone, and no numbers to train with.")
    return device
