"""Networks: the sizes published, any image, any leading dimensions; and ResNet-18 is ResNet-18."""

from functools import partial

import pytest
import torch
from torch import nn

from pyro_vae import networks
from pyro_vae.data.downloads._torchvision import import_torchvision
from pyro_vae.errors import ArgumentError
from pyro_vae.networks import BatchNorm, ResNetEncoder, halvings, sizes_after
from pyro_vae.posteriors import DiagonalNormal

PUBLISHED = {
    "Conv": ((1, 32, 32), 2, 100_868, 98_689),
    "FullyConnected": ((1, 28, 28), 2, 315_604, 315_584),
    "BatchNorm": ((1, 28, 28), 2, 105_668, 102_337),
    "Halving": ((3, 256, 256), 200, 1_769_552, 953_859),
    "MLP": ((1, 28, 28), 2, 403_972, 403_728),
    "ResNet": ((3, 32, 32), 256, 11_431_488, 8_625_600),
}
#: Fewer channels where the published ones are slow.
SETTINGS = {"ResNet": ({"channels": (4, 8, 16)}, {"channels": (16, 8, 4)})}
SHAPES = [(1, 1, 1), (1, 7, 5), (2, 8, 8), (1, 33, 45), (3, 64, 64), (3, 1, 50)]

every_pair = pytest.mark.parametrize("name", PUBLISHED)


def pair(name: str, image_shape, latent_size: int = 3):
    for_encoder, for_decoder = SETTINGS.get(name, ({}, {}))
    encoder = getattr(networks, f"{name}Encoder")(image_shape, **for_encoder)
    decoder = getattr(networks, f"{name}Decoder")(latent_size, image_shape, **for_decoder)
    return encoder, decoder


def shake(*modules: nn.Module) -> None:
    """Running statistics as after a training: without them batch norm does nothing in eval mode."""
    for module in modules:
        for part in module.modules():
            if isinstance(part, BatchNorm):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
        module.eval()


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@every_pair
def test_parameters_are_as_many_as_published(name):
    image_shape, latent_size, in_encoder, in_decoder = PUBLISHED[name]
    with torch.device("meta"):
        encoder = getattr(networks, f"{name}Encoder")(image_shape)
        decoder = getattr(networks, f"{name}Decoder")(latent_size, image_shape)
        assert parameters(DiagonalNormal(encoder, latent_size)) == in_encoder
        assert parameters(decoder) == in_decoder


@every_pair
@pytest.mark.parametrize("shape", SHAPES)
def test_any_image_comes_out_in_its_own_shape_and_trains(name, shape):
    encoder, decoder = pair(name, shape)
    features = encoder(torch.rand(2, *shape))
    assert features.shape == (2, encoder.features)
    images = decoder(torch.randn(2, 3))
    assert images.shape == (2, *shape) and decoder.image_shape == shape
    (features.sum() + (images**2).sum()).backward()
    for parameter in (*encoder.parameters(), *decoder.parameters()):
        assert parameter.grad is not None and parameter.grad.isfinite().all()


@every_pair
@pytest.mark.parametrize("shape", [(1, 7, 5), (3, 12, 9)])
def test_leading_dimensions_are_folded(name, shape):
    encoder, decoder = pair(name, shape)
    shake(encoder, decoder)
    x, z = torch.rand(2, 3, *shape), torch.randn(2, 3, 3)
    features, images = encoder(x), decoder(z)
    assert features.shape == (2, 3, encoder.features) and images.shape == (2, 3, *shape)
    for i in range(2):
        for j in range(3):
            assert torch.allclose(features[i, j], encoder(x[i, j]), atol=1e-5)
            assert torch.allclose(images[i, j], decoder(z[i, j]), atol=1e-5)
    assert not torch.allclose(images[0, 0], images[1, 1], atol=1e-4)


@every_pair
def test_a_decoder_can_be_widened(name):
    _, decoder = pair(name, (2, 7, 5))
    wide = decoder.widened(3)
    assert type(wide) is type(decoder)
    assert wide(torch.randn(4, 3)).shape == (4, 6, 7, 5)
    assert decoder.widened(1) is decoder and decoder.image_shape == (2, 7, 5)
    # All but the layer that makes the image is as wide as before.
    pairs = zip(wide.state_dict().values(), decoder.state_dict().values(), strict=True)
    grown = [part for part, before in pairs if part.shape != before.shape]
    assert 1 <= len(grown) <= 2


@every_pair
def test_a_lone_image_in_the_last_batch_trains(name):
    encoder, decoder = pair(name, (1, 1, 1))
    assert encoder(torch.rand(1, 1, 1, 1)).isfinite().all()
    assert decoder(torch.randn(1, 3)).isfinite().all()


def test_batch_norm_takes_a_lone_value_as_in_evaluation_and_all_else_as_pytorch_does():
    ours, theirs = BatchNorm(4), nn.BatchNorm2d(4)
    assert (ours.momentum, ours.eps) == (0.1, 1e-5)
    x = torch.randn(5, 4, 2, 2)
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.running_var, theirs.running_var)
    lone = torch.randn(1, 4, 1, 1)
    assert torch.equal(ours(lone), theirs.eval()(lone))
    with pytest.raises(ValueError, match="more than 1 value"):
        theirs.train()(lone)


@pytest.mark.parametrize(
    ("side", "times", "smallest"),
    [(256, 5, 8), (128, 4, 8), (64, 3, 8), (28, 2, 7), (9, 1, 5), (8, 1, 4), (1, 1, 1)],
)
def test_depth_follows_from_the_size_of_the_image(side, times, smallest):
    assert halvings((3, side, side)) == times
    assert sizes_after((3, side, side), (2,) * times)[-1] == (smallest, smallest)
    convolutions = [
        part
        for part in networks.HalvingEncoder((3, side, side)).modules()
        if isinstance(part, nn.Conv2d)
    ]
    assert [part.out_channels for part in convolutions] == [32, *[64] * (times - 1)]


def test_depth_follows_from_the_longer_side_and_never_halves_forever():
    assert halvings((1, 8, 256)) == 5
    assert halvings((1, 8, 8), smallest=1) == 3
    with pytest.raises(ArgumentError, match="smallest must be a whole number, 1 or more, got 0"):
        halvings((1, 8, 8), smallest=0)


def test_batch_normalized_convolutions_are_those_of_the_source():
    encoder, decoder = pair("BatchNorm", (1, 28, 28), latent_size=2)
    kinds = [type(part).__name__ for part in encoder.layers]
    assert kinds == ["Conv2d", "BatchNorm", "LeakyReLU"] * 4 + ["Flatten"]
    assert encoder.features == 3136 and encoder.layers[2].negative_slope == 0.2
    sizes, x = [], torch.rand(2, 1, 28, 28)
    for part in encoder.layers:
        x = part(x)
        sizes += [tuple(x.shape[1:])] * isinstance(part, nn.Conv2d)
    assert sizes == [(32, 28, 28), (64, 14, 14), (64, 7, 7), (64, 7, 7)]
    sizes, z = [], torch.randn(2, 2)
    for part in decoder.layers:
        z = part(z)
        sizes += [tuple(z.shape[1:])] * isinstance(part, nn.ConvTranspose2d)
    assert sizes == [(64, 7, 7), (64, 14, 14), (32, 28, 28), (1, 28, 28)]
    assert isinstance(decoder.layers[-1], nn.ConvTranspose2d)


def test_strides_are_mirrored():
    encoder = networks.BatchNormEncoder((1, 23, 17), channels=(4, 5, 6), strides=(1, 2, 3))
    decoder = networks.BatchNormDecoder(2, (1, 23, 17), channels=(6, 5, 4), strides=(3, 2, 1))
    assert encoder(torch.rand(2, 1, 23, 17)).shape == (2, 6 * 4 * 3)
    sizes, z = [], torch.randn(2, 2)
    for part in decoder.layers:
        z = part(z)
        sizes += [tuple(z.shape[1:])] * isinstance(part, nn.ConvTranspose2d)
    assert sizes == [(5, 12, 9), (4, 23, 17), (1, 23, 17)]


def test_a_decoder_without_normalization_maps_each_latent_vector_by_itself():
    plain = networks.HalvingDecoder(2, (1, 16, 16), normalized=False)
    assert not any(isinstance(part, BatchNorm) for part in plain.modules())
    assert isinstance(plain.layers[-1], nn.ConvTranspose2d)
    z = torch.randn(4, 2)
    torch.testing.assert_close(plain(z)[:1], plain(z[:1]))
    usual = networks.HalvingDecoder(2, (1, 16, 16)).train()
    assert not torch.allclose(usual(z)[:1], usual(z[:1]))


@pytest.mark.parametrize(
    "make",
    [networks.BatchNormEncoder, partial(networks.BatchNormDecoder, 2)],
)
def test_as_many_strides_as_convolutions(make):
    with pytest.raises(ArgumentError, match=r"same length, got \(8, 16\) and \(2,\)"):
        make((1, 8, 8), channels=(8, 16), strides=(2,))


def test_descriptors_become_layers():
    encoder = networks.FullyConnectedEncoder(
        (1, 4, 3),
        [
            {"in_features": 12, "out_features": 5, "activation": "leaky_relu"},
            {"layers": 2, "out_features": 7},
        ],
    )
    linear = [part for part in encoder.layers if isinstance(part, nn.Linear)]
    assert [(each.in_features, each.out_features) for each in linear] == [(12, 5), (5, 7), (7, 7)]
    kinds = [type(part).__name__ for part in encoder.layers]
    assert kinds == ["Flatten", "Linear", "LeakyReLU", "Linear", "ReLU", "Linear", "ReLU"]
    assert encoder.layers[2].negative_slope == 0.01
    assert encoder.features == 7
    decoder = networks.FullyConnectedDecoder(2, (1, 4, 3), [{"out_features": 5}])
    kinds = [type(part).__name__ for part in decoder.layers]
    assert kinds == ["Linear", "ReLU", "Linear"]


@pytest.mark.parametrize(
    ("descriptors", "message"),
    [
        (
            [{"out_features": 5}, {"in_features": 6, "out_features": 2}],
            "2, .* is given 5 features: set in_features to 5",
        ),
        ([{"in_features": 6}], "descriptor 1, .* needs a key out_features"),
        (
            [{"out_features": 5, "activaton": "relu"}],
            "unknown keys .'activaton'.*known ones are layers, in_features",
        ),
        ([{"out_features": 5, "activation": "rely"}], "the known activations are relu, leaky_relu"),
    ],
)
def test_descriptors_that_do_not_fit_are_refused(descriptors, message):
    with pytest.raises(ArgumentError, match=message):
        networks.FullyConnectedEncoder((1, 4, 3), descriptors)


def test_the_resnet_is_torchvisions_for_small_images():
    theirs = import_torchvision().models.resnet18()
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool, theirs.fc = nn.Identity(), nn.Identity()
    ours = ResNetEncoder((3, 32, 32))
    ours.load_state_dict(
        dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)), strict=True
    )
    x = torch.rand(4, 3, 32, 32)
    assert torch.allclose(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_the_resnet_may_be_given_standardized_images():
    given = ResNetEncoder((3, 8, 8), (4, 8), standardized=(0.5, 0.25)).eval()
    plain = ResNetEncoder((3, 8, 8), (4, 8)).eval()
    plain.load_state_dict(given.state_dict())
    x = torch.rand(2, 3, 8, 8)
    assert torch.allclose(given(x), plain((x - 0.5) / 0.25))
    assert not torch.allclose(given(x), plain(x))
    with pytest.raises(ArgumentError, match=r"standardized .* a number above 0, got \(0.5, -1\)"):
        ResNetEncoder((3, 8, 8), standardized=(0.5, -1))


def test_the_resnet_decoder_doubles_pixels_without_checkerboards():
    """Constant in, constant out: a transposed convolution of stride 2 would leave a pattern."""
    _, decoder = pair("ResNet", (3, 128, 128))
    shake(decoder)
    x = torch.randn(1, 16, 1, 1).expand(1, 16, 32, 32)
    image = decoder.layers[2:](x)[0, :, 62:66, 62:66]  # far from the border
    assert torch.allclose(image, image[:, :1, :1].expand_as(image), atol=1e-5)


def test_the_resnet_decoder_refines_the_pixels_that_it_doubles():
    _, decoder = pair("ResNet", (3, 32, 32))
    doubled = decoder.layers[2](torch.randn(1, 16, 8, 8))
    assert doubled.shape == (1, 8, 16, 16)
    assert not torch.allclose(doubled[..., ::2, ::2], doubled[..., 1::2, 1::2], atol=1e-3)


# ------------------------------------------------------------------------------- initialization


def sizes(layers: list[nn.Module], x: torch.Tensor) -> list[float]:
    """The mean square of what each layer that has weights returns."""
    found = []
    for layer in layers:
        x = layer(x)
        if hasattr(layer, "weight"):
            found.append(x.square().mean().item())
    return found


def test_he_keeps_the_size_of_signals_and_pytorchs_own_lose_it():
    layers = [nn.Linear(400, 400)]
    for _ in range(8):
        layers += [nn.ReLU(), nn.Linear(400, 400)]
    x = torch.randn(200, 400)
    lost = sizes(layers, x)
    assert lost[0] == pytest.approx(1 / 3, rel=0.1) and lost[-1] < 0.01
    networks.initialize(layers, "he")
    assert sizes(layers, x) == [pytest.approx(1, rel=0.4)] * 9


def test_an_initialization_of_another_name_is_refused():
    with pytest.raises(ArgumentError, match="one of pytorch, he, got 'xavier'"):
        networks.initialize([nn.Linear(2, 2)], "xavier")


def test_he_counts_the_inputs_of_each_output():
    x = torch.randn(50, 64, 16, 16)
    for layer, border in (
        (nn.Conv2d(64, 64, 3, stride=2), 0),
        (nn.ConvTranspose2d(64, 64, 3, stride=2), 1),
        (nn.ConvTranspose2d(64, 64, 4, stride=(2, 1)), 3),
        (nn.ConvTranspose2d(64, 64, 2, stride=2, groups=4), 0),
        (nn.Conv2d(64, 64, 3, groups=2, bias=False), 0),
    ):
        networks.initialize([layer], "he")
        inner = layer(x)[:, :, border : -border or None, border : -border or None]
        assert inner.square().mean().item() == pytest.approx(1, rel=0.1), layer
        assert layer.bias is None or not layer.bias.any()


def test_networks_begin_as_pytorch_draws_them_unless_told_otherwise():
    shape = (1, 8, 8)
    for make in (
        partial(networks.ConvEncoder, shape, (4, 8)),
        partial(networks.ConvDecoder, 2, shape, (8, 4)),
    ):
        begun = []
        for settings in ({}, {"initialization": "pytorch"}, {"initialization": "he"}):
            torch.manual_seed(0)
            begun.append(make(**settings).layers)
        default, same, he = begun
        layer = next(each for each in default if hasattr(each, "weight"))
        torch.manual_seed(0)
        layer.reset_parameters()  # The first that is drawn.
        assert torch.equal(layer.weight, next(iter(same.parameters())))
        for one, other, third in zip(
            default.parameters(), same.parameters(), he.parameters(), strict=True
        ):
            assert torch.equal(one, other) and not torch.equal(one, third)
    with pytest.raises(ArgumentError, match="initialization"):
        networks.ConvEncoder(shape, initialization="xavier")
