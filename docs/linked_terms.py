"""Links that Sphinx makes by itself at each build: from terms to the glossary, and to sources.

No page has to mark its terms: they are found once a page has been read. A term is linked where a
page first uses it, a source ("Burda et al., 2016") wherever it is named.
"""

import re
from collections.abc import Callable
from itertools import groupby

from docutils import nodes
from sources import SOURCES
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

GLOSSARY = "glossary"
#: Words of the glossary that also have an everyday meaning, in which they are no terms.
EVERYDAY = {"code", "sample", "head", "trace", "observed", "seed", "recipe", "collapse", "hole"}
#: Pages that explain the terms themselves, or that are not about models.
UNLINKED = (GLOSSARY, "notation", "changelog", "contributing", "command_line", "reference")
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


def places_of(glossary: nodes.document) -> dict[str, str]:
    """Return where each term is explained; terms of one explanation share a place."""
    places = {}
    for item in glossary.findall(nodes.definition_list_item):
        terms = [each for each in item if isinstance(each, nodes.term)]
        places |= {each.astext().lower(): terms[0]["ids"][0] for each in terms}
    return places


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


def link_first_uses(app: Sphinx, page: nodes.document, name: str) -> None:
    """Link the terms of a page, whose references have been resolved."""
    if name in UNLINKED or GLOSSARY not in app.env.found_docs:
        return
    places = places_of(app.env.get_doctree(GLOSSARY))

    def link(place: str, shown: nodes.Node) -> nodes.Node:
        return make_refnode(app.builder, name, GLOSSARY, place, shown)

    Linker({term: places[term] for term in places.keys() - EVERYDAY}, link).link_in(page)


def link_sources(app: Sphinx, page: nodes.document, name: str) -> None:
    """Link the sources that a page names."""

    def link(address: str, shown: nodes.Node) -> nodes.Node:
        return nodes.reference("", "", shown, refuri=address, internal=False)

    places = {
        words.lower(): source.address
        for source in SOURCES
        if source.address
        for words in source.names
    }
    Linker(places, link, everywhere=True).link_in(page)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect what Sphinx calls."""
    app.connect("doctree-resolved", link_sources)
    app.connect("doctree-resolved", link_first_uses)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
