"""One pass of coding and one of decoding for all pictures, which look as each does alone."""

import io
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import small_vae
from matplotlib import rc_context
from PIL import Image
from test_analysis_gallery import subject

from pyro_vae import VAE, networks, posteriors, priors
from pyro_vae.analysis import (
    PICTURES,
    draw,
    embed,
    interpolation,
    latents,
    manifolds,
    passes,
    probes,
    reconstructions,
    samples,
    save_gif,
    style,
    traversals,
)
from pyro_vae.analysis.animation import image_frames
from pyro_vae.analysis.embeddings import leading, mean_rate_per_dimension, terms_of
from pyro_vae.analysis.pages import explorer, report
from pyro_vae.data import Dataset, ImageData
from pyro_vae.evaluation import active_units_of
from pyro_vae.training.run_folder import Run

SHAPE = (1, 8, 8)
PLAIN = {"prior": priors.Flat, "posterior": posteriors.Delta}


def make_images(n: int, seed: int, pixels="gray") -> ImageData:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, *SHAPE), dtype=torch.uint8, generator=generator)
    attributes = {"hair": torch.arange(n) % 4}
    return ImageData(images, torch.arange(n) % 3, None, attributes).with_pixels(pixels)


@pytest.fixture
def looked_at():
    """A subject of every picture, with codes that differ."""
    found = replace(
        subject(3, autoencoder=True),
        dataset=Dataset("noise", make_images(90, 0), make_images(120, 1)),
        stages=[(0, torch.zeros(20, 3)), (1, torch.randn(20, 3))],
        autoencoder_stages=[(0, torch.zeros(20, 3)), (1, torch.randn(20, 3))],
    )
    for vae in (found.vae, found.autoencoder):
        with torch.no_grad():
            vae.posterior.mean.weight.mul_(20)
            for parameter in vae.likelihood.decoder.parameters():
                parameter.mul_(2)
    return found


def rows(values: torch.Tensor) -> list[bytes]:
    return [row.numpy().tobytes() for row in values.detach().flatten(1)]


class Watched:
    """Counts how often each image is coded and each latent vector is decoded."""

    def __init__(self, vae: VAE) -> None:
        self.coded, self.decoded = Counter(), Counter()
        vae.posterior.register_forward_hook(lambda _m, i, _o: self.coded.update(rows(i[0])))
        vae.likelihood.register_forward_hook(lambda _m, i, _o: self.decoded.update(rows(i[0])))


@pytest.mark.slow
def test_all_pictures_and_the_explorer_take_one_pass_of_coding_and_one_of_decoding(
    looked_at, tmp_path
):
    models = [Watched(looked_at.vae), Watched(looked_at.autoencoder)]
    names = [name for name, p in PICTURES.items() if not p.slow]
    draw(looked_at, tmp_path, names, progress=False)
    report.write(looked_at, Run(tmp_path), progress=False)
    test, train = (rows(part.as_float()) for part in (looked_at.test, looked_at.dataset.train))
    for watched in models:
        assert {watched.coded[row] for row in train} == {1}
        assert {watched.coded[row] for row in test[16:]} == {1}
    assert {models[1].coded[row] for row in test[:16]} == {1}
    # Only the log-likelihood of the first 16 needs their posteriors once more, for all its draws.
    assert {models[0].coded[row] for row in test[:16]} == {2}
    # A single blank image asks for shapes and densities.
    assert sum(models[0].coded.values()) <= len(train) + len(test) + 16 + 10
    assert {models[0].decoded[row] for row in rows(looked_at.draws[16:])} == {1}


def test_nothing_is_decoded_for_pictures_of_codes_alone(looked_at, tmp_path):
    watched = Watched(looked_at.vae)
    draw(looked_at, tmp_path, ["embedding_visualize", "rate_per_dimension"], progress=False)
    assert sum(watched.decoded.values()) <= 5 and sum(watched.coded.values()) <= 125


def codes(s):
    return embed(s.vae, s.test, seed=s.seed)


def rate(s):
    return mean_rate_per_dimension(s.vae, s.test, seed=s.seed)


def pair(s):
    return interpolation.choose_pair(s.test)


#: Pictures drawn by the public functions, from a model and images.
ALONE = {
    "reconstruct_after_train": lambda s: reconstructions.reconstructed(s.vae, s.few),
    "embedding_visualize": lambda s: latents.scatter(codes(s), s.test, vae=s.vae, points=10_000),
    "image_grid_on_embeddings": lambda s: manifolds.at_embeddings(s.vae, codes(s), s.test),
    "latent_distribution": lambda s: latents.marginals(
        embed(s.vae, s.test, draw=True),
        s.vae,
        autoencoder_codes=embed(s.autoencoder, s.test),
        dimensions=leading(codes(s), rate(s), 4),
    ),
    "log_likelihood": lambda s: reconstructions.with_log_likelihood(
        s.vae, s.test.select(slice(16))
    ),
    "best_and_worst": lambda s: reconstructions.best_and_worst(
        s.vae, s.test, terms_of(s.vae, s.test)[0][0]
    ),
    "most_surprising": lambda s: reconstructions.most_surprising(
        s.vae, s.test, -sum(terms_of(s.vae, s.test))[0]
    ),
    "aggregate_posterior": lambda s: latents.aggregate_posterior(
        embed(s.vae, s.test, draw=True), s.vae
    ),
    "rate_per_dimension": lambda s: latents.rates(
        codes(s), rate(s), active_units_of(s.vae, s.test)
    ),
    "empty_regions": lambda s: samples.empty_regions(s.vae, codes(s), s.test),
    "class_coverage": lambda s: samples.class_coverage(s.vae, s.dataset.train),
    "traversals": lambda s: traversals.traversals(s.vae, codes(s), rate=rate(s)),
    "interpolation": lambda s: interpolation.row(s.vae, pair(s)),
    "interpolation_ways": lambda s: interpolation.both_ways(s.vae, pair(s)),
    "predictions": lambda s: probes.predictions(
        embed(s.vae, s.part_of_train), s.part_of_train, codes(s), s.test
    ),
    "embedding_tsne": lambda s: latents.scatter(codes(s), s.test, method="tsne", progress=False),
    "attributes_tsne": lambda s: latents.attribute_scatters(
        codes(s), s.test, method="tsne", progress=False
    ),
}


def pixels(picture) -> np.ndarray:
    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.slow
def test_pictures_of_the_suite_are_those_drawn_alone(looked_at, tmp_path):
    files = draw(looked_at, tmp_path, list(ALONE), progress=False)
    for path, alone in zip(files, ALONE.values(), strict=True):
        expected = pixels(io.BytesIO(style.png_of(alone(looked_at))))
        assert np.array_equal(pixels(path), expected), path.name


@pytest.mark.slow
def test_a_picture_beside_the_autoencoders_is_the_same_when_it_was_drawn_before(
    looked_at, tmp_path
):
    names = [
        "traversals",
        "traversals_beside_autoencoder",
        "interpolation_film",
        "interpolation_film_beside_autoencoder",
    ]
    draw(looked_at, tmp_path / "all", names, progress=False)
    for name in names[1::2]:
        (alone,) = draw(replace(looked_at), tmp_path / "alone", [name], progress=False)
        assert (tmp_path / "all" / alone.name).read_bytes() == alone.read_bytes()


def test_a_picture_is_drawn_once_for_itself_and_beside_the_autoencoders(
    looked_at, tmp_path, monkeypatch
):
    drawn = []
    original = traversals.traversals
    monkeypatch.setattr(
        traversals, "traversals", lambda vae, *a, **k: drawn.append(vae) or original(vae, *a, **k)
    )
    names = ["traversals", "traversals_beside_autoencoder"]
    draw(looked_at, tmp_path, names, progress=False)
    assert drawn == [looked_at.vae, looked_at.autoencoder]


def model(posterior, prior=priors.StandardNormal) -> VAE:
    """A model whose codes vary, of three dimensions."""
    torch.manual_seed(0)
    encoder = networks.ConvEncoder(SHAPE, channels=(8,))
    return small_vae(SHAPE, 3, prior=prior(3), posterior=posterior(encoder, 3))


class OwnGuide(VAE):
    """A model whose guide draws from another posterior than `encode` returns."""

    def guide(self, x, beta=1.0):
        super().guide(1 - x, beta)


def of_own_guide(**_) -> VAE:
    vae = model(posteriors.DiagonalNormal)
    return OwnGuide(vae.prior, vae.likelihood, vae.posterior)


MODELS = {
    "diagonal": lambda: model(posteriors.DiagonalNormal),
    "full": lambda: model(posteriors.FullNormal),
    "Laplace": lambda: model(posteriors.Laplace),
    "inverse autoregressive flow": lambda: model(posteriors.InverseAutoregressiveFlow),
    "planar flow": lambda: model(posteriors.PlanarFlow),
    "sphere": lambda: model(posteriors.PowerSpherical, priors.HypersphereUniform),
    "binary": lambda: model(posteriors.Bernoulli, priors.Bernoulli),
    "plain autoencoder": lambda: model(posteriors.Delta, priors.Flat),
    "mixture of posteriors": lambda: model(posteriors.DiagonalNormal, priors.VampPrior),
    "own guide": of_own_guide,
}


@pytest.mark.parametrize("name", MODELS)
def test_one_pass_finds_what_many_find(name, monkeypatch):
    monkeypatch.setattr(passes, "BATCH_SIZE", 16)
    vae, images = MODELS[name](), make_images(50, 2)
    found = passes.code(vae, images, seed=4)
    assert torch.equal(found.codes, embed(vae, images, seed=4))
    if name != "own guide":
        assert torch.allclose(found.draws, embed(vae, images, draw=True, seed=4), atol=1e-6)
    rate = mean_rate_per_dimension(vae, images, seed=4)
    assert (found.rate is None) == (rate is None)
    assert rate is None or torch.allclose(found.rate, rate, atol=1e-6)
    assert torch.equal(found.active, active_units_of(vae, images, seed=4))
    one, many = passes.terms_at(vae, images, found, seed=4), terms_of(vae, images, seed=4)
    for mine, expected in zip(one, many, strict=True):
        assert torch.allclose(mine, expected[0], rtol=1e-5, atol=1e-4)


def test_pixels_that_are_drawn_are_the_same_in_both_passes(monkeypatch):
    monkeypatch.setattr(passes, "BATCH_SIZE", 16)
    vae, images = model(posteriors.DiagonalNormal), make_images(50, 2, "binarized")
    seen = [[], []]
    vae.posterior.register_forward_hook(lambda _m, i, _o: seen[0].append(i[0]))
    found = passes.code(vae, images, seed=4)
    model_of, log_prob = vae.model, seen[1]
    monkeypatch.setattr(vae, "model", lambda x, beta=1.0: log_prob.append(x) or model_of(x, beta))
    passes.terms_at(vae, images, found, seed=4)
    coded, scored = (torch.cat([x for x in each if len(x) > 1]) for each in seen)
    assert torch.equal(coded, scored) and len(coded) == 50


def test_networks_run_channels_last_and_lie_as_before_afterward(looked_at, tmp_path):
    layers = [m for m in looked_at.vae.modules() if isinstance(m, torch.nn.Conv2d)]
    before = [(layer.weight.clone(), layer.weight.stride()) for layer in layers]
    seen = []
    layers[-1].register_forward_hook(lambda m, *_: seen.append(m.weight.stride()))
    draw(looked_at, tmp_path, ["rate_per_dimension"], progress=False)
    last = before[-1][0]
    assert set(seen) == {last.to(memory_format=torch.channels_last).stride()}
    for layer, (weight, stride) in zip(layers, before, strict=True):
        assert torch.equal(layer.weight, weight) and layer.weight.stride() == stride


def test_a_pass_leaves_randomness_as_it_was():
    vae = model(posteriors.PlanarFlow)
    state = torch.get_rng_state()
    found = passes.code(vae, make_images(20, 2))
    passes.terms_at(vae, make_images(20, 2), found)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_terms_of_many_draws_code_the_images_once():
    vae, images = model(posteriors.DiagonalNormal), make_images(20, 2)
    watched = Watched(vae)
    distortion, _ = terms_of(vae, images, draws=5)
    assert {watched.coded[row] for row in rows(images.as_float())} == {1}
    assert distortion.std(0).min() > 0


def test_the_explorer_codes_the_images_once_and_takes_codes_that_are_known():
    vae, images = model(posteriors.DiagonalNormal), make_images(50, 2)
    coded, watched = passes.code(vae, images), Watched(vae)
    contents = explorer.explorer_contents(vae, images)
    test = rows(images.as_float())
    assert {watched.coded[row] for row in test} == {1}
    assert explorer.explorer_contents(vae, images, coded=coded) == contents
    assert {watched.coded[row] for row in test} == {1}


def test_the_batches_of_another_decoder_are_found_anew():
    vae = model(posteriors.DiagonalNormal)
    before = passes.codes_per_chunk(vae)
    large = networks.MLPDecoder(3, SHAPE, (1_000_000,))
    vae.likelihood = type(vae.likelihood)(large, gray_levels=True)
    assert passes.codes_per_chunk(vae) < before


def test_a_film_reduces_each_frame_once_and_loses_nothing(tmp_path, monkeypatch):
    frames = image_frames(torch.rand(4, 3, 8, 8), 32)
    film = frames + frames[-2:0:-1]
    expected = io.BytesIO()
    film[0].save(expected, "GIF", save_all=True, append_images=film[1:], duration=50, loop=0)
    reduced, quantize = [], Image.Image.convert

    def convert(image, mode=None, *given, **options):
        if mode == "P" and image.mode == "RGB":
            reduced.append(image)
        return quantize(image, mode, *given, **options)

    monkeypatch.setattr(Image.Image, "convert", convert)
    save_gif(film, tmp_path / "film.gif")
    assert len(reduced) == 4
    assert (tmp_path / "film.gif").read_bytes() == expected.getvalue()


def test_a_large_decoder_decodes_less_where_less_will_do(looked_at, tmp_path, monkeypatch):
    train = looked_at.dataset.train
    often = Watched(looked_at.vae)
    draw(looked_at, tmp_path, ["class_coverage"], progress=False)
    assert sum(often.decoded.values()) >= 1000 + len(train)
    each = 2**40 // passes.worth_decoding(looked_at.vae)
    assert each > 1000
    monkeypatch.setattr(passes, "MOST_OPERATIONS", 70 * each)
    monkeypatch.setattr(samples, "FEWEST_KNOWN", 20)
    seldom = Watched(looked_at.vae)
    draw(looked_at, tmp_path, ["class_coverage"], progress=False)
    assert 1070 <= sum(seldom.decoded.values()) <= 1070 + 5
    contents = explorer.explorer_contents(looked_at.vae, looked_at.test, coded=looked_at.coded)
    assert contents["data"]["nodes"]["columns"] == 8


@pytest.mark.parametrize("dpi", [100, 150])
def test_a_figure_is_drawn_once_and_looks_as_matplotlib_would_draw_it(dpi, monkeypatch):
    points = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    expected, figure = io.BytesIO(), latents.scatter(points, make_images(30, 2))
    latents.scatter(points, make_images(30, 2)).savefig(expected, format="png", dpi=dpi)
    calls, drawn = [], style.Figure.draw
    monkeypatch.setattr(style.Figure, "draw", lambda *a: calls.append(1) or drawn(*a))
    with rc_context({"figure.autolayout": True}):  # a reader's own setting
        mine = style.png_of(figure, dpi=dpi)
    assert np.array_equal(pixels(io.BytesIO(mine)), pixels(expected))
    assert len(calls) == 1 and figure.dpi == 150
    assert figure.get_layout_engine() is not None
