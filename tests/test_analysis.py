"""The contents of the pictures: what is drawn where, in which colors, and for which models."""

import math
from dataclasses import replace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pyro.distributions as dist
import pytest
import torch
from conftest import captions, images_of, row_names, small_vae
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgb
from torch import nn

from pyro_vae import VAE, likelihoods, networks, posteriors, priors
from pyro_vae.analysis import (
    comparison,
    decode,
    embed,
    interpolation,
    latents,
    manifolds,
    probes,
    projections,
    reconstructions,
    samples,
    save_gif,
    stages,
    style,
    training_curves,
    traversals,
)
from pyro_vae.analysis.embeddings import (
    draw_prior,
    elbo_and_log_likelihood,
    mean_rate_per_dimension,
    terms_of,
)
from pyro_vae.data import ImageData
from pyro_vae.evaluation import active_units, evaluate

SHAPE = (1, 8, 8)


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Check that no picture registers a figure, changes a setting or uses global randomness."""
    settings, state = dict(matplotlib.rcParams), torch.get_rng_state()
    yield
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == settings
    assert torch.equal(torch.get_rng_state(), state)


def make(size=2, shape=SHAPE, plain=False, prior=None):
    """Return a tiny model whose codes spread widely enough to be seen."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = networks.ConvEncoder(shape, (4, 8))
        decoder = networks.ConvDecoder(size, shape, (8, 4))
        posterior = (posteriors.Delta if plain else posteriors.DiagonalNormal)(encoder, size)
        prior = prior or (priors.Flat if plain else priors.StandardNormal)(size)
        vae = VAE(prior, likelihoods.Bernoulli(decoder, gray_levels=True), posterior)
        with torch.no_grad():
            posterior.mean.weight *= 20
            for parameter in decoder.parameters():
                parameter *= 3
    return vae


def make_images(n=60, shape=SHAPE, classes=3, names=("ant", "bee", "cat")):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator)
    labels = None if classes is None else torch.arange(n) % classes
    return ImageData(images, labels, names if classes else None)


VAE2, IMAGES = make(), make_images()


def pixels(fig, i=0):
    return np.asarray(images_of(fig)[i].get_array())


def titles(fig):
    return [ax.get_title() for ax in fig.axes]


def as_pixels(images):
    return images.expand(-1, 3, -1, -1).movedim(1, -1).numpy()


# embeddings


def test_embed_gives_posterior_means_in_evaluation_mode_whatever_the_batches():
    vae = make()
    vae.train()
    many = make_images(1100)
    codes = embed(vae, many)
    expected = vae.eval().encode(many.as_float()).mean
    assert torch.allclose(codes, expected, atol=1e-5)
    assert codes.shape == (1100, 2) and not codes.requires_grad


def test_embed_leaves_training_mode_as_found():
    vae = make()
    vae.train()
    embed(vae, IMAGES)
    assert vae.training


def test_draws_follow_the_posterior_and_the_seed():
    posterior = VAE2.encode(IMAGES.as_float())
    draws = torch.stack([embed(VAE2, IMAGES, draw=True, seed=s) for s in range(50)])
    assert torch.equal(draws[0], embed(VAE2, IMAGES, draw=True, seed=0))
    assert torch.allclose(draws.std(0).mean(), posterior.stddev.mean(), rtol=0.1)


def test_rates_of_dimensions_add_up_to_the_rate():
    parts = mean_rate_per_dimension(VAE2, IMAGES)
    assert parts.shape == (2,)
    assert parts.sum().item() == pytest.approx(evaluate(VAE2, IMAGES, analytic_kl=True).rate, 1e-4)


def test_a_rate_has_no_parts_under_a_flat_prior():
    assert mean_rate_per_dimension(make(plain=True), IMAGES) is None


def test_elbo_and_log_likelihood_of_each_image():
    elbo, log_likelihood = elbo_and_log_likelihood(VAE2, IMAGES, draws=30)
    assert elbo.shape == log_likelihood.shape == (60,)
    assert (log_likelihood > elbo).all()
    one, same = elbo_and_log_likelihood(VAE2, IMAGES)
    assert torch.equal(one, same)
    assert elbo.mean().item() == pytest.approx(evaluate(VAE2, IMAGES).elbo, rel=0.02)


def test_a_plain_autoencoder_has_the_likelihood_of_its_reconstruction():
    vae, x = make(plain=True), IMAGES.as_float()
    elbo, log_likelihood = elbo_and_log_likelihood(vae, IMAGES, draws=4)
    assert torch.allclose(elbo, log_likelihood, rtol=1e-5)  # its four draws are one
    assert torch.allclose(elbo, vae.decode(vae.encode(x).mean).log_prob(x), rtol=1e-4)


def test_active_units_are_those_whose_mean_varies():
    codes = torch.linspace(-1, 1, 500)[:, None].repeat(1, 3)
    assert active_units(codes * torch.tensor([1.0, 0.1, 0.3])).tolist() == [True, False, True]


def test_a_flat_prior_cannot_be_drawn_from():
    with pytest.raises(ValueError, match="plain autoencoder"):
        draw_prior(make(plain=True), 3)


# projections


@pytest.mark.parametrize("size", [1, 2, 3, 200])
def test_projection_is_a_plane_and_follows_its_seed(size):
    codes = torch.randn(90, size, generator=torch.Generator().manual_seed(0))
    plane = projections.project(codes, points=50)
    assert plane.points.shape == (50, 2) and len(set(plane.indices)) == 50
    assert np.array_equal(plane.points, projections.project(codes, points=50).points)
    assert not np.array_equal(plane.indices, projections.project(codes, points=50, seed=1).indices)
    if size <= 2:
        assert np.allclose(plane.points[:, 0], codes[plane.indices, 0])


def test_principal_components_come_in_the_order_of_their_variance():
    codes = torch.randn(500, 5, generator=torch.Generator().manual_seed(0))
    codes[:, 3] *= 10
    plane = projections.project(codes)
    assert abs(np.corrcoef(plane.points[:, 0], codes[plane.indices, 3])[0, 1]) > 0.99
    assert "principal component 1" in plane.names[0]


def test_tsne_keeps_clusters_apart():
    centers = torch.eye(5)[:3].repeat_interleave(20, 0) * 20
    codes = centers + torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    plane = projections.project(codes, "tsne", progress=False)
    clusters = plane.indices // 20
    middles = np.stack([plane.points[clusters == k].mean(0) for k in range(3)])
    distances = np.linalg.norm(plane.points[:, None] - middles, axis=2)
    assert (distances.argmin(1) == clusters).mean() > 0.95


# style


def test_classes_beyond_ten_differ_by_marker():
    looks = [style.class_look(k) for k in range(30)]
    assert len(set(looks)) == 30
    assert looks[0][0] == looks[10][0] and looks[0][1] != looks[10][1]


def test_mosaic_puts_images_row_by_row():
    images = torch.arange(3.0)[:, None, None, None].expand(3, 1, 2, 2) / 4
    tiles = style.mosaic(images, 2)
    assert tiles.shape == (4, 4, 3)
    assert tiles[0, 0, 0] == 0 and tiles[0, 2, 0] == 0.25 and tiles[2, 0, 0] == 0.5
    assert tiles[2, 2, 0] == 1  # nothing there: white


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_image_panels_show_every_image_under_its_title(channels):
    images = torch.rand(5, channels, 6, 4, generator=torch.Generator().manual_seed(0))
    fig = style.image_panels(images, list("abcde"), columns=3, title="five")
    assert captions(fig) == list("abcde")
    mean = images[3].mean(0, keepdim=True).expand(3, -1, -1)
    order = {2: [0, 1, 0], 3: [0, 1, 2]}.get(channels)
    expected = images[3][order] if order else mean
    assert np.allclose(pixels(fig, 3), expected.movedim(0, -1))
    tops = [image.get_extent()[3] for image in images_of(fig)]
    assert tops[0] == tops[2] > tops[3]
    assert fig.get_figwidth() == style.WIDTH


def test_numbers_are_written_for_people():
    assert style.number(-1234.56, 1) == "−1\N{NARROW NO-BREAK SPACE}234.6"
    assert style.number(-0.01, 1) == "0.0"
    assert style.coordinates(torch.tensor([0.125, -1.3])) == "(0.12, −1.30)"


def test_figures_show_themselves_in_a_notebook():
    assert latents.scatter(embed(VAE2, IMAGES), IMAGES)._repr_png_().startswith(b"\x89PNG")


# latents


def test_scatter_draws_each_code_in_the_color_of_its_class():
    codes = embed(VAE2, IMAGES)
    ax = (fig := latents.scatter(codes, IMAGES)).axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("z₁", "z₂")
    points = ax.collections[0]
    assert np.allclose(points.get_offsets(), codes)
    expected = [to_rgb(style.PALETTE[label]) for label in IMAGES.labels]
    assert np.allclose(points.get_facecolors()[:, :3], expected)
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["ant", "bee", "cat"]


def test_scatter_without_labels_has_one_color_and_no_legend():
    fig = latents.scatter(embed(VAE2, IMAGES), make_images(classes=None))
    assert fig.legends == [] and len(fig.axes[0].collections[0].get_facecolors()) == 1


def test_very_many_classes_get_a_color_bar():
    images = make_images(classes=50, names=None)
    fig = latents.scatter(embed(VAE2, images), images)
    assert fig.legends == [] and len(fig.axes) == 2
    assert np.array_equal(fig.axes[0].collections[0].get_array(), images.labels)


def test_digits_get_a_color_bar_in_their_colors():
    images = make_images(classes=10, names=tuple("0123456789"))
    fig = latents.scatter(embed(VAE2, images), images)
    assert fig.legends == [] and len(fig.axes) == 2
    ax, bar = fig.axes
    assert [text.get_text() for text in bar.get_yticklabels()] == list("0123456789")
    mesh = next(part for part in bar.collections if isinstance(part, QuadMesh))
    colors = mesh.to_rgba(mesh.get_array()).reshape(10, 4)
    assert np.allclose(ax.collections[0].get_facecolors()[:, :3], colors[images.labels, :3])


def test_scatter_by_attribute():
    values = torch.arange(60) // 30 + 7
    images = ImageData(IMAGES.images, attributes={"hair": values})
    fig = latents.scatter(embed(VAE2, images), images, by="hair")
    assert fig.legends[0].get_title().get_text() == "hair"
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["7", "8"]
    assert latents.attribute_scatters(embed(VAE2, images), images).axes[0].get_title() == (
        "hair (2 values)"
    )
    with pytest.raises(ValueError, match="no attribute 'eyes'; known: hair"):
        latents.scatter(embed(VAE2, images), images, by="eyes")


def test_prior_outlines_hold_their_share_of_the_mass():
    codes = torch.randn(300, 2, generator=torch.Generator().manual_seed(0)) * 3
    fig = latents.scatter(codes, make_images(300), vae=VAE2)
    outlines = fig.axes[0].collections[-1].get_paths()
    radii = [np.linalg.norm(path.vertices, axis=1).mean() for path in outlines]
    # A standard Normal of two dimensions holds 1 - exp(-r²/2) within r.
    assert sorted(radii) == pytest.approx([1.177, 2.448], abs=0.06)


def test_marginals_show_the_priors_density_and_the_share_within_three():
    codes = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)) * 3
    fig = latents.marginals(codes, VAE2, autoencoder_codes=codes + 20)
    first, _, third, _ = fig.axes
    x, density = first.lines[0].get_data()
    assert np.allclose(density, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), atol=1e-5)
    share = (codes[:, 0].abs() <= 3).float().mean().item()
    assert f"{share:.1%} within ±3" in first.get_title() and "0.0% within" in third.get_title()
    assert first.get_xlabel() == "z₁" and "plain autoencoder" in third.get_ylabel()
    area = sum(bar.get_width() * bar.get_height() for bar in first.patches)
    assert area == pytest.approx(1)


class Bumps(nn.Module):
    """A prior with two modes, whose quantiles and independent factors are unknown."""

    def forward(self):
        loc = torch.tensor([[-3.0, 1.0], [3.0, 1.0]])
        parts = dist.Normal(loc, 0.5).to_event(1)
        return dist.MixtureSameFamily(dist.Categorical(torch.tensor([0.25, 0.75])), parts)


def test_marginals_of_any_prior_are_estimated_from_its_draws():
    fig = latents.marginals(embed(VAE2, IMAGES), make(prior=Bumps()))
    stairs = fig.axes[0].patches[-1].get_data()
    right = stairs.edges[1:] > 0
    mass = (stairs.values * np.diff(stairs.edges))[right].sum()
    assert mass == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_aggregate_posterior_counts_the_codes_within_the_prior(size):
    draws = torch.randn(3000, size, generator=torch.Generator().manual_seed(0))
    fig = latents.aggregate_posterior(draws, make(size))
    share = float(next(t for t in titles(fig) if "95%" in t).split("%")[0])
    assert share == pytest.approx(95, abs=1.5)
    far = latents.aggregate_posterior(draws + 30, make(size))
    assert next(t for t in titles(far) if "95%" in t).startswith("0.0%")


def test_rates_are_sorted_and_active_units_marked():
    codes = torch.linspace(-1, 1, 100)[:, None] * torch.tensor([0.01, 2.0, 1.0])
    fig = latents.rates(codes, torch.tensor([0.1, 1.0, 2.5]))
    heights = [bar.get_height() for bar in fig.axes[0].patches]
    assert heights == pytest.approx([2.5, 1.0, 0.1])
    assert [t.get_text() for t in fig.axes[0].get_xticklabels()] == ["z₃", "z₂", "z₁"]
    assert "2 of 3" in fig.get_suptitle() and "3.60 nats" in fig.get_suptitle()
    assert "nats per image" in fig.axes[0].get_ylabel()
    assert "variance" in latents.rates(codes, None).axes[0].get_ylabel()


# manifolds


def test_linear_grid_shows_the_decoding_at_its_coordinates():
    fig = manifolds.linear_grid(VAE2, size=2, ranges=((-1.0, 1.0), (0.0, 4.0)), steps=5)
    ax, tiles = fig.axes[0], pixels(fig)
    left, right, bottom, top = ax.images[0].get_extent()
    assert (left, right, bottom, top) == pytest.approx((-1.25, 1.25, -0.5, 4.5))
    # The third tile from the left, the second from the top: z = (0, 3).
    expected = as_pixels(VAE2.images(torch.tensor([[0.0, 3.0]])))[0]
    assert np.allclose(tiles[8:16, 16:24], expected, atol=1e-6)
    assert not np.allclose(tiles[16:24, 8:16], expected, atol=1e-4)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("z₁", "z₂")


def test_linear_grid_over_two_of_many_dimensions_keeps_the_others():
    vae, at = make(6), torch.arange(6.0)
    fig = manifolds.linear_grid(vae, size=6, ranges=(-2.0, 2.0), steps=3, dimensions=(1, 4), at=at)
    z = at.clone()
    z[1], z[4] = 2.0, 2.0
    assert np.allclose(pixels(fig)[:8, 16:24], as_pixels(vae.images(z[None]))[0], atol=1e-6)
    assert fig.axes[0].get_xlabel() == "z₂" and fig.axes[0].get_ylabel() == "z₅"


def test_linear_grid_of_one_dimension_is_a_row():
    fig = manifolds.linear_grid(make(1), size=1, steps=7)
    assert pixels(fig).shape == (8, 56, 3)


def test_quantile_grid_of_a_normal_prior_is_its_inverse_distribution_function():
    z = manifolds.quantile_points(VAE2, 2, 4)
    normal = torch.distributions.Normal(0, 1)
    expected = normal.icdf(torch.tensor([0.125, 0.375, 0.625, 0.875]))
    assert torch.allclose(z[:4, 0], expected, atol=1e-5)
    assert torch.allclose(z[::4, 1], expected.flip(0), atol=1e-5)


def test_quantile_grid_of_any_prior_has_equal_mass():
    vae = make(prior=Bumps())
    z = manifolds.quantile_points(vae, 2, 8).reshape(8, 8, 2)
    assert ((z[0, :, 0] < 0).float().mean() - 0.25).abs() < 0.01
    assert (z[0, 1:, 0] > z[0, :-1, 0]).all() and (z[:-1, 0, 1] > z[1:, 0, 1]).all()
    assert z[4, 2, 1].item() == pytest.approx(0.92, abs=0.1)


def test_prior_range_of_a_standard_normal_is_three_deviations():
    assert manifolds.prior_range(VAE2, 1) == pytest.approx((-3, 3), abs=0.01)


@pytest.mark.parametrize("decoded", [True, False])
def test_images_stand_at_their_embeddings_without_overlap(decoded):
    codes = embed(VAE2, IMAGES)
    fig = manifolds.at_embeddings(
        VAE2, codes, IMAGES, decoded=decoded, tiles=10, resolution=200, seed=0
    )
    ax, canvas, side = fig.axes[0], pixels(fig), 200 // 10
    shown = decode(VAE2, codes) if decoded else IMAGES.as_float()
    left, right, bottom, top = ax.images[0].get_extent()
    drawn = 0
    for i, (across, up) in enumerate(codes.tolist()):
        # The top left corner of a tile whose center is at the code.
        x = round((across - left) / (right - left) * 200 - side / 2)
        y = round((top - up) / (top - bottom) * 200 - side / 2)
        tile = canvas[y : y + side, x : x + side]
        frame = to_rgb(style.PALETTE[IMAGES.labels[i]])
        inside = tile[2:18:2, 2:18:2, 0]
        if inside.shape == (8, 8) and np.allclose(inside, shown[i, 0], atol=1e-6):
            assert np.allclose(tile[0, :, :3], frame, atol=1e-6)
            assert np.allclose(tile[:, 0, :3], frame, atol=1e-6)
            drawn += 1
    assert drawn > 10 and fig.get_suptitle().startswith(f"{drawn} ")
    assert (canvas[..., 3] == 1).sum() == drawn * side**2  # nothing else, and no overlap


# samples


def test_samples_are_decoded_draws_of_the_prior():
    fig = samples.from_prior(VAE2, 6, seed=3)
    z = draw_prior(VAE2, 6, seed=3)
    assert np.allclose(pixels(fig, 4), as_pixels(VAE2.images(z))[4], atol=1e-6)
    assert captions(fig)[4].replace("\n", " ") == style.coordinates(z[4], 1)


def test_uniform_points_fill_each_dimensions_own_range():
    codes = torch.tensor([[-5.0, 100.0, 0.0], [1.0, 101.0, 0.0], [0.0, 100.5, 0.0]])
    z = samples.uniform_points(codes, 5000)
    assert torch.allclose(z.min(0).values, codes.min(0).values, atol=0.01)
    assert torch.allclose(z.max(0).values, codes.max(0).values, atol=0.01)
    assert torch.allclose(z.mean(0), torch.tensor([-2.0, 100.5, 0.0]), atol=0.1)
    assert torch.equal(z[:3], samples.uniform_points(codes, 5000)[:3])


def test_nearest_finds_the_nearest_across_chunks(monkeypatch):
    monkeypatch.setattr(samples, "VALUES_AT_ONCE", 9 * IMAGES.levels()[0].numel())
    query = IMAGES.as_float(torch.tensor([7, 41]))
    distances, indices = samples.nearest_training_images(query, IMAGES, 3)
    everything = torch.cdist(query.flatten(1), IMAGES.as_float().flatten(1)).sort()
    assert torch.equal(indices, everything.indices[:, :3]) and indices[:, 0].tolist() == [7, 41]
    assert torch.allclose(distances[:, 1:], everything.values[:, 1:3], atol=1e-4)
    assert (distances[:, 0] == 0).all()  # a copy is a copy, whatever the arithmetic


def test_few_training_images_are_all_nearest():
    one = ImageData(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))
    with torch.random.fork_rng():
        vae = small_vae()
    figure = samples.nearest_neighbors(vae, one, n=4, neighbors=3)
    assert len(images_of(figure)) == 8


def test_two_channels_are_seen_apart():
    red_and_blue, green = [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]
    shown = style.as_array(torch.eye(2).view(2, 2, 1, 1))
    assert shown.reshape(2, 3).tolist() == [red_and_blue, green]
    assert style.as_array(torch.ones(1, 2, 1, 1)).flatten().tolist() == [1.0, 1.0, 1.0]


def test_nearest_neighbors_stand_below_their_sample():
    fig = samples.nearest_neighbors(VAE2, IMAGES, reference=IMAGES, n=4, neighbors=2)
    picture = decode(VAE2, draw_prior(VAE2, 4))
    distances, indices = samples.nearest_training_images(picture, IMAGES, 2)
    assert np.allclose(pixels(fig, 1), as_pixels(picture)[1], atol=1e-6)
    assert np.allclose(pixels(fig, 8 + 1), as_pixels(IMAGES.as_float(indices[1:2, 1]))[0])
    assert captions(fig)[8 + 1] == f"{distances[1, 1]:.1f}"
    assert "unseen real images: 0.0" in fig.get_suptitle()


class Painter(nn.Module):
    """A decoder to black for z < 0 and white for z > 0."""

    def forward(self, z):
        return 20 * z.sign()[..., None, None].expand(*z.shape[:-1], *SHAPE)


def test_class_coverage_recognizes_samples_and_misses_absent_classes():
    likelihood = likelihoods.Bernoulli(Painter(), gray_levels=True)

    def posterior(x):
        return dist.Delta(x.mean((1, 2, 3))[:, None] - 0.5, event_dim=1)

    vae = VAE(priors.StandardNormal(1), likelihood, posterior)
    levels = torch.tensor([0, 255], dtype=torch.uint8).repeat(20)[:, None, None, None]
    train = ImageData(levels.expand(40, *SHAPE).clone(), torch.arange(40) % 2, ("dark", "light"))
    predicted = samples.sample_classes(vae, train, n=100)
    assert np.array_equal(predicted, (draw_prior(vae, 100)[:, 0] > 0).int())
    bright = dist.Uniform(torch.tensor([1.0]), torch.tensor([2.0])).to_event(1)
    fig = samples.class_coverage(VAE(lambda: bright, likelihood, posterior), train, n=50)
    assert "cover 1 of 2 classes" in fig.get_suptitle()
    heights = [bar.get_height() for bar in fig.axes[0].patches]
    assert heights == pytest.approx([50, 50, 0, 100])
    with pytest.raises(ValueError, match="no labels"):
        samples.class_coverage(vae, make_images(classes=None))


def test_voids_are_between_the_codes_and_far_from_each():
    angle = torch.linspace(0, 6.28, 400)
    ring = torch.stack([angle.cos(), angle.sin()], 1)
    z, gaps = samples.voids(ring, 3)
    assert z[0].norm() < 0.15 and gaps[0] > 0.85
    assert torch.allclose(gaps, torch.cdist(z, ring).min(1).values)
    assert torch.cdist(z, z)[0, 1] > 0.2


def test_spacing_is_the_usual_distance_of_neighbors():
    line = torch.arange(50.0)[:, None] * torch.tensor([3.0, 4.0])
    assert samples.spacing(line) == pytest.approx(5.0)
    assert samples.spacing(torch.cat([line, line])) == 0.0  # Every code has a twin.
    assert samples.spacing(1000 + line / 1000) == pytest.approx(0.005, rel=0.1)


def test_empty_regions_show_what_decodes_there():
    codes = embed(VAE2, IMAGES)
    fig = samples.empty_regions(VAE2, codes, IMAGES, n=5)
    z, gaps = samples.voids(codes, 5)
    shown = [ax for ax in fig.axes if ax.images]
    assert np.allclose(shown[2].images[0].get_array(), as_pixels(VAE2.images(z))[2], atol=1e-6)
    assert shown[2].get_title() == f"3: {gaps[2]:.2f}"


# reconstructions


def test_originals_and_reconstructions_have_class_names():
    few = IMAGES.select(slice(5))
    fig = reconstructions.originals(few)
    assert captions(fig) == ["ant", "bee", "cat", "ant", "bee"]
    assert np.allclose(pixels(fig, 3), as_pixels(few.as_float())[3])
    fig = reconstructions.reconstructed(VAE2, few)
    assert captions(fig) == ["ant", "bee", "cat", "ant", "bee"]
    expected = as_pixels(VAE2.eval().reconstruct(few.as_float()))
    assert np.allclose(pixels(fig, 3), expected[3], atol=1e-5)


def test_originals_stand_above_their_reconstructions():
    few = make_images(11, (3, 8, 6), classes=None)
    vae = make(3, (3, 8, 6))
    fig = reconstructions.side_by_side(vae, few, "epoch 1")
    assert fig.get_suptitle() == "epoch 1" and set(captions(fig)) == {""}
    expected = vae.eval().reconstruct(few.as_float()).movedim(1, -1)
    assert np.allclose(pixels(fig, 16 + 2), few.as_float()[10].movedim(0, -1))
    assert np.allclose(pixels(fig, 24 + 2), expected[10], atol=1e-5)


def test_log_likelihoods_are_written_over_reconstructions():
    few = IMAGES.select(slice(3))
    elbo, log_likelihood = elbo_and_log_likelihood(VAE2, few, draws=5, seed=2)
    fig = reconstructions.with_log_likelihood(VAE2, few, draws=5, seed=2)
    number = style.number
    expected = f"{number(elbo[1], 1)} ≤\n{number(log_likelihood[1], 1)}"
    assert captions(fig)[4] == expected and "nats" in fig.get_suptitle()
    plain = reconstructions.with_log_likelihood(make(plain=True), few, draws=2)
    assert "≤" not in "".join(captions(plain)) and "log p(x|z)" in plain.get_suptitle()


def test_best_and_worst_are_ranked_by_distortion():
    distortion = torch.arange(60.0).roll(5)
    fig = reconstructions.best_and_worst(VAE2, IMAGES, distortion, 3)
    assert captions(fig)[:3] == ["cat\n0", "ant\n1", "bee\n2"]
    assert [t.split("\n")[1] for t in captions(fig)[6:9]] == ["59", "58", "57"]
    assert np.allclose(pixels(fig, 0), as_pixels(IMAGES.as_float()[5:6])[0])
    assert np.allclose(pixels(fig, 6), as_pixels(IMAGES.as_float()[4:5])[0])


def test_most_surprising_have_the_lowest_elbo():
    elbo = -torch.arange(60.0)
    fig = reconstructions.most_surprising(VAE2, IMAGES, elbo, 4)
    assert captions(fig)[4:] == ["−59", "−58", "−57", "−56"]
    assert np.allclose(pixels(fig, 0), as_pixels(IMAGES.as_float()[59:])[0])


def test_terms_have_a_row_for_each_draw():
    distortion, rate = terms_of(VAE2, IMAGES, draws=3)
    assert distortion.shape == rate.shape == (3, 60)
    assert not torch.equal(distortion[0], distortion[1])


# interpolation and traversals


def test_paths_join_their_ends():
    start, end = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    straight = interpolation.path(start, end, 5)
    arc = interpolation.path(start, end, 5, "spherical")
    for way in (straight, arc):
        assert torch.allclose(way[[0, -1]], torch.stack([start, end]), atol=1e-6)
    assert torch.allclose(straight[2], torch.tensor([1.0, 1.0]))
    assert torch.allclose(arc.norm(dim=1), torch.full((5,), 2.0), atol=1e-6)
    assert torch.allclose(arc[2], torch.full((2,), 2**0.5), atol=1e-6)
    with pytest.raises(ValueError, match="spherical"):
        interpolation.path(start, end, 5, "round")
    with pytest.raises(ValueError, match="2 steps"):
        interpolation.path(start, end, 1)


@pytest.mark.parametrize("end", [[2.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
def test_a_sphere_has_no_arc_between_parallel_vectors(end):
    start, end = torch.tensor([1.0, 0.0]), torch.tensor(end)
    way = interpolation.path(start, end, 4, "spherical")
    assert torch.allclose(way, interpolation.path(start, end, 4))


def test_interpolation_decodes_the_way_between_two_images():
    pair = interpolation.choose_pair(IMAGES)
    assert pair.labels.tolist() == [1, 0]
    fig = interpolation.row(VAE2, pair, steps=7)
    way = interpolation.path(*embed(VAE2, pair), 7)  # type: ignore[call-arg]
    assert np.allclose(pixels(fig, 5), as_pixels(VAE2.images(way))[5], atol=1e-5)
    assert "bee to ant" in fig.get_suptitle()


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 2, 2, 0], [2, 2, 2, 2], [1, 1, 1, 1]])
def test_two_images_are_never_the_same(labels):
    images = replace(IMAGES.select(slice(4)), labels=torch.tensor(labels))
    first, second = interpolation.choose_pair(images).images
    assert not torch.equal(first, second)


def test_a_film_goes_there_and_back(tmp_path):
    from PIL import Image

    frames = interpolation.frames(VAE2, IMAGES.select(slice(2)), steps=6, size=64)
    assert len(frames) == 10 and frames[0].size == (64, 64)
    assert frames[4].tobytes() == frames[6].tobytes() != frames[0].tobytes()
    save_gif(frames, tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 10 and film.info["loop"] == 0
    with pytest.raises(ValueError, match="no frames"):
        save_gif([], tmp_path / "none.gif")


def test_a_pair_needs_two_images():
    with pytest.raises(ValueError, match="two images"):
        interpolation.choose_pair(make_images(1))
    unlabeled = make_images(classes=None)
    assert torch.equal(interpolation.choose_pair(unlabeled, 4, 9).images, unlabeled.images[[4, 9]])


def test_captions_tell_values_apart_however_close():
    codes = 0.3 + 0.001 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    fig = traversals.traversals(VAE2, codes, steps=5)
    assert len(set(captions(fig)[:5])) == 5
    fig = samples.empty_regions(VAE2, codes, IMAGES.select(slice(50)), n=2)
    gaps = [float(title.split(": ")[1]) for title in titles(fig) if ": " in title]
    assert min(gaps) > 0


def test_traversals_change_one_dimension_each_in_the_order_of_their_rate():
    vae = make(3)
    codes = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    rate = torch.tensor([0.5, 0.1, 3.0])
    fig = traversals.traversals(vae, codes, rate=rate, dimensions=2, steps=4)
    assert len(images_of(fig)) == 8
    first, second = row_names(fig)
    assert first == "z₃\n3.00 nats" and second.startswith("z₁\n")
    z = codes.median(0).values
    z[2] = float(np.quantile(codes[:, 2], 0.99))
    assert np.allclose(pixels(fig, 3), as_pixels(vae.images(z[None]))[0], atol=1e-5)
    assert captions(fig)[3] == style.number(z[2], 1)


# training, probes, comparison, progress


def record(epoch, loss, **more):
    keys = ("loss", "distortion", "rate", "elbo")
    parts = {f"train_{key}": loss + i for i, key in enumerate(keys)}
    return {"epoch": epoch, "learning_rate": 0.1**epoch, "seconds": 1.0} | parts | more


def test_training_curves_show_every_quantity_and_the_best_epoch():
    fig = training_curves.training_curves([record(1, 9.0), record(2, 4.0), record(3, 6.0)])
    labels = [ax.get_ylabel() for ax in fig.axes]
    assert labels[:2] == ["ELBO\n(nats per image)", "distortion\n(nats per image)"]
    line, best = fig.axes[1].lines
    assert line.get_ydata().tolist() == [10.0, 5.0, 7.0]
    assert best.get_xdata().tolist() == [2]
    assert fig.axes[3].lines[0].get_ydata() == pytest.approx([0.1, 0.01, 0.001])


def test_training_curves_of_a_run_tell_training_from_validation_by_color():
    fig = training_curves.training_curves(
        [record(epoch, 2.0, validation_loss=1.0, validation_elbo=-1.0) for epoch in (1, 2)]
    )
    train, validation, best = (line.get_color() for line in fig.axes[0].lines)
    assert train != validation == best
    shown = [handle.get_color() for handle in fig.legends[0].legend_handles]
    assert shown == [train, validation]


def test_training_curves_of_several_runs_are_named():
    runs = {
        "a": [record(1, 2.0, validation_loss=1.0, validation_elbo=-1.0)],
        "b": [record(1, 3.0)],
    }
    fig = training_curves.training_curves(runs)
    names = [text.get_text() for text in fig.legends[0].get_texts()]
    assert names == ["a", "b", "train", "validation"]
    lines = fig.axes[0].lines
    assert (
        lines[0].get_color() == lines[1].get_color() == fig.legends[0].legend_handles[0].get_color()
    )
    assert (
        lines[-1].get_color()
        == fig.legends[0].legend_handles[1].get_color()
        != lines[0].get_color()
    )
    with pytest.raises(ValueError, match="no epoch"):
        training_curves.training_curves([])


def test_a_curve_goes_on_where_records_lack_a_number():
    records = [record(1, 2.0, train_published_loss=5.0), record(2, 1.0)]
    fig = training_curves.training_curves(records)
    assert np.isnan(fig.axes[5].lines[0].get_ydata()).tolist() == [False, True]
    assert len(training_curves.training_curves(records[1:]).axes) == 5


def test_training_steps_show_every_step_and_running_means():
    steps = np.random.default_rng(0).normal(size=(400, 4))
    steps[0] = 1e6  # The first steps are far off, and must not flatten the rest.
    fig = training_curves.training_steps(steps)
    assert [ax.get_ylabel().split("\n")[0] for ax in fig.axes] == ["ELBO", "distortion", "rate"]
    for ax, values in zip(fig.axes, steps.T[1:], strict=True):
        raw, means = ax.lines
        assert np.array_equal(raw.get_ydata(), values)
        assert means.get_ydata()[-1] == pytest.approx(values[-4:].mean())
        assert means.get_xdata()[0] == 4 and means.get_xdata()[-1] == 400
        assert ax.get_ylim()[1] < 10
    with pytest.raises(ValueError, match="no step"):
        training_curves.training_steps(steps[:0])


def test_probes_tell_readable_codes_from_noise():
    labels = torch.arange(300) % 3
    noise = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    told = noise / 20 + labels[:, None]
    images = ImageData(make_images(300).images, labels, ("a", "b", "c"), {"odd": labels % 2})
    found = probes.probes(
        told[:200], images.select(slice(200)), told[200:], images.select(slice(200, None))
    )
    assert list(found) == ["class", "odd"]
    assert found["class"].neighbors > 0.98 and found["class"].linear > 0.98
    lost = probes.probe(noise[:200], labels[:200].numpy(), noise[200:], labels[200:].numpy())
    assert lost.neighbors < 0.55 and lost.majority == pytest.approx(1 / 3, abs=0.05)


def test_predictions_show_the_accuracies():
    codes = embed(VAE2, IMAGES)
    fig = probes.predictions(codes, IMAGES, codes, IMAGES, k=1)
    assert fig.axes[0].patches[0].get_width() == pytest.approx(100)
    assert fig.axes[0].get_xlabel() == "accuracy (%)"
    blank = make_images(classes=None)
    with pytest.raises(ValueError, match="neither"):
        probes.predictions(codes, blank, codes, blank)


def test_one_class_alone_is_always_predicted():
    images = make_images(classes=1, names=("only",))
    codes = embed(VAE2, images)
    assert probes.probes(codes, images, codes, images)["class"].linear == 1


def test_rate_distortion_joins_the_models_and_names_them():
    fig = comparison.rate_distortion([("β = 1", 90.0, 8.0), ("β = 4", 100.0, 3.0)])
    ax = fig.axes[0]
    assert ax.lines[0].get_xydata().tolist() == [[8.0, 90.0], [3.0, 100.0]]
    assert [text.get_text() for text in ax.texts] == ["β = 1", "β = 4"]
    assert ax.get_xlabel() == "rate (nats per image)"
    assert np.allclose(ax.lines[1].get_xdata() + ax.lines[1].get_ydata(), 98)
    with pytest.raises(ValueError, match="no models"):
        comparison.rate_distortion([])
    collapsed = [("β = 64", 100.0, 0.0), ("β = 16", 100.1, 0.01), ("β = 1", 90.0, 8.0)]
    names = [text.get_text() for text in comparison.rate_distortion(collapsed).axes[0].texts]
    assert names == ["β = 64, β = 16", "β = 1"]


def test_beside_shows_each_figure_under_its_name():
    figures = {"one": reconstructions.originals(IMAGES.select(slice(3))),
               "two": reconstructions.originals(IMAGES.select(slice(9)))}  # fmt: skip
    fig = comparison.beside(figures)
    assert titles(fig) == ["one", "two"] and fig.get_figwidth() == style.WIDTH
    dots = figures["two"].get_size_inches() * 150
    assert pixels(fig, 1).shape[:2] == pytest.approx(dots[::-1], abs=1)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_progress_has_a_panel_per_epoch_on_the_same_axes(size):
    codes = torch.randn(60, size, generator=torch.Generator().manual_seed(0))
    kept = [(epoch, codes * epoch) for epoch in range(1, 10)]
    fig = stages.row(kept, IMAGES, most=3)
    assert titles(fig) == ["epoch 1", "epoch 5", "epoch 9"]
    assert len({ax.get_xlim() for ax in fig.axes}) == 1
    spread = [np.ptp(ax.collections[0].get_offsets()[:, 0]) for ax in fig.axes]
    assert spread[2] == pytest.approx(9 * spread[0])
    frames = stages.frames(kept[:2], IMAGES)
    assert len(frames) == 2 and frames[0].tobytes() != frames[1].tobytes()
    with pytest.raises(ValueError, match="no codes"):
        stages.row([], IMAGES)


def spherical() -> VAE:
    with torch.random.fork_rng():
        encoder = networks.ConvEncoder((1, 8, 8), channels=(8, 16))
        return small_vae(
            latent_size=3,
            prior=priors.HypersphereUniform(3),
            posterior=posteriors.PowerSpherical(encoder, 3),
        )


def test_what_lies_off_a_sphere_is_decoded_in_its_direction():
    vae = spherical()
    z = draw_prior(vae, 5)
    assert torch.allclose(decode(vae, 0.1 * z), decode(vae, z), atol=1e-6)
    assert not torch.allclose(vae.images(0.1 * z), vae.images(z), atol=1e-6)


def test_a_density_that_is_the_same_everywhere_is_said_in_words(digits):
    vae = spherical()
    figure = latents.aggregate_posterior(embed(vae, digits.test, draw=True), vae)
    assert f"log p(z) = {-math.log(4 * math.pi):.2f} nats" in figure.axes[2].get_title()
