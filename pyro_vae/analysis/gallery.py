"""The suite: every picture of one model, by name.

`PICTURES` says of each what file it goes to, what to look for in it and what it needs; `draw` makes
those that apply. A picture is a function of a `Subject`, registered by `@picture(...)`: to add
one, write one.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from pyro_vae.analysis import (
    interpolation,
    latents,
    manifolds,
    probes,
    progress,
    reconstructions,
    samples,
    training_curves,
    traversals,
)
from pyro_vae.analysis.animation import Frame, frame_beside, save_gif
from pyro_vae.analysis.comparison import beside
from pyro_vae.analysis.embeddings import embed, leading, rate_per_dimension, terms_of
from pyro_vae.data import Dataset, ImageData
from pyro_vae.evaluation import active_units_of, has_elbo, has_prior
from pyro_vae.experiments import Experiment
from pyro_vae.training import choose_device
from pyro_vae.vae import VAE

Made = Figure | list[Frame]


class PictureError(ValueError):
    """No picture is called so."""


@dataclass(frozen=True)
class Choices:
    """What a person wants shown, where the pictures would choose by themselves.

    Attributes:
        pair: the test images to interpolate between, from 0.
        steps: images of an interpolation, the ends included.
        plane: the two dimensions of grids, from 0.
        range: of both coordinates of the even grid, low and high; that of a plain autoencoder
            beside the model covers its own codes all the same.
        tiles: images along each coordinate of grids.
    """

    pair: tuple[int, int] | None = None
    steps: int | None = None
    plane: tuple[int, int] | None = None
    range: manifolds.Range | None = None
    tiles: int | None = None


@dataclass(frozen=True, eq=False)
class Subject:
    """What is looked at. What several pictures need is computed once.

    Attributes:
        vae: the model.
        dataset: images as the model expects them, padded and sized.
        history: the records of its training.
        training_steps: loss, ELBO, distortion and rate at each of its steps, (steps, 4).
        autoencoder: a plain autoencoder of the same shape, if there is one.
        stages: (epoch, codes of the first test images after it), if some were kept; epoch 0 is
            before training.
        autoencoder_stages: those of the plain autoencoder.
        seed: of all randomness.
        progress: show a bar within pictures that take long.
        choices: what a person wants shown.
        role_of_test: what the test images did in training, in words; "": nothing.
    """

    vae: VAE
    dataset: Dataset
    history: Sequence[Mapping[str, float]] = ()
    training_steps: np.ndarray | Sequence = ()
    autoencoder: VAE | None = None
    stages: Sequence[progress.Stage] = ()
    autoencoder_stages: Sequence[progress.Stage] = ()
    seed: int = 0
    progress: bool = True
    choices: Choices = Choices()
    role_of_test: str = ""

    @classmethod
    def of_run(
        cls,
        experiment: Experiment,
        *,
        device: str | torch.device | None = None,
        seed: int = 0,
        choices: Choices | None = None,
    ) -> "Subject":
        """A trained run, and the plain autoencoder trained beside it, if one was.

        Args:
            experiment: the run's.
            device: CUDA, else MPS, else the CPU, unless given.
            seed: of all randomness.
            choices: what a person wants shown.
        """
        device, run = choose_device(device), experiment.run.autoencoder
        plain = Experiment.open(run.folder) if run.exists() else None
        return cls(
            experiment.load().to(device),
            replace(experiment.dataset, train=experiment.parts[0]),
            history=experiment.history(),
            training_steps=experiment.steps(),
            stages=experiment.stages(),
            autoencoder=plain and plain.load().to(device),
            autoencoder_stages=plain.stages() if plain else (),
            seed=seed,
            choices=choices or Choices(),
            role_of_test=experiment.role_of_test,
        )

    @property
    def test(self) -> ImageData:
        """The test images."""
        return self.dataset.test

    @property
    def few(self) -> ImageData:
        """25 test images, always the same."""
        return self.test.select(slice(25))

    @property
    def followed(self) -> ImageData:
        """The test images whose codes were kept."""
        return self.test.select(slice(len(self.stages[0][1])))

    @cached_property
    def codes(self) -> Tensor:
        """The test images' codes, (N, D)."""
        return embed(self.vae, self.test, seed=self.seed)

    @cached_property
    def draws(self) -> Tensor:
        """A draw from the posterior of each test image, (N, D)."""
        return embed(self.vae, self.test, draw=True, seed=self.seed)

    @cached_property
    def rate(self) -> Tensor | None:
        """The rate of each dimension, (D,) in nats per image, where it has parts."""
        return rate_per_dimension(self.vae, self.test, seed=self.seed)

    @cached_property
    def of_autoencoder(self) -> "Subject":
        """The plain autoencoder, looked at likewise, but over the range of its own codes."""
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
        """Distortion and rate of each test image at one draw, (N,) each, in nats."""
        distortion, rate = terms_of(self.vae, self.test, seed=self.seed)
        return distortion[0], rate[0]

    @cached_property
    def part_of_train(self) -> ImageData:
        """5,000 training images, always the same, to learn a classifier from."""
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(self.dataset.train), generator=generator)
        return self.dataset.train.select(order[:5000])

    def range_of(self, dimension: int) -> manifolds.Range:
        """What a grid covers: as chosen, else the prior's range, or else that of the codes."""
        if self.choices.range:
            return self.choices.range
        if has_prior(self.vae):
            return manifolds.prior_range(self.vae, dimension, seed=self.seed)
        values = self.codes[:, dimension]
        return values.min().item(), values.max().item()

    def leading(self, count: int) -> list[int]:
        """The `count` dimensions that say most, or all if there are fewer, in their own order."""
        return leading(self.codes, self.rate, count)

    @property
    def plane(self) -> tuple[int, int]:
        """As chosen, else the two dimensions that say most; D = 1 has one, twice."""
        if self.choices.plane:
            return self.choices.plane
        dimensions = self.leading(2)
        return dimensions[0], dimensions[-1]

    @cached_property
    def pair(self) -> ImageData:
        """The two test images to interpolate between: as chosen, else of different classes."""
        return interpolation.choose_pair(self.test, *(self.choices.pair or ()))

    @property
    def steps(self) -> dict[str, int]:
        """The number of steps of an interpolation, where one was chosen."""
        return {"steps": self.choices.steps} if self.choices.steps else {}

    @property
    def tiles(self) -> dict[str, int]:
        """The number of images along a grid's coordinates, where one was chosen."""
        return {"steps": self.choices.tiles} if self.choices.tiles else {}


@dataclass(frozen=True)
class Picture:
    """A picture of the suite.

    Attributes:
        file: its name in the folder; a GIF's ends in ".gif".
        caption: one sentence, what to look for.
        make: draws it.
        needs: keys of `NEEDS`.
        slow: takes more than some ten seconds: made by default for D > 2 alone.
        together: draws several subjects by name into one figure, where they share their axes;
            otherwise their pictures stand beside each other.
    """

    file: str
    caption: str
    make: Callable[[Subject], Made]
    needs: tuple[str, ...] = ()
    slow: bool = False
    together: Callable[[Mapping[str, Subject]], Figure] | None = None


NEEDS: dict[str, tuple[Callable[[Subject], bool], str]] = {
    "labels": (lambda s: s.test.labels is not None, "the images have no classes"),
    "attributes": (lambda s: bool(s.test.attributes), "the images have no attributes"),
    "prior": (lambda s: has_prior(s.vae), "a flat prior has no samples and no ELBO"),
    "elbo": (lambda s: has_elbo(s.vae), "this model has no ELBO"),
    "autoencoder": (lambda s: s.autoencoder is not None, "no plain autoencoder was given"),
    "history": (lambda s: bool(s.history), "no history of the training was given"),
    "steps": (lambda s: len(s.training_steps) > 0, "the steps of the training were not kept"),
    "stages": (lambda s: bool(s.stages), "no codes were kept during training"),
    "its stages": (
        lambda s: bool(s.autoencoder_stages),
        "no codes of the plain autoencoder were kept during training",
    ),
    "two images": (lambda s: len(s.test) > 1, "there is a single test image"),
    "many dimensions": (lambda s: s.size > 2, "the latent space is a plane already"),
    "predictable": (
        lambda s: s.test.labels is not None or bool(s.test.attributes),
        "the images have neither classes nor attributes",
    ),
}

PICTURES: dict[str, Picture] = {}


def picture(
    file: str,
    caption: str,
    *needs: str,
    slow: bool = False,
    together: Callable[[Mapping[str, Subject]], Figure] | None = None,
    beside_autoencoder: bool = False,
) -> Callable[[Callable[[Subject], Made]], Callable[[Subject], Made]]:
    """Register a picture under its file's stem; if wanted, also one beside the autoencoder's."""

    def register(make: Callable[[Subject], Made]) -> Callable[[Subject], Made]:
        stem, _, ending = file.rpartition(".")
        PICTURES[stem] = Picture(file, caption, make, needs, slow, together)
        if beside_autoencoder:
            stem = f"{stem}_beside_autoencoder"
            both = (*needs, "autoencoder", *["its stages"] * ("stages" in needs))
            text = f"The model above a plain autoencoder of the same shape. {caption}"
            PICTURES[stem] = Picture(f"{stem}.{ending}", text, _both(make), both, slow)
        return make

    return register


def _both(make: Callable[[Subject], Made]) -> Callable[[Subject], Made]:
    def make_both(s: Subject) -> Made:
        made = {"VAE": make(s), "plain autoencoder": make(s.of_autoencoder)}
        if isinstance(made["VAE"], list):
            return [frame_beside(frames) for frames in zip(*made.values(), strict=True)]
        return beside(made)

    return make_both


def draw(
    subject: Subject, folder: Path, only: Sequence[str] | None = None, progress: bool = True
) -> list[Path]:
    """Draw the suite into a folder, skipping, with the reason, what does not apply.

    Args:
        subject: what is looked at.
        folder: made if need be.
        only: names of `PICTURES`; by default all, the slow ones for D > 2 alone.
        progress: show a bar, and why a picture of `only` does not apply.

    Returns:
        The files written.

    Raises:
        PictureError: no picture is called so; names the nearest.
    """
    names = chosen(subject, only)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    skipped: dict[str, list[str]] = {}
    with tqdm(names, desc="pictures", unit="picture", disable=not progress) as bar:
        for name in bar:
            bar.set_postfix_str(name)
            if reason := missing(PICTURES[name], subject):
                skipped.setdefault(reason, []).append(name)
            else:
                written.append(_save(PICTURES[name], subject, folder))
    for reason, pictures in skipped.items() if progress and only else ():
        tqdm.write(f"Not drawn, as {reason}: {', '.join(pictures)}")
    return written


def missing(picture: Picture, subject: Subject) -> str | None:
    """Why a picture does not apply to a subject, or None if it does."""
    reasons = [NEEDS[need] for need in picture.needs]
    return next((reason for holds, reason in reasons if not holds(subject)), None)


def chosen(subject: Subject, only: Sequence[str] | None) -> list[str]:
    """The names of the pictures to draw: `only`, or those that are drawn of every such subject.

    Raises:
        PictureError: no picture is called so; names the nearest.
    """
    if only is None:
        return [name for name, p in PICTURES.items() if subject.size > 2 or not p.slow]
    for name in only:
        if name not in PICTURES:
            near = difflib.get_close_matches(name, PICTURES, n=1, cutoff=0)
            raise PictureError(f"no picture is called {name!r}: did you mean {near[0]!r}?")
    return list(only)


def _save(picture: Picture, subject: Subject, folder: Path) -> Path:
    made, path = picture.make(subject), folder / picture.file
    if isinstance(made, list):
        save_gif(made, path)
    else:
        made.savefig(path)
    return path


# The pictures, in the order in which a reader wants to see them.


@picture("real_test_images_after_train.png", "Test images as they are, to compare with the next.")
def originals(s: Subject) -> Made:
    return reconstructions.originals(s.few)


@picture(
    "reconstruct_after_train.png",
    "The same test images after their way through the latent space: what was kept, what was lost?",
    beside_autoencoder=True,
)
def reconstructed(s: Subject) -> Made:
    return reconstructions.reconstructed(s.vae, s.few, seed=s.seed)


@picture(
    "embedding_visualize.png",
    "Where the test images lie in the latent space: classes apart, within the prior, no gaps?",
    beside_autoencoder=True,
)
def embeddings(s: Subject) -> Made:
    return latents.scatter(s.codes, s.test, vae=s.vae, points=10_000, seed=s.seed)


@picture(
    "image_grid_on_embeddings.png",
    "What codes decode to, drawn where they lie: neighbours should look alike.",
    beside_autoencoder=True,
)
def images_at_embeddings(s: Subject) -> Made:
    return manifolds.at_embeddings(s.vae, s.codes, s.test, seed=s.seed)


@picture(
    "linearly_sampled_reconstructions.png",
    "Images decoded over an even grid of the latent space: do they change smoothly, with no voids?",
    beside_autoencoder=True,
)
def linear_grid(s: Subject) -> Made:
    across, up = s.plane
    return manifolds.linear_grid(
        s.vae,
        size=s.size,
        ranges=(s.range_of(across), s.range_of(up)),
        dimensions=(across, up),
        at=s.codes.median(0).values,
        seed=s.seed,
        **s.tiles,
    )


@picture(
    "normally_sampled_reconstructions.png",
    "New images, decoded from draws of the prior: do they look real, and do all kinds occur?",
    "prior",
)
def prior_samples(s: Subject) -> Made:
    return samples.from_prior(s.vae, seed=s.seed)


@picture(
    "latent_distribution.png",
    "Latent values beside the prior's density: they should have the same shape, about the same "
    "centre.",
)
def latent_distribution(s: Subject) -> Made:
    other = None if s.autoencoder is None else s.of_autoencoder.codes
    return latents.marginals(
        s.draws, s.vae, autoencoder_codes=other, dimensions=s.leading(4), seed=s.seed
    )


@picture(
    "training_curves.png",
    "ELBO, distortion and rate by epoch: has training settled, and does validation follow it?",
    "history",
    together=lambda runs: training_curves.training_curves({k: s.history for k, s in runs.items()}),
)
def curves(s: Subject) -> Made:
    return training_curves.training_curves(s.history)


@picture(
    "training_steps.png",
    "ELBO, distortion and rate at every step: how noisy are the steps beside what they gain?",
    "steps",
)
def every_step(s: Subject) -> Made:
    return training_curves.training_steps(s.training_steps)


@picture(
    "log_likelihood.png",
    "Test images with their ELBO and log-likelihood: which are easy, how tight is the bound?",
)
def log_likelihoods(s: Subject) -> Made:
    return reconstructions.with_log_likelihood(s.vae, s.test.select(slice(16)), seed=s.seed)


@picture(
    "best_and_worst.png",
    "The best and the worst reconstructed test images: what does the model not know how to draw?",
    "two images",
)
def best_and_worst(s: Subject) -> Made:
    return reconstructions.best_and_worst(s.vae, s.test, s.terms[0], seed=s.seed)


@picture(
    "most_surprising.png",
    "The test images of the lowest ELBO: are they odd, damaged or wrongly labelled?",
    "elbo",
)
def most_surprising(s: Subject) -> Made:
    return reconstructions.most_surprising(s.vae, s.test, -sum(s.terms), seed=s.seed)


@picture(
    "aggregate_posterior.png",
    "The codes of all images beside draws from the prior: what is in one and not in the other?",
    "prior",
)
def aggregate_posterior(s: Subject) -> Made:
    return latents.aggregate_posterior(s.draws, s.vae, seed=s.seed)


@picture(
    "rate_per_dimension.png",
    "How many nats each latent dimension says of an image: one near 0 has collapsed.",
)
def rates(s: Subject) -> Made:
    return latents.rates(s.codes, s.rate, active_units_of(s.vae, s.test, seed=s.seed))


@picture(
    "quantile_grid.png",
    "Images decoded at the prior's quantiles: each tile is as likely as any other.",
    "prior",
)
def quantile_grid(s: Subject) -> Made:
    return manifolds.quantile_grid(s.vae, size=s.size, dimensions=s.plane, seed=s.seed, **s.tiles)


@picture(
    "uniformly_sampled_reconstructions.png",
    "Images decoded from anywhere in the codes' range: nonsense shows where no image was coded.",
    beside_autoencoder=True,
)
def uniform(s: Subject) -> Made:
    return samples.uniform(s.vae, s.codes, seed=s.seed)


@picture(
    "standard_normal_reconstructions.png",
    "What draws of N(0, I) decode to, whatever the prior: images, if the codes lie there.",
    beside_autoencoder=True,
)
def standard_normal(s: Subject) -> Made:
    return samples.from_standard_normal(s.vae, s.size, seed=s.seed)


@picture(
    "empty_regions.png",
    "What decodes in the widest voids between the codes: the smoother the space, the more it looks "
    "like data.",
    "two images",
    beside_autoencoder=True,
)
def empty_regions(s: Subject) -> Made:
    return samples.empty_regions(s.vae, s.codes, s.test, seed=s.seed)


@picture(
    "nearest_training_images.png",
    "Samples over the training images nearest to each: near-copies would mean memorising.",
    "prior",
)
def nearest(s: Subject) -> Made:
    return samples.nearest_neighbours(s.vae, s.dataset.train, reference=s.test, seed=s.seed)


@picture(
    "class_coverage.png",
    "The share of samples in each class beside the data's: a missing bar is a forgotten class.",
    "prior",
    "labels",
)
def class_coverage(s: Subject) -> Made:
    return samples.class_coverage(s.vae, s.dataset.train, seed=s.seed)


@picture(
    "traversals.png",
    "One dimension at a time, the most telling first: does each change one thing?",
    beside_autoencoder=True,
)
def traverse(s: Subject) -> Made:
    return traversals.traversals(s.vae, s.codes, rate=s.rate, seed=s.seed)


@picture(
    "interpolation.png",
    "The way from one test image to another: every step should look like an image.",
    "two images",
    beside_autoencoder=True,
)
def interpolated(s: Subject) -> Made:
    return interpolation.row(s.vae, s.pair, seed=s.seed, **s.steps)


@picture(
    "interpolation_ways.png",
    "The straight way and the way along the sphere: the second keeps to where the prior's mass is.",
    "two images",
    "many dimensions",
)
def interpolation_ways(s: Subject) -> Made:
    return interpolation.both_ways(s.vae, s.pair, seed=s.seed, **s.steps)


@picture(
    "interpolation_film.gif",
    "The same way, there and back.",
    "two images",
    beside_autoencoder=True,
)
def interpolation_film(s: Subject) -> Made:
    return interpolation.frames(s.vae, s.pair, seed=s.seed, **s.steps)


@picture(
    "predictions.png",
    "How well classes and attributes are read off the codes, though none was trained on.",
    "predictable",
    beside_autoencoder=True,
)
def predictions(s: Subject) -> Made:
    train_codes = embed(s.vae, s.part_of_train, seed=s.seed)
    return probes.predictions(train_codes, s.part_of_train, s.codes, s.test)


@picture(
    "attributes.png",
    "The codes coloured by each attribute: which of them order the latent space?",
    "attributes",
    beside_autoencoder=True,
)
def attributes(s: Subject) -> Made:
    return latents.attribute_scatters(s.codes, s.test, seed=s.seed)


@picture(
    "embedding_tsne.png",
    "Neighbours among the codes, by t-SNE: islands of one class are what a classifier could use; "
    "distances between islands mean nothing.",
    slow=True,
    beside_autoencoder=True,
)
def tsne(s: Subject) -> Made:
    return latents.scatter(s.codes, s.test, method="tsne", seed=s.seed, progress=s.progress)


@picture(
    "attributes_tsne.png",
    "Neighbours among the codes, by t-SNE, coloured by each attribute: which make islands?",
    "attributes",
    slow=True,
    beside_autoencoder=True,
)
def attributes_tsne(s: Subject) -> Made:
    return latents.attribute_scatters(
        s.codes, s.test, method="tsne", seed=s.seed, progress=s.progress
    )


@picture(
    "latent_progress.png",
    "The codes of the test images as training goes on: when do classes part?",
    "stages",
    beside_autoencoder=True,
)
def latent_progress(s: Subject) -> Made:
    return progress.row(s.stages, s.followed, seed=s.seed)


@picture("latent_progress_film.gif", "The same, epoch by epoch.", "stages")
def latent_progress_film(s: Subject) -> Made:
    return progress.frames(s.stages, s.followed, seed=s.seed)
