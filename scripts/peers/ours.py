"""The speed benchmark's own side: `pyro_vae.fit`, with the settings that are compared."""

from functools import partial
from typing import Any

import torch
from peers.task import LEARNING_RATE, Task, Turn

from pyro_vae import VAE, data, fit, likelihoods, networks, posteriors, priors, schedules


def model_of(task: Task) -> VAE:
    """Return the untrained model."""
    torch.manual_seed(task.seed)
    shape = task.image_shape
    encoder: networks.Encoder
    decoder: networks.Decoder
    if task.network == "conv":
        encoder, decoder = networks.ConvEncoder(shape), networks.ConvDecoder(2, shape)
    else:
        encoder, decoder = networks.MLPEncoder(shape, (512,)), networks.MLPDecoder(2, shape, (512,))
    return VAE(
        priors.StandardNormal(2),
        likelihoods.Bernoulli(decoder, gray_levels=True),
        posteriors.DiagonalNormal(encoder, 2),
    )


def train(task: Task, turn: Turn, **settings: Any) -> None:
    """Train the task's networks by our loop."""
    fit(
        model_of(task),
        data.ImageData(task.padded()),
        epochs=task.epochs,
        batch_size=task.batch_size,
        learning_rate=LEARNING_RATE,
        schedule=schedules.Constant,
        keep="last",
        progress=False,
        callbacks=[lambda _, record: turn(record["train_loss"])],
        **settings,
    )


channels_last = partial(train, memory_format="channels_last")
fast = partial(train, memory_format="channels_last", precision="bfloat16")
