"""Text as it can be printed: that of files and their names, and that of docstrings."""

import re
import unicodedata

#: Characters that change the direction of the text around them.
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

#: What TeX writes by a name, and a terminal by a character.
_SYMBOLS = {
    "prod": "∏", "sum": "∑", "partial": "∂", "propto": "∝", "sim": "~", "mid": "|", "|": "‖",
    "alpha": "α", "beta": "β", "delta": "δ", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν",
    "pi": "π", "sigma": "σ", "Gamma": "Γ", "Sigma": "Σ",
}  # fmt: skip


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


def without_markup(text: str) -> str:
    r"""Return a docstring's text without the marks of reStructuredText and TeX.

    >>> without_markup(r"Normal, :math:`\mathcal N(x; \hat x, \frac{1}{2 b} I)`; see `Prior`")
    'Normal, N(x; x̂, 1/(2 b) I); see `Prior`'
    """
    return re.sub(r":(?:\w+:)?(\w+):`([^`]*)`", _plain_role, text)


def _plain_role(found: re.Match[str]) -> str:
    role, content = found.groups()
    return _plain_equation(content) if role == "math" else content.removeprefix("~")


def _plain_equation(tex: str) -> str:
    argument = r" ?(?:\{([^{}]*)\}|(\w))"
    tex = re.sub(rf"\\(?:math\w+|text){argument}", r"\1\2", tex)
    tex = re.sub(rf"\\hat{argument}", "\\1\\2\N{COMBINING CIRCUMFLEX ACCENT}", tex)
    tex = re.sub(rf"\\overline{argument}", "\\1\\2\N{COMBINING MACRON}", tex)
    tex = re.sub(r"\\[,;]", " ", tex)
    tex = re.sub(r"\\([A-Za-z]+|\|)", lambda name: _SYMBOLS.get(name[1], name[1]), tex)
    tex = re.sub(rf"frac{argument}{argument}", _plain_fraction, tex)
    tex = re.sub(r"\{([^{}]*)\}", lambda group: _grouped(group[1]), tex)
    return " ".join(unicodedata.normalize("NFC", tex).split())


def _plain_fraction(found: re.Match[str]) -> str:
    above, below = found[1] or found[2], found[3] or found[4]
    return f"{_grouped(above)}/{_grouped(below)}"


def _grouped(text: str) -> str:
    """Return a sub-expression in parentheses, unless it is a single name or number."""
    return text if re.fullmatch(r"[\w.]*", text) else f"({text})"
