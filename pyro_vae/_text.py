"""Text from files and their names, as it can be printed."""

import unicodedata

#: Characters that change the direction of the text around them.
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def escaped(text: str, keep: str = "") -> str:
    r"""Return text that every terminal and file can take: what they cannot is escaped.

    Escaped are control characters, marks that reverse the direction of text, and bytes of file
    names that are not valid in UTF-8.

    Args:
        text: any text.
        keep: control characters to leave as they are.

    >>> escaped("caf\u00e9 \x1b[31m \udcff")
    'café \\x1b[31m \\xff'
    """
    if text.isprintable():
        return text
    try:
        # The bytes of a file's name, whatever the locale made of them.
        encoded = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        encoded = text.encode("utf-8", "backslashreplace")
    text = encoded.decode("utf-8", "backslashreplace")
    return "".join(_code_of(each) if _acts(each) and each not in keep else each for each in text)


def _acts(character: str) -> bool:
    """Whether a character is an instruction to a terminal instead of something to be drawn."""
    return character in _DIRECTIONS or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def _code_of(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
