"""The moving average of a model's weights, updated at every step."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pyro_vae.vae import VAE


class Average(AveragedModel):
    """An exponential moving average of weights: that of PyTorch, without looking for them anew.

    Buffers, such as the statistics of batch normalization, are copied as they are.

    Args:
        vae: the model.
        decay: the share of the average that each step keeps, in (0, 1).
    """

    def __init__(self, vae: VAE, decay: float) -> None:
        super().__init__(vae, use_buffers=False)
        self.decay = decay
        # It is read at every step, whatever torch's default device is.
        self.n_averaged = torch.zeros((), dtype=torch.int64, device="cpu")
        self._averaged, self._weights = _tensors(self.module.parameters(), vae.parameters())
        self._copied, self._originals = _tensors(self.module.buffers(), vae.buffers())

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take in the weights of the model that is averaged; the first ones are copied."""
        if self.n_averaged == 0:
            torch._foreach_copy_(self._averaged, self._weights)
        else:
            torch._foreach_lerp_(self._averaged, self._weights, 1 - self.decay)
        if self._copied:
            torch._foreach_copy_(self._copied, self._originals)
        self.n_averaged += 1


def _tensors(averaged: Any, model: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Return the tensors of the average and those of the model, in the same order."""
    # Not detached: a weight may be given other memory, as `channels_last` does.
    return list(averaged), list(model)
