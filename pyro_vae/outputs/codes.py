"""The codes of images as a table: the posterior's mean and scale of each dimension."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor

from pyro_vae._arguments import Count, Seed, checked
from pyro_vae.data import ImageData
from pyro_vae.distributions.base import precise
from pyro_vae.outputs.files import NPZ, Column, first_rows, require_table, write_csv, write_npz
from pyro_vae.outputs.parts import SomeParts, batches_of, named_parts, names_of, parts_of
from pyro_vae.vae import VAE, mean_of

#: The label, or variant, of an image of which it is not known.
UNKNOWN = -1


@dataclass(frozen=True, eq=False, kw_only=True)
class Codes:
    """The codes of N images, and what is known of each image.

    Attributes:
        names: the images' files, relative to their data; or the part and position of each.
        parts: the part of each, such as "train"; empty where there is only one.
        means: the posterior means, (N, D).
        scales: the posterior standard deviations, (N, D).
        mean_draws: draws from each posterior that the means are averages of; 0: the closed form.
        scale_draws: the same of the scales.
        labels: int64, (N,), -1 where unknown; None where no image has one.
        classes: the name of each image's class, empty where unknown; None where no image has one.
        attributes: name -> int64, (N,): the variant that each image has, -1 where unknown.
    """

    names: tuple[str, ...]
    parts: tuple[str, ...]
    means: Tensor
    scales: Tensor
    mean_draws: int = 0
    scale_draws: int = 0
    labels: Tensor | None = None
    classes: tuple[str, ...] | None = None
    attributes: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        images = f"{len(self):,} image{'s' * (len(self) != 1)}"
        return f"Codes of {images} in {self.means.shape[1]} dimensions"

    def _repr_html_(self) -> str:
        """Show the first codes in a notebook."""
        return f"{first_rows(self.columns(), 'html')}<p>{escape(repr(self))}</p>"

    def columns(self) -> dict[str, Column]:
        """Return the columns of the table by their headings, dimensions counted from 1."""
        known: dict[str, Column] = {"file": self.names}
        if any(self.parts):
            known["part"] = self.parts
        if self.classes is not None:
            known["class"] = self.classes
        known |= {f"attribute_{name}": values for name, values in self.attributes.items()}
        for what, draws, values in (
            ("mean", self.mean_draws, self.means),
            ("scale", self.scale_draws, self.scales),
        ):
            heading = f"{what}_of_{draws}_draws" if draws else what
            known |= {f"{heading}_{d}": column for d, column in enumerate(values.T, start=1)}
        return known

    def save(
        self, path: str | Path, *, overwrite: bool = False, within: Path | None = None
    ) -> None:
        """Write the table to a .csv file; or to an .npz file, as arrays.

        The arrays are "file", "part", "label", "class", "attributes" (N, A), "attribute_names",
        "mean" and "scale" (N, D), and "mean_draws" and "scale_draws".

        Args:
            path: the file.
            overwrite: replace a file of that name.
            within: a folder that the file must lie in, links followed.

        Raises:
            OutputError: the name has another ending; or there is such a file already.
        """
        path = require_table(path, overwrite=overwrite)
        if path.suffix == NPZ:
            write_npz(path, self._arrays(), within=within)
        else:
            write_csv(path, self.columns(), within=within)

    def _arrays(self) -> dict[str, np.ndarray | Sequence[str]]:
        variants = [values.numpy() for values in self.attributes.values()]
        none = np.zeros((len(self), 0), dtype=np.int64)
        arrays: dict[str, np.ndarray | Sequence[str]] = {
            "file": self.names,
            "part": self.parts,
            "attributes": np.stack(variants, 1) if variants else none,
            "attribute_names": tuple(self.attributes),
            "mean": self.means.numpy(),
            "scale": self.scales.numpy(),
            "mean_draws": np.array(self.mean_draws),
            "scale_draws": np.array(self.scale_draws),
        }
        if self.labels is not None and self.classes is not None:
            arrays |= {"label": self.labels.numpy(), "class": self.classes}
        return arrays


@checked
@torch.no_grad()
def encode(
    vae: VAE,
    images: SomeParts,
    *,
    draws: Count = 100,
    batch_size: Count = 500,
    seed: Seed = 0,
    progress: bool = False,
) -> Codes:
    """Return the codes of images: the mean and the standard deviation of each posterior.

    Args:
        vae: the model.
        images: N images; or several parts, by name, as a `Dataset` or a mapping.
        draws: number of draws that estimate a mean or a scale that has no closed form.
        batch_size: largest number of images at once.
        seed: seed of those draws; every part starts from it.
        progress: show a progress bar.

    Raises:
        ArgumentError: there are no images, or they do not fit the model.

    Example:
        >>> from pyro_vae import VAE, data, likelihoods, networks, posteriors, priors
        >>> vae = VAE(
        ...     priors.StandardNormal(2),
        ...     likelihoods.Normal(networks.MLPDecoder(2, (1, 8, 8))),
        ...     posteriors.DiagonalNormal(networks.MLPEncoder((1, 8, 8)), 2),
        ... )
        >>> codes = encode(vae, data.load("digits"))
        >>> codes
        Codes of 1,797 images in 2 dimensions
        >>> list(codes.columns())
        ['file', 'part', 'class', 'mean_1', 'mean_2', 'scale_1', 'scale_2']
    """
    parts = named_parts("encode", vae, images)
    closed: tuple[bool, bool] | None = None
    found = []
    for x in batches_of(
        vae, parts, "encoding", batch_size=batch_size, seed=seed, progress=progress
    ):
        q = vae.encode(x)
        closed = closed or closed_forms(q)  # The same for all, as all share their columns.
        found.append(_moments(q, *closed, draws))
    means, scales = (torch.cat(each) for each in zip(*found, strict=True))
    has_mean, has_scale = closed or (True, True)
    return Codes(
        names=names_of(parts),
        parts=parts_of(parts),
        means=means,
        scales=scales,
        mean_draws=0 if has_mean else draws,
        scale_draws=0 if has_scale else draws,
        labels=_labels(parts),
        classes=_classes(parts),
        attributes=_attributes(parts),
    )


def closed_forms(q: dist.TorchDistribution) -> tuple[bool, bool]:
    """Return whether a distribution's mean and its standard deviation have a closed form."""
    try:
        has_scale = bool(q.stddev.isfinite().all())
    except (NotImplementedError, AttributeError):
        has_scale = False
    return mean_of(q) is not None, has_scale


def _moments(
    q: dist.TorchDistribution, has_mean: bool, has_scale: bool, draws: int
) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation of each posterior, (B, D), on the CPU."""
    mean, scale = (q.mean if has_mean else None), (q.stddev if has_scale else None)
    if mean is None or scale is None:
        drawn_mean, drawn_scale = _of_draws(q, draws)
        mean = drawn_mean if mean is None else mean
        scale = drawn_scale if scale is None else scale
    return mean.cpu(), scale.cpu()


def _of_draws(q: dist.TorchDistribution, draws: int) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of draws; one is held at a time (Welford, 1962)."""
    z = q.sample()
    mean = precise(z)
    squares = torch.zeros_like(mean)
    for count in range(2, draws + 1):
        change = precise(q.sample()) - mean
        mean = mean + change / count
        squares = squares + change**2 * ((count - 1) / count)
    return mean.to(z), (squares / max(draws - 1, 1)).sqrt().to(z)


def _labels(parts: Mapping[str, ImageData]) -> Tensor | None:
    if all(images.labels is None for images in parts.values()):
        return None
    return _whole_numbers([(images.labels, len(images)) for images in parts.values()])


def _classes(parts: Mapping[str, ImageData]) -> tuple[str, ...] | None:
    if all(images.labels is None for images in parts.values()):
        return None
    return tuple(name for images in parts.values() for name in _class_of_each(images))


def _class_of_each(images: ImageData) -> list[str]:
    if images.labels is None:
        return [""] * len(images)
    names = images.class_names
    return [
        "" if label < 0 else names[label] if names else str(label)
        for label in images.labels.tolist()
    ]


def _attributes(parts: Mapping[str, ImageData]) -> dict[str, Tensor]:
    every = [images.attributes or {} for images in parts.values()]
    lengths = [len(images) for images in parts.values()]
    return {
        name: _whole_numbers(
            [(each.get(name), count) for each, count in zip(every, lengths, strict=True)]
        )
        for name in dict.fromkeys(name for each in every for name in each)
    }


def _whole_numbers(values: Sequence[tuple[Tensor | None, int]]) -> Tensor:
    """Return the values of all parts, unknown for the images of a part that has none."""
    return torch.cat(
        [
            torch.full((count,), UNKNOWN, device="cpu") if part is None else part.cpu()
            for part, count in values
        ]
    )
