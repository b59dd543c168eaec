"""Names as they are written: no mathematics, in any script, shortened where there is no room."""

import textwrap
import unicodedata
from collections.abc import Sequence
from typing import Any

from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.legend import Legend

#: Fonts for what the first font lacks, where the machine has them.
SCRIPTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Noto Sans JP",
    "Source Han Sans",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Arial Unicode MS",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Sans Symbols 2",
    "Noto Emoji",
    "Segoe UI Emoji",
    "Segoe UI Symbol",
    "Symbola",
    "Unifont",
)
#: The most letters of a name in a legend, at a tick or in a title.
LONGEST_NAME = 32


def families() -> list[str]:
    """Return the user's font, and those of `SCRIPTS` that this machine has."""
    present = {font.name for font in font_manager.fontManager.ttflist}
    return ["sans-serif", *(name for name in SCRIPTS if name in present)]


def shortened(name: str, most: int = LONGEST_NAME) -> str:
    """Return a name in one line of at most `most` letters; wide ones, as of Chinese, count double.

    What cannot be printed is shown as a box.

    Example:
        >>> shortened("a_name_of_many_letters", 10)
        'a_name_of…'
    """
    return _cut(_printable(name), most)


def shortened_path(path: str, most: int = LONGEST_NAME) -> str:
    """Return the last part of a path; of a long one its end, which tells it from others.

    Example:
        >>> shortened_path("train/cats/a_long_name_0001.png", 12)
        '…me_0001.png'
    """
    name = _printable(path.rpartition("/")[2])
    return _cut(name[::-1], most)[::-1]


def wrapped(text: str, width: int, lines: int = 2) -> str:
    """Return text wrapped to a width in letters, each of its own lines to at most `lines`."""
    parts = (_wrapped_line(line, width, lines) for line in text.split("\n"))
    return "\n".join(parts)


def add_legend_of(
    fig: Figure, handles: Sequence[Artist], names: Sequence[str], **options: Any
) -> Legend:
    """Add a legend with names as they are written, those included that begin with "_"."""
    legend = fig.legend(handles, [" "] * len(handles), **options)  # "_name" would be left out.
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)
        text.set_text(shortened(name))
    return legend


def letters(text: str) -> int:
    """Return the width of text in letters."""
    return sum(map(_width, text))


def _width(letter: str) -> int:
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{WHITE SQUARE}" for c in text)


def _cut(text: str, most: int) -> str:
    if letters(text) <= most:
        return text
    kept, room = "", most - 1
    for letter in text:
        room -= _width(letter)
        if room < 0:
            break
        kept += letter
    return f"{kept}…"


def _wrapped_line(line: str, width: int, lines: int) -> str:
    narrow = width if letters(line) == len(line) else max(3, width // 2)
    found = textwrap.wrap(line, narrow)
    if len(found) > lines:
        found = [*found[: lines - 1], f"{found[lines - 1][: narrow - 1]}…"]
    return "\n".join(found)
