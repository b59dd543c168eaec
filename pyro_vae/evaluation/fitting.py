"""Whether images can be given to a model, and images from tensors and arrays."""

import logging
import warnings
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pyro_vae._arguments import Check, filled, in_short
from pyro_vae._modes import evaluating, seeded
from pyro_vae.data import ImageData
from pyro_vae.errors import ArgumentError, ArgumentTypeError
from pyro_vae.vae import VAE

SomeImages = Annotated[ImageData, filled(ImageData)]
"""One image or more."""
AnyImages = Annotated[
    ImageData | Tensor | np.ndarray, Check("images", lambda _: None)  # `as_images` checks them.
]
"""`ImageData`, or what `as_images` makes it of."""

ACCEPTED = (
    "ImageData, or a tensor or array of shape (N, C, H, W) or (N, H, W), of bytes (0 to 255) or "
    "of floats in [0, 1]"
)
#: The largest change of a float that is no more than the rounding of k/255.
_ROUNDING = 1e-5

logger = logging.getLogger("pyro_vae.evaluation")


def as_images(owner: str, given: Any, name: str = "images") -> ImageData:
    """Return images as `ImageData`: a tensor or an array of bytes, of booleans or of floats, too.

    Floats become the nearest of 256 levels, which is said where it changes them.

    Args:
        owner: the function that the error names.
        given: `ImageData`, or a tensor or array, (N, C, H, W) or (N, H, W).
        name: the argument that the error names.

    Raises:
        ArgumentTypeError: it is something else; of a `DataLoader` or a data set, the error says how
            to make `ImageData` of it.
        ArgumentError: the shape or the values are others; the error says how to change them.

    Example:
        >>> as_images("fit", torch.rand(5, 8, 8).round()).image_shape
        (1, 8, 8)
    """
    if isinstance(given, ImageData):
        return given
    if not isinstance(given, Tensor | np.ndarray):
        raise ArgumentTypeError(
            f"{owner}: {name} must be {ACCEPTED}, got {in_short(given)}.{_from_data_set(given)}"
        )
    problem = f"{owner}: {name} must be {ACCEPTED}, got {in_short(given)}"
    try:
        x = given if isinstance(given, Tensor) else _tensor_of(given)
    except (TypeError, ValueError, RuntimeError):
        raise ArgumentTypeError(f"{problem}.") from None
    if x.ndim not in (3, 4) or 0 in x.shape[1:]:
        raise ArgumentError(f"{problem}.")
    if x.ndim == 4 and x.shape[-1] in (1, 3) and x.shape[1] not in (1, 3):
        raise ArgumentError(f"{problem}: its channels come last; {_moved(given)} moves them.")
    return ImageData(_levels(x if x.ndim == 4 else x[:, None], problem))


def _tensor_of(array: np.ndarray) -> Tensor:
    """Return an array as a tensor, which has no backward strides and no byte order but its own."""
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(native if min(native.strides, default=0) >= 0 else native.copy())


def _levels(x: Tensor, problem: str) -> Tensor:
    """Return images as levels 0 to 255."""
    if x.dtype == torch.bool:
        return x.to(torch.uint8) * 255
    if x.dtype == torch.uint8:
        if len(x) and int(x.max()) == 1:
            raise ArgumentError(
                f"{problem}, all 0 or 1, of 255: if 1 is white, multiply them by 255."
            )
        return x
    if not x.is_floating_point():
        raise ArgumentTypeError(
            f"{problem}: if its values are levels from 0 to 255, convert them to uint8."
        )
    low, high = (float(x.min()), float(x.max())) if x.numel() else (0.0, 1.0)
    if not 0 <= low <= high <= 1:  # Nor with NaN.
        raise ArgumentError(f"{problem}, from {low:.4g} to {high:.4g}.{_rescaled(low, high)}")
    levels = (255 * x.detach()).round()
    change = float((levels / 255 - x).abs().max()) if x.numel() else 0.0
    if change > _ROUNDING:
        logger.warning(
            "Floats are kept as the nearest of 256 levels, k/255: the largest change is %.2g.",
            change,
        )
    return levels.to(torch.uint8)


def _rescaled(low: float, high: float) -> str:
    if -1 <= low < 0 and high <= 1:
        return " If they are from -1 to 1, give (x + 1) / 2."
    return " Divide levels from 0 to 255 by 255." if low >= 0 and high <= 255 else ""


def _moved(given: Tensor | np.ndarray) -> str:
    return "x.permute(0, 3, 1, 2)" if isinstance(given, Tensor) else "x.transpose(0, 3, 1, 2)"


def _from_data_set(given: object) -> str:
    """Return the line that makes `ImageData` of a loader's data set, or of a data set."""
    if isinstance(given, DataLoader):
        items, name = given.dataset, "loader.dataset"
    elif isinstance(given, Dataset):
        items, name = given, "dataset"
    else:
        return ""
    try:
        item: Any = items[0]
    except Exception:  # It is the user's own, and may be empty or read from a stream.
        item = None
    single = "each[0]" if isinstance(item, tuple | list) else "each"
    image = item[0] if isinstance(item, tuple | list) and item else item
    if isinstance(image, Tensor):
        stacked = f"torch.stack([{single} for each in {name}])"
        scaled = stacked if image.dtype == torch.uint8 else f"(255 * {stacked}).round().byte()"
    else:
        stacked = f"np.stack([np.array({single}) for each in {name}])"
        color = np.ndim(np.asarray(image)) == 3 if image is not None else False
        scaled = f"torch.from_numpy({stacked})" + (".movedim(-1, 1)" if color else ".unsqueeze(1)")
    return f" Make ImageData of its data set: images = ImageData({scaled})"


def require_images(owner: str, vae: VAE, images: ImageData, name: str = "images") -> None:
    """Refuse images of another shape than the model's, and none at all.

    Args:
        owner: the function that the error names.
        vae: the model.
        images: the images.
        name: the argument that the error names.

    Raises:
        ArgumentError: naming what was given and what is accepted.
    """
    if len(images) == 0:
        raise ArgumentError(f"{owner}: {name} is empty: at least one image is needed.")
    _require_shape(owner, vae, images.image_shape, name)
    _require_precision(owner, vae)


def require_batch(owner: str, vae: VAE, x: Tensor) -> None:
    """Refuse images x (B, C, H, W) of another shape than the model's.

    Raises:
        ArgumentError: naming what was given and what is accepted.
    """
    _require_shape(owner, vae, tuple(x.shape[1:]), "x")


def _require_shape(owner: str, vae: VAE, given: tuple[int, ...], name: str) -> None:
    with torch.no_grad(), seeded(0, vae.device):
        shape = tuple(vae.image_shape)
    if given != shape:
        raise ArgumentError(
            f"{owner}: {name} must have the model's shape {shape} (C, H, W), got {given}."
        )


def _require_precision(owner: str, vae: VAE) -> None:
    """Refuse a model of another precision than that of images, which are float32.

    A model that converts them is accepted.

    Raises:
        ArgumentError: it says how to convert the model.
    """
    dtype = vae.zeros(0).dtype
    if dtype == torch.float32:
        return
    x = torch.zeros(1, *vae.image_shape, device=vae.device)
    try:
        with torch.no_grad(), evaluating(vae), seeded(0, vae.device):
            vae.posterior(x)
    except RuntimeError as error:
        raise ArgumentError(
            f"{owner}: the model's parameters are {dtype}, but images are {x.dtype}: call "
            "vae.float() first."
        ) from error
