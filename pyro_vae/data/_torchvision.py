"""`import torchvision` that also works on a CPU-only PyTorch.

The ordinary torchvision wheel is built for CUDA. Beside a CPU-only torch its compiled library
cannot load, so nobody declares the operators `torchvision::nms` and `torchvision::qnms`; yet its
Python code describes them to PyTorch while it is imported, and stops with "operator
torchvision::nms does not exist". Declaring their signatures is enough: the operators themselves
still cannot be called, and nothing here does. Where torchvision imports by itself (CUDA, macOS, the
CPU-only wheel), nothing is declared.
"""

import sys
import warnings
from types import ModuleType

import torch

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def import_torchvision() -> ModuleType:
    """The `torchvision` package, with its `datasets`, `models` and `transforms`.

    Raises:
        ImportError: torchvision is not installed.
    """
    with warnings.catch_warnings():
        # Its image and video readers are compiled too; we read images with Pillow.
        warnings.filterwarnings("ignore", message="Failed to load image Python extension")
        try:
            import torchvision
        except RuntimeError as error:
            if "operator torchvision::nms does not exist" not in str(error):
                raise
            _declare_operators()
            import torchvision
    return torchvision


def _declare_operators() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # what the failed import left behind
    for operator in ("nms", "qnms"):
        torch.library.define(f"torchvision::{operator}", _SIGNATURE)
