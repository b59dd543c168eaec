"""A device for machines that have none: torch's `meta`, with every operation watched.

`meta` computes shapes alone. It refuses the sum with a tensor of the CPU, but lets pass a matrix
product, a convolution, or an index on another device. `OneDevice` refuses every operation whose
tensors lie on two devices; an explicit copy, such as `x.to(device)`, does not mix them. It keeps
what is read of the device, where a real one would be waited for. What is read is as of a sound
model: every number is 1, all values are what they must be, and none is what it must not be.

`FakeTensorMode` with a fake "cuda" watches as closely, but stops at indexing, at convolutions and
at every backward pass where torch was built without CUDA.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
#: What reads numbers of a tensor as Python's.
READS = {aten._local_scalar_dense.default, aten.item.default, aten.equal.default}
#: What torch has not described for `meta`; the result has the shape of the first argument.
UNDESCRIBED = {aten._sample_dirichlet.default, aten._dirichlet_grad.default}


class MixedError(AssertionError):
    """An operation has tensors on two devices."""


class OneDevice(TorchDispatchMode):
    """A context in which no operation mixes devices.

    Attributes:
        reads: the operations that read from the device, in their order.
        operations: number of operations on the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []
        self.operations = 0
        self._last = ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        devices = {each.device.type for each in tensors}
        self.operations += "meta" in devices
        last, self._last = self._last, str(func)
        if func in READS and devices == {"meta"}:
            self.reads.append(f"{func} of {last}")
            if args[0].dtype == torch.bool or func is aten.equal.default:
                return not last.startswith("aten.any")
            return torch.ones((), dtype=args[0].dtype, device="cpu").item()
        if func is aten._to_copy.default and self._leaves(args[0], kwargs.get("device")):
            return self._ones(args[0].shape, kwargs.get("dtype") or args[0].dtype)
        if func is aten.copy_.default and len(devices) == 2:
            to, source = args[:2]
            return to if to.is_meta else to.copy_(self._ones(source.shape, source.dtype))
        if len(devices) > 1:
            shapes = ", ".join(f"{each.device} {tuple(each.shape)}" for each in tensors)
            raise MixedError(f"{func} of {shapes}")
        if func in UNDESCRIBED and devices == {"meta"}:
            return torch.empty_like(args[0])
        return func(*args, **kwargs)

    def _leaves(self, source: Tensor, device: torch.device | None) -> bool:
        return source.is_meta and device is not None and torch.device(device).type == "cpu"

    def _ones(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        self.reads.append("copy")
        return torch.ones(shape, dtype=dtype, device="cpu")
