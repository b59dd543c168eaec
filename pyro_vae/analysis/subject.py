"""The subject of the pictures: a model, its images, and results that several pictures share.

All pictures of a subject together take one pass of coding and one of decoding over its test images.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from pyro_vae._modes import channels_last
from pyro_vae.analysis import manifolds
from pyro_vae.analysis.animation import Frame
from pyro_vae.analysis.classes import labeled
from pyro_vae.analysis.embeddings import embed, leading
from pyro_vae.analysis.pairs import places_of_pair
from pyro_vae.analysis.passes import Coded, code, terms_at
from pyro_vae.analysis.projections import Projection, project
from pyro_vae.analysis.stages import Stage
from pyro_vae.data import Dataset, ImageData
from pyro_vae.errors import StateError
from pyro_vae.evaluation import has_prior
from pyro_vae.vae import VAE


@dataclass(frozen=True)
class Choices:
    """What the pictures show, where it can be chosen; None leaves the choice to them.

    Attributes:
        pair: indices of the two test images to interpolate between.
        steps: number of images of an interpolation, both ends included.
        plane: the two latent dimensions of grids, from 0.
        range: (low, high) of both coordinates of the even grid; the grid of a plain autoencoder
            beside the model always covers the autoencoder's own codes.
        tiles: number of images along each coordinate of grids.
    """

    pair: tuple[int, int] | None = None
    steps: int | None = None
    plane: tuple[int, int] | None = None
    range: manifolds.Range | None = None
    tiles: int | None = None


@dataclass(frozen=True, eq=False)
class Subject:
    """A trained model and its images; what several pictures need is computed once.

    Attributes:
        vae: the model.
        dataset: images in the form that the model takes, padded and resized.
        history: one record per epoch of its training.
        training_steps: loss, ELBO, distortion and rate at each step, (steps, 4) in nats per image.
        autoencoder: a plain autoencoder of the same architecture, if there is one.
        stages: (epoch, codes of the first test images after it), if they were kept; epoch 0 is
            before training.
        autoencoder_stages: the same of the plain autoencoder.
        seed: seed of all randomness.
        progress: show progress bars in pictures that take long.
        choices: what the pictures show, where it can be chosen.
        roles_of_test: the uses of the test images in training, as verb phrases.
    """

    vae: VAE
    dataset: Dataset
    history: Sequence[Mapping[str, float]] = ()
    training_steps: np.ndarray | Sequence[Sequence[float]] = ()
    autoencoder: VAE | None = None
    stages: Sequence[Stage] = ()
    autoencoder_stages: Sequence[Stage] = ()
    seed: int = 0
    progress: bool = True
    choices: Choices = Choices()
    roles_of_test: Sequence[str] = ()

    @property
    def test(self) -> ImageData:
        """The test images."""
        return self.dataset.test

    @property
    def few(self) -> ImageData:
        """The first 25 test images."""
        return self.test.select(slice(25))

    @property
    def followed(self) -> ImageData:
        """The test images whose codes were kept during training."""
        return self.test.select(slice(len(self.stages[0][1])))

    @cached_property
    def coded(self) -> Coded:
        """What one pass of coding finds of the test images."""
        return code(self.vae, self.test, seed=self.seed)

    @property
    def codes(self) -> Tensor:
        """The codes of the test images, (N, D)."""
        return self.coded.codes

    @property
    def draws(self) -> Tensor:
        """A draw from the posterior of each test image, (N, D)."""
        return self.coded.draws

    @cached_property
    def rate(self) -> Tensor | None:
        """The rate of each dimension, (D,) in nats per image; None if it does not factorize."""
        return self.coded.rate

    @cached_property
    def drawn(self) -> dict[object, Frame | list[Frame]]:
        """The last picture drawn, by the function that made it: the next may show it again."""
        return {}

    @cached_property
    def of_autoencoder(self) -> "Subject":
        """The plain autoencoder as a subject, with grids over the range of its own codes."""
        if self.autoencoder is None:
            raise StateError("of_autoencoder: this subject has no plain autoencoder.")
        return replace(
            self,
            vae=self.autoencoder,
            history=(),
            training_steps=(),
            autoencoder=None,
            stages=self.autoencoder_stages,
            choices=replace(self.choices, range=None),
        )

    @property
    def size(self) -> int:
        """The dimension D."""
        return self.codes.shape[1]

    @cached_property
    def terms(self) -> tuple[Tensor, Tensor]:
        """The distortion and the rate of each test image at its draw, (N,) each, in nats.

        They take the one pass of decoding over the test images.
        """
        return terms_at(self.vae, self.test, self.coded, seed=self.seed)

    @cached_property
    def part_of_train(self) -> ImageData:
        """At most 5,000 training images, chosen by the seed, to train classifiers on."""
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(self.dataset.train), generator=generator, device="cpu")
        return self.dataset.train.select(order[:5000])

    @cached_property
    def codes_of_train(self) -> Tensor:
        """The codes of `part_of_train`, (n, D)."""
        return embed(self.vae, self.part_of_train, seed=self.seed)

    @property
    def codes_of_known(self) -> Tensor | None:
        """The codes of the images that samples are compared with, as far as these are the same."""
        train = self.dataset.train
        return self.codes_of_train if labeled(train) is train else None

    @cached_property
    def tsne(self) -> Projection:
        """The codes of at most 5,000 test images in a plane, by t-SNE."""
        return project(self.codes, "tsne", seed=self.seed, progress=self.progress)

    @contextmanager
    def laid_out(self) -> Iterator[None]:
        """Lay the models out channels last within a block, once for all that is drawn in it."""
        with channels_last(self.vae), channels_last(self.autoencoder or nn.Identity()):
            yield

    def range_of(self, dimension: int) -> manifolds.Range:
        """Return the range of a grid: the chosen one, else the prior's, else that of the codes."""
        if self.choices.range:
            return self.choices.range
        if has_prior(self.vae):
            return manifolds.prior_range(self.vae, dimension, seed=self.seed)
        values = self.codes[:, dimension]
        return values.min().item(), values.max().item()

    def leading(self, count: int) -> list[int]:
        """Return the `count` most informative dimensions, in ascending order."""
        return leading(self.codes, self.rate, count)

    @property
    def plane(self) -> tuple[int, int]:
        """The chosen dimensions, else the two most informative; for D = 1, twice the only one."""
        if self.choices.plane:
            return self.choices.plane
        dimensions = self.leading(2)
        return dimensions[0], dimensions[-1]

    @cached_property
    def pair(self) -> ImageData:
        """The two test images to interpolate between: chosen, else of different classes."""
        return self.test.select(self._places_of_pair)

    @property
    def codes_of_pair(self) -> Tensor:
        """The codes of `pair`, (2, D)."""
        return self.codes[self._places_of_pair]

    @cached_property
    def _places_of_pair(self) -> Tensor:
        return torch.tensor(places_of_pair(self.test, *(self.choices.pair or ())), device="cpu")

    @property
    def steps(self) -> int | None:
        """The chosen number of images of an interpolation."""
        return self.choices.steps

    @property
    def tiles(self) -> int:
        """The number of images along each coordinate of a grid."""
        return self.choices.tiles or 20
