"""One image file, of any format that Pillow reads, as bytes of a given shape."""

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pyro_vae._files import FileError, open_regular
from pyro_vae.data.decisions import GROUNDS, Decisions
from pyro_vae.data.levels import BYTES, Extent, extent_of, natural_range, to_levels
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
_film = threading.local()

_ORIENTATION = 0x0112  # the EXIF tag for how the camera was held; 5 to 8: on its side
_ON_ITS_SIDE = range(5, 9)
_GRAY_MODES = ("1", "L", "LA", "La", "F")  # and those that start with "I": 16 and 32 bits
_ALPHA_MODES = ("RGBA", "RGBa", "LA", "La", "PA")
_FILMS = ("GIF", "PNG", "TIFF", "WEBP")  # the formats whose frames are images of equal standing
_CONTRAST = 16  # levels; in an image of less there is nothing to see


class Frame(NamedTuple):
    """One image of a file: the only one, or one of several frames."""

    path: Path
    number: int = 0
    """Its place among the frames of the file, from 0."""
    of: int = 1
    """The number of frames that are taken of the file."""

    def suffixed(self, name: str) -> str:
        """Return a name of the file as that of the frame: "stack.tif#3"."""
        return name if self.of == 1 else f"{name}#{self.number}"


@dataclass(frozen=True)
class Header:
    """Properties of an image that are known before its pixels are decoded."""

    size: tuple[int, int]
    """(H, W) in pixels, with the image upright."""
    mode: str
    """Pillow's name for the kind of its pixels."""
    gray: bool | None = None
    """Whether it has no colors; None if only its pixels can tell."""
    transparent: bool = False
    """Whether it has an alpha channel or a transparent color."""
    frames: int = 1
    """The number of frames of one size, from the first on."""
    reduced: bool = False
    """Whether it has colors of 16 bits, of which Pillow reads the upper 8."""
    others: int = 0
    """The number of frames that are left aside because their sizes differ."""

    @property
    def gray_mode(self) -> bool:
        """Whether the kind of its pixels has no colors."""
        return self.mode in _GRAY_MODES or self.mode.startswith("I")

    @property
    def kind(self) -> str:
        """The kind of its values, as `Decisions.ranges` names it."""
        return _kind(self.mode)


@dataclass(frozen=True)
class Look:
    """What the pixels of an image tell."""

    extent: Extent
    """The extent of its values as they are stored."""
    gray: bool
    """Whether it has no colors."""
    plain: frozenset[str] = frozenset()
    """The grounds on which a transparent image shows nothing."""


def read_header(path: Path) -> Header:
    """Read the size and the kind of an image file.

    Raises:
        DataError: it is not an image; the message is the reason, without the file's name.
    """
    with _opened(Frame(path)) as image:
        width, height = image.size
        exif = Image.Image.getexif(image)  # the PNG class's own method would decode the image
        if exif.get(_ORIENTATION) in _ON_ITS_SIDE:
            width, height = height, width
        mode, transparent = image.mode, _has_alpha(image)
        gray = _header_gray(image)
        tiles = getattr(image, "tile", [])
        reduced = mode[:1] not in "IF" and any(";16" in str(tile[3]) for tile in tiles)
        count, frames = _frames(image)
        if frames > 1 and gray and image.format != "TIFF":
            gray = None  # Later frames may have palettes of their own.
        return Header((height, width), mode, gray, transparent, frames, reduced, count - frames)


def _header_gray(image: Image.Image) -> bool | None:
    """Whether an image has no colors, as far as its header tells."""
    if image.mode in _GRAY_MODES or image.mode.startswith("I"):
        return True
    if image.mode == "P":
        colors = np.reshape(image.getpalette("RGB") or [0, 0, 0], (-1, 3))
        hidden = image.info.get("transparency")
        if isinstance(hidden, int) and hidden < len(colors):
            colors = np.delete(colors, hidden, 0)
        return bool((colors == colors[:, :1]).all())
    return None if image.mode in _ALPHA_MODES else False


def _frames(image: Any) -> tuple[int, int]:
    """Return the number of frames of a file, and of those that are images of one size."""
    count = getattr(image, "n_frames", 1) if image.format in _FILMS else 1
    if count == 1 or image.format != "TIFF":
        return count, count
    size, mode = image.size, image.mode
    for index in range(1, count):
        image.seek(index)
        if (image.size, image.mode) != (size, mode):
            return count, 1  # A picture and its previews.
    return count, count


def look(frame: Frame) -> Look:
    """Decode an image and report its range, its colors, and what transparency leaves to see.

    Raises:
        DataError: it cannot be decoded; the message is the reason, without the file's name.
    """
    with _opened(frame) as image, _alone(image.width * image.height):
        if _kind(image.mode) != "uint8":
            return Look(extent_of(np.asarray(image)), gray=True)
        if _has_alpha(image):
            return _look_through(np.asarray(image.convert("RGBA")))
        values = np.asarray(image if image.mode == "L" else image.convert("RGB"))
        return Look(extent_of(values), values.ndim == 2 or _is_gray(values))


def _look_through(pixels: np.ndarray) -> Look:
    """Look at an image with transparency, uint8 of shape (H, W, 4)."""
    colors, alpha = pixels[..., :3].astype(np.float32), pixels[..., 3:] / np.float32(255)
    visible = pixels[pixels[..., 3] > 0][:, :3]
    gray = _is_gray(visible)
    if (alpha == 1).all():
        return Look(extent_of(visible), gray)
    seen = {name: colors * alpha + level * (1 - alpha) for name, level in GROUNDS.items()}
    plain = {name for name, each in seen.items() if np.ptp(each, axis=(0, 1)).max() < _CONTRAST}
    return Look(Extent(0, 255, whole=True), gray, frozenset(plain))


def _is_gray(colors: np.ndarray) -> bool:
    return bool((colors == colors[..., :1]).all())


def read_pixels(frame: Frame, shape: tuple[int, int, int], decisions: Decisions) -> np.ndarray:
    """Read an image as uint8, (C, H, W) = `shape`: upright, on its ground, cropped, and resized.

    Raises:
        DataError: it cannot be decoded; the message is the reason, without the file's name.
    """
    channels, height, width = shape
    with _opened(frame) as image, _alone(max(image.width * image.height, height * width)):
        ImageOps.exif_transpose(image, in_place=True)
        stored_as_bytes = _kind(image.mode) == "uint8"
        image = _on_ground(_to_8_bits(image, decisions), decisions.ground or "white")
        image = image.convert("L" if channels == 1 else "RGB")
        image = _resized(
            _stretched(image, decisions) if stored_as_bytes else image, (height, width)
        )
        return np.array(image).reshape(height, width, channels).transpose(2, 0, 1)


def _alone(pixels: int) -> AbstractContextManager[Any]:
    """Return what lets a large image be decoded by one thread at a time."""
    return _one_large if pixels > _LARGE else nullcontext()


@contextmanager
def _opened(frame: Frame) -> Iterator[Image.Image]:
    try:
        if frame.of > 1:
            yield _of_film(frame)
        else:
            with _file_opened(frame.path) as image:
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


@contextmanager
def _file_opened(path: Path) -> Iterator[Image.Image]:
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise DataError("an empty file")
        with Image.open(file, formats=_formats()) as image:
            _refuse_too_many_pixels(image, size)
            yield image


def _of_film(frame: Frame) -> Image.Image:
    """Return a frame. The film stays open: its next frame, mostly wanted next, is then at hand."""
    found = frame.path.stat()
    # A process that was forked shares the place in the file with its parent, and opens its own.
    key = (os.getpid(), frame.path, found.st_ino, found.st_mtime_ns, found.st_size)
    if getattr(_film, "key", None) != key or _film.image.tell() > frame.number:
        _film.key = None
        _film.opened = ExitStack()
        _film.image = _film.opened.enter_context(_file_opened(frame.path))
        _film.key = key
    _film.image.seek(frame.number)
    return _film.image.copy()


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


def _kind(mode: str) -> str:
    if mode == "1":
        return "bool"
    if mode == "F":
        return "float"
    return "int32" if mode == "I" else "uint16" if mode.startswith("I") else "uint8"


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in _ALPHA_MODES or "transparency" in image.info


def _to_8_bits(image: Image.Image, decisions: Decisions) -> Image.Image:
    """Scale 16-bit gray and floats to 256 levels; Pillow would clip them instead."""
    kind = _kind(image.mode)
    if kind in ("uint8", "bool"):
        return image
    values = np.asarray(image)
    limits = decisions.stretch or decisions.ranges.get(kind)
    if limits is None:
        limits = (0.0, 1.0 if kind == "float" else 65535.0)
        found = extent_of(values)
        natural = limits if decisions.rules == 1 else natural_range(kind, found)
        if natural is None or found.low < 0 or found.high > limits[1]:
            raise DataError(
                f"gray levels outside 0 to {limits[1]:g}, from {found.low:g} to {found.high:g}"
            )
    elif not np.isfinite(values).all():
        raise DataError("values that are not finite")
    return Image.fromarray(to_levels(values, limits))


def _stretched(image: Image.Image, decisions: Decisions) -> Image.Image:
    """Stretch 8-bit levels, where that was decided."""
    limits = decisions.stretch or decisions.ranges.get("uint8", BYTES)
    if limits == BYTES:
        return image
    return Image.fromarray(to_levels(np.asarray(image), limits))


def _on_ground(image: Image.Image, ground: str) -> Image.Image:
    """Put a transparent image on a ground."""
    if not _has_alpha(image):
        return image
    if image.mode != "RGBA":
        image = image.convert("RGBA")
    level = GROUNDS[ground]
    return Image.alpha_composite(Image.new("RGBA", image.size, (level, level, level)), image)


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    if (image.height, image.width) == size:
        return image
    top, left, height, width = center_crop((image.height, image.width), size)
    box = (left, top, left + width, top + height)
    return image.crop(box).resize((size[1], size[0]), Image.Resampling.BILINEAR)
