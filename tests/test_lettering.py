"""Names in pictures: as they are written, of files too; and images whose class is unknown."""

import warnings
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch
from conftest import small_vae

from pyro_vae.analysis import Subject, lettering, probes, samples, training_curves
from pyro_vae.analysis.classes import captions, class_names, grouping, has_classes, labeled
from pyro_vae.analysis.comparison import beside
from pyro_vae.analysis.interpolation import row
from pyro_vae.analysis.latents import scatter
from pyro_vae.analysis.pages import explorer
from pyro_vae.analysis.pictures import PICTURES
from pyro_vae.analysis.reconstructions import best_and_worst, most_surprising, originals
from pyro_vae.analysis.style import UNKNOWN, png_of
from pyro_vae.analysis.suite import missing
from pyro_vae.data import Dataset, ImageData

AWKWARD = ("$5_to_$10", "_hidden", "кошка", "猫", "😀", r"\alpha{", "a" * 120, "line\nbreak")


def awkward(count: int = 32, unknown: int = 0) -> ImageData:
    """Images of awkward classes in files of awkward names; the class of the first is unknown."""
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(0, 256, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % len(AWKWARD)
    labels[:unknown] = -1
    names = tuple(f"train/{AWKWARD[k % 6]}/a_very_long_name_${k:04d}.png" for k in range(count))
    return ImageData(levels, labels, AWKWARD, names=names)


def texts(fig) -> list[str]:
    drawn = fig.findobj(matplotlib.text.Text)
    return [text.get_text() for text in drawn if text.get_text().strip()]


def mathematics(fig) -> list[str]:
    """Texts that would be drawn as mathematics."""
    drawn = fig.findobj(matplotlib.text.Text)
    return [text.get_text() for text in drawn if text.get_parse_math() and "$" in text.get_text()]


def test_every_class_is_in_the_legend_as_it_is_written():
    images = awkward()
    fig = scatter(torch.randn(32, 2), images)
    (legend,) = fig.legends
    shown = [text.get_text() for text in legend.get_texts()]
    assert shown[:6] == list(AWKWARD[:6])
    assert shown[6] == "a" * 31 + "…" and shown[7] == "line□break"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert png_of(fig).startswith(b"\x89PNG")
    assert not mathematics(fig)


def test_single_images_name_their_files():
    images, vae = awkward(), small_vae()
    distortion = torch.arange(32.0)
    pictures = (
        originals(images),
        best_and_worst(vae, images, distortion),
        most_surprising(vae, images, -distortion),
        samples.nearest_neighbors(vae, images, n=2),
    )
    for fig in pictures:
        together = [text.replace("\n", "") for text in texts(fig)]
        assert any(text.count(".png") == 1 and "_name_$00" in text for text in together)
        assert not mathematics(fig)
        png_of(fig)
    title = row(vae, images.select(slice(2)), steps=3).get_suptitle()
    assert "$0000.png" in title and "$0001.png" in title


def test_captions_are_of_what_is_known():
    images = awkward(2)
    assert captions(images) == [
        "$5_to_$10\n…ng_name_$0000.png",
        "_hidden\n…ng_name_$0001.png",
    ]
    assert captions(replace(images, names=None)) == ["$5_to_$10", "_hidden"]
    assert captions(replace(images, labels=None)) == [
        "…ng_name_$0000.png",
        "…ng_name_$0001.png",
    ]
    assert captions(ImageData(images.images)) is None


def test_names_at_ticks_and_of_runs_are_as_written():
    images, vae = awkward(64), small_vae()
    fig = samples.class_coverage(vae, images, n=20)
    assert "$5_to_$10" in texts(fig) and "_hidden" in texts(fig)
    assert not mathematics(fig)
    record = {"epoch": 1, "train_loss": 2.0, "learning_rate": 1e-3, "train_elbo": -2.0}
    runs = training_curves.training_curves({"_first $1": [record], "$2": [record]})
    assert {"_first $1", "$2"} <= set(texts(runs)) and not mathematics(runs)
    assert "_first $1" in texts(beside({"_first $1": fig}))


@pytest.mark.parametrize("width", [6, 12, 40])
def test_wrapped_text_keeps_its_width(width):
    for name in AWKWARD:
        lines = lettering.wrapped(name, width).split("\n")
        assert len(lines) <= 2 * (1 + name.count("\n"))
        assert all(lettering.letters(line) <= width for line in lines)


def test_shortened_names_are_as_wide_as_they_may_be():
    assert lettering.shortened("猫" * 40, 9) == "猫" * 4 + "…"
    assert lettering.shortened("cat") == "cat"
    assert lettering.shortened_path("a/b/cat.png") == "cat.png"
    assert lettering.shortened_path("a/b/stack.tif#3", 6) == "…tif#3"


def test_an_unknown_class_is_gray_and_the_last():
    images = awkward(unknown=5)
    groups = grouping(images)
    assert groups.names == (*AWKWARD, "unknown") and groups.unknown == len(AWKWARD)
    assert (groups.values[:5] == groups.unknown).all()
    assert groups.look(groups.unknown)[0] == UNKNOWN != groups.look(0)[0]
    assert class_names(images)[:6] == ["unknown"] * 5 + [AWKWARD[5]]
    fig = scatter(torch.randn(32, 2), images)
    gray = fig.axes[0].collections[0]
    assert len(gray.get_offsets()) == 5
    assert matplotlib.colors.to_hex(gray.get_facecolor()[0]) == UNKNOWN
    assert texts(fig.legends[0])[-1] == "unknown"
    without = grouping(replace(images, class_names=None))
    assert without.names == (*map(str, range(8)), "unknown")


def test_images_of_no_known_class_have_no_classes():
    images = awkward(unknown=32)
    assert grouping(images) is None and not has_classes(images) and class_names(images) is None
    subject = Subject(small_vae(), Dataset("none", images, images))
    assert missing(PICTURES["class_coverage"], subject) == "the images have no classes"


def test_unknown_classes_are_left_out_of_probes_and_of_class_pictures():
    images = awkward(64, unknown=9)
    assert len(labeled(images)) == 55
    codes = torch.nn.functional.one_hot(torch.arange(64) % 8, 8).float()
    codes[:9] = 0  # What is unknown looks like nothing else.
    found = probes.probes(codes, images, codes, images)["class"]
    assert found.linear == 1.0 and found.neighbors > 0.5
    fig = samples.class_coverage(small_vae(), images, n=20)
    assert "unknown" not in texts(fig)


def test_very_many_classes_and_unknown_ones_have_a_color_bar():
    labels = torch.arange(80) % 40
    labels[:10] = -1
    images = ImageData(torch.zeros(80, 1, 8, 8, dtype=torch.uint8), labels)
    fig = scatter(torch.randn(80, 2), images)
    png_of(fig)
    assert len(fig.axes) == 2


def test_the_explorer_shows_unknown_classes_in_gray():
    page = explorer.html(small_vae(), awkward(unknown=5), progress=False)
    assert UNKNOWN in page and '"unknown"' in page


def test_fonts_are_those_of_the_machine():
    known = {font.name for font in matplotlib.font_manager.fontManager.ttflist}
    assert lettering.families()[0] == "sans-serif" and set(lettering.families()[1:]) <= known
    assert np.isin(lettering.families()[1:], lettering.SCRIPTS).all()
