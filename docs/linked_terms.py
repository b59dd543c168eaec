"""Links that Sphinx makes by itself at each build: from terms to the glossary, and to sources.

No page has to mark its terms: they are found once a page has been read. A term is linked where a
page first uses it, a source ("Burda et al., 2016") wherever it is named.
"""

import re
from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import Any

from docutils import nodes
from sources import SOURCES
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

GLOSSARY = "glossary"
#: Words of the glossary that also have an everyday meaning, in which they are no terms.
EVERYDAY = {"code", "sample", "head", "trace", "observed", "seed", "recipe", "collapse", "hole"}
#: Pages that explain the terms themselves, or that are not about models.
UNLINKED = (
    GLOSSARY,
    "notation",
    "sources",
    "changelog",
    "contributing",
    "command_line",
    "reference",
)
#: Text that is not prose.
SKIPPED = (
    nodes.title,
    nodes.rubric,
    nodes.caption,
    nodes.literal,
    nodes.literal_block,
    nodes.doctest_block,
    nodes.math,
    nodes.math_block,
    nodes.reference,
    addnodes.pending_xref,
    nodes.raw,
    nodes.Invisible,
)


def pattern_of(terms: list[str]) -> re.Pattern[str]:
    """Return a pattern for whole terms, the longest first: "learning rate" is not the term "rate".

    They are found in either case, in the plural, and across the end of a line.
    """
    words = "|".join(
        r"\s+".join(map(re.escape, term.split())) for term in sorted(terms, key=len)[::-1]
    )
    return re.compile(rf"(?<![\w-])(?P<term>{words})(?:e?s)?(?![\w-])", re.IGNORECASE)


def explained_in(glossary: nodes.document) -> dict[str, str]:
    """Return the first of the terms that share an explanation with each term, in lower case."""
    found = {}
    for item in glossary.findall(nodes.definition_list_item):
        terms = [each.astext() for each in item if isinstance(each, nodes.term)]
        found |= {each.lower(): terms[0] for each in terms}
    return found


class Linker:
    """Links some words of a page to places.

    Args:
        places: the place of each of the words, in lower case.
        link: makes a link to a place from the words that it shows.
        everywhere: link every use, not only the first.
    """

    def __init__(
        self,
        places: dict[str, str],
        link: Callable[[str, nodes.Node], nodes.Node],
        *,
        everywhere: bool = False,
    ) -> None:
        self.places, self.link, self.everywhere = places, link, everywhere
        self.pattern, self.linked = pattern_of(list(places)), set[str]()

    def link_in(self, element: nodes.Element) -> None:
        """Link the words in the prose of an element, in the order of reading."""
        children: list[nodes.Node] = []
        # A paragraph may be one text, or one for each of its lines.
        for is_text, group in groupby(element, lambda child: isinstance(child, nodes.Text)):
            if is_text:
                children += self._pieces("".join(map(str, group)))
                continue
            for child in group:
                if isinstance(child, nodes.Element) and not isinstance(child, SKIPPED):
                    self.link_in(child)
                children.append(child)
        element.children = []
        element.extend(children)

    def _pieces(self, text: str) -> list[nodes.Node]:
        pieces: list[nodes.Node] = []
        end = 0
        for found in self.pattern.finditer(text):
            place = self.places[" ".join(found["term"].lower().split())]
            if place in self.linked and not self.everywhere:
                continue
            self.linked.add(place)
            shown = nodes.inline(found[0], found[0], classes=["std-term"])
            pieces += [nodes.Text(text[end : found.start()]), self.link(place, shown)]
            end = found.end()
        return [*pieces, nodes.Text(text[end:])]


class LinkWords(SphinxPostTransform):
    """Link the terms and the sources of a page."""

    # Before references are resolved, and before code is split into words that may be links.
    default_priority = 1

    def run(self, **kwargs: Any) -> None:
        """Link them."""
        page = self.env.current_document.docname
        sources = {
            words.lower(): source.address
            for source in SOURCES
            if source.address
            for words in source.names
        }
        Linker(sources, _to_address, everywhere=True).link_in(self.document)
        if page in UNLINKED or GLOSSARY not in self.env.found_docs:
            return
        terms = explained_in(self.env.get_doctree(GLOSSARY))
        linked = {words: term for words, term in terms.items() if words not in EVERYDAY}
        Linker(linked, partial(_to_term, page)).link_in(self.document)


def _to_address(address: str, shown: nodes.Node) -> nodes.Node:
    return nodes.reference("", "", shown, refuri=address, internal=False)


def _to_term(page: str, term: str, shown: nodes.Node) -> nodes.Node:
    return addnodes.pending_xref(
        "", shown, refdomain="std", reftype="term", reftarget=term, refdoc=page, refwarn=True
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform."""
    app.add_post_transform(LinkWords)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
