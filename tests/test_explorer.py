"""The latent explorer: what the page contains, and what it shows and does in a real browser."""

import base64
import io
import json
import math
import re

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from browser import PHONE, headless_browser, opened, wait_until, width_of_content  # noqa: F401
from conftest import small_vae
from PIL import Image, ImageColor
from torch import nn

from pyro_vae import VAE, likelihoods, networks, posteriors, priors
from pyro_vae.analysis import decode, embed
from pyro_vae.analysis.pages import explorer, packing
from pyro_vae.analysis.style import PALETTE
from pyro_vae.data import ImageData

NASTY = ("<b>&\"'", "</script><script>alert(1)</script>", "plain", "&amp;", "ζ <!-- ")
STATE = "document.querySelector('.explorer').explorer.state()"


def lively(size=2, shape=(1, 8, 8), **slots) -> VAE:
    """Return a tiny model whose latent vectors spread widely and whose images vary a lot."""
    torch.manual_seed(0)
    vae = small_vae(shape, size, **slots).eval()
    with torch.no_grad():
        if isinstance(vae.posterior, posteriors.DiagonalNormal):
            vae.posterior.mean.weight *= 20
        for parameter in vae.likelihood.decoder.parameters():
            parameter *= 2
    return vae


def noise(n=60, shape=(1, 8, 8), classes=3, names=("ant", "bee", "cat")) -> ImageData:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator)
    labels = None if classes is None else torch.arange(n) % classes
    return ImageData(images, labels, names if classes else None)


def held(page: str) -> dict:
    """Return the data of a page."""
    return json.loads(re.search(r'class="data">(.*?)</script>', page, re.DOTALL)[1])


def node_levels(page: str) -> np.ndarray:
    """Return the images at the nodes, (rows, columns, H, W, C), from the page's picture."""
    nodes = held(page)["nodes"]
    shape = [nodes[key] for key in ("height", "rows", "width", "columns")]
    picture = Image.open(io.BytesIO(base64.b64decode(nodes["picture"].split(",")[1])))
    levels = np.asarray(picture.convert("RGB")).reshape(*shape, 3).transpose(1, 3, 0, 2, 4)
    return levels[..., : nodes["channels"]]


def node_places(page: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates of the nodes, horizontal and vertical."""
    found = held(page)
    (left, right), (bottom, top) = found["window"]
    return (
        np.linspace(left, right, found["nodes"]["columns"]),
        np.linspace(bottom, top, found["nodes"]["rows"]),
    )


def levels_of(vae: VAE, points) -> np.ndarray:
    """Decode latent vectors by `vae.images`, to values from 0 to 255, (n, H, W, C)."""
    with torch.no_grad():
        images = vae.images(torch.as_tensor(np.array(points), dtype=torch.float32))
    return (255 * images).movedim(-3, -1).numpy()


# What the page contains


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 5)])
def test_nodes_are_the_models_decodings(shape):
    vae = lively(shape=shape)
    page = explorer.html(vae, noise(shape=shape))
    levels, (across, up) = node_levels(page), node_places(page)
    for row, column in ((0, 0), (3, 50), (63, 63)):
        expected = levels_of(vae, [(across[column], up[row])])[0]
        assert np.abs(levels[row, column] - expected).max() <= 1
    assert np.ptp(levels.astype(int), axis=(0, 1)).max() > 50


def test_more_dimensions_stay_at_the_codes_mean():
    vae, images = lively(20), noise()
    page = explorer.html(vae, images, dimensions=(4, 11))
    z = embed(vae, images).mean(0)
    across, up = node_places(page)
    z[4], z[11] = across[9], up[40]
    assert np.abs(node_levels(page)[40, 9] - levels_of(vae, [z.numpy()])[0]).max() <= 1
    assert held(page)["names"] == ["z₅", "z₁₂"]
    assert "The other 18 dimensions stay at their mean." in page


def test_the_dimensions_of_the_highest_rate_are_the_default():
    vae = lively(6)
    with torch.no_grad():
        vae.posterior.mean.weight[[0, 1, 3, 4]] *= 1e-3
    assert held(explorer.html(vae, noise()))["names"] == ["z₃", "z₆"]


def test_principal_components_span_the_plane_of_most_variance():
    vae, images = lively(5), noise()
    codes = embed(vae, images)
    plane = explorer.lay(vae, images, codes, axes="principal")
    assert torch.allclose(plane.directions @ plane.directions.T, torch.eye(2), atol=1e-5)
    centered = codes - codes.mean(0)
    best = torch.linalg.eigvalsh(centered.T @ centered / len(codes))[-2:].flip(0)
    assert torch.allclose(plane.points(codes).var(0, correction=0), best, rtol=1e-3)
    again = plane.points(plane.latents(torch.tensor([[1.0, -2.0]])))
    assert torch.allclose(again, torch.tensor([[1.0, -2.0]]), atol=1e-5)
    assert "component 1" in held(explorer.html(vae, images, axes="principal"))["names"][0]


@pytest.mark.parametrize(
    ("size", "options", "words"),
    [
        (3, {"dimensions": (0, 3)}, "0 to 2"),
        (3, {"dimensions": (1, 1)}, "two different"),
        (2, {"dimensions": (0,)}, "two different"),
        (1, {"dimensions": (0, 1)}, "needs dimension 0, got"),
        (2, {"axes": "diagonal"}, "diagonal"),
    ],
)
def test_a_plane_that_does_not_exist_is_refused(size, options, words):
    with pytest.raises(ValueError, match=words):
        explorer.html(lively(size), noise(), **options)


def test_points_are_the_codes_in_their_classes_colors():
    vae, images = lively(), noise()
    found = held(explorer.html(vae, images))
    order = explorer.evenly_by_class(images, explorer.MOST_POINTS)
    codes = embed(vae, images.select(order))
    assert np.allclose(found["points"]["x"], codes[:, 0], rtol=1e-4, atol=1e-4)
    assert np.allclose(found["points"]["y"], codes[:, 1], rtol=1e-4, atol=1e-4)
    assert found["points"]["group"] == images.labels[order].tolist()
    looks = [(group["name"], group["color"]) for group in found["groups"]]
    assert looks == list(zip(("ant", "bee", "cat"), PALETTE[:3], strict=True))
    (left, right), (bottom, top) = found["window"]
    assert left < codes[:, 0].min() and codes[:, 0].max() < right
    assert bottom < codes[:, 1].min() and codes[:, 1].max() < top


def test_many_images_are_thinned_evenly_by_class():
    labels = torch.cat([torch.zeros(900, dtype=torch.int64), torch.ones(80, dtype=torch.int64)])
    images = ImageData(torch.zeros(980, 1, 1, 1, dtype=torch.uint8), labels)
    chosen = explorer.evenly_by_class(images, 200, seed=3)
    assert len(chosen) == len(set(chosen.tolist())) == 200
    assert labels[chosen].sum() == 80
    assert labels[explorer.evenly_by_class(images, 100)].sum() == 50
    assert not torch.equal(chosen, explorer.evenly_by_class(images, 200, seed=4))


def test_a_page_says_how_many_are_shown(monkeypatch):
    monkeypatch.setattr(explorer, "MOST_POINTS", 30)
    page = explorer.html(lively(), noise())
    assert "30 of 60 images are shown, balanced by class." in page
    assert len(held(page)["points"]["x"]) == 30


def random_model(shape) -> VAE:
    """Return a model that decodes to noise, which does not compress."""

    def likelihood(z):
        return dist.Normal(torch.rand(*z.shape[:-1], *shape), 1.0).to_event(3)

    def posterior(x):
        return dist.Normal(torch.randn(len(x), 2), 1.0).to_event(1)

    return VAE(priors.StandardNormal(2), likelihood, posterior)


@pytest.mark.parametrize(("shape", "originals"), [((1, 32, 32), 2999), ((3, 70, 96), 3000)])
def test_a_page_of_noise_is_smaller_than_3_megabytes(shape, originals):
    page = explorer.html(random_model(shape), noise(3500, shape))
    nodes = held(page)["nodes"]
    assert 1_500_000 < len(page.encode()) < 3_000_000  # the limit is used, and kept
    assert nodes["columns"] >= 8 and max(nodes["width"], nodes["height"]) <= 64
    assert 500 < held(page)["originals"]["count"] <= originals


def test_names_cannot_leave_their_place():
    page = explorer.html(lively(), noise(classes=5, names=NASTY), title=NASTY[1])
    assert [group["name"] for group in held(page)["groups"]] == list(NASTY)
    assert "alert(1)</script>" not in page and "<title>&lt;/script" in page
    assert page.count("</script>") == 2  # of the data and of the script


def test_a_seed_decides_everything():
    vae, images = lively(1), noise()
    torch.manual_seed(1)
    first = explorer.html(vae, images, seed=5)
    torch.manual_seed(2)
    assert explorer.html(vae, images, seed=5) == first
    assert explorer.html(vae, images, seed=6) != first


def test_nothing_is_loaded():
    page = explorer.html(lively(), noise())
    assert "default-src 'none'" in page
    namespace = "http://www.w3.org/2000/svg"  # a name that is never fetched
    assert re.findall(r"https?://[^\"']*", page) == [namespace]


# The decoder in the page


def connected(
    likelihood=likelihoods.Bernoulli, size=2, shape=(1, 8, 8), decoder=None, gain=3, **slots
) -> VAE:
    """Return a tiny model whose decoder is fully connected, and whose images vary a lot."""
    torch.manual_seed(3)
    decoder = decoder or networks.MLPDecoder(size, shape, hidden=(12, 16))
    encoder = networks.MLPEncoder(shape, hidden=(16,))
    vae = VAE(
        slots.get("prior") or priors.StandardNormal(size),
        likelihood(decoder),
        slots.get("posterior") or posteriors.DiagonalNormal(encoder, size),
    ).eval()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter *= gain
    return vae


def learned(decoder):
    return likelihoods.Normal(decoder, learned=True)


def standardized(decoder):
    return likelihoods.Normal(decoder, sigmoid=False, standardized=(0.4, 0.2))


def own_decoder(activation=nn.GELU):
    """Return a decoder that is not of this library, with an activation at its end."""
    layers = nn.Sequential(nn.Linear(2, 20), activation(), nn.Linear(20, 64), nn.Sigmoid())
    return nn.Sequential(layers, nn.Unflatten(1, (1, 8, 8)))


def without_sigmoid(decoder):
    return likelihoods.Normal(decoder, sigmoid=False)


CONNECTED = {
    "bernoulli": lambda: connected(),
    "continuous Bernoulli": lambda: connected(likelihoods.ContinuousBernoulli),
    "a learned scale, color, five dimensions": lambda: connected(learned, 5, (3, 9, 6)),
    "standardized, two channels": lambda: connected(standardized, 3, (2, 5, 7)),
    "one dimension": lambda: connected(size=1),
    "on a sphere": lambda: connected(
        size=3,
        prior=priors.HypersphereUniform(3),
        posterior=posteriors.PowerSpherical(networks.MLPEncoder((1, 8, 8)), 3),
    ),
    "one's own decoder": lambda: connected(without_sigmoid, decoder=own_decoder()),
}


@pytest.mark.parametrize("name", CONNECTED)
def test_a_fully_connected_decoder_runs_in_the_page(browser, tmp_path, name):
    vae = CONNECTED[name]()
    images = noise(shape=tuple(vae.image_shape))
    page_file = tmp_path / "explorer.html"
    page_file.write_text(explorer.html(vae, images))
    found = held(page_file.read_text())
    assert found["nodes"] is None and found["decoder"]["off"] < 0.1
    assert "The decoder itself runs in this page, with weights of 16 bits" in page_file.read_text()
    codes = embed(vae, images)
    plane = explorer.lay(vae, images, codes)
    (left, right), (bottom, top) = found["window"]
    places = np.random.default_rng(0).uniform([left, bottom], [right, top], (6, 2))
    z = plane.latents(torch.from_numpy(places[:, : len(plane.names)]).float())
    expected = 255 * decode(vae, z).movedim(1, -1).numpy()
    if expected.shape[-1] == 2:
        expected = expected.mean(-1, keepdims=True)
    assert np.ptp(expected, axis=0).max() > 60
    with opened(browser, page_file) as page:
        for (x, y), levels in zip(places, expected, strict=True):
            image = move(page, x, y)
            assert image.shape[:2] == levels.shape[:2]
            assert np.abs(image - levels).max() <= 0.6  # half a level of the screen's rounding


@pytest.mark.parametrize("bits", [8, 16])
def test_every_activation_is_known_to_the_page(browser, path, bits):
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 7)
    with opened(browser, path) as page:
        for name in packing.FUNCTIONS:
            first = packing.pack(20 * torch.randn(40, 7), torch.randn(40), name, bits)
            last = packing.pack(torch.randn(5, 40), None, "identity", bits)
            expected = packing.run_layers([first, last], x[None])[0]
            found = page.evaluate(
                "([network, x]) => Array.from(networks.run(networks.unpack(network), x))",
                [[first, last], x.tolist()],
            )
            assert np.allclose(found, expected, rtol=1e-5, atol=1e-4), name


@pytest.mark.parametrize(("bits", "largest"), [(8, 127), (16, 32767)])
def test_packed_weights_are_off_by_half_a_scale_at_most(bits, largest):
    torch.manual_seed(0)
    weight = torch.randn(30, 20) * torch.logspace(-4, 4, 30)[:, None]
    weight[3] = 0
    bias = torch.randn(30)
    found, kept = packing.dequantized(packing.pack(weight, bias, "relu", bits))
    scales = weight.abs().amax(1, keepdim=True) / largest
    assert ((found - weight).abs() <= 0.501 * scales).all() and torch.equal(kept, bias)
    assert torch.allclose(found.abs().amax(1), weight.abs().amax(1), rtol=1e-6)


def test_a_decoder_that_is_too_large_is_rounded_more_or_blended(monkeypatch):
    vae = connected(gain=2)
    weights = sum(each.numel() for each in vae.likelihood.decoder.parameters() if each.dim() == 2)
    rows = 12 + 16 + 64
    monkeypatch.setattr(explorer, "DECODER_BYTES", 2 * weights + 8 * rows)
    assert held(explorer.html(vae, noise()))["decoder"]["network"][0]["bits"] == 16
    monkeypatch.setattr(explorer, "DECODER_BYTES", 2 * weights + 8 * rows - 1)
    assert held(explorer.html(vae, noise()))["decoder"]["network"][0]["bits"] == 8
    monkeypatch.setattr(explorer, "DECODER_BYTES", weights + 8 * rows - 1)
    page = explorer.html(vae, noise())
    assert held(page)["decoder"] is None and "are interpolated in between" in page


def test_the_largest_decoder_leaves_the_page_smaller_than_3_megabytes():
    decoder = networks.MLPDecoder(2, (3, 32, 32), hidden=(200,))
    page = explorer.html(connected(shape=(3, 32, 32), decoder=decoder), noise(3500, (3, 32, 32)))
    assert held(page)["decoder"]["network"][0]["bits"] == 16
    assert 2_000_000 < len(page.encode()) < 3_000_000


class Squared(nn.Sequential):
    """A decoder whose last step is not a module."""

    def forward(self, z):
        return super().forward(z) ** 2


@pytest.mark.parametrize(
    "vae",
    [
        lambda: lively(),
        lambda: connected(likelihoods.DiscretizedLogisticMixture),
        lambda: connected(without_sigmoid, decoder=Squared(*own_decoder())),
        lambda: connected(without_sigmoid, decoder=own_decoder(nn.Softplus)),
    ],
    ids=["convolutions", "a mixture", "an unseen step", "an unknown activation"],
)
def test_what_the_page_cannot_run_is_blended(vae):
    page = explorer.html(vae(), noise())
    assert held(page)["decoder"] is None and held(page)["nodes"]["columns"] == 64
    assert "are interpolated in between" in page


# The prior's mass


def radii(page: str) -> list[np.ndarray]:
    regions = held(page)["prior"]
    return [np.hypot(*np.concatenate(region["lines"]).T) for region in regions]


@pytest.mark.parametrize("options", [{}, {"axes": "principal"}])
@pytest.mark.parametrize("size", [2, 3])
def test_regions_hold_their_part_of_a_normal_prior(size, options):
    vae = lively(size)
    with torch.no_grad():
        vae.posterior.mean.bias.zero_()
        vae.posterior.mean.weight *= 1e-6  # so that the plane passes through the origin
    exact = [math.sqrt(-2 * math.log(1 - mass)) for mass in explorer.MASSES]
    for found, expected in zip(radii(explorer.html(vae, noise(), **options)), exact, strict=True):
        assert np.allclose(found, expected, rtol=0.12 if size == 3 and options else 0.03)


def test_regions_of_other_priors():
    two = priors.Normal(2, loc=[3.0, 0.0], scale=[0.5, 1.0])
    inner = held(explorer.html(lively(prior=two), noise()))["prior"][1]["lines"]
    x, y = np.concatenate(inner).T
    assert np.allclose([x.mean(), np.ptp(y) / np.ptp(x)], [3, 2], rtol=0.1)
    ring = np.concatenate(radii(explorer.html(lively(prior=priors.HypersphereUniform(2)), noise())))
    assert abs(np.median(ring) - 1) < 0.3
    assert held(explorer.html(lively(prior=priors.Bernoulli(2)), noise()))["prior"]


def test_a_flat_prior_has_no_region():
    page = explorer.html(lively(prior=priors.Flat(2)), noise())
    assert held(page)["prior"] == [] and "The prior has no outline" in page


def test_one_dimension_is_a_line_under_the_priors_density():
    vae = lively(1)
    page = explorer.html(vae, noise())
    found = held(page)
    assert found["names"] == ["z₁"] and found["nodes"]["rows"] == 1
    across, _ = node_places(page)
    assert np.abs(node_levels(page)[0, 20] - levels_of(vae, [[across[20]]])[0]).max() <= 1
    x, height = np.array(found["prior"][0]["lines"][0]).T
    assert abs(x[height.argmax()]) < 0.2  # highest at 0, and e^-0.5 times as high at 1
    low = found["window"][1][0]
    at_one = np.interp(1, x, height - low) / (height.max() - low)
    assert at_one == pytest.approx(math.exp(-0.5), abs=0.06)


# In the browser


def move(page, x, y) -> np.ndarray:
    """Move to a point, wait until it is shown, and return the image, (H, W, 3)."""
    page.evaluate(
        "([x, y]) => document.querySelector('.explorer').explorer.moveTo(x, y)",
        [float(x), float(y)],
    )
    near = f"([x, y]) => Math.hypot({STATE}.x - x, {STATE}.y - y) < 1e-12"
    wait_until(page, near, [float(x), float(y)])
    return shown(page)


def shown(page) -> np.ndarray:
    """Return the decoded image on the canvas, (H, W, 3)."""
    width, height, levels = page.evaluate(
        """() => {
            const canvas = document.querySelector(".decoded");
            const { width, height } = canvas;
            const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
            return [width, height, Array.from(data)];
        }"""
    )
    return np.array(levels).reshape(height, width, 4)[..., :3].astype(int)


def rest(page) -> dict:
    """Wait until nothing moves, and return the state."""
    last = None
    while last != (last := page.evaluate(STATE)):
        page.wait_for_timeout(120)
    return last


@pytest.fixture(scope="module")
def model() -> VAE:
    return lively()


@pytest.fixture(scope="module")
def source(model) -> str:
    return explorer.html(model, noise())


@pytest.fixture(scope="module")
def path(source, tmp_path_factory):
    file = tmp_path_factory.mktemp("explorer") / "explorer.html"
    file.write_text(source)
    return file


def test_the_image_is_the_models_at_nodes_and_blends_between(browser, model, source, path):
    across, up = node_places(source)
    nodes = [(5, 7), (6, 7), (5, 8), (6, 8), (0, 0), (63, 63), (20, 44)]
    expected = levels_of(model, [(across[i], up[j]) for i, j in nodes])
    with opened(browser, path) as page:
        for (i, j), levels in zip(nodes, expected, strict=True):
            assert np.abs(move(page, across[i], up[j]) - levels).max() <= 1
        corners = expected[:4].round()
        assert np.ptp(corners, axis=0).max() >= 4  # there is something to blend
        for s, t in ((0.5, 0.5), (0.25, 0.9), (0, 0.3)):
            weights = np.array([(1 - s) * (1 - t), s * (1 - t), (1 - s) * t, s * t])
            blend = (weights[:, None, None, None] * corners).sum(0)
            place = across[5] + s * (across[6] - across[5]), up[7] + t * (up[8] - up[7])
            assert np.abs(move(page, *place) - blend).max() <= 1


@pytest.mark.parametrize(
    ("size", "shape", "classes"), [(1, (1, 8, 8), 3), (3, (3, 9, 6), None)], ids=["line", "color"]
)
def test_other_models_are_shown_too(browser, tmp_path, size, shape, classes):
    vae, images = lively(size, shape), noise(shape=shape, classes=classes)
    source = explorer.html(vae, images, dimensions=(0,) if size == 1 else (0, 2))
    across, up = node_places(source)
    z = embed(vae, images).mean(0)
    z[0] = across[30]
    if size == 3:
        z[2] = up[12]
    (tmp_path / "explorer.html").write_text(source)
    with opened(browser, tmp_path / "explorer.html", PHONE) as page:
        image = move(page, across[30], up[min(12, len(up) - 1)])
        assert image.shape[:2] == shape[1:]
        assert np.abs(image - levels_of(vae, [z.numpy()])[0]).max() <= 1
        assert page.locator(".legend button").count() == (classes or 0)
        assert page.locator(".legend-box").is_visible() == bool(classes)
        assert width_of_content(page) == 360


def test_the_mouse_moves_the_image(browser, model, path):
    with opened(browser, path) as page:
        box = page.locator(".map").bounding_box()
        images = []
        for share in (0.3, 0.7):
            page.mouse.move(box["x"] + share * box["width"], box["y"] + 0.4 * box["height"])
            state = rest(page)
            images.append(shown(page))
            there = levels_of(model, [(state["x"], state["y"])])[0]
            assert np.abs(images[-1] - there).mean() < 2
            assert f"{abs(state['x']):.2f}" in page.locator(".place").inner_text()
        assert np.abs(images[0] - images[1]).max() > 20


def test_the_image_moves_smoothly_unless_motion_is_unwanted(browser, path):
    record = """() => new Promise((done) => {
        const explorer = document.querySelector(".explorer").explorer;
        const seen = [];
        const look = () => {
            seen.push(explorer.state().x);
            if (seen.length < 30) requestAnimationFrame(look);
            else done(new Set(seen).size);
        };
        explorer.moveTo(1.5, 0.5);
        requestAnimationFrame(look);
    })"""
    with opened(browser, path) as page:
        assert page.evaluate(record) > 4
    with opened(browser, path, reduced_motion="reduce") as page:
        assert page.evaluate(record) <= 2
        page.click(".random")
        assert not page.evaluate(STATE)["playing"]


def test_the_keyboard_moves_says_where_and_draws_a_path(browser, source, path):
    (left, right), _ = held(source)["window"]
    with opened(browser, path) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "map"
        before = page.evaluate(STATE)
        page.keyboard.press("ArrowRight")
        after = rest(page)
        assert after["x"] - before["x"] == pytest.approx(0.02 * (right - left))
        assert after["y"] == before["y"]
        page.keyboard.press("Enter")
        page.keyboard.press("Shift+ArrowUp")
        assert rest(page)["y"] > before["y"]
        said = page.locator(".announcement[aria-live=polite]")
        expected = page.locator(".place").inner_text()
        wait_until(
            page,
            "text => document.querySelector('.announcement').textContent.startsWith(text)",
            expected,
        )
        assert said.inner_text()
        page.keyboard.press("Enter")
        assert page.evaluate(STATE)["ends"] == 2 and page.evaluate(STATE)["playing"]
        page.keyboard.press("Escape")
        assert page.evaluate(STATE)["ends"] == 0


def test_a_finger_moves_the_image_and_taps_draw_a_path(browser, path):
    with opened(browser, path, PHONE, has_touch=True, is_mobile=True) as page:
        assert width_of_content(page) == 360
        page.locator(".map").scroll_into_view_if_needed()
        box = page.locator(".map").bounding_box()
        session = page.context.new_cdp_session(page)

        def touch(kind, x=None):
            points = [] if x is None else [{"x": x, "y": box["y"] + box["height"] / 2}]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        touch("touchStart", box["x"] + 100)
        first, image = rest(page), shown(page)
        for x in range(110, 260, 10):
            touch("touchMove", box["x"] + x)
        second = rest(page)
        touch("touchEnd")
        assert second["x"] > first["x"] and second["ends"] == 0
        assert np.abs(shown(page) - image).max() > 20
        for share in (0.3, 0.7):
            page.touchscreen.tap(box["x"] + share * box["width"], box["y"] + 0.5 * box["height"])
        state = page.evaluate(STATE)
        assert state["ends"] == 2 and state["playing"]


def test_a_path_plays_to_its_end_and_can_be_dragged_along(browser, source, path):
    with opened(browser, path) as page:
        page.click(".random")
        assert page.evaluate(STATE)["playing"]
        wait_until(page, f"{STATE}.along > 0.05")
        page.click(".play")
        assert not page.evaluate(STATE)["playing"]

        def drag(share):
            page.locator(".along input").fill(str(share))
            return rest(page)

        start, middle, end = drag(0), drag(0.5), drag(1)
        assert middle["x"] == pytest.approx((start["x"] + end["x"]) / 2)
        assert middle["y"] == pytest.approx((start["y"] + end["y"]) / 2)
        points = held(source)["points"]
        ends = [
            int(np.argmin(np.hypot(np.array(points["x"]) - p["x"], np.array(points["y"]) - p["y"])))
            for p in (start, end)
        ]
        assert points["group"][ends[0]] != points["group"][ends[1]]
        drag(0.9)
        page.click(".play")
        wait_until(page, f"{STATE}.along === 1 && !{STATE}.playing")
        assert rest(page)["x"] == pytest.approx(end["x"])
        page.click(".clear")
        assert page.evaluate(STATE)["ends"] == 0 and page.locator(".play").is_disabled()


def test_near_a_point_its_class_and_its_image_are_shown(browser, source, path):
    found = held(source)
    x, y = (np.array(found["points"][axis]) for axis in "xy")
    apart = np.hypot(x[:, None] - x, y[:, None] - y)
    np.fill_diagonal(apart, np.inf)
    lone = int(apart.min(1).argmax())
    with opened(browser, path) as page:
        move(page, x[lone], y[lone])
        name = found["groups"][found["points"]["group"][lone]]["name"]
        assert page.locator(".near-name").inner_text() == f"Near a test image: {name}"
        page.wait_for_selector(".original:visible")
        thumb = page.evaluate(
            "Array.from(document.querySelector('.original').getContext('2d')"
            ".getImageData(0, 0, 8, 8).data)"
        )
        order = explorer.evenly_by_class(noise(), explorer.MOST_POINTS)
        original = noise().select(order).images[lone, 0].numpy().astype(int)
        red = np.array(thumb).reshape(8, 8, 4)[..., 0]
        assert np.corrcoef(red.ravel(), original.ravel())[0, 1] > 0.8  # the compression is lossy
        page.locator(".legend button").nth(found["points"]["group"][lone]).click()
        assert page.evaluate(STATE)["near"] != lone


def test_classes_are_drawn_in_their_colors_and_can_be_hidden(browser, source, path):
    def seen(page) -> list[int]:
        """Count the pixels of the map in each class's color, as drawn over the background."""
        picture = Image.open(io.BytesIO(page.locator(".map").screenshot())).convert("RGB")
        pixels = np.asarray(picture, dtype=float)
        colors = [0.8 * np.array(ImageColor.getrgb(color)) + 0.2 * 245 for color in PALETTE[:3]]
        return [int((np.abs(pixels - color).max(-1) < 12).sum()) for color in colors]

    with opened(browser, path) as page:
        before = seen(page)
        assert min(before) > 100
        fills = "all => all.map(each => each.getAttribute('fill'))"
        assert page.locator(".legend path").evaluate_all(fills) == list(PALETTE[:3])
        page.locator(".legend button").nth(1).click()
        hidden = page.locator(".legend button").nth(1)
        assert hidden.get_attribute("aria-pressed") == "false"
        after = seen(page)
        assert after[1] == 0 and after[0] >= before[0] and after[2] >= before[2]


def test_out_of_sight_and_back_again(browser, source, path):
    across, up = node_places(source)
    with opened(browser, path) as page:
        before = page.locator(".map").screenshot()
        page.evaluate("document.querySelector('.explorer').style.display = 'none'")
        page.wait_for_timeout(100)
        move(page, across[3], up[3])  # any error fails the test
        page.evaluate("document.querySelector('.explorer').style.display = ''")
        page.wait_for_timeout(100)
        start = page.evaluate(STATE)
        assert start["x"] == pytest.approx(across[3])
        (left, right), (bottom, top) = held(source)["window"]
        move(page, (left + right) / 2, (bottom + top) / 2)
        assert page.locator(".map").screenshot() == before


def test_hostile_class_names_are_only_text(browser, tmp_path):
    page_file = tmp_path / "explorer.html"
    page_file.write_text(explorer.html(lively(), noise(classes=5, names=NASTY), title=NASTY[1]))
    with opened(browser, page_file) as page:
        names = page.locator(".legend button").all_text_contents()
        assert names == list(NASTY)
        assert page.title() == page.locator("h1").inner_text() == NASTY[1]


def test_real_digits_are_decoded_at_their_codes(browser, digits, tmp_path):
    vae = lively()
    page_file = tmp_path / "explorer.html"
    page_file.write_text(explorer.html(vae, digits.test))
    codes = embed(vae, digits.test)[:3]
    with opened(browser, page_file, PHONE) as page:
        for z, image in zip(codes, decode(vae, codes), strict=True):
            there = 255 * image.movedim(0, -1).numpy()
            assert np.abs(move(page, *z.tolist()) - there).mean() < 2
