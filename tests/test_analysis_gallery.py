"""The suite of pictures: drawn for every kind of model and data, or skipped with a reason."""

import hashlib
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pyro.distributions as dist
import pytest
import torch
from conftest import captions
from matplotlib.figure import Figure
from PIL import Image

from pyro_vae import VAE, likelihoods, networks, posteriors, priors
from pyro_vae.analysis import PICTURES, Choices, Subject, draw, embed, samples
from pyro_vae.analysis.animation import figure_frame
from pyro_vae.analysis.suite import NEEDS, missing
from pyro_vae.data import Dataset, ImageData

FIRST = (
    "real_test_images_after_train",
    "reconstruct_after_train",
    "embedding_visualize",
    "image_grid_on_embeddings",
    "linearly_sampled_reconstructions",
    "normally_sampled_reconstructions",
    "latent_distribution",
)


def make(size, shape, prior=priors.StandardNormal, posterior=posteriors.DiagonalNormal):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = networks.ConvEncoder(shape, (4,))
        decoder = networks.ConvDecoder(size, shape, (4,))
        likelihood = likelihoods.Bernoulli(decoder, gray_levels=True)
        return VAE(prior(size), likelihood, posterior(encoder, size))


def make_data(shape, classes=3, attributes=False, test_images=20):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, *shape), dtype=torch.uint8, generator=generator)
    labels = None if classes is None else torch.arange(60) % classes
    extra = {"hair": torch.arange(60) % 4} if attributes else None
    part = ImageData(images, labels, None, extra)
    return Dataset("noise", part.select(slice(40)), part.select(slice(40, 40 + test_images)))


PLAIN = {"prior": priors.Flat, "posterior": posteriors.Delta}


def subject(size=2, shape=(1, 8, 8), plain=False, autoencoder=False, data=None, **slots):
    return Subject(
        make(size, shape, **(PLAIN if plain else slots)),
        make_data(shape, **(data or {})),
        autoencoder=make(size, shape, **PLAIN) if autoencoder else None,
        progress=False,
    )


SUBJECTS = {
    "one dimension, one class": lambda: subject(1, data={"classes": 1}),
    "200 dimensions, color, attributes, no classes": lambda: subject(
        200, (3, 8, 6), data={"classes": None, "attributes": True}
    ),
    "plain autoencoder, three dimensions": lambda: subject(3, plain=True),
    "a sphere in two coordinates": lambda: subject(
        2, prior=priors.HypersphereUniform, posterior=posteriors.PowerSpherical
    ),
    "binary codes, all alike": lambda: subject(
        4, prior=priors.Bernoulli, posterior=alike, data={"classes": 1}
    ),
    "a single test image": lambda: subject(3, data={"test_images": 1}),
}


def alike(encoder, size):
    """Return a posterior that is the same for every image."""

    def posterior(x):
        return dist.Bernoulli(0.9 * torch.ones(len(x), size)).to_event(1)

    return posterior


#: The extremes of dimensions, classes and images; the others take longer.
QUICK = ("one dimension, one class", "plain autoencoder, three dimensions", "a single test image")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in SUBJECTS],
)
def test_every_picture_that_applies_is_drawn(name, tmp_path, monkeypatch):
    looked_at = SUBJECTS[name]()
    slow = "alike" in name or "one" in name  # t-SNE, where it is delicate
    stills = {k: p for k, p in PICTURES.items() if p.file.endswith(".png") and slow >= p.slow}
    names = [name for name, p in stills.items() if not missing(p, looked_at)]
    figures = {}

    def recorded(name):
        def make(s):
            figures[name] = stills[name].make(s)
            return figures[name]

        return make

    for name in names:
        monkeypatch.setitem(PICTURES, name, replace(stills[name], make=recorded(name)))
    files = draw(looked_at, tmp_path, names, progress=False)
    assert [path.name for path in files] == [PICTURES[name].file for name in names]
    for name, path in zip(names, files, strict=True):
        with Image.open(path) as picture:
            assert picture.width == 1050
            looks_right(figures[name], np.asarray(picture.convert("RGB")))
    assert plt.get_fignums() == []


def looks_right(figure, picture) -> None:
    """Check that a figure has a title that fits, and that no panel with content is blank."""
    height, width, _ = picture.shape
    assert figure.get_suptitle() or all(ax.get_title() for ax in figure.axes)
    for text in (*figure.texts, *(text for ax in figure.axes for text in ax.texts)):
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= width and box.y1 <= height, text.get_text()
    for ax in figure.axes:
        assert all(np.isfinite(np.asarray(line.get_ydata())).any() for line in ax.lines)
        for shown in (*ax.images, ax):
            uniform = shown is not ax and np.ptp(np.asarray(shown.get_array())) == 0
            box = shown.get_window_extent()
            panel = picture[
                max(0, round(height - box.y1)) : round(height - box.y0),
                max(0, round(box.x0)) : round(box.x1),
            ]
            assert panel.std() > 0 or uniform or ax.get_title(), figure.get_suptitle()


def test_the_first_system_has_its_file_names(tmp_path):
    looked_at = subject(2, autoencoder=True)
    files = draw(looked_at, tmp_path, FIRST, progress=False)
    assert [path.name for path in files] == [f"{name}.png" for name in FIRST]


def test_pictures_are_the_same_every_time(tmp_path):
    names = ["reconstruct_after_train", "normally_sampled_reconstructions", "empty_regions"]
    prints = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(len(prints))
        looked_at = Subject(make(2, (1, 8, 8)), make_data((1, 8, 8)), seed=seed)
        files = draw(looked_at, tmp_path / folder, names, progress=False)
        prints.append([hashlib.md5(path.read_bytes()).hexdigest() for path in files])
    assert prints[0] == prints[1]
    changed = {name for name, a, c in zip(names, prints[0], prints[2], strict=True) if a != c}
    assert "normally_sampled_reconstructions" in changed
    assert "reconstruct_after_train" not in changed


def test_what_does_not_apply_is_skipped_and_the_reason_said(tmp_path, capsys):
    looked_at = subject(2, plain=True, data={"classes": None})
    names = ["normally_sampled_reconstructions", "class_coverage", "training_curves"]
    assert draw(looked_at, tmp_path, names) == []
    said = capsys.readouterr()
    assert "a flat prior has no samples" in said.out + said.err
    assert "no training history" in said.out + said.err


def test_slow_pictures_are_left_out_of_planes_unless_asked_for(tmp_path, monkeypatch):
    frame = Image.new("RGB", (8, 8))
    for name, p in list(PICTURES.items()):
        made = [frame] if p.file.endswith(".gif") else Figure(figsize=(0.1, 0.1))
        monkeypatch.setitem(PICTURES, name, replace(p, make=lambda s, made=made: made))
    slow = [name for name, p in PICTURES.items() if p.slow]
    assert "embedding_tsne" in slow
    drawn = {path.stem for path in draw(subject(2), tmp_path, progress=False)}
    assert "embedding_visualize" in drawn and not drawn & set(slow)
    assert draw(subject(2), tmp_path, ["embedding_tsne"], progress=False)
    assert "embedding_tsne" in {path.stem for path in draw(subject(3), tmp_path, progress=False)}


def test_an_unknown_picture_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(ValueError, match="'embeding'.*Did you mean embedding_"):
        draw(subject(), tmp_path, ["embeding"])


def test_pictures_beside_the_autoencoder(tmp_path):
    looked_at = subject(2, autoencoder=True)
    names = ["interpolation_beside_autoencoder", "interpolation_film_beside_autoencoder"]
    still, film = draw(looked_at, tmp_path, names, progress=False)
    models = (looked_at, looked_at.of_autoencoder)
    figure = PICTURES[names[0]].make(looked_at)
    assert [ax.get_title() for ax in figure.axes] == ["VAE", "plain autoencoder"]
    for ax, model in zip(figure.axes, models, strict=True):
        alone = figure_frame(PICTURES["interpolation"].make(model), dpi=150)
        assert np.array_equal(ax.images[0].get_array(), np.asarray(alone))
    with Image.open(still) as both:
        assert both.width == 1050
    with Image.open(film) as frames:
        assert frames.size == (256 + 8 + 256, 256) and frames.n_frames > 1
        first = np.asarray(frames.convert("RGB")).astype(int)
    for left, model in zip((0, 256 + 8), models, strict=True):
        alone = np.asarray(PICTURES["interpolation_film"].make(model)[0]).astype(int)
        assert np.abs(first[:, left : left + 256] - alone).mean() < 4  # a GIF has few colors


def test_stages_are_drawn_when_they_were_kept(tmp_path):
    looked_at = subject(2)
    codes = embed(looked_at.vae, looked_at.test)
    kept = Subject(looked_at.vae, looked_at.dataset, stages=[(1, codes), (2, 2 * codes)])
    files = draw(kept, tmp_path, ["latent_progress", "latent_progress_film"], progress=False)
    assert [path.name for path in files] == ["latent_progress.png", "latent_progress_film.gif"]


def test_the_stages_of_the_autoencoder_are_drawn_if_they_were_kept_too():
    looked_at = subject(2, autoencoder=True)
    stages = [(0, torch.zeros(20, 2)), (1, torch.randn(20, 2))]
    both = PICTURES["latent_progress_beside_autoencoder"]
    assert "no codes of the plain" in missing(both, replace(looked_at, stages=stages))
    kept = replace(looked_at, stages=stages, autoencoder_stages=stages)
    assert missing(both, kept) is None and kept.of_autoencoder.stages == stages
    assert len(both.make(kept).axes) == 2


def test_a_grid_covers_what_was_chosen_and_an_autoencoders_its_own_codes():
    chosen = Choices(range=(-2.0, 2.0), tiles=11)
    looked_at = replace(subject(2, autoencoder=True), choices=chosen)
    grid = PICTURES["linearly_sampled_reconstructions"].make(looked_at)
    assert "11 × 11" in grid.get_suptitle()
    assert grid.axes[0].images[0].get_extent() == pytest.approx([-2.2, 2.2, -2.2, 2.2])
    plain = looked_at.of_autoencoder
    for dimension in (0, 1):
        values = plain.codes[:, dimension]
        assert plain.range_of(dimension) == (values.min().item(), values.max().item())
    assert "11 × 11" in PICTURES["quantile_grid"].make(looked_at).get_suptitle()


def test_the_model_and_the_autoencoder_decode_the_same_draws_of_the_standard_normal():
    looked_at = replace(subject(2, autoencoder=True), seed=3)
    make = PICTURES["standard_normal_reconstructions"].make
    ours, plain = make(looked_at), make(looked_at.of_autoencoder)
    places = captions(ours)
    assert len(places) == len(set(places)) == 10 and places == captions(plain)
    first, other = (fig.axes[0].images[0].get_array() for fig in (ours, plain))
    assert first.std() > 0 and (first == other).all()  # Their decoders are the same here.


def test_draws_from_the_standard_normal_say_where_the_prior_is_another():
    vae = subject(2).vae
    assert "not the prior" not in samples.from_standard_normal(vae, 2).get_suptitle()
    for prior in (priors.Normal(2, scale=0.5), priors.VampPrior(2), priors.Flat(2)):
        other = VAE(prior, vae.likelihood, vae.posterior)
        title = samples.from_standard_normal(other, 2).get_suptitle()
        assert f"not the prior of this model ({type(prior).__name__})" in title
    own = VAE(lambda: dist.Normal(torch.zeros(2), 1.0).to_event(1), vae.likelihood, vae.posterior)
    assert "not the prior" not in samples.from_standard_normal(own, 2).get_suptitle()


def test_every_picture_says_what_to_look_for():
    for name, picture in PICTURES.items():
        assert picture.file.rpartition(".")[0] == name and picture.title
        assert picture.caption.endswith((".", "?")) and len(picture.caption) > 20
        assert set(picture.needs) <= NEEDS.keys()
