"""What a number looks like in a table, and the words of a page in rows of entries. Pure.

An entry is a run of words with no wide gap between them; a number is an entry of its own, together with the currency
sign before it, wherever that stands, and the closing parenthesis, per cent sign or mark of a note after it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from aegis_dagster.parsing.pdf.layout_rules import Fragment, Rect, enclosing

_ENTRY_GAP = 0.9  # multiples of the height; words stand 0.2 to 0.4 apart
_SAME_ROW = 0.5  # share of the lower word's height that two words of a row have in common
_SAME_ROW_BESIDE = 0.25  # the same, where no word of the row stands above or below

_VALUE = re.compile(
    r"[-+(~<>–—−]{0,3}[$€£¥]?[-–—−(]?\d[\d.,'’]{0,24}(?:[-–—−/]\d[\d.,]{0,24})?"
    r"(?:\)?%?\)?|x|bps|pp|pts|[¢c]|\([\w*]\)|[*†‡]{1,3}){1,2}"
)
_NO_VALUE = re.compile(r"[$€£¥]?(?:[-–—−]{1,3}|n/?a|n/?m|n\.[am]\.)\)?%?", re.IGNORECASE)
_OPENING = re.compile(r"[(]?[$€£¥][(]?|[(]|(?:US|C|A)\$|USD|EUR|GBP")
_CLOSING = re.compile(r"[)%*†‡]{1,3}|\([\w*]{1,2}\)|pts?\.?|bps|pp|x")
_YEAR = re.compile(r"(?:19|20)\d\d(?:\s*\(\w\))?")
_LEADERS = re.compile(r"[.·…_]{3,}|\.{2,}")


SHORT = 14  # characters of a text that may stand where a number is expected

Span = tuple[float, float]  # left and right edge of a column


@dataclass(frozen=True, slots=True)
class Entry:
    """What one place of a row holds."""

    words: tuple[Fragment, ...]
    number: bool

    @property
    def rect(self) -> Rect:
        return enclosing([word.rect for word in self.words])

    @property
    def text(self) -> str:
        return _joined(self.words)

    @property
    def is_sign(self) -> bool:
        """Whether this is a currency sign or an opening parenthesis whose number stands elsewhere."""
        return all(_OPENING.fullmatch(word.text.strip()) for word in self.words)


Row = list[Entry]  # from left to right


def _joined(words: Sequence[Fragment]) -> str:
    text = ""
    for number, word in enumerate(words):
        own = _LEADERS.sub(" ", word.text).strip()
        gap = word.rect.left - words[number - 1].rect.right if number else 0.0
        touching = gap < 0.12 * word.rect.height or text.endswith(("$", "(")) or own in (")", "%", ")%")
        text += own if touching else f" {own}"
    return text.strip()


def rows_of(words: Iterable[Fragment]) -> list[Row]:
    """The words of a page as rows of entries, from top to bottom and from left to right."""
    rows: list[tuple[Rect, list[Fragment]]] = []  # the rectangle of the highest word stands for the row
    for word in sorted((word for word in words if word.text.strip()), key=lambda word: word.rect.top):
        for number in range(len(rows) - 1, max(-1, len(rows) - 9), -1):
            extent, members = rows[number]
            shared = min(extent.bottom, word.rect.bottom) - max(extent.top, word.rect.top)
            lower = min(extent.height, word.rect.height)
            if shared > _SAME_ROW * lower or (shared > _SAME_ROW_BESIDE * lower and _is_beside(word, members)):
                members.append(word)
                if word.rect.height > extent.height:
                    rows[number] = (word.rect, members)
                break
        else:
            rows.append((word.rect, [word]))
    rows.sort(key=lambda row: row[0].top + row[0].bottom)
    return [_entries(sorted(row, key=lambda word: word.rect.left)) for _, row in rows]


def _is_beside(word: Fragment, members: Sequence[Fragment]) -> bool:
    rect = word.rect
    return not any(rect.left < other.rect.right and other.rect.left < rect.right for other in members)


def _entries(row: Sequence[Fragment]) -> list[Entry]:
    runs: list[list[Fragment]] = []
    for word in _without_leaders(row):
        last = runs[-1][-1].rect if runs else None
        if last is not None and word.rect.left - last.right < _ENTRY_GAP * max(last.height, word.rect.height):
            runs[-1].append(word)
        else:
            runs.append([word])
    entries: list[Entry] = []
    for run in runs:
        numbers = _numbers(run)
        entries += [Entry(tuple(number), True) for number in numbers] if numbers else [Entry(tuple(run), False)]
    return _with_signs(entries)


def _without_leaders(row: Sequence[Fragment]) -> list[Fragment]:
    """The words without the dots that lead to a number; a word that a dotted line joins to a number is cut there."""
    words: list[Fragment] = []
    dots = [word for word in row if not word.text.strip(" .·…_")]
    for word in row:
        if len(dots) > 2 and word in dots:
            continue
        found = _LEADERS.search(word.text)
        if found is None or found.end() - found.start() < 3:
            words.append(word)
            continue
        per_character = word.rect.width / len(word.text)
        for start, end in ((0, found.start()), (found.end(), len(word.text))):
            if part := word.text[start:end].strip(" ."):
                left = word.rect.left + start * per_character
                rect = Rect(left, word.rect.top, word.rect.left + end * per_character, word.rect.bottom)
                words.append(replace(word, text=part, rect=rect))
    return words


def _numbers(run: Sequence[Fragment]) -> list[list[Fragment]] | None:
    """The numbers of a run of words that holds nothing else, or None."""
    numbers: list[list[Fragment]] = []
    opened = False
    for word in run:
        text = word.text.strip()
        opens = _OPENING.fullmatch(text) is not None
        value = _VALUE.fullmatch(text) or _NO_VALUE.fullmatch(text)
        if opened and (value or (opens and text != numbers[-1][-1].text.strip())):
            numbers[-1].append(word)
            opened = opens
        elif opens:
            numbers.append([word])
            opened = True
        elif value:
            numbers.append([word])
        elif numbers and not opened and _CLOSING.fullmatch(text):
            numbers[-1].append(word)
        else:
            return None
    return numbers


def _with_signs(entries: Sequence[Entry]) -> list[Entry]:
    """Join a currency sign, or a closing parenthesis in a place of its own, to its number."""
    joined: list[Entry] = []
    for entry in entries:
        last = joined[-1] if joined else None
        follows_sign = last is not None and last.is_sign and entry.number and not entry.is_sign
        if last is not None and (follows_sign or (last.number and _closes(entry))):
            joined[-1] = Entry((*last.words, *entry.words), True)
        else:
            joined.append(entry)
    return joined


def _closes(entry: Entry) -> bool:
    return len(entry.words) == 1 and entry.words[0].text.strip() in (")", "%", ")%", "%)")


def split_number(entry: Entry, columns: Sequence[Span]) -> list[Entry]:
    """A text apart from the numbers at its end that stand in columns of numbers: a long label may touch them."""
    if entry.number:
        return [entry]
    for start in range(1, len(entry.words)):
        first = entry.words[start].rect
        lefts = [left for left, right in columns if left - 1 <= first.left and first.right <= right + 1]
        left = min(lefts, default=None)
        if left is None or entry.words[start - 1].rect.right > left:
            continue
        if numbers := _numbers(entry.words[start:]):
            return [Entry(entry.words[:start], False), *(Entry(tuple(number), True) for number in numbers)]
    return [entry]


def is_data(row: Row) -> bool:
    """Whether a row holds numbers, and nothing but short texts between and after them."""
    numbers = [index for index, entry in enumerate(row) if entry.number and not entry.is_sign]
    return bool(numbers) and all(len(entry.text) <= SHORT for entry in row[numbers[0] :] if not entry.number)


def has_label(row: Row) -> bool:
    last = max(index for index, entry in enumerate(row) if entry.number)
    return any(any(character.isalpha() for character in entry.text) for entry in row[:last] if not entry.number)


def is_heading_row(row: Row) -> bool:
    """Whether a row above all others may name columns: it holds no numbers, or only years."""
    return holds_years(row) if is_data(row) else not any(entry.number for entry in row)


def holds_years(row: Row) -> bool:
    return all(_YEAR.fullmatch(entry.text) for entry in row if entry.number)


def extent_of(row: Row) -> Rect:
    return enclosing([entry.rect for entry in row])


def height_of(row: Row) -> float:
    return median(word.rect.height for entry in row for word in entry.words)
