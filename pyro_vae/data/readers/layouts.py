"""The layouts of image arrays, brought to (N, C, H, W), or refused with what to write instead."""

import math

import numpy as np

from pyro_vae.data.messages import DataError

_MOST_CHANNELS = 4


def to_nchw(array: np.ndarray, what: str, count: int | None = None) -> np.ndarray:
    """Return a view of images as (N, C, H, W).

    Args:
        array: (N, H, W), (N, H, W, C) or (N, C, H, W).
        what: the name of the array in messages.
        count: the number of images, where it is known, as from labels; 0 for an array that may
            be a single picture, or have its images last, which is then asked about.

    Raises:
        DataError: the layout is another, or likelier another.
    """
    if array.ndim == 3:
        if count == 0 or (count == array.shape[2] and count != len(array)):
            _ask_about(array.shape, what)
        return array[:, None]
    if array.ndim != 4:
        raise DataError(_other_dimensions(array.shape, what))
    first, last = array.shape[1] <= _MOST_CHANNELS, array.shape[3] <= _MOST_CHANNELS
    if array.shape[1] == 1 < array.shape[3]:
        last = False  # One channel is likelier than a height of one pixel.
    if first == last:
        raise DataError(_unclear_channels(array.shape, what, both=first))
    return array if first else array.transpose(0, 3, 1, 2)


def _ask_about(shape: tuple[int, ...], what: str) -> None:
    """Refuse three dimensions that are likelier one picture, or images along the last."""
    first, second, last = shape
    images = f"{first} images of {second}×{last}"
    keep = "if they are those images, save x[:, None]"
    if last <= _MOST_CHANNELS < min(first, second):
        raise DataError(
            f"{what} has shape {shape}: likelier one picture of {first}×{second} in {last} "
            f"channels than {images}: save many pictures as (N, H, W, C); {keep}"
        )
    if first in (3, 4) and min(second, last) > _MOST_CHANNELS:
        raise DataError(
            f"{what} has shape {shape}: likelier one picture of {second}×{last} in {first} "
            f"channels than {images}: save many pictures as (N, C, H, W); {keep}"
        )
    if first == second != last:
        raise DataError(
            f"{what} has shape {shape}: likelier {last} images of {first}×{second}, along the last "
            f"dimension, than {images}: save x.transpose(2, 0, 1); {keep}"
        )


def _other_dimensions(shape: tuple[int, ...], what: str) -> str:
    message = f"{what} has shape {shape}: reshape it to (N, H, W), (N, H, W, C) or (N, C, H, W)"
    side = math.isqrt(shape[1]) if len(shape) == 2 else 0
    if side > 1 and side * side == shape[1]:
        return f"{message}, for square images by x.reshape(-1, {side}, {side})"
    if len(shape) == 5:
        channels_first = shape[1] <= _MOST_CHANNELS
        depth, height, width = shape[2:] if channels_first else shape[1:4]
        channels = shape[1] if channels_first else shape[4]
        if channels == 1:
            return f"{message}; {_slices(shape[0], depth, height, width)}"
    return message


def _unclear_channels(shape: tuple[int, ...], what: str, *, both: bool) -> str:
    if both:
        return (
            f"{what} has shape {shape}: either the second or the last dimension could be the "
            f"channels (at most {_MOST_CHANNELS}); give larger images, or make an ImageData of a "
            "tensor"
        )
    head = (
        f"{what} has shape {shape}: neither the second nor the last dimension could be the "
        f"channels (at most {_MOST_CHANNELS}, so that they are told apart from heights and widths)"
    )
    if shape[2] <= _MOST_CHANNELS:
        return (
            f"{head}; if the images lie along the last, as MATLAB saves them, save "
            "x.transpose(3, 2, 0, 1)"
        )
    few = [size for size in (shape[1], shape[3]) if size < 16 and size != shape[2]]
    channels = "for more channels, make an ImageData of a tensor (N, C, H, W)"
    return f"{head}; {channels}" if few else f"{head}; {_slices(*shape)}; {channels}"


def _slices(count: int, depth: int, height: int, width: int) -> str:
    """Return what volumes are called, and how their slices become images."""
    return (
        f"if these are {count} volumes of {depth}×{height}×{width}, take their slices as images: "
        f"x.reshape(-1, {height}, {width}), with numpy.repeat(labels, {depth}) for labels, or only "
        f"the middle ones, x.reshape(-1, {depth}, {height}, {width})[:, {depth // 2}]"
    )
