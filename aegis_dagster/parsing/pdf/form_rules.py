"""Keeps the value of a form's field with its label. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from math import isfinite
from statistics import median

from aegis_dagster.parsing.pdf.layout_rules import Fragment, Line, Rect, build_lines, enclosing


class FieldKind(StrEnum):
    """How a field is filled."""

    TEXT = "text"
    TICK = "tick"
    LIST = "list"  # its options are shown, chosen or not
    FREE = "free"  # text that someone typed over the page


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a page, filled or empty."""

    rect: Rect
    kind: FieldKind
    value: str
    name: str = ""  # shown where nothing printed names the field


@dataclass(frozen=True, slots=True)
class Value:
    """What a field holds, at its place on the page."""

    fragment: Fragment
    field: Field


# Lines to write on. They may be part of a printed word: "Name:______".
_FILLER = re.compile(r"[_.…‥·]{3,}")
_LETTER_HEIGHT = 11.0  # points, of a value whose letters are not drawn
_LETTER_WIDTH = 0.5  # multiples of the height
_ROW = 16.0  # points; fragments are looked up by rows of this height
_TICK = re.compile(r"\[[x ]\] ?")
_MAX_QUESTION = 30  # characters, where it ends like none
_MOST_NEIGHBOURS = 200  # lines or fields beside a field that are looked at
# Multiples of the line height:
_ABOVE_GAP = 1.5  # between a label and the field below it
_QUESTION_GAP = 15.0  # between a question and its boxes
_SAME_LABEL_GAP = 2.0  # between the fields of one label: day, month, year


class _Rows:
    """Finds what stands in a rectangle."""

    def __init__(self, rects: Sequence[Rect]) -> None:
        self._rects = rects
        self._rows: dict[int, list[int]] = {}
        for index, rect in enumerate(rects):
            if isfinite(rect.top + rect.bottom):
                self._rows.setdefault(int((rect.top + rect.bottom) / 2 // _ROW), []).append(index)

    def beside(self, rect: Rect) -> Iterator[int]:
        """Those whose middle is at the height of a rectangle."""
        covered = range(int(rect.top // _ROW), int(rect.bottom // _ROW) + 1) if isfinite(rect.top + rect.bottom) else ()
        # A hostile field may be higher than any page.
        rows = covered if len(covered) <= len(self._rows) else [row for row in sorted(self._rows) if row in covered]
        for row in rows:
            for index in self._rows.get(row, ()):
                own = self._rects[index]
                if rect.top <= (own.top + own.bottom) / 2 <= rect.bottom:
                    yield index

    def inside(self, rect: Rect) -> Iterator[int]:
        """Those whose middle lies in a rectangle."""
        return (index for index in self.beside(rect) if rect.holds_center_of(self._rects[index]))


def fill_in(
    printed: Sequence[Fragment], drawn: Sequence[Fragment], words: Sequence[Fragment], fields: Sequence[Field]
) -> tuple[list[Fragment], list[Fragment], list[Value]]:
    """The printed fragments, the words of the page outside the fields, and the values.

    `drawn` is the text that the fields show; where it is missing, the value that the file stores is taken.
    """
    if not fields:
        return [*printed, *drawn], list(words), []
    printed_rows, drawn_rows, word_rows = (_Rows([item.rect for item in items]) for items in (printed, drawn, words))
    gone: set[int] = set()  # of the printed
    used: set[int] = set()  # of the drawn
    gone_words: set[int] = set()
    values: list[Value] = []
    letters = median(fragment.rect.height for fragment in printed) if printed else _LETTER_HEIGHT
    for field in fields:
        if field.kind is FieldKind.FREE:
            own = [i for i in printed_rows.inside(field.rect) if _squeezed(printed[i].text) in _squeezed(field.value)]
            gone.update(own)
            shown = [printed[index] for index in own]
        else:
            own = [index for index in drawn_rows.inside(field.rect) if index not in used]
            used.update(own)
            shown = [drawn[index] for index in own]
        for fragment in shown:
            gone_words.update(word_rows.inside(fragment.rect))
        if (value := _value(field, shown, letters)) is not None:
            values.append(Value(value, field))
    rest = [fragment for index, fragment in enumerate(printed) if index not in gone]
    rest += [fragment for index, fragment in enumerate(drawn) if index not in used]
    kept = [word for index, word in enumerate(words) if index not in gone_words]
    return _without_filler(rest, kept, [value.field.rect for value in values]), kept, values


def _value(field: Field, shown: Sequence[Fragment], letters: float) -> Fragment | None:
    """The value, no higher than the letters around it: it is no heading."""
    lines = build_lines(shown) if field.kind in (FieldKind.TEXT, FieldKind.FREE) else []
    text = " ".join([line.text for line in lines] or field.value.split())
    if not text:
        return None
    if lines:
        rects = [line.rect for line in lines]
        bottom = min(rects[0].bottom, rects[0].top + letters)
        return Fragment(text, Rect(rects[0].left, rects[0].top, max(rect.right for rect in rects), bottom))
    rect = field.rect
    height = min(rect.height, letters)
    top = rect.top + 1 if rect.height > 2.5 * height else (rect.top + rect.bottom - height) / 2
    width = min(rect.width, _LETTER_WIDTH * height * len(text))
    return Fragment(text, Rect(rect.left, top, rect.left + width, top + height))


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _without_filler(fragments: Sequence[Fragment], words: Sequence[Fragment], filled: Sequence[Rect]) -> list[Fragment]:
    """The fragments without the lines to write on, which would come between a label and its value."""
    rows, word_rows = (_Rows([item.rect for item in items]) for items in (fragments, words))
    under = {
        index
        for rect in filled
        for index in rows.beside(rect)
        if fragments[index].rect.overlap(rect) > 0 and _FILLER.search(fragments[index].text)
    }
    kept = [fragment for index, fragment in enumerate(fragments) if index not in under]
    for index in under:
        own = [words[number] for number in word_rows.inside(fragments[index].rect)] or [fragments[index]]
        for word in own:
            text = _FILLER.sub(" ", word.text).strip()
            if text:  # it stands before the line
                right = word.rect.left + len(text) / len(word.text) * word.rect.width
                kept.append(replace(word, text=text, rect=replace(word.rect, right=right)))
    return kept


def label_values(
    lines: Sequence[Line], values: Sequence[Value], fields: Sequence[Field]
) -> tuple[list[Line], list[Line]]:
    """Join each value that stands alone with its label. Returns the joined lines, and the others."""
    by_place = {(value.fragment.rect, value.fragment.text): value.field for value in values}
    alone = {index: field for index, line in enumerate(lines) if (field := by_place.get((line.rect, line.text)))}
    finder = _LabelFinder(lines, set(alone), fields)
    joined: dict[int, list[int]] = {}  # the values of a label
    label_of: dict[Rect, int] = {}
    for index in sorted(alone, key=lambda index: (round(alone[index].rect.top), alone[index].rect.left)):
        field = alone[index]
        label = finder.label(field, taken=joined.keys(), label_of=label_of)
        if label is not None:
            joined.setdefault(label, []).append(index)
            label_of[field.rect] = label
    together = [_joined(lines[label], [(lines[i], alone[i]) for i in own]) for label, own in joined.items()]
    used = {*joined, *(index for own in joined.values() for index in own)}
    for index, field in alone.items():
        if index not in used and field.name:
            used.add(index)
            together.append(_joined(replace(lines[index], text=field.name), [(lines[index], field)]))
    rest = [line for index, line in enumerate(lines) if index not in used]
    ticked = any(value.field.kind is FieldKind.TICK for value in values)
    return _with_options(together, rest) if ticked else (together, rest)


def _joined(label: Line, values: Sequence[tuple[Line, Field]]) -> Line:
    text = label.text.rstrip()
    ticks = " ".join(line.text for line, field in values if field.kind is FieldKind.TICK)
    others = " ".join(line.text for line, field in values if field.kind is not FieldKind.TICK)
    if others:
        text = f"{text} {others}" if not text[-1:].isalnum() else f"{text}: {others}"
    rect = enclosing([label.rect, *(line.rect for line, _ in values)])
    return Line(f"{ticks} {text}".strip(), rect, bold=False, letters=label.size)


def _with_options(together: Sequence[Line], rest: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """Join the boxes of a row with each other and with the question before them."""
    lines = [*together, *rest]
    rows = _Rows([line.rect for line in lines])
    used: set[int] = set()
    joined = []
    for index, line in enumerate(lines):
        if index in used or _TICK.search(line.text) is None:
            continue
        beside = {other for other in islice(rows.beside(line.rect), _MOST_NEIGHBOURS) if other not in used}
        row = sorted(beside | {index}, key=lambda other: lines[other].rect.left)
        row = [other for n, other in enumerate(row) if _TICK.search(lines[other].text) or _asks(lines, row[n : n + 2])]
        used.update(row)
        parts = [lines[other] for other in row]
        rect = enclosing([part.rect for part in parts])
        joined.append(Line(" ".join(part.text for part in parts), rect, bold=False, letters=line.size))
    joined += [line for index, line in enumerate(together) if index not in used]
    return joined, [line for index, line in enumerate(rest, len(together)) if index not in used]


def _asks(lines: Sequence[Line], pair: Sequence[int]) -> bool:
    """Whether the first of two neighbours in a row is the question that the second, a box, answers."""
    if len(pair) < 2 or _TICK.search(lines[pair[1]].text) is None:
        return False
    question, box = lines[pair[0]], lines[pair[1]]
    text = question.text.strip()
    close = box.rect.left - question.rect.right <= _QUESTION_GAP * question.size
    return close and (text.endswith((":", "?")) or (len(text) <= _MAX_QUESTION and not text[0].islower()))


class _LabelFinder:
    """Finds the printed line that names a field."""

    def __init__(self, lines: Sequence[Line], values: set[int], fields: Sequence[Field]) -> None:
        self._lines = lines
        self._values = values
        self._rows = _Rows([line.rect for line in lines])
        self._rects = [field.rect for field in fields]
        self._fields = _Rows(self._rects)

    def label(self, field: Field, *, taken: Iterable[int], label_of: dict[Rect, int]) -> int | None:
        """The label's index among the lines. `taken`: labels that have values; `label_of`: those of earlier fields."""
        row = [index for index in self._near(self._rows, _grown(field.rect)) if index not in self._values]
        before = [index for index in row if self._lines[index].rect.right <= field.rect.left + 2]
        after = [index for index in row if self._lines[index].rect.left >= field.rect.right - 2]
        left = self._fields_beside(field.rect, before=True)
        right = self._fields_beside(field.rect, before=False)
        nearest = max(before, key=lambda index: self._lines[index].rect.right, default=None)
        following = min(after, key=lambda index: self._lines[index].rect.left, default=None)
        if nearest is not None and any(rect.left >= self._lines[nearest].rect.right - 2 for rect in left):
            nearest = None
        if following is not None and any(rect.right <= self._lines[following].rect.left + 2 for rect in right):
            following = None
        if field.kind is FieldKind.TICK and not self._labels_come_first(row, [*left, field.rect, *right]):
            nearest, following = following, nearest
        if nearest is not None:
            return nearest
        above = self._above(field.rect, set(taken))
        if above is not None:
            return above
        close = _SAME_LABEL_GAP * _LETTER_HEIGHT
        neighbour = max(left, key=lambda rect: rect.right, default=None)
        if neighbour is not None and neighbour in label_of and field.rect.left - neighbour.right <= close:
            return label_of[neighbour]
        return following if field.kind is FieldKind.TICK else None

    @staticmethod
    def _near(rows: _Rows, rect: Rect) -> Iterator[int]:
        return islice(rows.beside(rect), _MOST_NEIGHBOURS)

    def _labels_come_first(self, row: Sequence[int], boxes: Sequence[Rect]) -> bool:
        """Whether the row begins with a label and ends with a box: the labels stand before their boxes."""
        lefts = [self._lines[index].rect.left for index in row]
        return bool(lefts) and min(lefts) < min(r.left for r in boxes) and max(lefts) < max(r.left for r in boxes)

    def _fields_beside(self, rect: Rect, *, before: bool) -> list[Rect]:
        found = [self._rects[index] for index in self._near(self._fields, rect)]
        return [other for other in found if (other.right <= rect.left + 2 if before else other.left >= rect.right - 2)]

    def _above(self, rect: Rect, taken: set[int]) -> int | None:
        reach = _ABOVE_GAP * _LETTER_HEIGHT
        over = Rect(rect.left, rect.top - reach - _LETTER_HEIGHT, rect.right, rect.top)
        found = [
            index
            for index in self._near(self._rows, over)
            if index not in self._values
            and index not in taken
            and rect.top - reach <= (own := self._lines[index].rect).bottom <= rect.top + 3
            and own.left < rect.right
            and own.right > rect.left
        ]
        return max(found, key=lambda index: self._lines[index].rect.bottom, default=None)


def _grown(rect: Rect) -> Rect:
    return replace(rect, top=rect.top - 2, bottom=rect.bottom + 2)
