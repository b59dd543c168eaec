"""A benchmark peer: Pythae's `VAE` and `BaseTrainer`, with networks given as its docs say."""

import tempfile

import torch
from peers.plain_pytorch import Net
from peers.task import LEARNING_RATE, Task, Turn
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor


class Encoder(BaseEncoder):
    """Mean and log-variance of images."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.body, self.mean, self.spread = net.encoder, net.mean, net.spread

    def forward(self, x: Tensor) -> ModelOutput:
        hidden = self.body(x)
        return ModelOutput(embedding=self.mean(hidden), log_covariance=self.spread(hidden))


class Decoder(BaseDecoder):
    """Probabilities of codes."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.body = net.decoder

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.body(z).sigmoid())


def train(task: Task, turn: Turn) -> None:
    """Train the task's networks."""
    net, images = task.net(), task.padded().float() / 255
    config = VAEConfig(input_dim=task.image_shape, latent_dim=2, reconstruction_loss="bce")
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=task.epochs,
            learning_rate=LEARNING_RATE,
            per_device_train_batch_size=task.batch_size,
            optimizer_cls="Adam",
            seed=task.seed,
            no_cuda=True,
        )
        trainer = BaseTrainer(
            VAE(config, Encoder(net), Decoder(net)),
            train_dataset=BaseDataset(images, torch.zeros(len(images))),
            training_config=settings,
        )
        trainer.prepare_training()
        for number in range(1, task.epochs + 1):
            turn(float(trainer.train_step(number)))
