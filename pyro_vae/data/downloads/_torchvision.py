"""Import torchvision, also beside a CPU-only PyTorch.

The ordinary torchvision wheel is built for CUDA. Its compiled library, which declares the operators
`torchvision::nms` and `torchvision::qnms`, cannot be loaded beside a CPU-only torch. The import
then fails, because torchvision's Python code describes these operators to PyTorch. Declaring their
signatures is enough for the import: the operators themselves still cannot be called, and nothing
here calls them. Where the import succeeds (CUDA, macOS, the CPU-only wheel), nothing is declared.
"""

import sys
import warnings
from types import ModuleType

import torch

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def import_torchvision() -> ModuleType:
    """Return the package `torchvision`, with its `datasets`, `models` and `transforms`.

    Raises:
        ImportError: torchvision is not installed.
    """
    with warnings.catch_warnings():
        # Its image and video readers are compiled too; this package reads images with Pillow.
        warnings.filterwarnings("ignore", message="Failed to load image Python extension")
        try:
            import torchvision
        except RuntimeError:
            if not _operators_are_missing():
                raise
            _declare_operators()
            import torchvision
    return torchvision


def _operators_are_missing() -> bool:
    """Whether torchvision tried to load its compiled library, and that declared no operators."""
    tried = "torchvision.extension" in sys.modules
    return tried and not hasattr(torch.ops.torchvision, "nms")


def _declare_operators() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # what the failed import left behind
    for operator in ("nms", "qnms"):
        torch.library.define(f"torchvision::{operator}", _SIGNATURE)
