"""What every peer of the speed benchmark is given, and what it must do.

A peer is a function `train(task, turn)`. It trains a variational autoencoder with N(0, I) in two
latent dimensions and a Bernoulli likelihood of gray levels by Adam at 1e-3, and calls `turn` with
the mean loss in nats per image after each of `task.epochs` passes. `turn` returns when the next
pass may begin: peers take turns, so that a slow minute of the machine affects them all.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from peers import plain_pytorch
from torch import Tensor, nn
from torch.nn import functional as F

Turn = Callable[[float], None]
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Task:
    """A training.

    Attributes:
        levels: the gray levels of the images (N, 1, 28, 28), bytes.
        network: the networks of system 1, on images padded by two pixels, or of system 4.
        batch_size: the number of images in a step.
        epochs: the number of passes.
        seed: the seed of the weights, the order and the draws.
    """

    levels: Tensor
    network: Literal["conv", "mlp"]
    batch_size: int
    epochs: int
    seed: int

    @property
    def padding(self) -> int:
        """The pixels of 0 added on each side."""
        return 2 if self.network == "conv" else 0

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of the padded images."""
        _, channels, height, width = self.levels.shape
        return channels, height + 2 * self.padding, width + 2 * self.padding

    def padded(self) -> Tensor:
        """Return the padded levels (N, C, H, W), bytes."""
        return F.pad(self.levels, [self.padding] * 4)

    def net(self) -> plain_pytorch.Net:
        """Return encoder, heads and decoder; the second head is the log-variance."""
        torch.manual_seed(self.seed)
        if self.network == "conv":
            return plain_pytorch.conv(self.image_shape)
        return plain_pytorch.linear(self.image_shape, 512, nn.ReLU)


def negative_elbo(net: plain_pytorch.Net, x: Tensor) -> Tensor:
    """Return the negative ELBO of images (B, C, H, W), in nats per image."""
    output, mean, log_variance, _ = net(x, 0.5)
    distortion = F.binary_cross_entropy_with_logits(output, x, reduction="sum") / len(x)
    return distortion + plain_pytorch.normal_kl(mean, log_variance)


def train_plainly(
    net: plain_pytorch.Net,
    batches: Callable[[], Iterable[Tensor]],
    task: Task,
    turn: Turn,
    fused: bool = True,
) -> None:
    """Train in plain PyTorch on what `batches` gives for each pass, in [0, 1]."""
    optimizer = torch.optim.Adam(net.parameters(), LEARNING_RATE, fused=fused)
    for _ in range(task.epochs):
        total = torch.zeros(())
        for x in batches():
            loss = negative_elbo(net, x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(x)
        turn(total.item() / len(task.levels))
