"""A model and its objective as each of several processes holds them, kept alike by PyTorch.

`DistributedDataParallel` averages the gradients of the processes while they are computed, and sees
only what passes through a module's `forward`. So model and objective are one module here.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from pyro_vae._modes import evaluating, seeded
from pyro_vae.networks import BatchNorm
from pyro_vae.objectives import Bound, Objective
from pyro_vae.processes import ProcessError, world_size
from pyro_vae.processes.shares import share
from pyro_vae.vae import VAE

#: All processes have the same buffers already. PyTorch 2.13 renamed the argument.
_SYNC = "forward_sync_buffers"
_KNOWN = inspect.signature(DistributedDataParallel).parameters
_UNSYNCED: dict[str, Any] = {_SYNC if _SYNC in _KNOWN else "broadcast_buffers": False}

BoundOf = Callable[[Tensor, float, float], Bound]
"""Maps images (B, C, H, W), the weight beta and the elapsed fraction to a bound."""


class Replica(nn.Module):
    """A model and its objective; the bound is this process's part of that of the whole batch."""

    def __init__(self, vae: VAE, objective: Objective) -> None:
        super().__init__()
        self.vae, self.objective = vae, objective

    def forward(self, x: Tensor, beta: float, elapsed: float) -> Bound:
        loss, distortion, rate = self.objective(self.vae, x, beta, elapsed)
        found = share()
        weight = 1.0 if found is None else found.weight
        # The gradients of the losses are averaged, and would be too small by their number.
        return Bound(world_size() * weight * loss, weight * distortion, weight * rate)


class Parallel:
    """Computes this process's part of a bound, such that the gradients become those of all.

    The parameters that an objective leaves alone are looked for once, at the first batch:
    `DistributedDataParallel` would look for them at every step.

    Args:
        replica: the model and its objective.
        betas: weights of the rate that the training will have, the smallest among them.
    """

    def __init__(self, replica: Replica, betas: Sequence[float]) -> None:
        self._replica, self._betas = replica, betas
        self._parallel: DistributedDataParallel | None = None

    def __call__(self, x: Tensor, beta: float, elapsed: float) -> Bound:
        if self._parallel is None:
            unused = any(self._leaves_parameters(x, each) for each in (*self._betas, beta))
            self._parallel = DistributedDataParallel(
                self._replica, find_unused_parameters=unused, **_UNSYNCED
            )
        bound: Bound = self._parallel(x, beta, elapsed)
        return bound

    def _leaves_parameters(self, x: Tensor, beta: float) -> bool:
        """Return whether a parameter has no part in a loss."""
        parameters = [each for each in self._replica.parameters() if each.requires_grad]
        with evaluating(self._replica), seeded(0, x.device):
            loss = self._replica(x, beta, 0.0).loss
            found = torch.autograd.grad(loss, parameters, allow_unused=True)
        return any(gradient is None for gradient in found)


def bound_of(vae: VAE, objective: Objective, betas: Sequence[float]) -> BoundOf:
    """Return what computes the bound of a batch, or of this process's part of it.

    Args:
        vae: the model.
        objective: its objective.
        betas: weights of the rate that the training will have, the smallest among them.

    Raises:
        ProcessError: several processes cannot train the model alike.
    """
    if world_size() == 1:
        return partial(objective, vae)
    for name, module in vae.named_modules():
        if isinstance(module, _BatchNorm) and not isinstance(module, BatchNorm | nn.SyncBatchNorm):
            raise ProcessError(
                f"{name} is a {type(module).__name__}, whose statistics would be those of one "
                f"process's images, not of all {world_size()} processes': build the network with "
                "pyro_vae.networks.BatchNorm."
            )
    return Parallel(Replica(vae, objective), betas)


@torch.no_grad()
def whole(bound: Bound) -> Bound:
    """Return the bound of the whole batch, the same in every process, from the parts of each."""
    if world_size() == 1:
        return bound
    terms = torch.stack([bound.loss / world_size(), bound.distortion, bound.rate])
    dist.all_reduce(terms)
    return Bound(*terms)
