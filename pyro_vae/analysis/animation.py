"""Animated GIFs: their frames and their files."""

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from pyro_vae._arguments import Count, Images, checked
from pyro_vae._files import write_bytes
from pyro_vae.analysis.style import as_array, png_of
from pyro_vae.errors import ArgumentError

Frame = Image.Image


@checked
def image_frames(images: Images, size: Count = 256) -> list[Frame]:
    """Return images (N, C, H, W) in [0, 1] as frames whose longer side has `size` pixels."""
    scale = size / max(images.shape[-2:])
    shape = round(images.shape[-1] * scale), round(images.shape[-2] * scale)
    levels = (as_array(images) * 255).round().astype("uint8")
    return [Image.fromarray(image).resize(shape, Image.Resampling.BICUBIC) for image in levels]


def figure_frame(fig: Figure, dpi: int = 100) -> Frame:
    """Return a figure as a frame, with `dpi` dots per inch."""
    contents = png_of(fig, dpi=dpi, pil_kwargs={"compress_level": 0})  # read at once
    return Image.open(io.BytesIO(contents)).convert("RGB")


def frame_beside(frames: Sequence[Frame], gap: int = 8) -> Frame:
    """Return frames side by side as one frame, with a white gap of `gap` pixels."""
    width = sum(frame.width for frame in frames) + gap * (len(frames) - 1)
    row = Image.new("RGB", (width, max(frame.height for frame in frames)), "white")
    left = 0
    for frame in frames:
        row.paste(frame, (left, 0))
        left += frame.width + gap
    return row


def save_gif(
    frames: Sequence[Frame],
    path: str | Path,
    *,
    seconds: float = 0.05,
    within: Path | None = None,
) -> None:
    """Write frames as a GIF that loops forever.

    Args:
        frames: one or more frames of the same size.
        path: the file.
        seconds: duration of each frame.
        within: a folder that the file must lie in, links followed.

    Raises:
        ArgumentError: there are no frames.
        OSError: the file cannot be written.
    """
    if not frames:
        raise ArgumentError(f"frames: there are no frames to write to {path}.")
    # A film that runs there and back has every frame twice; each is reduced to its colors once.
    reduced = {id(frame): _reduced(frame) for frame in {id(each): each for each in frames}.values()}
    first, *rest = (reduced[id(frame)] for frame in frames)
    duration = round(1000 * seconds)
    file = io.BytesIO()
    first.save(file, format="GIF", save_all=True, append_images=rest, duration=duration, loop=0)
    write_bytes(Path(path), file.getbuffer(), within=within)


def _reduced(frame: Frame) -> Frame:
    """A frame with the 256 colors that suit it best, as Pillow itself would reduce it."""
    return frame.convert("P", palette=Image.Palette.ADAPTIVE) if frame.mode == "RGB" else frame
