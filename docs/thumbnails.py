"""Small versions of the pictures of the suite, drawn of a model of scikit-learn's digits.

Run as a program (`python docs/thumbnails.py`, about two minutes), it writes them into
`docs/images/thumbnails`, where they are committed; `function_of` says which function draws each.
"""

import inspect
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from pyro_vae import VAE, data, fit, likelihoods, networks, posteriors, priors
from pyro_vae.analysis import PICTURES, Subject, draw, embed
from pyro_vae.analysis.suite import missing
from pyro_vae.data import ImageData
from pyro_vae.training import Record, Run

FOLDER = Path(__file__).parent / "images" / "thumbnails"
#: The pictures that have one: not those that show a plain autoencoder below the same picture.
NAMES = [name for name in PICTURES if not name.endswith("_beside_autoencoder")]
WIDTH, COLORS = 260, 64
#: Epochs of the training, and those whose codes are kept.
EPOCHS, KEPT = 30, (1, 3, 10, 30)


def path_of(name: str) -> Path:
    """Return the file of a thumbnail."""
    return FOLDER / f"{name}.png"


def function_of(name: str) -> str:
    """Return the function that draws a picture: "pyro_vae.analysis.samples.from_prior"."""
    called = re.search(r"return (\w+)\.(\w+)\(", inspect.getsource(PICTURES[name].make))
    assert called, f"{name} is not drawn by one function."
    return f"pyro_vae.analysis.{called[1]}.{called[2]}"


def with_attributes(images: ImageData) -> ImageData:
    """Return images with two attributes: how much ink is in them, and on which side."""
    x = images.as_float()
    ink = x.mean((1, 2, 3))
    right = (x[..., 4:].sum((1, 2, 3)) > x[..., :4].sum((1, 2, 3))).long()
    heavy = torch.bucketize(ink, torch.tensor([0.28, 0.33]))
    return replace(images, attributes={"ink": heavy, "right side": right})


def subject(latent_size: int, folder: Path) -> Subject:
    """Return a model of the digits, and what was kept of its training."""
    digits = data.load("digits")
    torch.manual_seed(0)
    shape = digits.image_shape
    vae = VAE(
        priors.StandardNormal(latent_size),
        likelihoods.Normal(networks.MLPDecoder(latent_size, shape), scale=0.2, learned=True),
        posteriors.DiagonalNormal(networks.MLPEncoder(shape), latent_size),
    )
    stages: list[Any] = [(0, embed(vae, digits.test))]

    def keep(vae: VAE, record: Record) -> None:
        if record["epoch"] in KEPT:
            stages.append((int(record["epoch"]), embed(vae, digits.test)))

    training, validation = digits.split(160)
    history = fit(
        vae,
        training,
        validation=validation,
        epochs=EPOCHS,
        learning_rate=5e-3,
        folder=folder,
        callbacks=[keep],
        progress=False,
    )
    shown = replace(digits, train=with_attributes(training), test=with_attributes(digits.test))
    steps = Run(folder).logged_steps()
    return Subject(vae, shown, history=history, training_steps=steps, stages=stages, progress=False)


def main() -> None:
    """Draw every picture, and keep it small."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        subjects = [subject(size, Path(place, str(size))) for size in (2, 8)]
        for name in NAMES:
            fitting = next(each for each in subjects if not missing(PICTURES[name], each))
            (drawn,) = draw(fitting, Path(place), only=[name], progress=False)
            with Image.open(drawn) as picture:
                picture.seek(getattr(picture, "n_frames", 1) // 2)  # A film is shown by its middle.
                small = picture.convert("RGB")
            small.thumbnail((WIDTH, WIDTH))
            small.quantize(COLORS).save(path_of(name), optimize=True)


if __name__ == "__main__":
    main()
