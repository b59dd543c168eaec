"""The progress bar of an epoch, and the running means that it shows."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from tqdm import tqdm

from pyro_vae.objectives import Bound
from pyro_vae.training.state import Record, TrainingError

DIVERGED = (
    "The training diverged: the loss is no longer a number. Lower the learning rate, or look for "
    "scales that reach 0."
)


class Totals:
    """Running means of a bound, in nats per image, weighted by the size of each batch.

    Attributes:
        images: number of images taken in.
        bounds: loss, distortion and rate of each batch, (3,) each.
    """

    def __init__(self) -> None:
        self.images = 0
        self.bounds: list[Tensor] = []
        self._sums = torch.zeros(3)

    def add(self, bound: Bound, images: int) -> None:
        """Add a batch; nothing is moved off the device."""
        self.bounds.append(torch.stack([term.detach() for term in bound]))
        sums = self._sums if self.images else torch.zeros_like(self.bounds[-1])
        self._sums = sums + images * self.bounds[-1]
        self.images += images

    def record(
        self, name: str, published_loss: Callable[[float, float], float] | None = None
    ) -> Record:
        """Return the means so far, each key prefixed by `name`."""
        loss, distortion, rate = (self._sums / self.images).tolist()
        record = {"loss": loss, "distortion": distortion, "rate": rate, "elbo": -distortion - rate}
        if published_loss:
            record["published_loss"] = published_loss(distortion, rate)
        return {f"{name}_{key}": value for key, value in record.items()}


class Bar:
    """The progress bar of one epoch.

    Args:
        epoch: number of finished epochs.
        epochs: number of epochs in all.
        steps: number of steps in this epoch.
        bounded: whether the model has an ELBO; a plain autoencoder has a distortion alone.
        published_loss: the loss on a source's own scale, from distortion and rate.
        visible: whether the bar is shown.
    """

    def __init__(
        self,
        epoch: int,
        epochs: int,
        steps: int,
        bounded: bool,
        published_loss: Callable[[float, float], float] | None,
        visible: bool,
    ) -> None:
        self.steps, self.bounded, self.published_loss = steps, bounded, published_loss
        self.name = f"epoch {epoch + 1}/{epochs}"
        self.bar = tqdm(total=steps, desc=self.name, unit="batch", disable=not visible)
        # Reading a number off a GPU waits for the GPU, so it is not done at every step.
        self.every = max(1, steps // 50)

    def show(self, totals: Totals) -> None:
        """Count a step, and show the means so far every now and then.

        Raises:
            TrainingError: the loss is no longer a number.
        """
        self.bar.update()
        made = len(totals.bounds)
        if made % self.every == 0 or made == self.steps:
            record = totals.record("train", self.published_loss)
            if not math.isfinite(record["train_loss"]):
                self.close()
                raise TrainingError(f"{DIVERGED} ({self.name})")
            self.announce(record, "train")

    def announce(self, record: Record, part: str) -> None:
        """Show -ELBO, distortion and rate of a part, and its loss on the source's scale."""
        shown = {"distortion": record[f"{part}_distortion"]}
        if self.bounded:
            shown = {"-ELBO": -record[f"{part}_elbo"], **shown, "rate": record[f"{part}_rate"]}
        text = ", ".join(f"{name} {value:.2f}" for name, value in shown.items())
        text = f"{part[:5]}: {text} nats/image"
        if self.published_loss:
            text += f"; as published {record[f'{part}_published_loss']:.2f}"
        self.bar.set_postfix_str(text)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.bar.close()
