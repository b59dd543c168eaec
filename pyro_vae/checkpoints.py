"""Checkpoints: a model as its description and its weights, without code that could be run.

A checkpoint holds only plain values and tensors, and is read with `weights_only=True` once the
checksum of every record is verified. The `VAE` is rebuilt from this library's slots and networks,
without the script that trained it, in no more memory than its weights account for.
"""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from pyro_vae._allowance import Allowance
from pyro_vae._arguments import in_short
from pyro_vae._files import previous
from pyro_vae._module import ForeignError, build, describe
from pyro_vae._spelling import old_names
from pyro_vae._tensors import DamagedFileError, load_tensors, not_finite, save_tensors
from pyro_vae.errors import PyroVAEError
from pyro_vae.vae import VAE

FORMAT = 1
"""The format of checkpoints; those of version 0.1 of this library name none, and are read."""
SLOTS = ("posterior", "prior", "likelihood")
"""In this order, so that a prior that shares the posterior can refer to it."""
BEST = Path("model_weights") / "best_vae.pt"
"""Where a run folder keeps its best weights."""
#: The values that may be made to rebuild a model, and more for each that its file holds. A mixture
#: of Gaussians makes seven for each of its weights, most of them in vain, and others two; a prior
#: that shares the decoder runs it once, and a flow makes squares of its outputs.
_VALUES, _VALUES_FOR_EACH = 10**8, 20
#: The tensors that may be made, and more for each that the file holds: a flow makes seven.
_OPERATIONS, _OPERATIONS_FOR_EACH = 10**4, 20


class CheckpointError(PyroVAEError, ValueError):
    """A checkpoint cannot be read, or its weights do not fit the model."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint is missing, or is not what was written."""


class ForeignPartError(CheckpointError):
    """A slot of a checkpoint comes from outside this library, and must be passed to `load`."""


def save(vae: VAE, path: str | Path, *, within: Path | None = None, **extra: Any) -> None:
    """Write a model to one file, which appears under its name only when it is complete.

    A link is followed. A file that is replaced passes its permissions on, and stays as it was if
    the disk is full.

    Args:
        vae: the model.
        path: the file to write.
        within: a folder that the file must lie in, links followed.
        extra: further plain values and tensors to keep in it.

    Raises:
        OSError: the file cannot be written.

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
    save_tensors(Path(path), description(vae) | extra, within=within)


def description(vae: VAE) -> dict[str, Any]:
    """Return a model as plain values and CPU tensors: its slots and its weights."""
    seen: dict[int, int] = {}
    slots = {slot: describe(getattr(vae, slot), seen) for slot in SLOTS}
    return {"format": FORMAT, "slots": slots, "weights": weights_of(vae)}


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Return copies of a module's parameters and buffers, contiguous, on the CPU."""
    found, layout = module.state_dict(), torch.contiguous_format
    return {
        name: value.detach().to("cpu", copy=True, memory_format=layout)
        for name, value in found.items()
    }


def load(
    path: str | Path, *, device: str | torch.device = "cpu", **slots: nn.Module | Callable[..., Any]
) -> VAE:
    """Rebuild a model, in evaluation mode, as the example of `save` shows.

    Opening a file runs no code of its writer, whoever that was.

    Args:
        path: a file that `save` wrote, or a run folder, whose best weights are taken.
        device: the device to put the model on.
        slots: a new `prior`, `likelihood` or `posterior` in place of one that comes from outside
            this library. Its weights are replaced by the saved ones.

    Raises:
        CheckpointError: the file is missing, is damaged, is not a checkpoint, or does not fit the
            slots.
        ForeignPartError: a slot comes from outside this library and is not passed.
    """
    path = Path(path) / BEST if Path(path).is_dir() else path
    return rebuilt(contents(path), path, **slots).to(device)


def rebuilt(saved: Mapping[str, Any], path: str | Path, **slots: Any) -> VAE:
    """Rebuild a model from the contents of a checkpoint, on the CPU, in evaluation mode.

    Args:
        saved: what `contents` returned.
        path: where it came from, for messages.
        slots: as `load` takes them.

    Raises:
        CheckpointError: the contents do not fit each other, or the slots.
        ForeignPartError: a slot comes from outside this library and is not passed.
    """
    for slot in slots.keys() - set(SLOTS):
        raise CheckpointError(f"There is no slot {slot!r}. Known: {', '.join(SLOTS)}.")
    with _allowed(saved):
        vae = _made(saved, path, slots)
    kinds = {each.dtype for each in saved["weights"].values() if each.is_floating_point()}
    if len(kinds) == 1:  # It was saved in another precision, perhaps.
        vae.to(*kinds)
    described = {slot: getattr(vae, slot) for slot in SLOTS if slot not in slots}
    _compare(nn.ModuleDict(described).state_dict(), saved["weights"], path)
    give_weights(vae, saved["weights"], f"The weights in {path}")
    for name in not_finite(vae.state_dict()):  # One of double precision may not fit here.
        raise CheckpointError(f"{path} holds weights that are not finite here: {name}.")
    return vae.eval()


def _allowed(saved: Mapping[str, Any]) -> Allowance:
    """Return a context in which no more is made than the contents of a checkpoint account for."""
    held = [*saved["weights"].values(), *tree_leaves(saved["slots"])]
    stored = sum(each.numel() for each in held if isinstance(each, Tensor))
    operations = _OPERATIONS + _OPERATIONS_FOR_EACH * len(saved["weights"])
    return Allowance(_VALUES + _VALUES_FOR_EACH * stored, operations)


def give_weights(vae: nn.Module, weights: Mapping[str, Tensor], named: str) -> None:
    """Give a model saved weights.

    Args:
        vae: the model.
        weights: as `weights_of` returns them.
        named: what they are, for the message.

    Raises:
        CheckpointError: they are another model's.
    """
    try:
        vae.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{named} do not fit the slots that were passed, which must be as those that were "
            f"saved. {error}"
        ) from None


def contents(path: str | Path, *, within: Path | None = None) -> dict[str, Any]:
    """Return the contents of a checkpoint, with tensors on the CPU.

    Args:
        path: a file that `save` wrote.
        within: a folder that the file must lie in, links followed.

    Raises:
        CheckpointError: the file is missing, is damaged, or is not a checkpoint.
    """
    try:
        found = load_tensors(Path(path), within=within)
    except FileNotFoundError:
        raise DamagedCheckpointError(f"There is no checkpoint at {path}.") from None
    except DamagedFileError as error:
        raise DamagedCheckpointError(f"{path} is not a readable checkpoint: {error}") from None
    except OSError as error:
        raise CheckpointError(f"{path} is not a readable checkpoint: {error}") from None
    _check_structure(found, path)
    return dict(found)


def newest_contents(path: str | Path, *, within: Path | None = None) -> tuple[dict[str, Any], Path]:
    """Return the contents of a checkpoint of a run, and where they are from.

    Where it is damaged, they are those of the one before it, which a run keeps beside it; a warning
    says so.

    Raises:
        CheckpointError: neither can be read.
    """
    path = Path(path)
    try:
        return contents(path, within=within), path
    except DamagedCheckpointError as error:  # What cannot be read now may be sound.
        before = previous(path)
        if not before.exists():
            raise
        found = contents(before, within=within)
        warnings.warn(f"{error} The one before it is used: {before}.", UserWarning, stacklevel=2)
        return found, before


__getattr__ = old_names(__name__, {"read": contents})


def _check_structure(found: Any, path: str | Path) -> None:
    if not isinstance(found, dict) or not {"slots", "weights"} <= found.keys():
        raise CheckpointError(f"{path} was written by torch, but it is not a checkpoint.")
    version = found.get("format", 0)
    if type(version) is not int or version not in range(FORMAT + 1):
        raise CheckpointError(
            f"{path} has the format {in_short(version)} of another version of pyro_vae; this one "
            f"reads formats up to {FORMAT}: update it (pip install --upgrade pyro-vae)."
        )
    slots, weights = found["slots"], found["weights"]
    sound = isinstance(slots, dict) and isinstance(weights, dict) and set(slots) == set(SLOTS)
    if not sound or not all(type(k) is str and type(v) is Tensor for k, v in weights.items()):
        raise CheckpointError(f"{path} is not a checkpoint: its slots or weights are missing.")
    for name in not_finite(weights):
        raise CheckpointError(f"{path} holds weights that are not finite: {name}.")


def _compare(described: Mapping[str, Tensor], stored: Mapping[str, Tensor], path: Any) -> None:
    for name, value in described.items():
        found = stored[name].shape if name in stored else None
        if found != value.shape:
            raise CheckpointError(
                f"The weights in {path} do not fit the slots: {name} is described as "
                f"{tuple(value.shape)} and stored as {found and tuple(found)}."
            )


def _made(saved: Mapping[str, Any], path: str | Path, slots: Mapping[str, Any]) -> VAE:
    made: list[Any] = []
    parts = {slot: _part(slot, saved["slots"][slot], made, slots, path) for slot in SLOTS}
    try:
        return VAE(**parts)
    except CheckpointError:
        raise
    except Exception as error:  # The slots of a damaged description fail in many ways.
        raise CheckpointError(f"The slots in {path} do not fit each other: {error}") from error


def _part(
    slot: str, description: Any, made: list[Any], given: Mapping[str, Any], path: str | Path
) -> Any:
    if slot in given:
        return given[slot]
    try:
        part = build(description, made)
    except ForeignError as error:
        raise ForeignPartError(
            f"The {slot} was made with {error.name}, which is not one of pyro_vae's slots and "
            f"networks: make it again and pass it, load(path, {slot}=...)."
        ) from None
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"The {slot} in {path} cannot be rebuilt: {error}") from error
    if not callable(part):
        raise CheckpointError(f"The {slot} in {path} is not a distribution's: {in_short(part)}.")
    return part
