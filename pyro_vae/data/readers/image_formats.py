"""One image file, of any format that Pillow reads, as bytes of a given shape."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pyro_vae.data.messages import DataError, one_line
from pyro_vae.data.resizing import center_crop

#: The files that are taken for images.
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga"),
)

_ORIENTATION = 0x0112  # the EXIF tag for how the camera was held; 5 to 8: on its side
_ON_ITS_SIDE = range(5, 9)
_GRAY_MODES = ("1", "L", "LA", "La", "F")  # and those that start with "I": 16 and 32 bits
_ALPHA_MODES = ("RGBA", "RGBa", "LA", "La", "PA")


@dataclass(frozen=True)
class Header:
    """Properties of an image that are known before its pixels are decoded."""

    size: tuple[int, int]
    """(H, W) in pixels, with the image upright."""
    gray: bool
    """Whether it has no colors."""


def read_header(path: Path) -> Header:
    """Read the size and the kind of an image file.

    Raises:
        DataError: it is not an image; the message is the reason, without the file's name.
    """
    with _opened(path) as image:
        width, height = image.size
        exif = Image.Image.getexif(image)  # the PNG class's own method would decode the image
        if exif.get(_ORIENTATION) in _ON_ITS_SIDE:
            width, height = height, width
        return Header((height, width), image.mode in _GRAY_MODES or image.mode.startswith("I"))


def read_pixels(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Read an image as uint8, (C, H, W) = `shape`: upright, on white, cropped, and resized.

    Raises:
        DataError: it cannot be decoded; the message is the reason, without the file's name.
    """
    channels, height, width = shape
    with _opened(path) as opened:
        image = _on_white(_to_8_bits(ImageOps.exif_transpose(opened)))
        image = _resized(image.convert("L" if channels == 1 else "RGB"), (height, width))
        return np.array(image).reshape(height, width, channels).transpose(2, 0, 1)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except DataError:
        raise
    except UnidentifiedImageError as error:
        empty = path.stat().st_size == 0
        raise DataError("an empty file" if empty else "not an image, despite its name") from error
    except Exception as error:  # Pillow's decoders raise many kinds for broken files
        raise DataError(one_line(error)) from error


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit gray and floats in [0, 1] to 256 levels; Pillow would clip them instead."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    top = 1.0 if image.mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= top):
        raise DataError(f"gray levels outside 0 to {top:g}")
    return Image.fromarray(np.rint(values * (255 / top)).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    """Put a transparent image on a white background."""
    if image.mode not in _ALPHA_MODES and "transparency" not in image.info:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    if (image.height, image.width) == size:
        return image
    top, left, height, width = center_crop((image.height, image.width), size)
    box = (left, top, left + width, top + height)
    return image.crop(box).resize((size[1], size[0]), Image.Resampling.BILINEAR)
