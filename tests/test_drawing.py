"""The page of the docs on which one draws a digit: its networks against Python, in a browser."""

import base64
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import PHONE, headless_browser, opened, wait_until, width_of_content  # noqa: F401
from markupsafe import Markup
from torch import Tensor

from pyro_vae import VAE
from pyro_vae.analysis.pages import packing
from pyro_vae.analysis.pages.page import document
from pyro_vae.data import Dataset
from pyro_vae.networks import MLPDecoder, MLPEncoder
from pyro_vae.recipes import RECIPES

DOCS = Path(__file__).parent.parent / "docs"
sys.path.insert(0, str(DOCS))
import live  # noqa: E402  # It lies in docs/.
from live import drawing  # noqa: E402

STATE = "document.querySelector('.drawing').drawing.state()"
LOOP = [(0.5 + 0.2 * np.sin(t), 0.5 - 0.3 * np.cos(t)) for t in np.linspace(0, 2 * np.pi, 25)]
STROKE = [(0.55, 0.2), (0.52, 0.5), (0.5, 0.8)]


@pytest.fixture(scope="module")
def held() -> dict:
    return json.loads((DOCS / "live" / "drawing.json").read_text())


@pytest.fixture(scope="module")
def model(held) -> VAE:
    """The model of the page: the recipe's, with the weights that the page holds."""
    sizes = [layer["outputs"] for layer in held["encoder"]]
    recipe = replace(
        RECIPES["mnist_mlp"],
        encoder=partial(MLPEncoder, hidden=sizes),
        decoder=partial(MLPDecoder, hidden=sizes[::-1]),
    )
    vae = recipe.build((1, 28, 28))
    for name, network in drawing.parts_of(vae).items():
        layers = [each for each in network.modules() if isinstance(each, torch.nn.Linear)]
        for layer, packed in zip(layers, held[name], strict=True):
            weight, bias = packing.dequantized(packed)
            layer.weight.data, layer.bias.data = weight, bias
    return vae.eval()


@pytest.fixture(scope="module")
def examples(held) -> Tensor:
    """The test images in the page, one of each digit: (10, 1, 28, 28)."""
    levels = np.frombuffer(base64.b64decode(held["examples"]), np.uint8)
    return torch.from_numpy(levels.reshape(10, 1, 28, 28) / np.float32(255))


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("drawing") / "drawing.html"
    file.write_text(document("Draw a digit", Markup(live.drawing_page())))
    return file


def state(page) -> dict:
    """Return what the page has computed last, as arrays."""
    return {name: np.array(value) for name, value in page.evaluate(STATE).items()}


def draw(page, *strokes, scale=1.0, at=(0.0, 0.0)) -> np.ndarray:
    """Clear the paper, draw strokes with the mouse, and return the image, (28, 28)."""
    page.click(".drawing .clear")
    page.locator(".paper").scroll_into_view_if_needed()
    box = page.locator(".paper").bounding_box()
    for stroke in strokes:
        places = [
            (
                box["x"] + (at[0] + scale * x) * box["width"],
                box["y"] + (at[1] + scale * y) * box["height"],
            )
            for x, y in stroke
        ]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place)
        page.mouse.up()
    return state(page)["x"].reshape(28, 28)


def levels_of(page, selector) -> np.ndarray:
    """Return the levels of a canvas, (28, 28)."""
    values = page.evaluate(
        """selector => Array.from(document.querySelector(selector).getContext("2d")
            .getImageData(0, 0, 28, 28).data)""",
        selector,
    )
    return np.array(values).reshape(28, 28, 4)[..., 0]


def test_the_networks_of_the_page_return_what_those_of_python_do(browser, path, model, examples):
    with torch.no_grad():
        q, parts = model.encode(examples), drawing.parts_of(model).values()
        mean, scale, z, image = drawing.forward(*parts, examples)
        assert torch.allclose(q.mean, mean) and torch.allclose(q.stddev, scale)
        assert torch.allclose(model.images(z), image, atol=1e-6)
    assert mean.std(0).min() > 0.5 and image.std(0).max() > 0.3
    with opened(browser, path) as page:
        for digit in range(10):
            page.locator(".examples button").nth(digit).click()
            found = state(page)
            assert np.abs(found["x"] - examples[digit].flatten().numpy()).max() < 1e-6
            assert np.abs(found["mean"] - mean[digit].numpy()).max() < 1e-4
            assert np.abs(found["scale"] / scale[digit].numpy() - 1).max() < 1e-4
            expected = image[digit].flatten().numpy()
            assert np.abs(found["reconstruction"] - expected).max() < 1e-4
            page.wait_for_timeout(60)
            shown = 255 * image[digit, 0].numpy()
            assert np.abs(levels_of(page, ".of-decoded canvas") - shown).max() < 0.6


def test_the_rate_and_the_distribution_are_written_beside_it(browser, path, model, examples):
    with opened(browser, path) as page:
        page.locator(".examples button").nth(7).click()
        q = model.encode(examples[7:8])
        rate = torch.distributions.kl_divergence(q.base_dist, torch.distributions.Normal(0.0, 1.0))
        said = f"rate {rate.sum().item():.2f} nats"
        wait_until(page, f"document.querySelector('.numbers').textContent.includes('{said}')")
        numbers = page.locator(".numbers").inner_text().replace("−", "-")
        assert f"mean ({q.mean[0, 0].item():.2f}, {q.mean[0, 1].item():.2f})" in numbers
        wait_until(page, "document.querySelector('.announcement').textContent.includes('rate')")


def center_of_mass(image: np.ndarray) -> np.ndarray:
    places = np.arange(28) + 0.5
    return np.array([image.sum(0) @ places, image.sum(1) @ places]) / image.sum()


def extent(image: np.ndarray) -> int:
    return max(np.ptp(np.nonzero(image.sum(axis))[0]) + 1 for axis in (0, 1))


def test_a_drawing_is_centered_and_scaled_as_mnist_is(browser, path, examples):
    for image in examples[:, 0].numpy():  # the rule, seen in MNIST itself
        assert np.abs(center_of_mass(image) - 14.5).max() <= 0.51 and extent(image) == 20
    with opened(browser, path) as page:
        large = draw(page, LOOP)
        small = draw(page, LOOP, scale=0.3, at=(0.65, 0.02))
        leaning = draw(page, [(0.1, 0.1), (0.2, 0.5), (0.9, 0.9)], [(0.1, 0.1), (0.1, 0.4)])
    for image in (large, small, leaning):
        assert np.abs(center_of_mass(image) - 14.5).max() < 0.1
        assert 20 <= extent(image) <= 21 and image.max() == pytest.approx(1)
    assert np.abs(large - small).mean() < 0.02  # only the mouse's whole pixels differ
    assert np.abs(large - leaning).mean() > 0.1
    ring = np.hypot(large[14], 0).nonzero()[0]  # a row through the loop meets the line twice
    assert np.diff(ring).max() > 5


def test_a_dot_stays_a_dot(browser, path):
    with opened(browser, path) as page:
        assert 3 < draw(page, [(0.3, 0.3), (0.3, 0.3)]).sum() < 8


def test_the_ellipse_and_the_reconstruction_follow_the_drawing(browser, path, held):
    with opened(browser, path) as page:
        draw(page, LOOP)
        zero, plane = state(page), page.locator(".plane").screenshot()
        draw(page, STROKE)
        one = state(page)
        assert page.locator(".plane").screenshot() != plane
    means = np.array(held["means"])
    for digit, found in ((0, zero), (1, one)):
        assert np.hypot(*(means - found["mean"]).T).argmin() == digit
        assert (found["z"] == found["mean"]).all()
    assert np.abs(zero["reconstruction"] - one["reconstruction"]).max() > 0.5


def test_z_is_sampled_from_q_and_without_a_drawing_from_the_prior(browser, path):
    sample = """n => {
        const root = document.querySelector(".drawing");
        return Array.from({ length: n }, () => {
            root.querySelector(".sample").click();
            return root.drawing.state().z;
        });
    }"""
    with opened(browser, path) as page:
        for mean, scale in ((None, None), (np.zeros(2), np.ones(2))):
            if mean is None:
                mean, scale = state(page)["mean"], state(page)["scale"]
            else:
                page.click(".clear")
                assert page.evaluate(f"{STATE}.x") is None
                wait_until(
                    page, "document.querySelector('.numbers').textContent.startsWith('Nothing')"
                )
            noise = (np.array(page.evaluate(sample, 400)) - mean) / scale
            assert np.abs(noise.mean(0)).max() < 0.2 and np.abs(noise.std(0) - 1).max() < 0.15
            assert abs(np.corrcoef(noise.T)[0, 1]) < 0.2
            page.click(".mean")
            assert np.allclose(state(page)["z"], mean)


def test_z_is_moved_by_the_mouse_and_by_the_keyboard(browser, path, held, model):
    with opened(browser, path) as page:
        page.locator(".plane").scroll_into_view_if_needed()
        box = page.locator(".plane").bounding_box()
        page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.4 * box["height"])
        page.mouse.down()
        page.mouse.up()
        z = state(page)["z"]
        assert np.allclose(z, [0.5 * held["reach"], 0.2 * held["reach"]], atol=0.03)
        expected = model.images(torch.tensor(z[None], dtype=torch.float32)).flatten().numpy()
        assert np.abs(state(page)["reconstruction"] - expected).max() < 1e-4
        page.focus(".plane")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Shift+ArrowUp")
        step = 0.05 * held["reach"]
        assert np.allclose(state(page)["z"] - z, [-step, 4 * step])


def test_a_finger_draws(browser, path):
    with opened(browser, path, PHONE, has_touch=True, is_mobile=True) as page:
        assert width_of_content(page) == 360
        page.locator(".clear").tap()
        page.locator(".paper").scroll_into_view_if_needed()
        box = page.locator(".paper").bounding_box()
        session = page.context.new_cdp_session(page)
        top = page.evaluate("scrollY")
        for kind, places in (
            ("touchStart", STROKE[:1]),
            *(("touchMove", [place]) for place in STROKE[1:]),
            ("touchEnd", []),
        ):
            points = [
                {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
                for x, y in places
            ]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        wait_until(page, f"{STATE}.x !== null && {STATE}.x.reduce((a, b) => a + b) > 40")
        assert page.evaluate("scrollY") == top  # the finger draws, and does not scroll


def test_the_page_is_small_and_says_what_it_needs(path):
    text = path.read_text()
    assert len(text) < 800_000 and "<noscript>The networks run in your browser" in text
    assert "http" not in live.drawing_page()
    assert "[CSS]" not in text and "[JSON]" not in text


def test_what_is_written_of_a_run(digits: Dataset, monkeypatch):
    torch.manual_seed(0)
    vae = RECIPES["mnist_mlp"].build((1, 8, 8)).eval()
    found = drawing.contents(vae, digits.test)
    assert len(found["codes"]) == len(digits.test) and len(found["means"]) == 10
    x = digits.test.as_float(slice(None))
    with torch.no_grad():
        mean = vae.encode(x).mean
        by_page = packing.run_layers(
            found["mean"], packing.run_layers(found["encoder"], x.flatten(1))
        )
    distances = (by_page - mean).norm(dim=1)
    off = found["differences"]
    assert off["mean"] == pytest.approx(distances.max().item(), rel=1e-3)
    assert off["mean"] < 0.05
    assert 0 < off["pixel_on_average"] < off["pixel"] < 3
    monkeypatch.setattr(drawing, "LARGE", 0)  # all layers in 8 bits
    assert drawing.contents(vae, digits.test)["differences"]["pixel"] > off["pixel"]


def test_the_explorer_of_the_docs_is_drawn_and_follows_their_theme(browser, tmp_path):
    file = tmp_path / "explorer.html"
    file.write_text(document("Explorer", Markup(live.explorer_page())))
    with opened(browser, file) as page:
        assert page.locator(".legend button").count() == 10
        assert "are interpolated in between" in page.locator(".notes").inner_text()
        before = page.locator(".map").screenshot()
        page.evaluate("document.body.style.setProperty('--ink', '#ff0000')")
        page.evaluate("document.body.dataset.theme = 'dark'")
        page.wait_for_timeout(100)
        assert page.locator(".map").screenshot() != before
