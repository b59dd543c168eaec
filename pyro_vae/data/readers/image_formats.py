"""One image file, of any format that Pillow reads, as bytes of a given shape."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pyro_vae._files import FileError, open_regular
from pyro_vae.data.messages import DataError, one_line, reason
from pyro_vae.data.resizing import center_crop

#: The files that are taken for images.
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga"),
)

#: What Pillow may take them for, whatever their names; for some other formats it starts programs.
_FORMATS = (
    *("PNG", "JPEG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000", "TGA", "AVIF"),
    *("DDS", "ICNS", "ICO", "PCX", "PSD", "QOI", "SGI"),
)
_MOST_PIXELS = 89_478_485  # Pillow warns of more, which a few bytes can claim
_MOST_PACKED = 200  # pixels that a byte of a huge image's file may stand for
_HUGE = 2**25  # pixels that any file may hold
_LARGE = 2**22  # pixels from which one image is decoded at a time, so that memory stays bounded
_TOO_MANY = f"more than {_MOST_PIXELS:,} pixels: make it smaller"
_one_large = threading.Lock()

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
    with _opened(path) as image:
        large = image.width * image.height > _LARGE or height * width > _LARGE
        with _one_large if large else nullcontext():
            ImageOps.exif_transpose(image, in_place=True)
            image = _on_white(_to_8_bits(image))
            image = _resized(image.convert("L" if channels == 1 else "RGB"), (height, width))
            return np.array(image).reshape(height, width, channels).transpose(2, 0, 1)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise DataError("an empty file")
            with Image.open(file, formats=_formats()) as image:
                _refuse_too_many_pixels(image, size)
                yield image
    except DataError:
        raise
    except FileError:
        raise DataError("not a regular file") from None
    except UnidentifiedImageError as error:
        raise DataError("not an image, despite its name") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(_TOO_MANY) from error
    except OSError as error:
        raise DataError(reason(error)) from error
    except Exception as error:  # Pillow's decoders raise many kinds for broken files
        raise DataError(one_line(error)) from error


@cache
def _formats() -> tuple[str, ...]:
    """Return the formats that the installed version of Pillow knows."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _refuse_too_many_pixels(image: Image.Image, size: int) -> None:
    """Refuse what a small file claims to hold; images of an ordinary size may be blank."""
    pixels = image.width * image.height
    if pixels > _MOST_PIXELS:
        raise DataError(_TOO_MANY)
    if pixels > _HUGE and pixels > _MOST_PACKED * size:
        raise DataError(f"{size:,} bytes that claim to be {pixels:,} pixels: make it smaller")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit gray and floats in [0, 1] to 256 levels; Pillow would clip them instead."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    top = 1.0 if image.mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= top):
        raise DataError(f"gray levels outside 0 to {top:g}")
    scaled = values * (255 / top)
    return Image.fromarray(np.rint(scaled, out=scaled).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    """Put a transparent image on a white background."""
    if image.mode not in _ALPHA_MODES and "transparency" not in image.info:
        return image
    if image.mode != "RGBA":
        image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    if (image.height, image.width) == size:
        return image
    top, left, height, width = center_crop((image.height, image.width), size)
    box = (left, top, left + width, top + height)
    return image.crop(box).resize((size[1], size[0]), Image.Resampling.BILINEAR)
