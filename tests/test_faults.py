"""Signals, broken disks, flipped bits and damaged files: a few of those that `make faults` tries.

They run in a process of their own, as trainings are forked from it: torch must not have trained
before.
"""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def faults(tmp_path: Path, parts: dict[str, float]) -> str:
    """Try faults, each part by its factor of what `make faults` tries, and return what is said."""
    options = ["--only", *parts, "--count", *map(str, parts.values())]
    tried = subprocess.run(
        [sys.executable, "-m", "faults", *options, "--table", tmp_path / "table.md"],
        cwd=TESTS,
        capture_output=True,
        text=True,
    )
    assert tried.returncode == 0, tried.stdout + tried.stderr[-3000:]
    assert tried.stdout.count("no violation") == len(parts)
    assert len((tmp_path / "table.md").read_text().splitlines()) == 2 + len(parts)
    return tried.stdout


@pytest.mark.slow
def test_a_few_faults_lose_nothing(tmp_path):
    few = {"scenarios": 0.6, "kills": 0.01, "terms": 0.02, "disk": 0.004}
    said = faults(tmp_path, few | {"flips": 0.01, "fuzz": 0.001})
    assert "9 scenarios" in said and "2 signals" in said and "100 inputs" in said


@pytest.mark.slow
def test_more_faults_lose_nothing(tmp_path):
    more = {"scenarios": 1, "kills": 0.06, "terms": 0.2, "disk": 0.03, "flips": 0.1, "fuzz": 0.02}
    faults(tmp_path, more | ({"full": 0.2} if _may_mount(tmp_path) else {}))


def _may_mount(folder: Path) -> bool:
    """Return whether this process may mount a file system, as root may outside of containers."""
    place = folder / "mounted"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place]
    if subprocess.run(mount, capture_output=True).returncode:
        return False
    subprocess.run(["umount", place], check=True)
    return True
