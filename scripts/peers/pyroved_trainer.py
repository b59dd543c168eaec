"""A benchmark peer: pyroVED's `iVAE` without invariances, trained by its `SVItrainer`."""

from peers.plain_pytorch import Net
from peers.task import LEARNING_RATE, Task, Turn
from torch import Tensor, nn

from pyro_vae.data.downloads._torchvision import import_torchvision

import_torchvision()  # pyroVED imports it, which fails beside a CPU-only PyTorch.

import pyroved  # noqa: E402


class Encoder(nn.Module):
    """Mean and scale of images."""

    def __init__(self, net: Net, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.body, self.mean, self.spread = net.encoder, net.mean, net.spread
        self.image_shape = image_shape

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.body(x.reshape(-1, *self.image_shape))
        return self.mean(hidden), (0.5 * self.spread(hidden)).exp()


class Decoder(nn.Module):
    """Probabilities of codes."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.body = net.decoder

    def forward(self, z: Tensor) -> Tensor:
        probabilities: Tensor = self.body(z).sigmoid()
        return probabilities


def train(task: Task, turn: Turn) -> None:
    """Train the task's networks."""
    images = task.padded()[:, 0].float() / 255
    model = pyroved.models.iVAE(tuple(images.shape[1:]), latent_dim=2, seed=task.seed)
    net = task.net()
    model.encoder_z, model.decoder = Encoder(net, task.image_shape), Decoder(net)
    loader = pyroved.utils.init_dataloader(images, batch_size=task.batch_size)
    trainer = pyroved.trainers.SVItrainer(model, seed=task.seed, lr=LEARNING_RATE)
    for _ in range(task.epochs):
        trainer.step(loader)
        turn(trainer.loss_history["training_loss"][-1])
