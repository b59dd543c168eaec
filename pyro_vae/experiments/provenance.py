"""Provenance: the versions, the machine and the command that made a run."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from pyro_vae._files import write_json
from pyro_vae._program import command_line
from pyro_vae.training import Run

PACKAGES = ("pyro-vae", "torch", "torchvision", "pyro-ppl", "zuko", "numpy")


def record_start(run: Run, device: torch.device) -> None:
    """Add this start of a training to those that the run folder records."""
    write_json(run.provenance, [*run.starts(), provenance(device)], within=run.folder)


def provenance(device: torch.device) -> dict[str, Any]:
    """Return when, by which command, with which versions and on what machine this runs."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_line(),
        "versions": {"python": platform.python_version()} | _versions(),
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "device": str(device),
            "accelerator": _accelerator(device),
        },
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # Used from a checkout that is not installed.
            continue
    return found


def _accelerator(device: torch.device) -> str | None:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None
