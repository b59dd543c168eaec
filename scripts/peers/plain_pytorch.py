"""A benchmark peer: the published systems in plain PyTorch, one loop, no Pyro.

    python scripts/peers/plain_pytorch.py mnist_mlp --epochs 3 --limit 2000

Networks, losses and hyperparameters are written out here a second time, from the sources; of
`pyro_vae` only the images are used. The script prints, after every epoch and with its weights, the
loss on the source's scale over the test images.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jsonargparse import auto_cli
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau

from pyro_vae.data import load


class Net(nn.Module):
    """An encoder, two heads and a decoder; only system 5 uses `log_scale`."""

    log_scale: nn.Parameter

    def __init__(self, encoder: nn.Module, features: int, latent: int, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.mean, self.spread = nn.Linear(features, latent), nn.Linear(features, latent)

    def forward(self, x: Tensor, half: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return decoder output (B, C, H, W), and mean, spread and code (B, D), of images x."""
        hidden = self.encoder(x)
        mean, spread = self.mean(hidden), self.spread(hidden)
        z = mean + (half * spread).exp() * torch.randn_like(mean)
        return self.decoder(z), mean, spread, z


def conv(image_shape: tuple[int, int, int]) -> Net:
    """Return the networks of system 1, for sides that are multiples of 8."""
    channels, height, width = image_shape
    small = (128, height // 8, width // 8)
    features = small[0] * small[1] * small[2]
    encoder, decoder = [], [nn.Linear(2, features), nn.Unflatten(1, small)]
    for before, after in ((channels, 32), (32, 64), (64, 128)):
        encoder += [nn.Conv2d(before, after, 3, 2, 1), nn.ReLU()]
    for before, after in ((128, 64), (64, 32), (32, channels)):
        decoder += [nn.ConvTranspose2d(before, after, 3, 2, 1, 1), nn.ReLU()]
    return Net(nn.Sequential(*encoder, nn.Flatten()), features, 2, nn.Sequential(*decoder[:-1]))


def linear(image_shape: tuple[int, int, int], hidden: int, activation: type[nn.Module]) -> Net:
    """Return the networks of systems 2 and 4."""
    values = image_shape[0] * image_shape[1] * image_shape[2]
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(values, hidden), activation())
    decoder = nn.Sequential(
        nn.Linear(2, hidden), activation(), nn.Linear(hidden, values), nn.Unflatten(1, image_shape)
    )
    return Net(encoder, hidden, 2, decoder)


def batch_norm(
    image_shape: tuple[int, int, int], latent: int, widths: list[int], strides: list[int]
) -> Net:
    """Return the networks of systems 3a and 3b, for sides that the strides divide."""
    channels, height, width = image_shape
    factor = 2 ** strides.count(2)
    small = (widths[-1], height // factor, width // factor)
    features = small[0] * small[1] * small[2]
    encoder, decoder = [], [nn.Linear(latent, features), nn.Unflatten(1, small)]
    for before, after, stride in zip([channels, *widths], widths, strides, strict=False):
        encoder += [nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after)]
        encoder += [nn.LeakyReLU(0.2)]
    back = [*widths[::-1], channels]
    for before, after, stride in zip(back, back[1:], strides[::-1], strict=False):
        decoder += [nn.ConvTranspose2d(before, after, 3, stride, 1, stride - 1)]
        decoder += [nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
    return Net(
        nn.Sequential(*encoder, nn.Flatten()), features, latent, nn.Sequential(*decoder[:-2])
    )


class Block(nn.Module):
    """A residual block: with stride 2 it halves the image, with scale 2 it doubles it."""

    def __init__(self, before: int, after: int, stride: int = 1, scale: int = 1) -> None:
        super().__init__()
        middle = before if scale > 1 else after
        grow = [nn.Upsample(scale_factor=scale)] * (scale > 1)
        self.path = nn.Sequential(
            nn.Conv2d(before, middle, 3, stride, 1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            *grow,
            nn.Conv2d(middle, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.skip = nn.Sequential()
        if before != after:
            shrunk = nn.Conv2d(before, after, 1, stride, bias=False)
            self.skip = nn.Sequential(*grow, shrunk, nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.path(x) + self.skip(x))


def resnet(image_shape: tuple[int, int, int]) -> Net:
    """Return the networks of system 5, for sides that are multiples of 8."""
    channels, height, width = image_shape
    encoder = [nn.Conv2d(channels, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    encoder += [Block(64, 64), Block(64, 64)]
    for before, after in ((64, 128), (128, 256), (256, 512)):
        encoder += [Block(before, after, stride=2), Block(after, after)]
    small = (512, height // 8, width // 8)
    decoder = [nn.Linear(256, small[0] * small[1] * small[2]), nn.Unflatten(1, small)]
    for before, after in ((512, 256), (256, 128), (128, 64)):
        decoder += [Block(before, after, scale=2), Block(after, after)]
    decoder += [Block(64, 64), Block(64, 64), nn.Conv2d(64, channels, 3, 1, 1, bias=False)]
    pool = nn.Sequential(*encoder, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net = Net(pool, 512, 256, nn.Sequential(*decoder))
    net.log_scale = nn.Parameter(torch.zeros(()))
    return net


def normal_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the KL from N(0, I), averaged over the batch."""
    return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()


def squared_error(x: Tensor, output: Tensor) -> Tensor:
    """Return the squared error of the squashed output per image, averaged over the batch."""
    return ((x - output.sigmoid()) ** 2).flatten(1).sum(1).mean()


def fashion_conv_loss(net: Net, x: Tensor) -> Tensor:
    """Return the loss of system 1: 500 binary cross-entropy + KL."""
    output, mean, spread, _ = net(x, 0.5)
    return 500 * F.binary_cross_entropy_with_logits(output, x) + normal_kl(mean, spread)


def mnist_fc_loss(net: Net, x: Tensor) -> Tensor:
    """Return the loss of system 2: squared error / 2 + KL."""
    output, mean, spread, _ = net(x, 1.0)
    return squared_error(x, output) / 2 + normal_kl(mean, 2 * spread)


def mse_loss(net: Net, x: Tensor) -> Tensor:
    """Return the loss of systems 3a and 3b: 1000 mean squared error + KL."""
    output, mean, spread, _ = net(x, 0.5)
    return 1000 * F.mse_loss(output.sigmoid(), x) + normal_kl(mean, spread)


def mnist_mlp_loss(net: Net, x: Tensor) -> Tensor:
    """Return the loss of system 4, with the penalty as published."""
    output, mean, spread, _ = net(x, 1.0)
    penalty = (2 * spread).exp() + mean**2 - spread - 0.5
    return squared_error(x, output) + penalty.sum(1).mean()


def mnist_mlp_corrected_loss(net: Net, x: Tensor) -> Tensor:
    """Return the loss of system 4, with the divergence that its text names."""
    output, mean, spread, _ = net(x, 1.0)
    return squared_error(x, output) + normal_kl(mean, 2 * spread)


def cifar_resnet_loss(net: Net, x: Tensor) -> Tensor:
    """Return the loss of system 5: the sampled negative ELBO of images standardized by 0.25."""
    x = (x - 0.5) / 0.25
    output, mean, spread, z = net(x, 0.5)
    normal = torch.distributions.Normal
    kl = normal(mean, (spread / 2).exp()).log_prob(z) - normal(0, 1).log_prob(z)
    likelihood = normal(output, net.log_scale.exp()).log_prob(x)
    return kl.sum(1).mean() - likelihood.flatten(1).sum(1).mean()


@dataclass(frozen=True)
class System:
    """A system as published."""

    data: str
    net: Callable[[tuple[int, int, int]], Net]
    loss: Callable[[Net, Tensor], Tensor]
    learning_rate: float
    batch_size: int
    epochs: int
    padding: int = 0
    size: int | None = None
    plateau: tuple[int, float] | None = None  # patience, and the final learning rate
    keep: Literal["best", "last"] = "last"  # which epoch's weights


def cartoon_net(image_shape: tuple[int, int, int]) -> Net:
    """Return the networks of system 3b, which halve an image until 8 pixels are left."""
    times = (image_shape[1] // 8).bit_length() - 1
    return batch_norm(image_shape, 200, [32] + [64] * (times - 1), [2] * times)


SYSTEMS = {
    "fashion_conv": System(
        "fashion-mnist",
        conv,
        fashion_conv_loss,
        1e-3,
        64,
        100,
        padding=2,
        plateau=(2, 1e-7),
        keep="best",
    ),
    "mnist_fc": System(
        "mnist",
        lambda shape: linear(shape, 400, nn.LeakyReLU),
        mnist_fc_loss,
        1e-3,
        128,
        100,
        plateau=(10, 1e-6),
    ),
    "fashion_batchnorm": System(
        "fashion-mnist",
        lambda shape: batch_norm(shape, 2, [32, 64, 64, 64], [1, 2, 2, 1]),
        mse_loss,
        5e-4,
        128,
        10,
    ),
    "cartoon": System("cartoonset", cartoon_net, mse_loss, 5e-4, 128, 20, size=256),
    "mnist_mlp": System(
        "mnist", lambda shape: linear(shape, 512, nn.ReLU), mnist_mlp_loss, 1e-3, 128, 20
    ),
    "cifar_resnet": System("cifar10", resnet, cifar_resnet_loss, 1e-4, 32, 20),
}
SYSTEMS["mnist_mlp_corrected"] = replace(SYSTEMS["mnist_mlp"], loss=mnist_mlp_corrected_loss)


@dataclass(frozen=True)
class Epoch:
    """The result of one epoch: its loss, on the source's scale over the test images, and time."""

    number: int
    loss: float
    train_seconds: float
    parameters: int


def train(
    system: Literal[tuple(SYSTEMS)],  # type: ignore[valid-type]
    data: str | None = None,
    epochs: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    data_dir: str | None = None,
    size: int | None = None,
    device: str | None = None,
) -> Iterator[Epoch]:
    """Train a system as published, and yield the result of each epoch.

    Args:
        system: the name of the system.
        data: a data set, or its path; by default the source's.
        epochs: number of passes over the training images; by default the source's.
        limit: train on the first `limit` images only.
        seed: seed of the weights, the order of the images and the draws.
        data_dir: folder where data sets are kept.
        size: pixels of a side of the images; by default 256 for cartoon.
        device: by default CUDA if available, else the CPU.
    """
    spec, device = SYSTEMS[system], device or ("cuda" if torch.cuda.is_available() else "cpu")
    images = load(data or spec.data, data_dir, size=size or spec.size).pad(spec.padding)
    training = images.train.levels(slice(limit)).to(device)
    test = images.test.levels().to(device)

    torch.manual_seed(seed)
    net = spec.net(images.image_shape).to(device)
    parameters = sum(p.numel() for p in net.parameters())
    optimizer = Adam(net.parameters(), spec.learning_rate)
    patience, stop_below = spec.plateau or (0, 0.0)
    plateau = ReduceLROnPlateau(optimizer, factor=0.1, patience=patience)
    for number in range(1, (epochs or spec.epochs) + 1):
        start = time.perf_counter()
        net.train()
        for indices in torch.randperm(len(training)).to(device).split(spec.batch_size):
            loss = spec.loss(net, training[indices].float() / 255)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()  # waits for an accelerator
        seconds = time.perf_counter() - start
        found = test_loss(spec, net, test)
        yield Epoch(number, found, seconds, parameters)
        if spec.plateau:
            plateau.step(found)
        if optimizer.param_groups[0]["lr"] < stop_below:
            break


@torch.no_grad()
def test_loss(system: System, net: Net, images: Tensor) -> float:
    """Return the loss as published, averaged over the test images, at one draw of each code."""
    net.eval()
    total = 0.0
    for batch in images.split(system.batch_size):
        total += system.loss(net, batch.float() / 255).item() * len(batch)
    return total / len(images)


def main() -> None:
    """Train the system named on the command line, and print a line for each epoch."""
    for epoch in auto_cli(train):
        line = f"test loss {epoch.loss:.3f}, {epoch.train_seconds:.1f} s of training"
        print(f"epoch {epoch.number}: {line}", flush=True)


if __name__ == "__main__":
    main()
