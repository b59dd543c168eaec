"""Running means of a bound over an epoch."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pyro_vae.objectives import Bound

Record = dict[str, float]
"""The numbers of one epoch, by name."""


class Totals:
    """Running means of a bound, in nats per image, weighted by the size of each batch.

    Attributes:
        images: number of images taken in.
        bounds: loss, distortion and rate of each batch, (3,) each.
    """

    def __init__(self) -> None:
        self.images = 0
        self.bounds: list[Tensor] = []
        self._sums = torch.zeros(3, device="cpu")

    def add(self, bound: Bound, images: int) -> None:
        """Add a batch; nothing is moved off the device."""
        with torch.no_grad():
            self.bounds.append(torch.stack(bound))
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

    def state_dict(self) -> dict[str, Any]:
        """Return the state from which `load_state_dict` continues."""
        bounds = torch.stack(self.bounds) if self.bounds else torch.zeros(0, 3, device="cpu")
        return {"images": self.images, "bounds": bounds.cpu(), "sums": self._sums.cpu()}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Continue from a saved state."""
        self.images, self._sums = state["images"], state["sums"].to(device)
        self.bounds = list(state["bounds"].to(device))
