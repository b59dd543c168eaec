"""The pictures of the suite, in the order in which a report shows them.

To add a picture, write a function of a `Subject` that returns a figure or a list of frames, and
register it with `@picture(...)`.
"""

import numpy as np

from pyro_vae.analysis import (
    interpolation,
    latents,
    manifolds,
    probes,
    reconstructions,
    samples,
    stages,
    training_curves,
    traversals,
)
from pyro_vae.analysis.subject import Subject
from pyro_vae.analysis.suite import PICTURES, Made, picture

__all__ = ["PICTURES"]


@picture(
    "real_test_images_after_train.png",
    "Test images, for comparison with their reconstructions.",
    title="Test images",
)
def originals(s: Subject) -> Made:
    return reconstructions.originals(s.few)


@picture(
    "reconstruct_after_train.png",
    "Reconstructions of the same test images: which details are kept, and which are lost?",
    title="Reconstructions",
    beside_autoencoder=True,
)
def reconstructed(s: Subject) -> Made:
    return reconstructions.reconstructed(s.vae, s.few, codes=s.codes[: len(s.few)], seed=s.seed)


@picture(
    "embedding_visualize.png",
    "The codes of the test images: are the classes separate, and is the prior filled without gaps?",
    title="Codes",
    beside_autoencoder=True,
)
def embeddings(s: Subject) -> Made:
    return latents.scatter(s.codes, s.test, vae=s.vae, points=10_000, seed=s.seed)


@picture(
    "image_grid_on_embeddings.png",
    "Decoded codes, drawn at their positions: neighbors should look alike.",
    title="Decoded codes",
    beside_autoencoder=True,
)
def images_at_embeddings(s: Subject) -> Made:
    return manifolds.at_embeddings(s.vae, s.codes, s.test, seed=s.seed)


@picture(
    "linearly_sampled_reconstructions.png",
    "Images decoded on an even grid over the latent space: do they change smoothly everywhere?",
    title="Even grid",
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
        steps=s.tiles,
        seed=s.seed,
    )


@picture(
    "normally_sampled_reconstructions.png",
    "New images, decoded from draws from the prior: do they look real, and do all classes occur?",
    "prior",
    title="Samples from the prior",
)
def prior_samples(s: Subject) -> Made:
    return samples.from_prior(s.vae, seed=s.seed)


@picture(
    "latent_distribution.png",
    "Histograms of the latent values with the density of the prior: shape and center should agree.",
    title="Distribution of latent values",
)
def latent_distribution(s: Subject) -> Made:
    other = None if s.autoencoder is None else s.of_autoencoder.codes
    return latents.marginals(
        s.draws, s.vae, autoencoder_codes=other, dimensions=s.leading(4), seed=s.seed
    )


@picture(
    "training_curves.png",
    "ELBO, distortion and rate per epoch: has training converged, and does validation follow it?",
    "history",
    together=lambda runs: training_curves.training_curves({k: s.history for k, s in runs.items()}),
)
def curves(s: Subject) -> Made:
    return training_curves.training_curves(s.history)


@picture(
    "training_steps.png",
    "ELBO, distortion and rate at every step: how large is the noise compared with the progress?",
    "steps",
)
def every_step(s: Subject) -> Made:
    return training_curves.training_steps(np.asarray(s.training_steps))


@picture(
    "log_likelihood.png",
    "Test images with their ELBO and log-likelihood: which are easy, and how tight is the bound?",
)
def log_likelihoods(s: Subject) -> Made:
    some, codes = s.test.select(slice(16)), s.codes[:16]
    return reconstructions.with_log_likelihood(s.vae, some, codes=codes, seed=s.seed)


@picture(
    "best_and_worst.png",
    "The test images with the best and the worst reconstructions: what can the model not draw?",
    "two images",
)
def best_and_worst(s: Subject) -> Made:
    return reconstructions.best_and_worst(s.vae, s.test, s.terms[0], codes=s.codes, seed=s.seed)


@picture(
    "most_surprising.png",
    "The test images with the lowest ELBO: are they unusual, damaged or mislabeled?",
    "elbo",
)
def most_surprising(s: Subject) -> Made:
    distortion, rate = s.terms
    return reconstructions.most_surprising(
        s.vae, s.test, -(distortion + rate), codes=s.codes, seed=s.seed
    )


@picture(
    "aggregate_posterior.png",
    "The aggregate posterior and the prior: where does one have mass that the other lacks?",
    "prior",
)
def aggregate_posterior(s: Subject) -> Made:
    return latents.aggregate_posterior(s.draws, s.vae, seed=s.seed)


@picture(
    "rate_per_dimension.png",
    "The rate of each latent dimension: those near 0 nats have collapsed onto the prior.",
)
def rates(s: Subject) -> Made:
    return latents.rates(s.codes, s.rate, s.coded.active)


@picture(
    "quantile_grid.png",
    "Images decoded at the quantiles of the prior: all tiles are equally likely.",
    "prior",
)
def quantile_grid(s: Subject) -> Made:
    return manifolds.quantile_grid(
        s.vae, size=s.size, steps=s.tiles, dimensions=s.plane, seed=s.seed
    )


@picture(
    "uniformly_sampled_reconstructions.png",
    "Images decoded from uniform points in the range of the codes: implausible ones lie in gaps.",
    title="Uniform samples",
    beside_autoencoder=True,
)
def uniform(s: Subject) -> Made:
    return samples.uniform(s.vae, s.codes, seed=s.seed)


@picture(
    "standard_normal_reconstructions.png",
    "Images decoded from draws from N(0, I), whatever the prior: plausible if the codes lie there.",
    title="Samples from N(0, I)",
    beside_autoencoder=True,
)
def standard_normal(s: Subject) -> Made:
    return samples.from_standard_normal(s.vae, s.size, seed=s.seed)


@picture(
    "empty_regions.png",
    "Images decoded in the widest gaps between the codes: in a smooth latent space they look like "
    "data.",
    "two images",
    title="Gaps between codes",
    beside_autoencoder=True,
)
def empty_regions(s: Subject) -> Made:
    return samples.empty_regions(s.vae, s.codes, s.test, seed=s.seed)


@picture(
    "nearest_training_images.png",
    "Samples above their nearest training images: near-copies would indicate memorization.",
    "prior",
)
def nearest_images(s: Subject) -> Made:
    return samples.nearest_neighbors(s.vae, s.dataset.train, reference=s.test, seed=s.seed)


@picture(
    "class_coverage.png",
    "The class frequencies of samples and of training images: a missing bar is a missing class.",
    "prior",
    "labels",
)
def class_coverage(s: Subject) -> Made:
    train, codes = s.dataset.train, s.codes_of_known
    return samples.class_coverage(s.vae, train, codes=codes, seed=s.seed)


@picture(
    "traversals.png",
    "One latent dimension at a time, the most informative first: does each change one thing?",
    beside_autoencoder=True,
)
def traverse(s: Subject) -> Made:
    return traversals.traversals(s.vae, s.codes, rate=s.rate, seed=s.seed)


@picture(
    "interpolation.png",
    "A path from one test image to another: every step should look like an image.",
    "two images",
    beside_autoencoder=True,
)
def interpolated(s: Subject) -> Made:
    return interpolation.row(s.vae, s.pair, steps=s.steps or 20, codes=s.codes_of_pair, seed=s.seed)


@picture(
    "interpolation_ways.png",
    "The straight path and the spherical one, which stays where the mass of the prior is.",
    "two images",
    "many dimensions",
    title="Straight and spherical interpolation",
)
def interpolation_ways(s: Subject) -> Made:
    return interpolation.both_ways(
        s.vae, s.pair, steps=s.steps or 10, codes=s.codes_of_pair, seed=s.seed
    )


@picture(
    "interpolation_film.gif",
    "The same path, there and back.",
    "two images",
    title="Interpolation as a film",
    beside_autoencoder=True,
)
def interpolation_film(s: Subject) -> Made:
    return interpolation.frames(
        s.vae, s.pair, steps=s.steps or 100, codes=s.codes_of_pair, seed=s.seed
    )


@picture(
    "predictions.png",
    "How well classifiers predict classes and attributes from the codes, which never saw a label.",
    "predictable",
    beside_autoencoder=True,
)
def predictions(s: Subject) -> Made:
    return probes.predictions(s.codes_of_train, s.part_of_train, s.codes, s.test)


@picture(
    "attributes.png",
    "The codes, colored by each attribute: which attributes structure the latent space?",
    "attributes",
    beside_autoencoder=True,
)
def attributes(s: Subject) -> Made:
    return latents.attribute_scatters(s.codes, s.test, seed=s.seed)


@picture(
    "embedding_tsne.png",
    "A t-SNE of the codes, which preserves neighbors: a classifier could separate islands of one "
    "class; distances between islands are meaningless.",
    title="Codes by t-SNE",
    slow=True,
    beside_autoencoder=True,
)
def tsne(s: Subject) -> Made:
    return latents.scatter(s.codes, s.test, plane=s.tsne)


@picture(
    "attributes_tsne.png",
    "A t-SNE of the codes, colored by each attribute: which attributes form islands?",
    "attributes",
    title="Attributes by t-SNE",
    slow=True,
    beside_autoencoder=True,
)
def attributes_tsne(s: Subject) -> Made:
    return latents.attribute_scatters(s.codes, s.test, plane=s.tsne)


@picture(
    "latent_progress.png",
    "The codes of the test images during training: when do the classes separate?",
    "stages",
    title="Codes during training",
    beside_autoencoder=True,
)
def latent_progress(s: Subject) -> Made:
    return stages.row(s.stages, s.followed, seed=s.seed)


@picture(
    "latent_progress_film.gif",
    "The same codes, epoch by epoch.",
    "stages",
    title="Codes during training, as a film",
)
def latent_progress_film(s: Subject) -> Made:
    return stages.frames(s.stages, s.followed, seed=s.seed)
