"""Reads plain text and reStructuredText: text to blocks. Pure.

The reader is forgiving: text that it does not understand becomes a paragraph with its line breaks, so that no text is
ever lost. Only lines that underline a heading or divide two paragraphs are dropped.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class BlockKind(StrEnum):
    """What a block is."""

    TITLE = "title"
    HEADING = "heading"
    PARAGRAPH = "paragraph"
    BULLET = "bullet"
    NUMBERED = "numbered"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Block:
    """One paragraph, heading, list item or literal block."""

    kind: BlockKind
    text: str  # without underline, bullet or number; line breaks only where they carry meaning
    level: int = 0  # of a heading, 1-based
    marker: str = ""  # of a numbered item, e.g. "2."
    language: str = ""  # of code, as named by the directive


# Any printable ASCII punctuation character, repeated, may underline (docutils, Sections).
_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1+$")
_BULLET = re.compile(r"(?P<marker>[-*+•‣⁃])\s+(?=\S)")
_NUMBER = re.compile(r"(?P<marker>\(?(?:\d{1,3}|[A-Za-z]|[ivxlcIVXLC]{1,5}|#)[.)])\s+(?=\S)")
_CODE_DIRECTIVE = re.compile(r"\.\.\s+(?:code-block|sourcecode|code|highlight)::\s*(?P<language>\S*)\s*$")
_HEADER_FIELD = re.compile(r"[A-Z][A-Za-z0-9-]*:(?!:)")
# Lines of wrapped prose, except the last, are at least this long: shorter ones were broken on purpose.
_PROSE_COLUMNS = 45
_SHORT_ADORNMENT = 4  # docutils accepts a shorter underline only if it is as long as its title


def read_blocks(text: str) -> list[Block]:
    """The blocks of a text, in order."""
    lines = [line.rstrip() for line in re.sub(r"\r\n?|\f", "\n", text).expandtabs(8).split("\n")]
    header, start = _read_header(lines)
    blocks = [*header, *_Reader(lines, start).blocks()]
    return blocks if header else _promote_title(blocks)


def _read_header(lines: Sequence[str]) -> tuple[list[Block], int]:
    """The fields at the top of a PEP and where the text continues; nothing if there are none."""
    start = next((number for number, line in enumerate(lines) if line), len(lines))
    end = start
    while end < len(lines) and lines[end] and (lines[end][0] == " " or _HEADER_FIELD.match(lines[end])):
        end += 1
    ended = end == len(lines) or not lines[end]
    fields = lines[start:end]
    titles = [number for number, line in enumerate(fields) if line.startswith("Title:")]
    if not ended or not titles or fields[0][0] == " ":
        return [], 0
    title = [fields[titles[0]].removeprefix("Title:").strip()]
    for line in fields[titles[0] + 1 :]:
        if line[0] != " ":
            break
        title.append(line.strip())
    header = Block(BlockKind.PARAGRAPH, "\n".join(fields))
    named = " ".join(part for part in title if part)
    return ([Block(BlockKind.TITLE, named)] if named else []) + [header], end


def _promote_title(blocks: list[Block]) -> list[Block]:
    """As in docutils, a first heading whose level no other heading has is the document's title."""
    headings = [block for block in blocks if block.kind is BlockKind.HEADING]
    if len(headings) < 2 or blocks[0] is not headings[0] or any(block.level == 1 for block in headings[1:]):
        return blocks
    rest = [
        Block(block.kind, block.text, block.level - 1) if block.kind is BlockKind.HEADING else block
        for block in blocks[1:]
    ]
    return [Block(BlockKind.TITLE, blocks[0].text), *rest]


class _Reader:
    """Walks the lines once. Heading styles get their levels in the order of their appearance."""

    def __init__(self, lines: Sequence[str], start: int) -> None:
        self._lines = lines
        self._at = start
        self._levels: dict[tuple[str, bool], int] = {}

    def blocks(self) -> Iterator[Block]:
        """Every block from the start to the end."""
        while self._at < len(self._lines):
            if not self._line() or self._divides():
                self._at += 1
                continue
            heading = self._heading()
            if heading is not None:
                yield heading
            else:
                yield from self._paragraph()

    def _line(self, offset: int = 0) -> str:
        number = self._at + offset
        return self._lines[number] if number < len(self._lines) else ""

    def _divides(self) -> bool:
        """Whether this line only divides two paragraphs."""
        return len(self._line()) >= _SHORT_ADORNMENT and _is_adornment(self._line()) and not self._line(1)

    def _heading(self) -> Block | None:
        first, second, third = self._line(), self._line(1), self._line(2)
        if _is_adornment(first) and second and _underlines(third, second) and third[0] == first[0]:
            self._at += 3
            return self._leveled(second.strip(), (first[0], True))
        if first[0] != " " and _underlines(second, first):
            self._at += 2
            return self._leveled(first, (second[0], False))
        return None

    def _leveled(self, text: str, style: tuple[str, bool]) -> Block:
        level = self._levels.setdefault(style, len(self._levels) + 1)
        return Block(BlockKind.HEADING, text, level)

    def _paragraph(self) -> Iterator[Block]:
        start = self._at
        while self._line() and not (self._at > start and self._starts_heading()):
            self._at += 1
        lines = list(self._lines[start : self._at])
        directive = _CODE_DIRECTIVE.match(lines[0].strip())
        if directive and all(line.lstrip().startswith(":") for line in lines[1:]):
            yield Block(BlockKind.PARAGRAPH, "\n".join(line.strip() for line in lines))
            yield from self._literal(_indent(lines[0]), directive["language"])
            return
        yield from _split_items(lines)
        if lines[-1].endswith("::"):
            yield from self._literal(_indent(lines[-1]), "")

    def _starts_heading(self) -> bool:
        first, second = self._line(), self._line(1)
        return first[0] != " " and _underlines(second, first)

    def _literal(self, indent: int, language: str) -> Iterator[Block]:
        """The following lines that are indented deeper than `indent`, including blank lines between them."""
        start, end = self._at, self._at
        for number in range(start, len(self._lines)):
            line = self._lines[number]
            if line and _indent(line) <= indent:
                break
            if line:
                end = number + 1
        lines = list(self._lines[start:end])
        while lines and not lines[0]:
            lines.pop(0)
        if lines:
            self._at = end
            margin = min(_indent(line) for line in lines if line)
            yield Block(BlockKind.CODE, "\n".join(line[margin:] for line in lines), language=language)


def _split_items(lines: list[str]) -> Iterator[Block]:
    """Split a run of lines without a blank one: into list items if they begin with a marker, else one paragraph."""
    run: list[str] = []
    margin = _indent(lines[0])
    for line in lines:
        starts_item = _indent(line) <= margin and _marker(line) is not None
        if starts_item and run and (_marker(run[0]) is not None or run[0].endswith(":")):
            yield _block_of(run)
            run = []
        run.append(line)
    yield _block_of(run)


def _block_of(lines: list[str]) -> Block:
    first = lines[0].strip()
    marker = _marker(lines[0])
    if marker is None:
        return Block(BlockKind.PARAGRAPH, _join(lines))
    kind = BlockKind.BULLET if _BULLET.match(first) else BlockKind.NUMBERED
    body = [first[marker.end() :], *lines[1:]]
    return Block(kind, _join(body), marker=marker["marker"] if kind is BlockKind.NUMBERED else "")


def _join(lines: Sequence[str]) -> str:
    """Join wrapped prose to one line; anything else keeps its line breaks and its indentation below the first line."""
    stripped = [line.strip() for line in lines]
    columns = any("   " in line or line.startswith(("|", "+-", ":")) for line in stripped)
    if not columns and all(len(line) >= _PROSE_COLUMNS for line in stripped[:-1]):
        return " ".join(stripped)
    margin = min(_indent(line) for line in lines)
    return "\n".join(line[margin:] for line in lines)


def _marker(line: str) -> re.Match[str] | None:
    stripped = line.strip()
    return _BULLET.match(stripped) or _NUMBER.match(stripped)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _is_adornment(line: str) -> bool:
    return _ADORNMENT.match(line) is not None


def _underlines(line: str, title: str) -> bool:
    if not _is_adornment(line) or _is_adornment(title) or line in ("::", ".."):
        return False
    return len(line) >= _SHORT_ADORNMENT or len(line) >= len(title)
