"""Images as PNG files: reconstructions under their files' names, and numbered samples."""

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath

import torch
from PIL import Image
from torch import Tensor

from pyro_vae._arguments import Count, Natural, Seed, checked
from pyro_vae._batching import images_at_once
from pyro_vae._files import write_bytes
from pyro_vae._modes import evaluating, seeded
from pyro_vae._progress import hidden, tqdm
from pyro_vae._text import escaped
from pyro_vae.outputs.files import OutputError, require_empty
from pyro_vae.outputs.parts import SomeParts, batches_of, named_parts, names_of
from pyro_vae.vae import VAE

#: What Pillow calls images of 1 to 4 channels.
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
#: The most bytes that a name keeps of a file's: systems take 255, the ending included.
LONGEST_NAME = 200


@checked
@torch.no_grad()
def save_reconstructions(
    vae: VAE,
    images: SomeParts,
    folder: str | Path,
    *,
    margin: Natural = 0,
    batch_size: Count = 500,
    seed: Seed = 0,
    overwrite: bool = False,
    progress: bool = False,
) -> list[Path]:
    """Write the reconstruction of each image as a PNG file, named after the image's file.

    The reconstruction of `cats/1.jpg` is `cats/1.png` within the folder; where several images
    would have one name, theirs keep the ending, as in `cats/1.jpg.png`.

    Args:
        vae: the model.
        images: N images; or several parts, by name, as a `Dataset` or a mapping.
        folder: where they are written; made if need be.
        margin: pixels to remove on every side: the padding of the images.
        batch_size: largest number of images at once.
        seed: seed of the draws from posteriors and likelihoods that have no mean.
        overwrite: write into a folder that holds something.
        progress: show a progress bar.

    Returns:
        the files, in the order of the images.

    Raises:
        ArgumentError: there are no images, or they do not fit the model.
        OutputError: the folder is not empty; or a PNG file cannot hold such images.
    """
    parts = named_parts("save_reconstructions", vae, images)
    folder = _folder_for(vae, folder, margin, overwrite)
    paths = [folder / name for name in file_names(names_of(parts))]
    batches = batches_of(
        vae, parts, "reconstructing", batch_size=batch_size, seed=seed, progress=progress
    )
    _write(paths, map(vae.reconstruct, batches), margin, folder)
    return paths


@checked
@torch.no_grad()
def save_samples(
    vae: VAE,
    n: Count,
    folder: str | Path,
    *,
    margin: Natural = 0,
    batch_size: Count = 500,
    seed: Seed = 0,
    overwrite: bool = False,
    progress: bool = False,
) -> list[Path]:
    """Write n new images as PNG files, numbered from 0.

    They are the likelihood's mean at draws from the prior, or a draw where it has no mean.

    Args:
        vae: the model.
        n: number of images.
        folder: where they are written; made if need be.
        margin: pixels to remove on every side: the padding of the images.
        batch_size: largest number of images at once.
        seed: seed of the draws.
        overwrite: write into a folder that holds something.
        progress: show a progress bar.

    Returns:
        the files, in the order of their numbers.

    Raises:
        OutputError: the folder is not empty; or a PNG file cannot hold such images.
        UnsupportedError: the prior is the flat one of an autoencoder, which has no draws.
    """
    folder = _folder_for(vae, folder, margin, overwrite)
    digits = max(5, len(str(n - 1)))
    paths = [folder / f"{number:0{digits}d}.png" for number in range(n)]
    with evaluating(vae), seeded(seed, vae.device):
        z = vae.prior().sample(torch.Size([n]))
        parts = z.split(images_at_once(vae, batch_size))
        batches = tqdm(parts, "sampling", unit="batch", disable=hidden(progress))
        _write(paths, map(vae.images, batches), margin, folder)
    return paths


def png(image: Tensor, margin: int = 0) -> bytes:
    """Return an image (C, H, W) in [0, 1], without a margin, as the bytes of a PNG file."""
    height, width = image.shape[1:]
    image = image[:, margin : height - margin, margin : width - margin]
    levels = image.mul(255).round().clamp(0, 255).to("cpu", torch.uint8)
    array = levels.squeeze(0).numpy() if len(levels) == 1 else levels.permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(array, MODES[len(levels)]).save(file, "png")
    return file.getvalue()


def file_names(names: Sequence[str]) -> list[PurePosixPath]:
    """Return the PNG file of each image, within a folder: no two have one name, in any case.

    >>> [str(name) for name in file_names(["a/1.jpg", "a/2.jpg", "a/2.tif", "../../3"])]
    ['a/1.png', 'a/2.jpg.png', 'a/2.tif.png', '3.png']
    """
    short = [_within(name, keep_ending=False) for name in names]
    count = Counter(str(name).casefold() for name in short)
    taken: set[str] = {name for name, times in count.items() if times == 1}
    found = []
    for name, path in zip(names, short, strict=True):
        if count[str(path).casefold()] > 1:
            path = _free(_within(name, keep_ending=True), taken)
            taken.add(str(path).casefold())
        found.append(path)
    return found


def _free(path: PurePosixPath, taken: set[str]) -> PurePosixPath:
    """Return a path that is not taken: the same, or with a number."""
    candidate, number = path, 1
    while str(candidate).casefold() in taken:
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def _within(name: str, *, keep_ending: bool) -> PurePosixPath:
    """Return the path of an image's PNG file, which cannot lead out of its folder."""
    *folders, last = [escaped(part) for part in name.split("/") if part not in ("", ".", "..")] or [
        "image"
    ]
    stem = last if keep_ending else PurePosixPath(last).stem
    return PurePosixPath(*map(_shortened, folders), f"{_shortened(stem)}.png")


def _shortened(name: str) -> str:
    return name.encode()[:LONGEST_NAME].decode(errors="ignore")


def _folder_for(vae: VAE, folder: str | Path, margin: int, overwrite: bool) -> Path:
    channels, height, width = vae.image_shape
    if channels not in MODES:
        raise OutputError(
            f"A PNG file holds 1 to 4 channels, not {channels}: take the tensors of "
            "vae.reconstruct(x) or vae.sample(n) instead."
        )
    if 2 * margin >= min(height, width):
        raise OutputError(
            f"A margin of {margin} pixels leaves nothing of images of {height}×{width}."
        )
    return require_empty(folder, overwrite=overwrite)


def _write(paths: Iterable[Path], batches: Iterable[Tensor], margin: int, folder: Path) -> None:
    """Write the images of all batches (B, C, H, W) to one file each."""
    for path, image in zip(paths, chain.from_iterable(batches), strict=True):
        write_bytes(path, png(image, margin), within=folder)
