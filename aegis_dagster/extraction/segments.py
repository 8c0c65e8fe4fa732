"""Splits a chunk's text into sentences, headings, table rows and lines of code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class SegmentKind(StrEnum):
    """How to read the words of a segment."""

    PROSE = "prose"
    HEADING = "heading"  # capitals mean nothing
    ROW = "row"  # of a table; cells are separated by |
    CODE = "code"  # identifiers only


@dataclass(frozen=True, slots=True)
class Segment:
    """The window within which entities are related."""

    kind: SegmentKind
    text: str


# Removed or replaced before the text is split, in this order; looked for only where one of the signs is in the text.
_MARKUP = (
    (("<!--",), re.compile(r"<!--.*?-->", re.DOTALL), " "),
    ((":`",), re.compile(r":(pep|rfc|issue):`~?(\d+)[^`]*`"), lambda found: f"{found[1].upper()} {found[2]}"),
    ((":`",), re.compile(r":(?:ref|doc|term|abbr|dfn):`~?([^`<>]+?)(?:\s*<[^<>`]*>)?`"), r"\1"),
    ((":`",), re.compile(r":[a-zA-Z][\w:.-]{0,30}:`[~!]?([^`<>]+?)(?:\s*<[^<>`]*>)?`"), r"``\1``"),
    ((">`",), re.compile(r"`([^`<>]+?)\s*<[^<>`]*>`_{0,2}"), r"\1"),
    (("](",), re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)"), r"\1"),
    (("://", "www."), re.compile(r"(?:https?|ftp)://[^\s<>`\"'|)\]]+|\bwww\.[^\s<>|)\]]+"), " "),
    (("@",), re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]+\.[\w.-]+"), " "),
    (("<",), re.compile(r"</?[a-zA-Z][^<>\n]{0,200}>"), " "),
    (("[",), re.compile(r"\s?\[(?:\d+|#[\w-]*|\*)\]_?"), " "),
    (("`_",), re.compile(r"(?<![\w`])`([^`\n]+)`_{1,2}"), r"\1"),
    (("*",), re.compile(r"(?<![*\w])\*{1,2}(?=\S)([^*\n]+?)(?<=\S)\*{1,2}(?![*\w])"), r"\1"),
)
_FENCE = re.compile(r"\s*(?:```|~~~)")
_RULER = re.compile(r"\s*([=~^*#+.\-_:|\"'`\s])*$")  # underlines of headings, rules of tables
_ITEM = re.compile(r"\A\s*(?:[-*+•]|\d{1,3}[.)]|#{1,6}|\.\.)\s+")
_FIELD = re.compile(r"\A\s*:?[A-Z][\w-]{1,24}(?: [\w-]{1,20})?:(?:\s|$)")  # "Author: Tim Peters", one of a list
_CODE_LINE = re.compile(
    r"\s*(?:>>>|\.\.\. |\$ |@\w+|(?:async )?def \w+\(|class \w+[(:]|import \w|from [\w.]+ import |#include)"
    r"|\s*return\b.*[(){}\[\]]"
    r"|.*(?:[{};]|\)\s*:|->.*:)\s*$"
    r"|\s*[\w.\[\]\"']+\s*(?:=|:=|\+=|==)\s*\S"
)
_CODE_SIGNS = re.compile(r"[(){}\[\]=<>;_\"\\]")
_CODE_SHARE = 0.12  # share of signs among a line's characters; prose of the PEPs stays below 0.06
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[`]*[^\Wa-z_])")
_ABBREVIATION = re.compile(r"(?:\b[A-Z]|\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|e\.g|i\.e|cf|No|Inc|Ltd|Co))\.$")
_HEADING_MAX_CHARACTERS = 80


def segments(text: str) -> Iterator[Segment]:
    """The segments of a chunk in reading order, without markup, links and rules."""
    for signs, pattern, replacement in _MARKUP:
        if any(sign in text for sign in signs):
            text = pattern.sub(replacement, text)
    paragraph: list[str] = []
    lines = text.splitlines()
    fenced = False
    for number, line in enumerate(lines):
        if _FENCE.match(line):
            yield from _prose(paragraph)
            fenced = not fenced
            continue
        following = lines[number + 1] if number + 1 < len(lines) else ""
        kind = SegmentKind.CODE if fenced else _kind(line, following)
        if kind is SegmentKind.PROSE:
            if _ITEM.match(line) or _FIELD.match(line):
                yield from _prose(paragraph)
            paragraph.append(line)
            continue
        yield from _prose(paragraph)
        if kind is not None:
            yield Segment(kind, _ITEM.sub("", line, count=1).strip())
    yield from _prose(paragraph)


def _kind(line: str, following: str) -> SegmentKind | None:
    """None: nothing to read."""
    if _RULER.match(line):
        return None
    stripped = line.strip()
    if stripped.startswith("|"):
        return SegmentKind.HEADING if re.match(r"\s*\|[\s:|-]+$", following) else SegmentKind.ROW
    if _CODE_LINE.match(line) or len(_CODE_SIGNS.findall(stripped)) > _CODE_SHARE * len(stripped) > 1:
        return SegmentKind.CODE
    return SegmentKind.HEADING if _is_heading(stripped, following) else SegmentKind.PROSE


def _is_heading(line: str, following: str) -> bool:
    """Whether a line is a heading: short, no final punctuation, longer words capitalised, not continued below."""
    if line.startswith("#"):
        return True
    if len(line) > _HEADING_MAX_CHARACTERS or line[-1] in ".,;:!?" or ": " in line or following[:1].islower():
        return False
    words = [word for word in re.findall(r"[^\W\d_][\w'-]*", line) if len(word) > 3]
    return bool(words) and (line.isupper() or all(word[0].isupper() for word in words))


def _prose(paragraph: list[str]) -> Iterator[Segment]:
    """The sentences of the lines. Empties the list of lines."""
    text = " ".join(_ITEM.sub("", line, count=1).strip() for line in paragraph)
    paragraph.clear()
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if not _ABBREVIATION.search(text, start, end.start()):
            yield Segment(SegmentKind.PROSE, text[start : end.start()])
            start = end.end()
    if text[start:].strip():
        yield Segment(SegmentKind.PROSE, text[start:])
