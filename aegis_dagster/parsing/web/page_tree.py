"""Reads a page into a tree as a browser does: it ends elements whose end tags were left out, and bounds their depth.

Python's HTML parser nests every paragraph after an open one in that: a page of a few hundred kilobytes took docling
minutes, or more levels than Python has. Imports bs4: load it in a worker.
"""

import warnings
from typing import Any, Final

from bs4 import BeautifulSoup, XMLParsedAsHTMLWarning
from bs4.element import PageElement, Tag

_DEEPEST: Final = 120  # a reader takes several calls for a level, and Python allows a thousand
_SCOPES: Final = frozenset({"table", "td", "th", "caption", "button", "object", "template", "[document]"})
_LISTS: Final = frozenset({"ul", "ol", "menu", "table", "[document]"})
_TABLE: Final = frozenset({"table", "[document]"})
# Element -> the open elements that it ends, and those beyond which it ends none (HTML standard, 13.1.2.4, 13.2.6.4.7).
_ENDS: Final[dict[str, tuple[frozenset[str], frozenset[str]]]] = {
    **dict.fromkeys(
        (
            *("address", "article", "aside", "blockquote", "center", "details", "dialog", "dir", "div", "dl"),
            *("fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header"),
            *("hgroup", "hr", "main", "menu", "nav", "ol", "p", "pre", "search", "section", "table", "ul"),
        ),
        (frozenset({"p"}), _SCOPES),
    ),
    "li": (frozenset({"li", "p"}), _LISTS),
    "dt": (frozenset({"dt", "dd", "p"}), frozenset({"dl", *_TABLE})),
    "dd": (frozenset({"dt", "dd", "p"}), frozenset({"dl", *_TABLE})),
    "td": (frozenset({"td", "th", "caption", "p", "li", "ul", "ol"}), frozenset({"tr", *_TABLE})),
    "th": (frozenset({"td", "th", "caption", "p", "li", "ul", "ol"}), frozenset({"tr", *_TABLE})),
    "tr": (frozenset({"tr", "td", "th", "caption", "p", "li", "ul", "ol"}), frozenset({"tbody", *_TABLE})),
    **dict.fromkeys(
        ("thead", "tbody", "tfoot"),
        (frozenset({"thead", "tbody", "tfoot", "tr", "td", "th", "caption", "p", "li", "ul", "ol"}), _TABLE),
    ),
    "option": (frozenset({"option"}), frozenset({"select", "[document]"})),
    "optgroup": (frozenset({"option", "optgroup"}), frozenset({"select", "[document]"})),
}


class _Element(Tag):
    """An element that remembers where it found a child: bs4 walks all of them for each that is replaced.

    A log of 100,000 lines with `<br>` between them is one element with so many children.
    """

    _near = 0

    def index(self, element: PageElement) -> int:
        """Where the child stands; the next one asked for mostly stands beside it."""
        children, near = self.contents, self._near
        for at in range(max(0, near - 8), min(len(children), near + 32)):
            if children[at] is element:
                self._near = at
                return at
        self._near = super().index(element)
        return self._near


class PageTree(BeautifulSoup, _Element):
    """The tree of a page."""

    def handle_starttag(self, name: str, *args: Any, **kwargs: Any) -> Tag | None:
        """Open an element, after those that it ends are closed."""
        if name in _ENDS:
            ended, scopes = _ENDS[name]
            outermost = 0
            for up, tag in enumerate(reversed(self.tagStack), 1):
                if tag.name in scopes:
                    break
                if tag.name in ended:
                    outermost = up
            if outermost:
                self.endData()
                for _ in range(outermost):
                    self.popTag()
        if len(self.tagStack) > _DEEPEST and name not in ("img", "br", "input", "td", "th", "tr"):
            self.endData()
            return None
        return super().handle_starttag(name, *args, **kwargs)


def read_tree(text: str) -> PageTree:
    """The tree of a page's text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
        return PageTree(text, "html.parser", element_classes={Tag: _Element})
