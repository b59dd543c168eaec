"""Checkpoints: a model as its description and its weights, without code that could be run.

A checkpoint holds only plain values and tensors and is loaded with `weights_only=True`. The `VAE`
is rebuilt from this library's classes, without the script that trained it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pyro_vae._files import whole_file
from pyro_vae._module import ForeignError, build, describe
from pyro_vae._spelling import old_names
from pyro_vae.errors import PyroVAEError
from pyro_vae.vae import VAE


class CheckpointError(PyroVAEError, ValueError):
    """A checkpoint cannot be read, or its weights do not fit the model."""


class ForeignPartError(CheckpointError):
    """A slot of a checkpoint comes from outside this library, and must be passed to `load`."""


def save(vae: VAE, path: str | Path, **extra: Any) -> None:
    """Write a model to one file, which appears under its name only when it is complete.

    Args:
        vae: the model.
        path: the file to write.
        extra: further plain values and tensors to keep in it.

    Example:
        >>> import tempfile
        >>> from pyro_vae import load, likelihoods, networks, posteriors, priors
        >>> vae = VAE(
        ...     priors.StandardNormal(2),
        ...     likelihoods.Normal(networks.MLPDecoder(2, (1, 8, 8))),
        ...     posteriors.DiagonalNormal(networks.MLPEncoder((1, 8, 8)), 2),
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(vae, f"{folder}/vae.pt")
        ...     other = load(f"{folder}/vae.pt")
        >>> z = torch.zeros(1, 2)
        >>> torch.equal(other.images(z), vae.images(z))
        True
    """
    seen: dict[int, int] = {}
    # The posterior comes first, so that a prior that shares it can refer to it.
    order = ("posterior", "prior", "likelihood")
    slots = {slot: describe(getattr(vae, slot), seen) for slot in order}
    weights = {name: value.detach().cpu() for name, value in vae.state_dict().items()}
    with whole_file(Path(path)) as partial:
        torch.save({"slots": slots, "weights": weights, **extra}, partial)


def load(
    path: str | Path, *, device: str | torch.device = "cpu", **slots: nn.Module | Callable[..., Any]
) -> VAE:
    """Rebuild a model, in evaluation mode, as the example of `save` shows.

    Args:
        path: a file that `save` wrote.
        device: the device to put the model on.
        slots: a new `prior`, `likelihood` or `posterior` in place of one that comes from outside
            this library. Its weights are replaced by the saved ones.

    Raises:
        CheckpointError: the file is missing, is not a checkpoint, or does not fit the slots.
        ForeignPartError: a slot comes from outside this library and is not passed.
    """
    saved = contents(path)
    made: list[Any] = []
    parts = {slot: _part(slot, saved["slots"][slot], made, slots) for slot in saved["slots"]}
    vae = VAE(**parts)
    try:
        vae.load_state_dict(saved["weights"])
    except RuntimeError as error:
        raise CheckpointError(
            f"The weights in {path} do not fit the slots that were passed, which must be as those "
            f"that were saved. {error}"
        ) from None
    return vae.to(device).eval()


def contents(path: str | Path) -> dict[str, Any]:
    """Return the contents of a checkpoint, with tensors on the CPU.

    Raises:
        CheckpointError: the file is missing or is not a checkpoint.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint at {path}.") from None
    except Exception as error:
        raise CheckpointError(f"{path} is not a readable checkpoint: {error}") from None
    if not isinstance(found, dict) or not {"slots", "weights"} <= found.keys():
        raise CheckpointError(f"{path} was written by torch, but it is not a checkpoint.")
    return found


__getattr__ = old_names(__name__, {"read": contents})


def _part(slot: str, description: Any, made: list[Any], given: dict[str, Any]) -> Any:
    if slot in given:
        return given[slot]
    try:
        return build(description, made)
    except ForeignError as error:
        raise ForeignPartError(
            f"The {slot} was made with {error.name}, which is not part of pyro_vae: "
            f"make it again and pass it, load(path, {slot}=...)."
        ) from None
