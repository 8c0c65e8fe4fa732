"""marko's parser without most of its waiting: equal trees in a third of the time.

marko asks every kind of block about every line, and every character of a line whether a mark begins there. Here a line
of prose is asked nothing, and only the characters that marks begin with are looked at. Imports marko: load it in a
worker.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from marko import inline, inline_parser
from marko.block import BlockElement
from marko.parser import Parser
from marko.source import Source

_LINE: Final = re.compile(r"[^\n]*\n?")
# A line that begins no block but a paragraph, and one that ends no paragraph: letters, and no table or tab anywhere.
_PROSE: Final = re.compile(r" {0,3}[^\s#`~<>\[\-*+_\d|][^|\t\n]*\n?")
_GOES_ON: Final = re.compile(r"(?: {4,}[^\s|]| *[^\s#`~<>\[\-*+_\d|])[^|\t\n]*\n?")
_MARKED: Final = re.compile(r"[\\`*_\[<~@]|://|www\.")
_CODE: Final = re.compile(r"(?<!`)(`+)(?!`)[\s\S]+?(?<!`)\1(?!`)")
_MARK: Final = re.compile(r"[\\`\]]|!?\[|\*+|_+")


class _Source(Source):
    """A text of which the line at hand is looked for once."""

    _prefix_at: tuple[int, str, int] = (-1, "", 0)

    @property
    def prefix(self) -> str:
        """What stands before each line of the block that is open, as an expression."""
        states = self._states
        return states[0]._prefix if len(states) == 1 else "".join([state._prefix for state in states])

    def next_line(self, require_prefix: bool = True) -> Any:
        """The line, or None where it does not begin as it must."""
        start = self._start() if require_prefix else self.pos
        self.match = None if start < 0 else _LINE.match(self._buffer, start)
        return self.match and self.match[0]

    def expect_re(self, regexp: re.Pattern[str] | str) -> re.Match[str] | None:
        """What the expression finds at the beginning of the line."""
        start = self._start()
        if start < 0:
            self.match = _LINE.match(self._buffer, self.pos)
            return None
        self.match = self._expect_re(regexp, start)
        return self.match

    def _start(self) -> int:
        """Where the line begins behind what stands before each line of its block; -1 where that does not."""
        prefix = self.prefix
        if not prefix:
            return self.pos
        at, known, length = self._prefix_at
        if (at, known) != (self.pos, prefix):
            line = _LINE.match(self._buffer, self.pos)
            length = self.match_prefix(prefix, line[0] if line else "")
            self._prefix_at = (self.pos, prefix, length)
        return self.pos + length if length >= 0 else -1


class QuickParser(Parser):
    """marko's parser. It gives elements no place in the text, which nobody asks for."""

    def parse(self, text: str) -> Any:
        """The tree of a text."""
        source = _Source(text)
        source.parser = self
        document: Any = self.block_elements["Document"]()
        with source.under_state(document):
            document.children = self.parse_source(source)
            self.parse_inline(document, source)
        return document

    def parse_source(self, source: Source) -> list[BlockElement]:
        """The blocks from here to the end of the block that is open."""
        found: list[BlockElement] = []
        while not source.exhausted:
            line = source.next_line()
            if line is not None and not line.strip():
                found.append(self._block(self.block_elements["BlankLine"], source))
                continue
            # What stands before the lines of a quotation or a note has no certain length: marko may find code there.
            if line and "{" not in source.prefix and _PROSE.fullmatch(line):
                source.anchor()
                found.append(self._block(self.block_elements["Paragraph"], source))
            elif (block := self._first_block(source)) is not None:
                found.append(block)
            else:
                break
        return found

    def _first_block(self, source: Source) -> BlockElement | None:
        """The block that begins here. Raises RecursionError for one that takes nothing: it would be found for ever."""
        start = source.pos
        kind = next((kind for kind in self._build_block_element_list() if kind.match(source)), None)
        if kind is None:
            return None
        block = self._block(kind, source)
        if source.pos == start:
            raise RecursionError
        return block

    @staticmethod
    def _block(kind: Any, source: Source) -> BlockElement:
        result = kind.parse(source)
        block: BlockElement = result if hasattr(result, "priority") else kind(result)
        return block

    def _build_block_element_list(self) -> list[type[BlockElement]]:
        if not hasattr(self, "_kinds"):
            self._kinds = super()._build_block_element_list()
        return self._kinds

    def _parse_inline(self, text: str, source: Source, positions: Sequence[int] | None = None) -> Any:
        if not _MARKED.search(text):
            return _plain(text, source)
        fallback = self.inline_elements["RawText"]
        tokens = [
            inline_parser.Token(self.inline_elements[match.etype], match, text, fallback)
            for match in _links_and_emphasis(text, source.root.link_ref_defs)
        ]
        for kind in self._build_inline_element_list():
            tokens += [inline_parser.Token(kind, match, text, fallback) for match in kind.find(text, source=source)]
        tokens.sort()
        return inline_parser.make_elements(inline_parser._resolve_overlap(tokens), text, fallback=fallback)


def goes_on(source: Source) -> bool:
    """Whether the next line is prose, which ends no paragraph."""
    before = source.match
    line = source.next_line()
    source.match = before
    return bool(line) and _GOES_ON.fullmatch(line) is not None


def _plain(text: str, source: Source) -> list[inline.InlineElement]:
    """The elements of a text without marks: its lines."""
    found: list[inline.InlineElement] = []
    at = 0
    for line_break in inline.LineBreak.find(text, source=source):
        if at < line_break.start():
            found.append(inline.RawText(text[at : line_break.start()]))
        found.append(inline.LineBreak(line_break))
        at = line_break.end()
    return [*found, inline.RawText(text[at:])] if at < len(text) else found


def _links_and_emphasis(text: str, targets: dict[str, tuple[str, str]]) -> list[inline_parser.MatchObj]:
    """Links, pictures and emphasis, as `inline_parser.find_links_or_emphs` finds them."""
    found: list[inline_parser.MatchObj] = []
    open_marks: list[inline_parser.Delimiter] = []
    at = 0
    while mark := _MARK.search(text, at):
        at = mark.end()
        if mark[0] == "\\":
            at += 1
        elif mark[0] == "`":
            code = _CODE.match(text, mark.start())
            at = code.end() if code else at
        elif mark[0] == "]":
            link = inline_parser.look_for_image_or_link(text, open_marks, mark.start(), targets, found)
            if link:
                found.append(link)
                at = link.end()
        else:
            open_marks.append(inline_parser.Delimiter(mark, text))
    inline_parser.process_emphasis(text, open_marks, None, found)
    return found
