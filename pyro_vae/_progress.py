"""Progress bars: a widget in a notebook, a line on a terminal, nothing in a file."""

import sys

from tqdm.asyncio import tqdm_asyncio
from tqdm.auto import tqdm

from pyro_vae.processes import is_first

#: Whether bars are widgets.
IN_NOTEBOOK = tqdm is not tqdm_asyncio


def hidden(progress: bool) -> bool:
    """Return whether a bar is left out: it was not asked for, or a file would hold all its states.

    Of several processes, the first alone shows bars.

    Args:
        progress: whether it was asked for.
    """
    return not (progress and is_first() and (IN_NOTEBOOK or sys.stderr.isatty()))
