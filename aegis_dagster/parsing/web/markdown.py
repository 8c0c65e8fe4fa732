"""Markdown as a tree and as a page: what only looks like HTML stays text, and notes stand where they are written.

`List<String>` and `<your-token>` are HTML to Markdown and nothing to a browser. Here an element is one only if HTML
knows it and it is used like one. Imports marko: load it in a worker.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from marko import HTMLRenderer, Markdown, block, inline
from marko.ext import footnote, gfm
from marko.ext.gfm import elements
from marko.helpers import MarkoExtension
from marko.source import Source

from aegis_dagster.parsing.web.markdown_parser import QuickParser, goes_on

_FRONT_MATTER: Final = re.compile(
    r"\s*(---|\+\+\+)[ \t]*\n(?P<fields>(?:(?!\1[ \t]*$).*\n){1,200}?)\1[ \t]*(?:\n|\Z)", re.M
)
_TITLE: Final = re.compile(r"""title\s*[:=]\s*(["']?)(?P<title>.+)\1\s*""", re.IGNORECASE)
_MAIN_HEADING: Final = re.compile(r"^ {0,3}#[ \t]|^=+[ \t]*$|<h1\b", re.M)
_LONG_LINE: Final = re.compile(r"_{11,}")  # marko takes minutes over the underscores of a form
_DEEP_QUOTE: Final = re.compile(r"^((?:[ \t]{0,3}>){8})(?:[ \t]*>)+", re.M)  # and over quotes in quotes in quotes
_TAG: Final = re.compile(r"<(?P<slash>/?)(?P<name>[A-Za-z][A-Za-z0-9:-]*)(?P<rest>[^<>]*)>")
_CODE_START: Final = re.compile(r"<(?P<name>pre|script|style|textarea)\b|<!--", re.IGNORECASE)
_ALONE: Final = frozenset(("br", "hr", "wbr"))
_UNCLOSED: Final = frozenset(("p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "option", "colgroup"))
_WITH_ATTRIBUTES: Final = frozenset(("img", "input", "area", "base", "col", "embed", "link", "meta", "source", "track"))
_PAIRED: Final = (
    " a abbr acronym address article aside audio b bdi bdo big blockquote body button canvas caption "
    "center cite code datalist del details dfn dialog div dl em fieldset figcaption figure font footer "
    "form h1 h2 h3 h4 h5 h6 head header hgroup html i iframe ins kbd label legend main map mark math menu "
    "meter nav noscript object ol optgroup output picture pre progress q rp rt ruby s samp script search "
    "section select small span strike strong style sub summary sup svg table template textarea time title "
    "tt u ul var video "
)
_SVG: Final = frozenset(("path", "g", "circle", "rect", "line", "text", "tspan", "polyline", "polygon", "desc", "use"))


@dataclass(frozen=True, slots=True)
class MarkdownText:
    """A Markdown text that was read."""

    head: str  # the HTML of what stands above the text: its title and its fields
    root: Any  # marko's tree of the text
    markdown: Markdown  # what read it

    def to_html(self) -> str:
        """The page of the text."""
        html: str = self.markdown.render(self.root)
        return self.head + html


def read_markdown(text: str) -> MarkdownText:
    """The tree of a Markdown text."""
    text = _LONG_LINE.sub("_" * 10, text.replace("\r\n", "\n").replace("\r", "\n"))
    text = _DEEP_QUOTE.sub(r"\1", text)
    head, fields = "", _FRONT_MATTER.match(text)
    if fields:
        text = text[fields.end() :]
        lines = [line.strip() for line in fields["fields"].splitlines() if line.strip()]
        named = next((found for line in lines if (found := _TITLE.fullmatch(line))), None)
        head = f"<title>{_escaped(named['title'])}</title>" if named and not _MAIN_HEADING.search(text) else ""
        head += f"<body><p>{'<br>'.join(_escaped(line) for line in lines)}</p>"
    closed = {found["name"].lower() for found in _TAG.finditer(text) if found["slash"]}
    markdown = Markdown(parser=QuickParser, extensions=[_extension(closed)])
    return MarkdownText(head, markdown.parse(text), markdown)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _is_element(tag: re.Match[str], closed: set[str]) -> bool:
    """Whether a tag is HTML: known, and closed somewhere or never closed, or with what makes it useful."""
    name = tag["name"].lower()
    if name in _ALONE or name in _UNCLOSED:
        return True
    if name in _WITH_ATTRIBUTES or name in _SVG:
        return bool(tag["rest"].strip(" /")) or bool(tag["slash"])
    return f" {name} " in _PAIRED and (name in closed or bool(tag["slash"]))


def _without_placeholders(html: str, closed: set[str]) -> str:
    """HTML in which the tags that are none are text."""
    kept, at, lower = [], 0, html.lower()
    open_ended: set[str] = set()  # code that never ends is looked for once
    for code in _CODE_START.finditer(html):
        end_mark = "-->" if code["name"] is None else f"</{code['name'].lower()}"
        if code.start() < at or end_mark in open_ended:
            continue
        end = lower.find(end_mark, code.end())
        if end < 0:
            open_ended.add(end_mark)
            continue
        kept += [_escape_placeholders(html[at : code.start()], closed), html[code.start() : end + len(end_mark)]]
        at = end + len(end_mark)
    return "".join([*kept, _escape_placeholders(html[at:], closed)])


def _escape_placeholders(html: str, closed: set[str]) -> str:
    return _TAG.sub(lambda tag: tag[0] if _is_element(tag, closed) else _escaped(tag[0]), html)


class _Strikethrough(inline.InlineElement):
    """Text between two tildes each: one alone is that of an approximate number."""

    pattern = re.compile(r"(?<!~)~~([^~]+)~~(?!~)")
    priority = 5
    parse_children = True
    parse_group = 1

    @classmethod
    def get_type(cls, snake_case: bool = False) -> str:
        """The name of its renderer."""
        return "strikethrough" if snake_case else "Strikethrough"


class _Table(elements.Table):
    """A table whose rows keep the cells that its header has no columns for."""

    @classmethod
    def get_type(cls, snake_case: bool = False) -> str:
        """The name of its renderer."""
        return "table" if snake_case else "Table"

    @classmethod
    def parse(cls, source: Source) -> Any:
        """Read the rows, and put what is too much into the last cell."""
        read: Callable[[Source], Any] = super().parse
        table = read(source)
        for row in table.children[1:]:
            start, end = row.source_span
            cells = elements.TableRow.splitter.split(source._buffer[start:end].strip().strip("|"))
            if len(cells) > len(row.children):
                row.children[-1].inline_body = " | ".join(cells[len(row.children) - 1 :]).strip()
                row.children[-1]._inline_positions = None
        return table


class _Paragraph(elements.Paragraph):
    """A paragraph that a table or a note ends, without a blank line between them."""

    override = True

    @classmethod
    def break_paragraph(cls, source: Source, lazy: bool = False) -> bool:
        """Whether the next line begins something else."""
        return not goes_on(source) and (super().break_paragraph(source, lazy) or cls.is_followed(source))

    @classmethod
    def is_followed(cls, source: Source) -> bool:
        """Whether the next line begins a note or a table. The line is still at hand afterwards."""
        line = source.next_line() or ""
        at_hand = source.match
        try:
            if "[^" in line and source.expect_re(footnote.FootnoteDef.pattern):
                return True
            if "|" not in line or not source.parser.block_elements["Table"].match(source):
                return False
            source.reset()
            return True
        finally:
            source.match = at_hand


class _Note(footnote.FootnoteDef):
    """A note whose label a tab may follow: marko would look for the tab where it has made spaces of it."""

    override = True

    def __init__(self, match: re.Match[str]) -> None:
        read: Callable[[re.Match[str]], None] = super().__init__
        read(match)
        if "\t" in match[0]:
            self._prefix = re.escape(match[0].rstrip()) + r"[^\n\S]*"


def _extension(closed: set[str]) -> MarkoExtension:
    """GitHub's Markdown with notes in their places, for a text in which these elements are closed."""

    class HtmlBlock(block.HTMLBlock):
        override = True

        @classmethod
        def match(cls, source: Source) -> int | bool:
            """A line that begins with a placeholder begins no HTML: the Markdown after it counts."""
            line = (source.next_line() or "").lstrip()
            if not line.startswith("<"):
                return False
            found = super().match(source)
            tag = _TAG.match(line)
            return False if tag is not None and not _is_element(tag, closed) else found

    class InlineHtml(inline.InlineHTML):
        override = True

        def __init__(self, match: Any) -> None:
            super().__init__(match)
            written = str(self.children)
            self.shown = _without_placeholders(written, closed)
            self.is_text = self.shown == _escaped(written)

    class Renderer(HTMLRenderer):
        def render_html_block(self, element: Any) -> str:
            return _without_placeholders(element.body, closed)

        def render_inline_html(self, element: Any) -> str:
            shown: str = element.shown
            return shown

        def render_strikethrough(self, element: Any) -> str:
            return f"<del>{self.render_children(element)}</del>"

        def render_link(self, element: Any) -> str:
            shown = super().render_link(element)
            return f"{shown} ({_escaped(element.title)})" if element.title else shown

        def render_paragraph(self, element: Any) -> str:
            shown = self.render_children(element)
            if hasattr(element, "checked"):
                shown = f"[{'x' if element.checked else ' '}] {shown.lstrip()}"
            return shown if element._tight else f"<p>{shown}</p>\n"

        def render_footnote_def(self, element: Any) -> str:
            shown: str = self.render_children(element)
            return shown.replace("<p>", f"<p>[{_escaped(element.label)}] ", 1)

        def render_footnote_ref(self, element: Any) -> str:
            return f"[{_escaped(element.label)}]"

    return MarkoExtension(
        elements=[
            HtmlBlock,
            InlineHtml,
            _Paragraph,
            _Strikethrough,
            _Table,
            footnote.Document,
            _Note,
            footnote.FootnoteRef,
            elements.Url,
            elements.TableRow,
            elements.TableCell,
        ],
        renderer_mixins=[Renderer, *gfm.GFM.renderer_mixins],
    )
