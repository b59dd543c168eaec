"""The published systems: each builds, learns, comes back, and its loss is its source's."""

import importlib
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyro
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pyro_vae import annealing, checkpoints, networks, recipes
from pyro_vae.experiments.configuration import parse, read_configuration
from pyro_vae.networks import values_in
from pyro_vae.recipes import RECIPES, Recipe
from pyro_vae.schedules import Constant, Plateau
from pyro_vae.training import fit

#: What the sources say of each: data, D, batch, learning rate, epochs, closed-form rate.
PUBLISHED = {
    "fashion_conv": ("fashion-mnist", 2, 64, 1e-3, 100, True),
    "mnist_fc": ("mnist", 2, 128, 1e-3, 100, True),
    "fashion_batchnorm": ("fashion-mnist", 2, 128, 5e-4, 10, True),
    "cartoon": ("cartoonset", 200, 128, 5e-4, 20, True),
    "mnist_mlp": ("mnist", 2, 128, 1e-3, 20, True),
    "cifar_resnet": ("cifar10", 256, 32, 1e-4, 20, False),
}
#: Padding, and the side that images are resized to, where the sources have them.
IMAGES = {"fashion_conv": (2, None), "cartoon": (0, 256)}
#: Factor, patience and the learning rate that ends it all, where the validation loss drives it.
PLATEAUS = {"fashion_conv": (0.1, 2, 1e-7), "mnist_fc": (0.1, 10, 1e-6)}
#: Fewer channels where the published ones are slow to train.
NARROW = {
    "cifar_resnet": {
        "encoder": partial(recipes.cifar_resnet.encoder, channels=(8, 16, 32)),  # type: ignore[call-arg]
        "decoder": partial(networks.ResNetDecoder, channels=(32, 16, 8)),
    }
}
every_recipe = pytest.mark.parametrize("name", RECIPES)


def variants(recipe: Recipe) -> dict[str, Recipe]:
    return {
        "ours": recipe,
        "published": recipe.as_published(),
        "autoencoder": recipe.as_autoencoder(),
    }


@every_recipe
def test_published_settings_are_the_sources(name):
    recipe = RECIPES[name].as_published()
    found = (recipe.data, recipe.latent_size, recipe.batch_size, recipe.learning_rate)
    assert (*found, recipe.epochs, recipe.objective().analytic_kl) == PUBLISHED[name]  # type: ignore[call-arg]
    assert recipe.annealing is annealing.Constant and recipe.new_draws and not recipe.least_steps
    assert recipe.validation == 0 and recipe.published_loss is not None
    assert (recipe.padding, recipe.size) == IMAGES.get(name, (0, None))
    assert recipe.keep == ("best" if name == "fashion_conv" else "last")
    schedule = recipe.schedule()
    if name in PLATEAUS:
        assert isinstance(schedule, Plateau)
        assert (schedule.factor, schedule.patience, schedule.stop_below) == PLATEAUS[name]
    else:
        assert type(schedule) is Constant
    assert RECIPES[name].validation > 0 and not RECIPES[name].objective().analytic_kl  # type: ignore[call-arg]


@every_recipe
@pytest.mark.parametrize("variant", ["ours", "published", "autoencoder"])
def test_a_recipe_learns_real_digits_and_comes_back(name, variant, digits, tmp_path):
    recipe = variants(RECIPES[name])[variant].with_settings(latent_size=5)
    recipe = recipe.with_settings(**NARROW.get(name, {}))
    vae = recipe.build(digits.image_shape)
    images = digits.train.select(slice(0, 160))
    history = fit(
        vae,
        images,
        objective=recipe.objective(),  # type: ignore[call-arg]
        beta=recipe.beta,
        epochs=3,
        batch_size=32,
        learning_rate=1e-3,
        schedule=Constant(),
        progress=False,
    )
    losses = [record["train_loss"] for record in history]
    assert all(map(math.isfinite, losses)) and losses[-1] < losses[0] - 0.1, losses
    checkpoints.save(vae, tmp_path / "vae.pt")
    other = checkpoints.load(tmp_path / "vae.pt")
    x = images.as_float(slice(0, 4))
    assert torch.equal(vae.reconstruct(x), other.reconstruct(x))
    assert str(vae) == str(other)
    if variant == "autoencoder":
        with pytest.raises(NotImplementedError, match="plain autoencoder"):
            vae.sample(1)
    else:
        assert vae.sample(2).shape == (2, *digits.image_shape)


# The losses as the sources write them. What the networks return is given: the decoder's output
# without its closing sigmoid, the posterior's mean and its spread (log-variance or log-scale as the
# source has it), the drawn code, and the likelihood's sigma where it is learned.
def loss_1(x: Tensor, output: Tensor, mean: Tensor, spread: Tensor, z: Tensor, sigma: Tensor):
    cross_entropy = F.binary_cross_entropy(output.sigmoid(), x)
    return 500 * cross_entropy - 0.5 * (1 + spread - mean**2 - spread.exp()).sum(1).mean()


def loss_2(x: Tensor, output: Tensor, mean: Tensor, spread: Tensor, z: Tensor, sigma: Tensor):
    error = ((x - output.sigmoid()) ** 2).flatten(1).sum(1).mean()
    kl = 0.5 * ((2 * spread).exp() + mean**2 - 1 - 2 * spread).sum(1).mean()
    return error / 2 + kl


def loss_3(x: Tensor, output: Tensor, mean: Tensor, spread: Tensor, z: Tensor, sigma: Tensor):
    kl = -0.5 * (1 + spread - mean**2 - spread.exp()).sum(1).mean()
    return 1000 * F.mse_loss(output.sigmoid(), x) + kl


def loss_4(x: Tensor, output: Tensor, mean: Tensor, spread: Tensor, z: Tensor, sigma: Tensor):
    penalty = spread.exp() ** 2 + mean**2 - spread - 0.5
    return (((x - output.sigmoid()) ** 2).sum() + penalty.sum()) / len(x)


def loss_4_corrected(
    x: Tensor, output: Tensor, mean: Tensor, spread: Tensor, z: Tensor, sigma: Tensor
):
    kl = 0.5 * (spread.exp() ** 2 + mean**2 - 1) - spread
    return (((x - output.sigmoid()) ** 2).sum() + kl.sum()) / len(x)


def loss_5(x: Tensor, output: Tensor, mean: Tensor, spread: Tensor, z: Tensor, sigma: Tensor):
    def log_normal(value: Tensor, mean: Tensor | float, scale: Tensor | float) -> Tensor:
        density = torch.exp(-0.5 * ((value - mean) / scale) ** 2) / (scale * math.sqrt(2 * math.pi))
        return density.log().flatten(1).sum(1)

    # The source's images are standardized, and so is what its decoder returns.
    reconstruction = log_normal((x - 0.5) / 0.25, output, sigma / 0.25)
    kl = log_normal(z, mean, (spread / 2).exp()) - log_normal(z, 0.0, torch.ones(()))
    return (kl - reconstruction).mean()


SOURCES: dict[str, tuple[Recipe, Callable[..., Tensor]]] = {
    "1": (recipes.fashion_conv.as_published(), loss_1),
    "2": (recipes.mnist_fc.as_published(), loss_2),
    "3a": (recipes.fashion_batchnorm.as_published(), loss_3),
    "3b": (recipes.cartoon.as_published(), loss_3),
    "3b at 64": (
        recipes.cartoon.as_published().with_settings(size=64, image_shape=(3, 64, 64)),
        loss_3,
    ),
    "4": (recipes.mnist_mlp.as_published(), loss_4),
    "4, corrected": (
        recipes.mnist_mlp.with_settings(objective=recipes.mnist_mlp.as_published().objective),
        loss_4_corrected,
    ),
    "5": (recipes.cifar_resnet.as_published(), loss_5),
}


def hand_written(vae, x: Tensor, loss: Callable[..., Tensor]) -> Tensor:
    """A source's loss, on the noise that Pyro's guide would draw next."""
    features = vae.posterior.encoder(x)
    mean, spread = vae.posterior.mean(features), vae.posterior.spread(features)
    z = mean + (vae.posterior.factor * spread).exp() * torch.randn_like(mean)
    output = vae.likelihood.decoder(z)
    return loss(x, output, mean, spread, z, getattr(vae.likelihood, "scale", None))


def gradient(loss: Tensor, vae) -> Tensor:
    trained = [parameter for parameter in vae.parameters() if parameter.requires_grad]
    return torch.cat([each.flatten() for each in torch.autograd.grad(loss, trained)])


@pytest.fixture
def doubles() -> Iterator[None]:
    """Constants too are made in double precision, not only kept in it."""
    torch.set_default_dtype(torch.double)
    yield
    torch.set_default_dtype(torch.float)


@pytest.mark.parametrize("system", SOURCES)
def test_the_loss_is_the_sources_on_the_same_noise(system, doubles):
    recipe, loss = SOURCES[system]
    vae = recipe.build(recipe.image_shape)
    x = torch.rand(3, *recipe.image_shape)
    pyro.set_rng_seed(3)
    bound = recipe.objective()(vae, x, recipe.beta)  # type: ignore[call-arg]
    pyro.set_rng_seed(3)
    theirs = hand_written(vae, x, loss)
    ours = recipe.published_loss(bound.distortion, bound.rate, values_in(recipe.image_shape))
    assert torch.allclose(ours, theirs, rtol=1e-5)
    scale = 500 / 1024 if system == "1" else 1.0
    mine, other = scale * gradient(bound.loss, vae), gradient(theirs, vae)
    assert (mine - other).norm() < 1e-5 * other.norm()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "cifar_resnet" else ())
        for name in (*RECIPES, "mnist_mlp_corrected")
    ],
)
def test_every_step_of_the_benchmarks_plain_loop_is_ours(name, doubles, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "scripts")
    system = importlib.import_module("peers.plain_pytorch").SYSTEMS[name]
    benchmark = importlib.import_module("benchmark")
    recipe = parse(benchmark.arguments_of(name)).recipe
    shape = RECIPES[name.removesuffix("_corrected")].image_shape
    vae, net = recipe.build(shape), system.net(shape)
    heads = [*net.mean.parameters(), *net.spread.parameters()]
    given = [*net.encoder.parameters(), *heads, *net.decoder.parameters()]
    posterior, decoder = vae.posterior, vae.likelihood.decoder
    parts = (posterior.encoder, posterior.mean, posterior.spread, decoder)
    trained = [parameter for part in parts for parameter in part.parameters()]
    for parameter, value in zip(trained, given, strict=True):
        parameter.data.copy_(value)
    optimizers = [
        torch.optim.Adam(vae.parameters(), recipe.learning_rate, eps=recipe.epsilon),
        torch.optim.Adam(net.parameters(), system.learning_rate),
    ]
    # Our sigma keeps away from 0 by 0.0001, which its steps notice.
    tolerance = 1e-7 if name == "cifar_resnet" else 1e-8
    for seed in range(4):
        x = torch.rand(3, *shape)
        pyro.set_rng_seed(seed)
        bound = recipe.objective()(vae, x, recipe.beta)  # type: ignore[call-arg]
        pyro.set_rng_seed(seed)
        theirs = system.loss(net, x)
        ours = recipe.published_loss(bound.distortion, bound.rate, values_in(shape))
        assert torch.allclose(ours, theirs, rtol=tolerance)
        for optimizer, loss in zip(optimizers, (bound.loss, theirs), strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert all(torch.allclose(m, o, atol=1e-8) for m, o in zip(trained, given, strict=True))
    for setting in ("batch_size", "learning_rate", "epochs", "padding", "size", "keep"):
        assert getattr(system, setting) == getattr(recipe, setting)
    schedule = recipe.schedule()
    plateau = isinstance(schedule, Plateau) and (schedule.patience, schedule.stop_below)
    assert system.plateau == (plateau or None)
    assert recipe.validation == 0 and recipe.new_draws


@pytest.mark.parametrize(("name", "end"), [("fashion_conv", 130.0), ("mnist_fc", 20.4)])
def test_the_learning_rate_falls_when_the_sources_does(name, end):
    """Their losses differ by a factor or a constant, of which "better" must not depend."""
    recipe = RECIPES[name].as_published()
    schedule, values = recipe.schedule(), values_in(recipe.image_shape)
    ours, theirs = (torch.optim.Adam([torch.zeros(1, requires_grad=True)]) for _ in range(2))
    schedule.start(ours, recipe.learning_rate)
    theirs.param_groups[0]["lr"] = recipe.learning_rate
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        theirs, factor=0.1, patience=PLATEAUS[name][1]
    )
    # The distortion that, with a rate of 0, makes a loss on the source's scale.
    zero, one = (recipe.published_loss(nats, 0.0, values) for nats in (0.0, 1.0))
    rates = []
    for epoch in range(100):
        loss = end + 3 * math.exp(-epoch / 15) + 0.02 * torch.randn(()).item()
        schedule.after_epoch((loss - zero) / (one - zero))
        plateau.step(loss)
        rates.append((ours.param_groups[0]["lr"], theirs.param_groups[0]["lr"]))
    assert all(mine == other for mine, other in rates)
    assert 1e-8 < rates[-1][0] < recipe.learning_rate


def test_the_published_penalty_of_system_4_is_not_the_kl_that_its_text_names(doubles):
    recipe, loss = SOURCES["4"]
    vae = recipe.with_settings(prior=recipes.mnist_mlp.prior).build((1, 4, 4))
    x = torch.rand(3, 1, 4, 4)
    pyro.set_rng_seed(3)
    bound = recipe.objective()(vae, x)  # type: ignore[call-arg]
    pyro.set_rng_seed(3)
    theirs = hand_written(vae, x, loss)
    assert not torch.allclose(recipe.published_loss(bound.distortion, bound.rate, 16), theirs)


@every_recipe
def test_an_autoencoder_has_no_loss_on_the_sources_scale(name):
    """The source's has a rate, or a constant that stands for one."""
    for recipe in (RECIPES[name], RECIPES[name].as_published()):
        assert recipe.as_autoencoder().published_loss is None


@pytest.mark.parametrize(("size", "variance"), [(256, 98.304), (128, 24.576), (64, 6.144)])
def test_the_published_variance_of_cartoons_follows_their_size(size, variance):
    recipe = recipes.cartoon.as_published()
    with torch.device("meta"):
        decoder = recipe.decoder(200, (3, size, size))
    assert recipe.likelihood(decoder).scale.item() ** 2 == pytest.approx(variance)


def test_a_likelihood_that_follows_the_image_is_saved_and_overridden(tmp_path):
    first = parse(["--recipe", "cartoon", "--as-published"])
    (tmp_path / "config.yaml").write_text(first.text)
    again = read_configuration(tmp_path / "config.yaml").recipe
    for shape in ((3, 8, 8), (3, 16, 12)):
        variance = again.build(shape).likelihood.scale.item() ** 2
        assert variance == pytest.approx(values_in(shape) / 2000)
    arguments = ["--recipe", "cartoon", "--as-published", "--likelihood", "Normal"]
    other = parse([*arguments, "--likelihood.scale", "0.5"]).recipe
    assert other.build((3, 8, 8)).likelihood.scale.item() == pytest.approx(0.5)


def test_layer_descriptors_come_from_the_command_line(tmp_path):
    encoder = "[{out_features: 9, activation: tanh}, {layers: 2, in_features: 9, out_features: 4}]"
    decoder = '[{"out_features": 6}]'
    arguments = ["--encoder.descriptors", encoder, "--decoder.descriptors", decoder]
    configuration = parse(["--recipe", "mnist_fc", *arguments])
    vae = configuration.recipe.build((1, 3, 5))
    assert vae.posterior.encoder.features == 4
    assert [part.out_features for part in vae.likelihood.decoder.layers[::2]] == [6, 15]
    (tmp_path / "config.yaml").write_text(configuration.text)
    assert str(read_configuration(tmp_path / "config.yaml").recipe.build((1, 3, 5))) == str(vae)


def test_the_listing_shows_every_recipe_with_its_sizes(monkeypatch):
    lines = recipes.listing().splitlines()
    table, expected = lines[: 2 + len(RECIPES)], lines[2 + len(RECIPES) :]
    other = table.pop(1 + list(RECIPES).index("cartoon") + 1)  # The only one of another size.
    assert other.split()[:2] == ["(as", "published)"]
    assert other.split()[3:7] == ["3x256x256", "200", "1,769,552", "953,859"]
    ours, published = ({n: r.expected for n, r in RECIPES.items()}, {})
    for name, recipe in RECIPES.items():
        published[name] = recipe.as_published().expected
        assert published[name] != ours[name] or not ours[name]
    known = [f"{name}: {ours[name]}" for name in RECIPES if ours[name]]
    known += [f"{name}, as published: {published[name]}" for name in RECIPES if published[name]]
    assert sorted(expected) == sorted(known) and len(known) > len(RECIPES)
    for name, line in zip(RECIPES, table[1:], strict=True):
        assert line.split()[:2] == [name, PUBLISHED[name][0]]
    sizes = {line.split()[0]: line.split()[2:8] for line in table}
    epochs = str(RECIPES["fashion_conv"].epochs)
    assert sizes["fashion_conv"] == ["1x32x32", "2", "100,868", "98,689", epochs, "100"]
    # One parameter more than the decoder's: sigma.
    assert sizes["cifar_resnet"][:4] == ["3x32x32", "256", "11,431,488", "8,625,601"]
    measured = RECIPES["mnist_fc"].with_settings(expected="a number, and on what")
    monkeypatch.setitem(RECIPES, "mnist_fc", measured)
    assert "\nmnist_fc: a number, and on what" in recipes.listing()


def test_only_our_own_fashion_conv_begins_with_hes_weights():
    ours, published, plain = (
        weights_of(make, seed=1)
        for make in (
            RECIPES["fashion_conv"].encoder,
            RECIPES["fashion_conv"].as_published().encoder,
            networks.ConvEncoder,
        )
    )
    assert all(map(torch.equal, published, plain))
    assert not any(map(torch.equal, ours, plain))


def weights_of(make, seed: int) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    return list(make((1, 32, 32)).parameters())
