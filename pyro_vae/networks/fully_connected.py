"""Linear layers, described by a list or by their widths."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Required, TypedDict

from torch import nn

from pyro_vae._arguments import Bounds, Size, check_argument
from pyro_vae.errors import ArgumentError
from pyro_vae.networks.network import Decoder, Encoder, ImageShape, as_shape, values_in


class Layers(TypedDict, total=False):
    """A descriptor of linear layers of the same width, each followed by an activation.

    Attributes:
        layers: the number of layers, 1 by default.
        in_features: the features that the first takes, by default those of the layer before.
        out_features: the features that each returns.
        activation: a name in `ACTIVATIONS`, "relu" by default.
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


#: What the numbers of a descriptor must be.
_SIZES: dict[str, Any] = {
    "layers": Annotated[int, Bounds(at_least=0, limit=1000)],
    "in_features": Size,
    "out_features": Size,
}


class FullyConnectedEncoder(Encoder):
    """Linear layers on the flattened image, described by a list.

    On the command line, the list is `--encoder.descriptors '[{out_features: 400, layers: 2}]'`.

    Args:
        image_shape: (C, H, W).
        descriptors: the descriptors of the layers, from the image on.

    Raises:
        ArgumentError: the layers do not fit each other or the image, or a key is unknown.

    Example:
        >>> import torch
        >>> encoder = FullyConnectedEncoder((1, 8, 8), [{"out_features": 100, "layers": 2}])
        >>> encoder(torch.rand(5, 1, 8, 8)).shape
        torch.Size([5, 100])
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
        descriptors: the descriptors of all layers but the last, from the latent vector on.

    Raises:
        ArgumentError: the layers do not fit each other or D, or a key is unknown.

    Example:
        >>> import torch
        >>> decoder = FullyConnectedDecoder(2, (1, 8, 8), [{"out_features": 100}])
        >>> decoder(torch.zeros(5, 2)).shape
        torch.Size([5, 1, 8, 8])
    """

    def __init__(
        self,
        latent_size: Size,
        image_shape: ImageShape,
        descriptors: Sequence[Layers] = ({"out_features": 400, "activation": "leaky_relu"},),
    ) -> None:
        super().__init__()
        self.image_shape = as_shape(image_shape)
        layers, features = stack(descriptors, latent_size)
        self.layers = nn.Sequential(*layers, nn.Linear(features, values_in(image_shape)))


class MLPEncoder(FullyConnectedEncoder):
    """Linear layers on the flattened image, each followed by ReLU.

    Args:
        image_shape: (C, H, W).
        hidden: the number of features after each layer.

    Example:
        >>> import torch
        >>> encoder = MLPEncoder((1, 8, 8), hidden=(100, 50))
        >>> encoder(torch.rand(5, 1, 8, 8)).shape
        torch.Size([5, 50])
    """

    def __init__(self, image_shape: ImageShape, hidden: Sequence[Size] = (512,)) -> None:
        super().__init__(image_shape, _described(hidden))


class MLPDecoder(FullyConnectedDecoder):
    """Linear layers, each followed by ReLU, and a last one that returns the image.

    Args:
        latent_size: the dimension D.
        image_shape: (C, H, W).
        hidden: the number of features after each layer but the last.

    Example:
        >>> import torch
        >>> decoder = MLPDecoder(2, (1, 8, 8), hidden=(50, 100))
        >>> decoder(torch.zeros(5, 2)).shape
        torch.Size([5, 1, 8, 8])
    """

    def __init__(
        self, latent_size: Size, image_shape: ImageShape, hidden: Sequence[Size] = (512,)
    ) -> None:
        super().__init__(latent_size, image_shape, _described(hidden))


def stack(descriptors: Sequence[Layers], features: int) -> tuple[list[nn.Module], int]:
    """Return the layers of descriptors, on vectors of `features`, and the size of their output.

    Raises:
        ArgumentError: the layers do not fit each other, or a key is missing or unknown.
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
    name = f"descriptors: descriptor {place}, {dict(descriptor)},"
    known, given = Layers.__annotations__, dict(descriptor)
    if unknown := set(descriptor) - set(known):
        raise ArgumentError(
            f"{name} has unknown keys {sorted(map(str, unknown))}: "
            f"the known ones are {', '.join(known)}."
        )
    if "out_features" not in descriptor:
        raise ArgumentError(f"{name} needs a key out_features.")
    for key, accepted in _SIZES.items():
        if key in descriptor:
            check_argument("descriptors", f"{key} of descriptor {place}", given[key], accepted)
    if given.get("activation", "relu") not in list(ACTIVATIONS):
        raise ArgumentError(f"{name}: the known activations are {', '.join(ACTIVATIONS)}.")
    if descriptor.get("in_features", features) != features:
        raise ArgumentError(
            f"{name} is given {features} features: set in_features to {features}, or leave it out."
        )


def _described(hidden: Sequence[int]) -> list[Layers]:
    return [{"out_features": features, "activation": "relu"} for features in hidden]
