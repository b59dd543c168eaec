"""A benchmark peer: Pyro's `SVI`, used as Pyro's own example of a variational autoencoder does."""

import pyro
import torch
from peers.task import LEARNING_RATE, Task, Turn
from pyro import distributions as dist
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import Adam  # type: ignore[attr-defined]
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class Program(nn.Module):
    """The model and the guide."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.net = task.net()

    def model(self, x: Tensor) -> None:
        """Declare p(x, z) of images (B, C, H, W)."""
        pyro.module("net", self.net)
        with pyro.plate("images", len(x)):
            prior = dist.Normal(x.new_zeros(len(x), 2), x.new_ones(len(x), 2)).to_event(1)
            z = pyro.sample("z", prior)
            likelihood = dist.Bernoulli(logits=self.net.decoder(z), validate_args=False)
            pyro.sample("x", likelihood.to_event(3), obs=x)

    def guide(self, x: Tensor) -> None:
        """Declare q(z | x) of images (B, C, H, W)."""
        pyro.module("net", self.net)
        with pyro.plate("images", len(x)):
            hidden = self.net.encoder(x)
            scale = (0.5 * self.net.spread(hidden)).exp()
            pyro.sample("z", dist.Normal(self.net.mean(hidden), scale).to_event(1))


def train(task: Task, turn: Turn) -> None:
    """Train the task's networks."""
    pyro.clear_param_store()
    program = Program(task)
    images = TensorDataset(task.padded().float() / 255)
    loader = DataLoader(images, batch_size=task.batch_size, shuffle=True)
    optimizer = Adam({"lr": LEARNING_RATE})
    svi = SVI(program.model, program.guide, optimizer, loss=Trace_ELBO())
    torch.manual_seed(task.seed)
    for _ in range(task.epochs):
        turn(sum(svi.step(x) for (x,) in loader) / len(images))
