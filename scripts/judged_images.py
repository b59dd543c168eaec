"""Make the images that recipes are judged on, beside the data sets that have a name.

    python scripts/judged_images.py runs/judged

Everything follows from a seed. `shapes` holds 200 color PNGs of four classes, `crops` 300 crops of
96x128 pixels from the two photographs of scikit-learn, and `masks` 2,000 binary masks of 48x48.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_images

SIDE = 64
MASK = 48
CROP = (96, 128)
CLASSES = ("circle", "square", "triangle", "star")


def shapes(folder: Path, count: int = 200) -> None:
    """Draw colored shapes, a folder for each class: color, size, place, angle and ground vary."""
    numbers = np.random.default_rng(0)
    for index in range(count):
        kind = CLASSES[index % len(CLASSES)]
        image = Image.new("RGB", (SIDE, SIDE), tuple(numbers.integers(200, 256, 3).tolist()))
        outline = _outline(kind, numbers)
        color = tuple(numbers.integers(0, 180, 3).tolist())
        ImageDraw.Draw(image).polygon(outline, fill=color)
        (folder / kind).mkdir(parents=True, exist_ok=True)
        image.save(folder / kind / f"{kind}_{index:03}.png")


def _outline(kind: str, numbers: Generator) -> list[tuple[float, float]]:
    """Return the corners of a shape of random size, place and angle."""
    corners = {"circle": 60, "square": 4, "triangle": 3, "star": 10}[kind]
    radius, start = numbers.uniform(12, 24), numbers.uniform(0, 2 * np.pi)
    x, y = numbers.uniform(26, SIDE - 26, 2)
    angles = start + 2 * np.pi * np.arange(corners) / corners
    radii = np.where(np.arange(corners) % 2, radius / 2, radius) if kind == "star" else radius
    return list(zip(x + radii * np.cos(angles), y + radii * np.sin(angles), strict=True))


def crops(folder: Path, count: int = 300) -> None:
    """Cut crops of the photographs at random places; half of them are mirrored."""
    numbers = np.random.default_rng(0)
    photographs = load_sample_images().images
    folder.mkdir(parents=True, exist_ok=True)
    height, width = CROP
    for index in range(count):
        photograph = photographs[index % len(photographs)]
        top = numbers.integers(photograph.shape[0] - height + 1)
        left = numbers.integers(photograph.shape[1] - width + 1)
        crop = photograph[top : top + height, left : left + width]
        crop = crop[:, ::-1] if numbers.random() < 0.5 else crop
        Image.fromarray(np.ascontiguousarray(crop)).save(folder / f"crop_{index:03}.png")


def masks(folder: Path, count: int = 2000) -> None:
    """Draw masks in black and white: one to three overlapping ellipses, as of cells."""
    numbers = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        image = Image.new("1", (MASK, MASK))
        for _ in range(numbers.integers(1, 4)):
            x, y = numbers.uniform(12, MASK - 12, 2)
            a, b = numbers.uniform(4, 11, 2)
            ImageDraw.Draw(image).ellipse((x - a, y - b, x + a, y + b), fill=1)
        image.save(folder / f"mask_{index:04}.png")


MAKERS: dict[str, Callable[[Path], None]] = {"shapes": shapes, "crops": crops, "masks": masks}


def made(name: str, folder: Path) -> Path:
    """Return the folder of images of that name, made first where it is missing."""
    place = folder / name
    if not place.exists():
        MAKERS[name](place)
    return place


if __name__ == "__main__":
    for each in MAKERS:
        print(made(each, Path(sys.argv[1])))
