"""Linear layers, described by a list or by their widths."""

from collections.abc import Sequence
from typing import Literal, Required, TypedDict

from torch import nn

from pyro_vae.networks.network import Decoder, Encoder, ImageShape, values_in


class Layers(TypedDict, total=False):
    """A descriptor of linear layers of one width, each followed by an activation.

    Attributes:
        layers: how many, 1 unless given.
        in_features: what the first takes; unless given, what the layer before returns.
        out_features: what each returns.
        activation: a name in `ACTIVATIONS`, "relu" unless given.
    """

    layers: int
    in_features: int
    out_features: Required[int]
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "identity"]


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,  # slope 0.01
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}


class FullyConnectedEncoder(Encoder):
    """Linear layers on the flattened image, described by a list.

    On the command line `--encoder.descriptors '[{out_features: 400, activation: leaky_relu}]'`.

    Args:
        image_shape: (C, H, W).
        descriptors: of the layers, from the image on.

    Raises:
        ValueError: the layers do not fit each other or the image, or a key is unknown.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        descriptors: Sequence[Layers] = ({"out_features": 400, "activation": "leaky_relu"},),
    ) -> None:
        super().__init__()
        layers, self.features = stack(descriptors, values_in(image_shape))
        self.layers = nn.Sequential(nn.Flatten(), *layers)


class FullyConnectedDecoder(Decoder):
    """Linear layers described by a list, and a last one that returns the values of the image.

    Args:
        latent_size: the dimension D.
        image_shape: (C, H, W).
        descriptors: of the layers from the latent vector to before the last.

    Raises:
        ValueError: the layers do not fit each other or D, or a key is unknown.
    """

    def __init__(
        self,
        latent_size: int,
        image_shape: ImageShape,
        descriptors: Sequence[Layers] = ({"out_features": 400, "activation": "leaky_relu"},),
    ) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        layers, features = stack(descriptors, latent_size)
        self.layers = nn.Sequential(*layers, nn.Linear(features, values_in(image_shape)))


class MLPEncoder(FullyConnectedEncoder):
    """Linear layers on the flattened image, each followed by ReLU.

    Args:
        image_shape: (C, H, W).
        hidden: the features after each layer.
    """

    def __init__(self, image_shape: ImageShape, hidden: Sequence[int] = (512,)) -> None:
        super().__init__(image_shape, _described(hidden))


class MLPDecoder(FullyConnectedDecoder):
    """Linear layers, each followed by ReLU, and a last one that returns the image.

    Args:
        latent_size: the dimension D.
        image_shape: (C, H, W).
        hidden: the features after each layer but the last.
    """

    def __init__(
        self, latent_size: int, image_shape: ImageShape, hidden: Sequence[int] = (512,)
    ) -> None:
        super().__init__(latent_size, image_shape, _described(hidden))


def stack(descriptors: Sequence[Layers], features: int) -> tuple[list[nn.Module], int]:
    """The layers that descriptors describe, for vectors of `features`; and how many they return.

    Raises:
        ValueError: the layers do not fit each other, or a descriptor lacks or mistakes a key.
    """
    result: list[nn.Module] = []
    for place, descriptor in enumerate(descriptors, start=1):
        _check(descriptor, place, features)
        activation = ACTIVATIONS[descriptor.get("activation", "relu")]
        for _ in range(descriptor.get("layers", 1)):
            result += [nn.Linear(features, descriptor["out_features"]), activation()]
            features = descriptor["out_features"]
    return result, features


def _check(descriptor: Layers, place: int, features: int) -> None:
    name = f"Layer descriptor {place}, {dict(descriptor)},"
    known = Layers.__annotations__
    if unknown := set(descriptor) - set(known):
        raise ValueError(
            f"{name} has unknown keys {sorted(unknown)}: known are {', '.join(known)}."
        )
    if "out_features" not in descriptor:
        raise ValueError(f"{name} does not say its out_features.")
    if descriptor.get("activation", "relu") not in ACTIVATIONS:
        raise ValueError(f"{name}: known activations are {', '.join(ACTIVATIONS)}.")
    if descriptor.get("in_features", features) != features:
        raise ValueError(f"{name} is given {features} features: leave out in_features, or fix it.")


def _described(hidden: Sequence[int]) -> list[Layers]:
    return [{"out_features": features, "activation": "relu"} for features in hidden]
