"""The progress of an epoch: a bar, or one line at its end where no terminal shows a bar."""

import sys
from collections.abc import Callable

from pyro_vae._progress import hidden, tqdm
from pyro_vae.training.totals import Record, Totals

PARTS = ("train", "validation")


class Bar:
    """The progress bar of one epoch: a widget in a notebook; a line where there is no terminal.

    Args:
        epoch: number of finished epochs.
        epochs: number of epochs in all.
        steps: number of steps in this epoch.
        bounded: whether the model has an ELBO; a plain autoencoder has a distortion alone.
        published_loss: the loss on a source's own scale, from distortion and rate.
        visible: whether anything is shown.
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
        self.bar = tqdm(total=steps, desc=self.name, unit="batch", disable=hidden(visible))
        self.lines = visible and hidden(visible)
        # Reading a number off a GPU waits for the GPU, so it is not done at every step.
        self.every = max(1, steps // 50)

    def start_at(self, made: int) -> None:
        """Begin after some steps that were made before."""
        self.bar.initial = made
        self.bar.update(made)

    def due(self, made: int) -> bool:
        """Return whether the means are shown after some steps."""
        return made % self.every == 0 or made == self.steps

    def show(self, totals: Totals) -> None:
        """Show the means so far."""
        if not self.bar.disable:
            self.announce(totals.record("train", self.published_loss), "train")

    def step(self) -> None:
        """Count a step."""
        self.bar.update()

    def announce(self, record: Record, part: str) -> None:
        """Show -ELBO, distortion and rate of a part, and its loss on the source's scale."""
        self.bar.set_postfix_str(self._numbers(record, part))

    def conclude(self, record: Record) -> None:
        """Print the record of the epoch in one line, where there was no bar to show it."""
        if self.lines:
            parts = [self._numbers(record, part) for part in PARTS if f"{part}_loss" in record]
            text = "; ".join([*parts, f"{record['seconds']:.1f} s"])
            print(f"{self.name}: {text}", file=sys.stderr, flush=True)

    def _numbers(self, record: Record, part: str) -> str:
        shown = {"distortion": record[f"{part}_distortion"]}
        if self.bounded:
            shown = {"-ELBO": -record[f"{part}_elbo"], **shown, "rate": record[f"{part}_rate"]}
        text = ", ".join(f"{name} {value:.2f}" for name, value in shown.items())
        text = f"{part[:5]}: {text} nats/image"
        if self.published_loss:
            text += f"; as published {record[f'{part}_published_loss']:.2f}"
        return text

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.bar.close()
