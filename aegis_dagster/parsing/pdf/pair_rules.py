"""Keeps columns of labels with the column of values beside it: a form that is filled in, printed. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from aegis_dagster.parsing.pdf.layout_rules import Line, enclosing, is_list_item, rows_of_lines

_ALIGNED = 3.0  # points
_MAX_LABEL = 40  # characters
_MAX_LABEL_WORDS = 6
_FEW = 0.2  # share of the labels that may look like none
_MIN_ROWS = 3
_MIN_ROWS_WITH_COLONS = 2
# Multiples of the line height:
_MAX_ROW_GAP = 4.0
_WRAPPED_GAP = 0.75
_NUMBER = re.compile(r"\(?\w{1,4}[.)]\s+")


@dataclass(frozen=True, slots=True)
class _Pair:
    label: Line
    value: Line


def find_pairs(lines: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """The lines that hold a label and its value, and the other lines. No line is lost."""
    joined: list[Line] = []
    used: set[int] = set()
    for run in _runs(_candidates(lines)):
        if not _is_form(run):
            continue
        wrapped = _wrapped(run, lines, used | {id(line) for pair in run for line in (pair.label, pair.value)})
        for pair, more in zip(run, wrapped, strict=True):
            parts = [pair.label, pair.value, *more]
            used |= {id(line) for line in parts}
            rect = enclosing([line.rect for line in parts])
            joined.append(Line(" ".join(line.text for line in parts), rect, bold=False, letters=pair.label.size))
    return joined, [line for line in lines if id(line) not in used]


def _candidates(lines: Sequence[Line]) -> list[_Pair]:
    """Neighbours in a row of two, or of two times two; top to bottom."""
    pairs = []
    for row in rows_of_lines(lines):
        if len(row) in (2, 4):
            pairs += [_Pair(*row[number : number + 2]) for number in range(0, len(row), 2)]
    return pairs


def _runs(pairs: Sequence[_Pair]) -> list[list[_Pair]]:
    """Pairs below each other whose labels and whose values are aligned."""
    runs: list[list[_Pair]] = []
    for pair in pairs:
        run = next((run for run in reversed(runs[-4:]) if _continues(run[-1], pair)), None)
        if run is None:
            runs.append([pair])
        else:
            run.append(pair)
    return runs


def _continues(above: _Pair, pair: _Pair) -> bool:
    labels = above.label.rect, pair.label.rect
    aligned = abs(labels[0].left - labels[1].left) < _ALIGNED or abs(labels[0].right - labels[1].right) < _ALIGNED
    return (
        aligned
        and abs(above.value.rect.left - pair.value.rect.left) < _ALIGNED
        and labels[1].top - labels[0].bottom <= _MAX_ROW_GAP * above.label.size
    )


def _is_form(run: Sequence[_Pair]) -> bool:
    labels = [pair.label.text.strip() for pair in run]
    if all(map(is_list_item, labels)) and median(len(pair.value.text) for pair in run) <= _MAX_LABEL:
        labels = [_NUMBER.sub("", label) for label in labels]  # "1. Surname", as official forms have it
    colons = all(label.endswith((":", "?")) for label in labels)
    odd = sum(
        label[0].islower() or (not colons and any(character.isdigit() for character in label)) for label in labels
    )
    return (
        len(run) >= (_MIN_ROWS_WITH_COLONS if colons else _MIN_ROWS)
        and odd <= _FEW * len(run)
        and all(len(label) <= _MAX_LABEL and len(label.split()) <= _MAX_LABEL_WORDS for label in labels)
        and not any(label.endswith((".", ",", "-", ";")) or is_list_item(label) for label in labels)
        and len(set(labels)) > (1 - _FEW) * len(labels)
        and not any(pair.value.text.strip().endswith(":") or is_list_item(pair.value.text) for pair in run)
    )


def _wrapped(run: Sequence[_Pair], lines: Sequence[Line], used: set[int]) -> list[list[Line]]:
    """The lines that continue the value of each pair."""
    more: list[list[Line]] = []
    bottoms = [pair.label.rect.top for pair in run[1:]] + [float("inf")]
    aligned = [
        line for line in lines if id(line) not in used and abs(line.rect.left - run[0].value.rect.left) < _ALIGNED
    ]
    for pair, end in zip(run, bottoms, strict=True):
        own: list[Line] = []
        last = pair.value
        for line in aligned:
            gap = line.rect.top - last.rect.bottom
            if last.rect.top < line.rect.top < end - 1 and gap <= _WRAPPED_GAP * last.size:
                own.append(line)
                last = line
        more.append(own)
    return more
