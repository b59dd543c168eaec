"""The precision in which the networks compute; distributions and bounds keep their own.

A distribution whose parameters were bfloat16 would be off: a discretized logistic of 256 levels by
more than a nat for each image. So encoder and decoder alone run under `torch.autocast`, and what
they return is cast back before it becomes a distribution's parameters. The weights, the optimizer's
state, log-probabilities and bounds remain in float32.
"""

import platform
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import MethodType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from pyro_vae.vae import VAE, networks_of

Precision = Literal["float32", "tf32", "bfloat16"]


@contextmanager
def in_precision(vae: VAE, precision: Precision) -> Iterator[None]:
    """Let the networks of a model compute in a precision within a block."""
    with ExitStack() as stack:
        if precision == "tf32":
            stack.enter_context(_matrix_products("high"))
        if precision == "bfloat16":
            _warn_where_slow(vae.device)
            for network in networks_of(vae):
                stack.enter_context(_autocast(network, vae.device.type))
        yield


@contextmanager
def _matrix_products(precision: str) -> Iterator[None]:
    """Let float32 matrix products use the TF32 of a GPU within a block."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def _autocast(network: nn.Module, device: str) -> Iterator[None]:
    """Let a network compute in bfloat16 within a block, and return the precision it was given."""
    own = vars(network).get("forward")  # Of this network alone, whatever its class has.

    # One function is compiled as one graph; of hooks, autocast would begin in one and end in
    # another. It is a method, so that a copy of the network calls its own.
    def forward(self: nn.Module, *inputs: Any, **named: Any) -> Any:
        with torch.autocast(device, torch.bfloat16):
            output = own(*inputs, **named) if own else type(self).forward(self, *inputs, **named)
        given = next(filter(torch.is_tensor, tree_leaves((inputs, named))))
        return tree_map_only(
            Tensor, lambda each: each.to(given.dtype) if each.is_floating_point() else each, output
        )

    vars(network)["forward"] = MethodType(forward, network)
    try:
        yield
    finally:
        del vars(network)["forward"]
        if own is not None:
            vars(network)["forward"] = own


def has_bfloat16() -> bool:
    """Return whether this processor has instructions for bfloat16, as far as torch can tell."""
    # What torch's convolutions ask is true of processors that emulate it by other instructions.
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    checks = [getattr(torch.cpu, name) for name in names if hasattr(torch.cpu, name)]
    if platform.machine().lower() in ("x86_64", "amd64") and checks:
        return any(check() for check in checks)
    supported: Callable[[], bool] | None = getattr(
        torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None
    )
    return supported is None or supported()


def _warn_where_slow(device: torch.device) -> None:
    """Say so where bfloat16 is emulated, which takes longer than float32."""
    if device.type == "cpu" and not has_bfloat16():
        warnings.warn(
            "This processor has no bfloat16: the networks will be slower than in float32 "
            "(--precision float32).",
            UserWarning,
            stacklevel=4,
        )
