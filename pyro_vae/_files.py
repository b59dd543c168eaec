"""Files that are never seen half-written."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; the file takes its own name once it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file that is never seen half-written."""
    with whole_file(path) as partial:
        partial.write_text(text)


def write_json(path: Path, value: Any) -> None:
    """Write plain values as JSON, never seen half-written."""
    write_text(path, json.dumps(value, indent=1) + "\n")
