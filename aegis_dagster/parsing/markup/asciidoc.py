"""Reads AsciiDoc, as its language description has it, without running anything: includes and macros stay as written.

docling's reader loses attributes, admonitions, footnotes, spans of cells, and block titles.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from aegis_dagster.domain.left_out import LeftOut, Reason
from aegis_dagster.parsing.markup.building import Builder, Cell
from aegis_dagster.parsing.readers import Parsed
from aegis_dagster.parsing.text.encodings import decode

_ROUTE: Final = "markup"
_HEADING = re.compile(r"(={1,6}|#{1,6})[ \t]+(\S.*)")
_ATTRIBUTE = re.compile(r":(!?[\w-]+!?):(?:[ \t]+(.*))?$")
_BLOCK_LINE = re.compile(r"\[([^\[\]]*|\[[^\[\]]*\])\]$")
_ANCHOR = re.compile(r"\[\[([^\[\]]*)\]\]$")
_TITLE = re.compile(r"\.(?![. \t])(.+)")
_DELIMITER = re.compile(r"(-{4,}|={4,}|\.{4,}|\*{4,}|_{4,}|\+{4,}|/{4,}|--|```.*)$")
_TABLE = re.compile(r"[|,:!]={3,}$")
_ITEM = re.compile(r"[ \t]*(\*{1,6}|-|\.{1,6}|•|\d{1,4}\.|[a-zA-Z]\.|<\d{1,3}>|<\.>)[ \t]+(\S.*)")
_TERM = re.compile(r"[ \t]*(\S.*?)(:{2,4}|;;)(?:[ \t]+(.*))?$")
_COMMENT: Final = "//"
_MACRO = re.compile(r"(image|video|audio|include|toc)::([^\[\s]*)\[(.*)\]$")
_RULE = re.compile(r"('{3,}|<{3,}|-{3}|\*{3})$")
_FOOTNOTE = re.compile(r"footnote(?:ref)?:[\w-]{0,100}\[")
# The lengths keep a text of nothing but beginnings from being searched to its end for each of them.
_INLINE_IMAGE = re.compile(r"image:([^\s:\[][^\[\s]{0,1000})\[([^\]]{0,1000})\]")
_LINK = re.compile(
    r"(?:link:|xref:|mailto:)?((?:https?|ftp|irc)://[^\s\[\]<>]{1,2000}|(?<=link:)[^\s\[\]]{1,300}|(?<=xref:)[^\s\[\]]{1,300})"
    r"\[([^\]]{0,1000})\]"
)
_CROSS = re.compile(r"<<([^<>,]+)(?:,([^<>]*))?>>")
_QUOTED = re.compile(r"(?<![\w\\])(\*\*?|__?|``?|##?)(?=\S)([^\n]{1,500}?)(?<=\S)\1(?!\w)")
_REFERENCE = re.compile(r"\{([\w-]+)\}")
_SPEC = re.compile(r"(?:(\d+)?(?:\.(\d+))?\+|(\d+)\*)?[<^>]?(?:\.[<^>])?[adehlmsv]?")
_COLUMNS = re.compile(r"cols\s*=\s*(?:\"([^\"]*)\"|(\d+\*)|([^,\]]*))")
_UNDERLINE = re.compile(r"[-=~^+]{3,}")
_CONDITION = re.compile(r"(?:ifdef|ifndef|ifeval|endif)::[^\[]*\[(.*)\]$")
_CHARACTERS: Final = {"nbsp": " ", "sp": " ", "empty": "", "amp": "&", "lt": "<", "gt": ">", "vbar": "|", "plus": "+"}
_MOST_COPIES: Final = 100
_MOST_COPIED: Final = 10_000  # further cells that are copies, in a document
_MOST_REPLACED: Final = 1_000_000  # characters that references to attributes become, in a document
_ADMONITIONS: Final = ("note", "tip", "important", "warning", "caution")


def read(data: bytes, *, name: str, kind: str, options: dict[str, Any]) -> Parsed:
    """The document of an AsciiDoc file, as `readers.Reader` has it."""
    decoded = decode(data)
    warnings = [*decoded.warnings()]
    builder = Builder(name)
    reader = _Reader(builder, re.split(r"\r\n|\r|\n", decoded.text))
    reader.read()
    if reader.included:
        named = ", ".join(reader.included[:5])
        warnings.append(f"{len(reader.included)} included files were not read, among them: {named}.")
    left_out = [LeftOut(Reason.HIDDEN_TEXT, "comment", text) for text in reader.comments if text]
    return Parsed(builder.document, _ROUTE, tuple(warnings), tuple(left_out))


class _Reader:
    """Walks the lines once."""

    def __init__(self, builder: Builder, lines: list[str]) -> None:
        self.included: list[str] = []
        self.comments: list[str] = []
        self._builder = builder
        self._lines = [line.rstrip() for line in lines]
        self._at = 0
        self._attributes: dict[str, str] = {}
        self._open: list[str] = []  # delimiters of the blocks around
        self._style = ""  # what the last line in brackets says
        self._columns = 0  # of the next table, where the line in brackets tells
        self._replaced = self._copied = 0
        self._depth: list[str] = []  # markers of the lists around

    def read(self) -> None:
        """Add every block."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            self._at += 1
            if not line or line == "+":
                self._style = self._style if not line else ""
            elif not self._structure(line):
                self._text(line)

    def _structure(self, line: str) -> bool:
        """Whether the line was one that gives structure."""
        builder = self._builder
        if line.startswith(_COMMENT) and not line.startswith("///"):
            self.comments.append(line.removeprefix(_COMMENT).strip())
            return True
        if match := _CONDITION.match(line):
            builder.paragraph(self._inline(match[1]))
            return True
        if match := _HEADING.match(line):
            self._depth.clear()
            text, level = self._inline(match[2]), len(match[1]) - 1
            if level == 0:
                builder.title(text)
                self._author()
            else:
                builder.heading(text, level)
            return True
        if match := _ATTRIBUTE.match(line):
            self._attribute(match[1], match[2] or "")
            return True
        if match := _MACRO.match(line):
            self._macro(match[1], match[2], match[3])
            return True
        if _TABLE.match(line):
            self._table(line)
            return True
        if _DELIMITER.match(line):
            self._delimited(line)
            return True
        if _RULE.match(line) or _ANCHOR.match(line):
            return True
        if match := _BLOCK_LINE.match(line):
            self._block_line(match[1])
            return True
        if match := _TITLE.match(line):
            builder.caption(self._inline(match[1]))
            return True
        return self._item(line)

    def _author(self) -> None:
        """The lines below the title: who wrote it, and when."""
        lines: list[str] = []
        while self._at < len(self._lines) and len(lines) < 2:
            line = self._lines[self._at]
            if not line or _ATTRIBUTE.match(line) or line.startswith(_COMMENT) or _HEADING.match(line):
                break
            lines.append(self._inline(line))
            self._at += 1
        self._builder.paragraph("\n".join(lines))

    def _attribute(self, name: str, value: str) -> None:
        while value.endswith(("\\", " +")) and self._at < len(self._lines):
            value = f"{value.rstrip('+').rstrip(chr(92)).rstrip()} {self._lines[self._at].strip()}"
            self._at += 1
        value = self._attributes[name] = self._inline(value)
        if value:
            self._builder.paragraph(f"{name}: {value}")

    def _macro(self, name: str, target: str, inner: str) -> None:
        if name == "include":
            self.included.append(target)
            self._builder.paragraph(f"include: {target}")
        elif name != "toc":
            self._builder.picture(text=self._inline(f"{_first(inner)}\n{target}"))

    def _block_line(self, inner: str) -> None:
        self._style = inner.partition(",")[0].partition("#")[0].partition(".")[0].strip().lower()
        if found := _COLUMNS.search(inner):
            self._columns = sum(_copies(part) for part in (found[1] or found[2] or found[3]).split(","))
        named = [part for part in inner.split(",")[1:] if "=" not in part] if self._style in ("quote", "verse") else []
        self._builder.paragraph(" ".join(self._inline(part) for part in named))

    def _delimited(self, line: str) -> None:
        """A delimiter opens a block or closes it; what stands literally in it is read here."""
        mark = "```" if line.startswith("```") else line
        if mark[0] in "-.+/`" and mark != "--":
            end = next((n for n in range(self._at, len(self._lines)) if self._lines[n] == mark), len(self._lines))
            inner, self._at = self._lines[self._at : end], end + 1
            if mark[0] == "/":
                self.comments += inner
                return
            if self._style in ("stem", "latexmath", "asciimath"):
                self._builder.formula("\n".join(inner))
            else:
                self.included += [m[2] for m in map(_MACRO.match, inner) if m and m[1] == "include"]
                self._builder.code("\n".join(inner))
            self._style = ""
        elif mark in self._open:
            del self._open[self._open.index(mark) :]
        else:
            self._open.append(mark)
            if self._style in _ADMONITIONS:
                self._builder.paragraph(f"{self._style.upper()}:")
            self._style = ""

    def _item(self, line: str) -> bool:
        if match := _ITEM.match(line):
            marker, text = match[1], match[2]
        elif match := _TERM.match(line):
            marker, text = match[2], f"{match[1]}: {match[3] or ''}"
        else:
            return False
        kind = marker if marker[0] in "*.:;-" else marker[-1]
        if kind in self._depth:
            del self._depth[self._depth.index(kind) + 1 :]
        else:
            self._depth.append(kind)
        notes, text = self._notes(" ".join([text, *self._following()]))
        numbered = marker[0] in "." or marker[0].isalnum()
        self._builder.item(text, depth=len(self._depth), marker=marker if numbered else "")
        self._footnotes(notes)
        return True

    def _following(self) -> Iterator[str]:
        """The further lines of a paragraph."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if not line or line == "+" or _ITEM.match(line) or _DELIMITER.match(line) or _TABLE.match(line):
                return
            if _BLOCK_LINE.match(line) or _MACRO.match(line) or _TERM.match(line):
                return
            self._at += 1
            if not line.startswith(_COMMENT):
                yield line.strip().removesuffix(" +")

    def _text(self, line: str) -> None:
        if line[0] in " \t" and not self._open:
            start = self._at - 1
            while self._at < len(self._lines) and self._lines[self._at]:
                self._at += 1
            self._builder.code("\n".join(self._lines[start : self._at]))
            return
        if self._style in ("source", "listing", "literal", "verse", "stem"):
            lines = [line]
            while self._at < len(self._lines) and self._lines[self._at]:
                lines.append(self._lines[self._at])
                self._at += 1
            self._style = ""
            self._builder.code("\n".join(lines))
            return
        below = self._lines[self._at] if self._at < len(self._lines) else ""
        if _UNDERLINE.fullmatch(below) and abs(len(below) - len(line)) <= 2:
            self._at += 1
            self._builder.heading(self._inline(line), "=-~^+".index(below[0]) or 1)
            return
        lines = [line.removesuffix(" +"), *self._following()]
        self._depth.clear()
        admonished = f"{self._style.upper()}: " if self._style in _ADMONITIONS else ""
        self._style = ""
        notes, text = self._notes("\n".join(lines))
        self._builder.paragraph(admonished + " ".join(text.split("\n")))
        self._footnotes(notes)

    def _notes(self, text: str) -> tuple[list[str], str]:
        """The footnotes in a text, and the text without them."""
        notes: list[str] = []
        kept: list[str] = []
        at = 0
        while match := _FOOTNOTE.search(text, at):
            end = text.find("]", match.end())
            while end > 0 and text[end - 1] == "\\":
                end = text.find("]", end + 1)
            if end < 0:
                break
            notes.append(self._inline(text[match.end() : end].replace("\\]", "]")))
            kept.append(text[at : match.start()])
            at = end + 1
        return notes, self._inline("".join([*kept, text[at:]]))

    def _footnotes(self, notes: list[str]) -> None:
        for note in notes:
            self._builder.footnote(note)

    def _inline(self, text: str) -> str:
        """The words of a text without its marks."""
        text = _REFERENCE.sub(self._value, text)
        text = _INLINE_IMAGE.sub(lambda match: f"{_first(match[2])} ({match[1]})", text)
        text = _LINK.sub(lambda match: f"{_first(match[2])} ({match[1]})" if match[2] else match[1], text)
        text = _CROSS.sub(lambda match: match[2] or match[1], text)
        for _ in range(2):  # bold in italics
            text = _QUOTED.sub(lambda match: match[2], text)
        return text

    def _value(self, match: re.Match[str]) -> str:
        value = self._attributes.get(match[1], _CHARACTERS.get(match[1], match[0]))
        self._replaced += len(value)
        return value if self._replaced <= _MOST_REPLACED else match[0]

    def _table(self, delimiter: str) -> None:
        end = next((n for n in range(self._at, len(self._lines)) if self._lines[n] == delimiter), len(self._lines))
        lines, self._at = self._lines[self._at : end], end + 1
        self.included += [m[2] for m in map(_MACRO.match, lines) if m and m[1] == "include"]
        self._depth.clear()
        self._builder.table([[Cell(*cell) for cell in row] for row in self._rows(lines, delimiter[0])])

    def _rows(self, lines: list[str], mark: str) -> list[list[tuple[str, int, int, bool]]]:
        if mark in ",:":
            return [
                [(self._inline(text.strip()), 1, 1, n == 0) for text in line.split(mark)]
                for n, line in enumerate(lines)
                if line
            ]
        cells: list[tuple[str, int, int, bool]] = []
        first, columns, self._columns = 0, self._columns, 0
        for line in lines:
            parts = re.split(r"(?<!\\)\|" if mark == "|" else r"(?<!\\)!", line)
            before = parts[0]
            for text in parts[1:]:
                spec = _SPEC.fullmatch(before.rpartition(" ")[2])
                words = before[: len(before) - len(before.rpartition(" ")[2])] if spec else before
                if cells and words.strip():
                    cells[-1] = _more(cells[-1], words)
                wide, high, copies = (
                    int(n) if n and len(n) < 4 else 1 for n in (spec.groups() if spec else ("", "", ""))
                )
                copies = min(copies, _MOST_COPIES, max(_MOST_COPIED - self._copied, 1))
                self._copied += copies - 1
                cells += [("", high, wide, False)] * copies
                before = text
            if cells:
                cells[-1] = _more(cells[-1], before)
            if not first and cells:
                first = sum(cell[2] for cell in cells)
        return self._in_columns(cells, columns or first or 1)

    def _in_columns(
        self, cells: list[tuple[str, int, int, bool]], columns: int
    ) -> list[list[tuple[str, int, int, bool]]]:
        rows: list[list[tuple[str, int, int, bool]]] = []
        taken: dict[int, int] = {}  # row -> columns that cells from above fill
        row: list[tuple[str, int, int, bool]] = []
        filled = 0
        for text, high, wide, _ in cells:
            row.append((self._inline(text.replace("\\|", "|")), high, wide, not rows))
            filled += wide
            for below in range(len(rows) + 1, len(rows) + high):
                taken[below] = taken.get(below, 0) + wide
            if filled + taken.get(len(rows), 0) >= columns:
                rows.append(row)
                row, filled = [], 0
        return [*rows, row] if row else rows


def _more(cell: tuple[str, int, int, bool], words: str) -> tuple[str, int, int, bool]:
    return (f"{cell[0]}\n{words}".strip(), *cell[1:])


def _copies(column: str) -> int:
    """For how many columns a part of `cols` stands."""
    count = column.partition("*")[0].strip() if "*" in column else ""
    return min(int(count), _MOST_COPIES) if count.isdecimal() and len(count) < 4 else 1


def _first(inner: str) -> str:
    """What a macro's brackets say first: an alternative text, or the text of a link."""
    return inner.partition(",")[0].strip().strip('"')
