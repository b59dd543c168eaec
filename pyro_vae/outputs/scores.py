"""The ELBO of each image and its parts, as a table that begins with the strangest image."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyro_vae._arguments import Count, Natural, Seed, checked
from pyro_vae._modes import seeded
from pyro_vae.evaluation import has_elbo, log_likelihood, terms
from pyro_vae.outputs.files import NPZ, Column, first_rows, require_table, write_csv, write_npz
from pyro_vae.outputs.parts import SomeParts, batches_of, named_parts, names_of, parts_of
from pyro_vae.slots import check_support
from pyro_vae.vae import VAE


@dataclass(frozen=True, eq=False, kw_only=True)
class Scores:
    """How well a model explains each of N images, in nats: the strangest first.

    Attributes:
        names: the images' files, relative to their data; or the part and position of each.
        parts: the part of each, such as "train"; empty where there is only one.
        elbos: the evidence lower bound of each, (N,); None for a plain autoencoder, which has none.
        distortions: -log p(x|z) at one draw of z, (N,).
        rates: KL(q(z|x) || p(z)), (N,); None for a plain autoencoder.
        log_likelihoods: log p(x) by importance sampling, (N,), if asked for.
        errors: the standard error of each of these, (N,), from its own weights.
        order: int64, (N,): the position of each among the images given.
    """

    names: tuple[str, ...]
    parts: tuple[str, ...]
    elbos: Tensor | None
    distortions: Tensor
    rates: Tensor | None
    log_likelihoods: Tensor | None
    errors: Tensor | None
    order: Tensor

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        by = "distortion" if self.elbos is None else "ELBO"
        images = f"{len(self):,} image{'s' * (len(self) != 1)}"
        return f"Scores of {images}, the strangest by its {by} first: {self.names[0]}"

    def _repr_html_(self) -> str:
        """Show the strangest images in a notebook."""
        return f"{first_rows(self.columns(), 'html')}<p>{escape(repr(self))}</p>"

    def columns(self) -> dict[str, Column]:
        """Return the columns of the table by their headings."""
        columns: dict[str, Column] = {"file": self.names}
        if any(self.parts):
            columns["part"] = self.parts
        return columns | self._numbers()

    def _numbers(self) -> dict[str, Tensor]:
        numbers = {
            "elbo": self.elbos,
            "distortion": self.distortions,
            "rate": self.rates,
            "log_likelihood": self.log_likelihoods,
            "log_likelihood_error": self.errors,
        }
        return {name: values for name, values in numbers.items() if values is not None}

    def save(
        self, path: str | Path, *, overwrite: bool = False, within: Path | None = None
    ) -> None:
        """Write the table to a .csv file; or to an .npz file, an array for each column.

        Args:
            path: the file.
            overwrite: replace a file of that name.
            within: a folder that the file must lie in, links followed.

        Raises:
            OutputError: the name has another ending; or there is such a file already.
        """
        path = require_table(path, overwrite=overwrite)
        if path.suffix != NPZ:
            write_csv(path, self.columns(), within=within)
            return
        arrays: dict[str, np.ndarray | Sequence[str]] = {"file": self.names, "part": self.parts}
        arrays |= {name: values.numpy() for name, values in self._numbers().items()}
        write_npz(path, arrays, within=within)


@checked
@torch.no_grad()
def score(
    vae: VAE,
    images: SomeParts,
    *,
    samples: Natural = 0,
    batch_size: Count = 500,
    seed: Seed = 0,
    progress: bool = False,
) -> Scores:
    """Return the ELBO, the distortion and the rate of each image, the lowest ELBO first.

    The rate is taken in closed form where there is one, as `evaluate` does. An autoencoder has no
    ELBO: its images are sorted by their distortion, the highest first.

    Args:
        vae: the model.
        images: N images; or several parts, by name, as a `Dataset` or a mapping.
        samples: importance samples per image for log p(x); 0: no estimate.
        batch_size: largest number of images at once.
        seed: seed of the draws; every part starts from it.
        progress: show progress bars.

    Raises:
        ArgumentError: there are no images, or they do not fit the model.
        SupportError: the images are outside the likelihood's support.

    Example:
        >>> from pyro_vae import VAE, data, likelihoods, networks, posteriors, priors
        >>> vae = VAE(
        ...     priors.StandardNormal(2),
        ...     likelihoods.Normal(networks.MLPDecoder(2, (1, 8, 8))),
        ...     posteriors.DiagonalNormal(networks.MLPEncoder((1, 8, 8)), 2),
        ... )
        >>> scores = score(vae, data.load("digits").test)
        >>> list(scores.columns()), bool((scores.elbos.diff() >= 0).all())
        (['file', 'elbo', 'distortion', 'rate'], True)
    """
    parts = named_parts("score", vae, images)
    for part in parts.values():
        with seeded(seed, vae.device):
            check_support(vae, part)
    found = [
        [each.cpu() for each in terms(vae, x, analytic_kl=True)]
        for x in batches_of(
            vae, parts, "scoring", batch_size=batch_size, seed=seed, progress=progress
        )
    ]
    distortions, rates = (torch.cat(each) for each in zip(*found, strict=True))
    proper = has_elbo(vae)
    strangeness = distortions + rates if proper else distortions
    # What is not a number is as strange as can be.
    order = strangeness.nan_to_num(nan=torch.inf).argsort(descending=True, stable=True)
    estimates = [
        log_likelihood(vae, part, samples=samples, seed=seed, progress=progress)
        for part in parts.values()
        if samples and proper
    ]
    names, owners = names_of(parts), parts_of(parts)
    return Scores(
        names=tuple(names[i] for i in order.tolist()),
        parts=tuple(owners[i] for i in order.tolist()),
        elbos=-strangeness[order] if proper else None,
        distortions=distortions[order],
        rates=rates[order] if proper else None,
        log_likelihoods=torch.cat([e.values for e in estimates])[order] if estimates else None,
        errors=torch.cat([e.errors for e in estimates])[order] if estimates else None,
        order=order,
    )
