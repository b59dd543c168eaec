"""Checkpoints: a model as its description and its weights, and nothing that can run code.

A checkpoint holds plain values and tensors only, is loaded with `weights_only=True`, and rebuilds
the `VAE` from this library's classes without the script that trained it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pyro_vae.module import ForeignError, build, describe
from pyro_vae.runs import whole_file
from pyro_vae.vae import VAE


class CheckpointError(ValueError):
    """A checkpoint cannot be read or does not fit."""


class ForeignPartError(CheckpointError):
    """A checkpoint holds a slot of the user's own, which must be handed over."""


def save(vae: VAE, path: str | Path, **extra: Any) -> None:
    """Write a model, and any `extra` plain values and tensors, to one file.

    The file appears under its name only when it is complete.
    """
    seen: dict[int, int] = {}
    # The posterior first: a prior that shares it then refers to it.
    order = ("posterior", "prior", "likelihood")
    slots = {slot: describe(getattr(vae, slot), seen) for slot in order}
    weights = {name: value.detach().cpu() for name, value in vae.state_dict().items()}
    with whole_file(Path(path)) as partial:
        torch.save({"slots": slots, "weights": weights, **extra}, partial)


def load(
    path: str | Path, *, device: str | torch.device = "cpu", **slots: nn.Module | Callable
) -> VAE:
    """Rebuild a model, in evaluation mode.

    Args:
        path: a file that `save` wrote.
        device: where the model shall live.
        slots: `prior`, `likelihood` or `posterior` where the saved one was your own: built anew
            by you, with any weights; the saved weights are put in.

    Raises:
        CheckpointError: the file is missing or no checkpoint.
        ForeignPartError: a slot of your own is not given.
    """
    saved = read(path)
    made: list = []
    parts = {slot: _part(slot, saved["slots"][slot], made, slots) for slot in saved["slots"]}
    vae = VAE(**parts)
    try:
        vae.load_state_dict(saved["weights"])
    except RuntimeError as error:
        raise CheckpointError(f"The weights in {path} do not fit the model: {error}") from None
    return vae.to(device).eval()


def read(path: str | Path) -> dict[str, Any]:
    """The contents of a checkpoint, with tensors on the CPU.

    Raises:
        CheckpointError: the file is missing or no checkpoint.
    """
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint at {path}.") from None
    except Exception as error:
        raise CheckpointError(f"{path} is not a readable checkpoint: {error}") from None
    if not isinstance(contents, dict) or not {"slots", "weights"} <= contents.keys():
        raise CheckpointError(f"{path} is a file of torch, but no checkpoint of pyro_vae.")
    return contents


def _part(slot: str, description: Any, made: list, given: dict[str, Any]) -> Any:
    if slot in given:
        return given[slot]
    try:
        return build(description, made)
    except ForeignError as error:
        raise ForeignPartError(
            f"The {slot} was made with {error.name}, which is not part of pyro_vae: "
            f"build it yourself and hand it over, load(path, {slot}=...)."
        ) from None
