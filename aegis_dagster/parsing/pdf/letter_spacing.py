"""Closes up words that are set with space between their letters. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median

from aegis_dagster.parsing.pdf.layout_rules import Fragment, enclosing, runs_right_to_left

_MIN_LETTERS = 4
_MOST = 200  # lines of a page that are looked at
# The space between two words is at least so many times that between two letters.
_WORD_GAP = 1.6
# Letters farther apart than this, in multiples of their height, stand in columns: the days of a calendar.
_MAX_GAP = 1.5
_MIN_WORD = 2.5  # letters, on average


def close_up(fragments: Sequence[Fragment], words: Sequence[Fragment]) -> tuple[list[Fragment], list[Fragment]]:
    """The fragments, and the words in them, with letter-spaced words whole."""
    closed: list[Fragment] = []
    rest = list(words)
    looked_at = 0
    for fragment in fragments:
        letters = sum(len(token) == 1 for token in fragment.text.split())
        if letters < _MIN_LETTERS or looked_at == _MOST or runs_right_to_left(fragment.text):
            closed.append(fragment)
            continue
        looked_at += 1
        own = sorted((w for w in rest if fragment.rect.holds_center_of(w.rect)), key=lambda word: word.rect.left)
        whole = list(_whole_words(own))
        if len(whole) == len(own):
            closed.append(fragment)
            continue
        closed.append(replace(fragment, text=" ".join(word.text for word in whole)))
        taken = {id(word) for word in own}
        rest = [word for word in rest if id(word) not in taken] + whole
    return closed, rest


def _whole_words(words: Sequence[Fragment]) -> Iterator[Fragment]:
    """A line's words; single letters in a row become words."""
    run: list[Fragment] = []
    for word in words:
        if len(word.text.strip()) != 1 or (run and not _close(run[-1], word)):
            yield from _closed(run)
            run = []
        if len(word.text.strip()) == 1:
            run.append(word)
        else:
            yield word
    yield from _closed(run)


def _close(word: Fragment, following: Fragment) -> bool:
    return following.rect.left - word.rect.right <= _WORD_GAP * _MAX_GAP * word.rect.height


def _closed(run: Sequence[Fragment]) -> Sequence[Fragment]:
    """The words that a run of single letters spells, or the run itself if it spells none."""
    letters = "".join(word.text.strip() for word in run)
    if (
        sum(map(str.isalpha, letters)) < _MIN_LETTERS
        or not letters.strip(".,:;!?()'’-").isalnum()
        or _counts_up(letters)
    ):
        return run
    gaps = [after.rect.left - before.rect.right for before, after in pairwise(run)]
    usual = sorted(gaps)[len(gaps) // 4]  # most gaps are between letters
    if not 0 < usual <= _MAX_GAP * median(word.rect.height for word in run):
        return run
    groups = [[run[0]]]
    for gap, word in zip(gaps, run[1:], strict=True):
        if gap > _WORD_GAP * usual:
            groups.append([])
        groups[-1].append(word)
    if len(run) < _MIN_WORD * len(groups):
        return run
    return [
        replace(group[0], text="".join(word.text.strip() for word in group), rect=enclosing([w.rect for w in group]))
        for group in groups
    ]


def _counts_up(letters: str) -> bool:
    """Whether the letters are a list: A B C D."""
    return all(ord(after) - ord(before) == 1 for before, after in pairwise(letters.casefold()))
