r"""Write the networks of the page on which one draws a digit, from a run on MNIST.

    pyro-vae train --recipe mnist_mlp --skip-pictures --out runs/drawing \
        --encoder.hidden '[256,128]' --decoder.hidden '[128,256]'
    python docs/live/drawing.py runs/drawing

The training takes about four minutes on one core. `drawing.json` holds the networks, the large
layers with weights of 8 bits and the others of 16, codes and class means of test images, one test
image of each digit, and by how much the packed networks differ from the trained ones over all test
images.
"""

import base64
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pyro_vae import VAE
from pyro_vae._modes import evaluating
from pyro_vae.analysis import embed
from pyro_vae.analysis.classes import grouping
from pyro_vae.analysis.pages.explorer import evenly_by_class
from pyro_vae.analysis.pages.packing import Layer, layers_of, pack, run_layers
from pyro_vae.data import ImageData
from pyro_vae.experiments import Experiment

SHOWN = 1500  # codes on the plane
LARGE = 10_000  # weights, of which a layer's are held in 8 bits
Network = Callable[[Tensor], Tensor]


def forward(
    encoder: Network,
    to_mean: Network,
    to_log_scale: Network,
    decoder: Network,
    x: Tensor,
    noise: Tensor | float = 0.0,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the mean and the scale of q(z|x), z, and the reconstruction, as the page does.

    Args:
        encoder: a network, (B, 1, 28, 28) -> (B, F).
        to_mean: the head of the mean, (B, F) -> (B, 2).
        to_log_scale: the head of the logarithm of the scale, (B, F) -> (B, 2).
        decoder: a network, (B, 2) -> (B, 1, 28, 28), without its final sigmoid.
        x: images, (B, 1, 28, 28).
        noise: draws from N(0, I), (B, 2); 0 for the mean of z.
    """
    # [lines]
    h = encoder(x)
    mean, scale = to_mean(h), to_log_scale(h).exp()
    z = mean + scale * noise
    reconstruction = decoder(z).sigmoid()
    # [end]
    return mean, scale, z, reconstruction


def parts_of(vae: VAE) -> dict[str, nn.Module]:
    """Return the four networks of a model of the recipe `mnist_mlp`, by their names in the page."""
    posterior: Any = vae.posterior
    likelihood: Any = vae.likelihood
    return {
        "encoder": posterior.encoder,
        "mean": posterior.mean,
        "log_scale": posterior.spread,
        "decoder": likelihood.decoder,
    }


def packed(network: nn.Module, ending: str = "identity") -> list[Layer]:
    """Return the layers of a network as the page holds them, the last with another activation."""
    layers = layers_of(network)
    if layers is None:
        raise SystemExit(f"The page runs fully connected networks only, not this one: {network}")
    *hidden, (last, activation) = layers
    ended = [*hidden, (last, activation if ending == "identity" else ending)]
    return [
        pack(layer.weight, layer.bias, name, bits=8 if layer.weight.numel() > LARGE else 16)
        for layer, name in ended
    ]


def differences(vae: VAE, networks: dict[str, Any], images: ImageData) -> dict[str, float]:
    """Return by how much packed networks differ from those of a model, over all images.

    Returns:
        the largest and the average distance of the means; the largest relative difference of the
        scales; the largest and the average difference of pixels of the reconstructions of the same
        z, in levels from 0 to 255.
    """
    with torch.no_grad(), evaluating(vae):
        x = images.as_float(slice(None))
        mean, scale, z, image = forward(*parts_of(vae).values(), x)
        h = run_layers(networks["encoder"], x.flatten(1))
        moved = (run_layers(networks["mean"], h) - mean).norm(dim=1)
        widened = run_layers(networks["log_scale"], h).exp() / scale - 1
        off = 255 * (run_layers(networks["decoder"], z) - image.flatten(1)).abs()
    return {
        "mean": moved.max().item(),
        "mean_on_average": moved.mean().item(),
        "scale": widened.abs().max().item(),
        "pixel": off.max().item(),
        "pixel_on_average": off.mean().item(),
    }


def first_of_each(labels: Tensor) -> list[int]:
    """Return the index of the first image of each class."""
    return [int((labels == label).nonzero()[0]) for label in labels.unique()]


def contents(vae: VAE, images: ImageData) -> dict[str, Any]:
    """Return what the page holds of a model and its test images."""
    groups, labels, codes = grouping(images), images.labels, embed(vae, images)
    assert groups is not None and labels is not None, "MNIST has labels"
    networks = {
        name: packed(each, "sigmoid" if name == "decoder" else "identity")
        for name, each in parts_of(vae).items()
    }
    chosen = evenly_by_class(images, SHOWN)
    examples = images.levels(torch.tensor(first_of_each(labels))).numpy()
    return {
        **networks,
        "codes": [
            [*_rounded(code), label]
            for code, label in zip(codes[chosen], labels[chosen].tolist(), strict=True)
        ],
        "reach": round(1.05 * codes.abs().quantile(0.999).item(), 2),
        "means": [_rounded(codes[labels == label].mean(0)) for label in labels.unique()],
        "colors": [groups.look(k)[0] for k in range(len(groups.names))],
        "examples": base64.b64encode(examples.tobytes()).decode(),
        "differences": differences(vae, networks, images),
    }


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 2) for value in values.tolist()]


def main(arguments: Sequence[str]) -> None:
    """Write `drawing.json` from the run folder that is named."""
    (folder,) = arguments
    experiment = Experiment.open(Path(folder))
    found = contents(experiment.load(), experiment.dataset.test)
    text = json.dumps(found, separators=(",", ":"))
    Path(__file__).with_suffix(".json").write_text(text + "\n")
    print(f"{len(text):,} characters; {found['differences']}")


if __name__ == "__main__":
    main(sys.argv[1:])
