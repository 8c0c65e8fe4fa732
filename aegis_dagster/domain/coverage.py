"""Text coverage: the share of a file's text that its chunks contain, and what is missing.

Words are compared as multisets: a word that stands five times in the file and four times in the chunks is missing once.
What differs and is no loss does not count: case, compatible characters (ligatures, full width), soft hyphens and other
invisible characters, order, and white space inside words (letter-spacing, hyphens at line ends, words cut by chunks).
Linear in the length of the texts.
"""

import re
import unicodedata
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

from aegis_dagster.domain.left_out import LeftOut, Piece, Reason

# Runs of word characters; longer ones are compared in pieces of 16, because a chunk may end inside a word that is
# longer than a chunk. `chunking/splitting.py` cuts such words at multiples of the same length.
WORD_PIECE_LENGTH = 16
# Scripts without spaces between words: Thai to Myanmar, Khmer, kana, ideographs. Each of their characters is a word.
_SPACELESS = "\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[^\W_{_SPACELESS}]{{1,{WORD_PIECE_LENGTH}}}|[^\W_]")
# The same for ASCII: small letters and digits with spaces for all else, and every letter and digit as an "a".
_AS_WORDS = "".join(chr(code).lower() if chr(code).isalnum() else " " for code in range(128))
_AS_LETTERS = "".join("a" if chr(code).isalnum() else " " for code in range(128))
_LONG = "a" * (WORD_PIECE_LENGTH + 1)
_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff]")
# PDFs have one glyph for lam and alef; some readers give its two letters in the order in which they are drawn.
_LAM_ALEF = re.compile("\u0644([\u0622\u0623\u0625\u0627])")
# Texts that no simple reader collects, so that no chunk is expected to hold them.
_NOT_COLLECTED = frozenset({Reason.DELETED_TEXT, Reason.OTHER_BODY, Reason.OWN_DOCUMENT})

_SAMPLES = 10
_SAMPLE_LENGTH = 200  # characters
_GAP = 2  # words found between two missing ones that still belong to one passage
_GRAM = 8  # characters that must agree where words are divided differently
_JOINED = 4  # neighbouring words that may together be one


@dataclass(frozen=True, slots=True)
class Missing:
    """A passage of the file that is in no chunk."""

    place: str  # as the piece has it
    text: str  # as it is written, at most 200 characters


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a file's text occurs in its chunks."""

    share: float  # 0..1; 1.0 for a file without words
    losses: int = 0  # passages that are missing, without stray letters
    missing: tuple[Missing, ...] = ()  # the first of them, then stray letters, in the order of the file; at most 10


class Words:
    """The words of some texts, read once for any number of comparisons."""

    def __init__(self, texts: Iterable[str]) -> None:
        shared: dict[str, str] = {}  # equal words are one object, or large files would take much memory
        self.of_texts = [list(map(shared.setdefault, words, words)) for words in map(_words, texts)]
        self.counts = Counter(chain.from_iterable(self.of_texts))


def text_coverage(
    pieces: Sequence[Piece], chunk_texts: Words | Iterable[str], left_out: Iterable[LeftOut] = ()
) -> Coverage:
    """Compare the words of a file with those of its chunks and of what is left out on purpose."""
    chunks = chunk_texts if isinstance(chunk_texts, Words) else Words(chunk_texts)
    apart = [_words(item.text) for item in left_out if item.reason not in _NOT_COLLECTED]
    file, kept = Words(piece.text for piece in pieces), [*chunks.of_texts, *apart]
    present = Counter(chain.from_iterable(kept)) if apart else chunks.counts
    lacking = _surplus(file.counts, present)
    if not lacking:
        return Coverage(1.0)
    missing = _Comparison(file.of_texts, kept, lacking, _surplus(present, file.counts)).missing()
    passages = list(_passages(pieces, file.of_texts, missing))
    losses = [passage for passage in passages if passage.is_loss]
    stray = [passage for passage in passages if not passage.is_loss]
    return Coverage(
        1.0 - len(missing) / file.counts.total(),
        len(losses),
        tuple(passage.shown() for passage in [*losses, *stray][:_SAMPLES]),
    )


def _surplus(of: Counter[str], beside: Counter[str]) -> dict[str, int]:
    """How often each word occurs more often than beside it."""
    return {word: count - there for word, count in of.items() if (there := beside.get(word, 0)) < count}


def _words(text: str) -> list[str]:
    if not text.isascii():
        folded = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold()
        text = _LAM_ALEF.sub("\\1\u0644", unicodedata.normalize("NFKC", folded))
        if not text.isascii():
            return _WORD.findall(text)
    if _LONG in text.translate(_AS_LETTERS):
        return _WORD.findall(text.lower())
    return text.translate(_AS_WORDS).split()


class _Comparison:
    """Finds the places of missing words, and takes out those that are only divided differently.

    Words are numbers here, in the order of the file and of the chunks.
    """

    def __init__(
        self, file: Iterable[list[str]], kept: Iterable[list[str]], lacking: dict[str, int], surplus: Iterable[str]
    ) -> None:
        self._numbers: dict[str, int] = {}
        self._file = self._numbered(file)
        self._of_file = set(self._numbers)
        self._kept = self._numbered(kept)
        self._spelled = list(self._numbers)
        self._lacking = {self._numbers[word]: count for word, count in lacking.items()}
        self._surplus = {self._numbers[word] for word in surplus}

    def _numbered(self, texts: Iterable[list[str]]) -> "array[int]":
        numbers = self._numbers
        found = array("I")
        for words in texts:
            found.extend([numbers.setdefault(word, len(numbers)) for word in words])
        return found

    def missing(self) -> list[int]:
        """The places of the missing words among the words of the file, ascending."""
        places = self._lacking_places()
        if not self._surplus:
            return places
        grams, joined = self._surplus_spellings()
        return [
            place
            for start, end in _runs(places, gap=0)
            if self._spell(self._file, start, end) not in joined
            for place in self._unspelled(start, end, grams)
            if self._spelled[self._file[place]] not in joined
        ]

    def _lacking_places(self) -> list[int]:
        """Of the places where a lacking word stands, as many as lack: those whose neighbours the chunks do not have."""
        lacking, file, kept = self._lacking, self._file, self._kept
        pairs = {pair for pair in pairwise(kept) if pair[0] in lacking or pair[1] in lacking}
        found: dict[int, list[tuple[int, int]]] = {number: [] for number in lacking}
        for at, number in enumerate(file):
            if number in lacking:
                alike = (at > 0 and (file[at - 1], number) in pairs) + (
                    at + 1 < len(file) and (number, file[at + 1]) in pairs
                )
                found[number].append((alike, -at))  # of equal places the last: the first copy of a line is kept
        missing: set[int] = set()
        unclear = []
        for number, places in found.items():
            places.sort()
            count = lacking[number]
            if count < len(places) and places[count - 1][0] == places[count][0]:
                unclear.append(number)
            else:
                missing.update(-at for _, at in places[:count])
        for number in unclear:  # beside what is missing for certain
            beside = sorted((alike - ({-at - 1, 1 - at} & missing != set()), at) for alike, at in found[number])
            missing.update(-at for _, at in beside[: lacking[number]])
        return sorted(missing)

    def _surplus_spellings(self) -> tuple[set[str], set[str]]:
        """Around the words that only the chunks have: runs of characters, and neighbouring words joined."""
        kept = self._kept
        grams: set[str] = set()
        joined: set[str] = set()
        surplus = [at for at, number in enumerate(kept) if number in self._surplus]
        for start, end in _runs(surplus, gap=2 * _GRAM):
            before, inside, after = self._surroundings(kept, start, end)
            spelled = before + inside + after
            grams.update(spelled[at : at + _GRAM] for at in range(len(spelled) - _GRAM + 1))
        for at in surplus:
            for start in range(max(at - _JOINED + 1, 0), at + 1):
                joined.update(self._spell(kept, start, end) for end in range(at + 1, start + _JOINED + 1))
        joined.update(half for number in self._surplus for half in self._halves(self._spelled[number]))
        return grams, joined

    def _halves(self, word: str) -> Iterator[str]:
        """The two words of the file that a word of the chunks is joined of, wherever they stand (as exponents do)."""
        for at in range(2, len(word) - 1):
            if word[:at] in self._of_file and word[at:] in self._of_file:
                yield from (word[:at], word[at:])

    def _unspelled(self, start: int, end: int, grams: set[str]) -> Iterator[int]:
        """The places of a run of which some character stands in no run of characters that the chunks have, too."""
        before, inside, after = self._surroundings(self._file, start, end)
        spelled = before + inside + after
        found_until = 0
        found = bytearray(len(spelled))
        for at in range(len(spelled) - _GRAM + 1):
            if spelled[at : at + _GRAM] in grams:
                first = max(found_until, at)
                found[first : at + _GRAM] = b"\x01" * (at + _GRAM - first)
                found_until = at + _GRAM
        at = len(before)
        for place in range(start, end):
            length = len(self._spelled[self._file[place]])
            if not all(found[at : at + length]):
                yield place
            at += length

    def _surroundings(self, words: "array[int]", start: int, end: int) -> tuple[str, str, str]:
        return (
            self._spell(words, max(start - _GRAM, 0), start),
            self._spell(words, start, end),
            self._spell(words, end, end + _GRAM),
        )

    def _spell(self, words: "array[int]", start: int, end: int) -> str:
        return "".join([self._spelled[number] for number in words[start:end]])


def _runs(places: Iterable[int], *, gap: int) -> Iterator[tuple[int, int]]:
    """Ascending places as runs (first, behind the last) with at most `gap` others between two."""
    start = end = -1
    for place in places:
        if start >= 0 and place - end > gap:
            yield start, end
            start = -1
        start, end = (place if start < 0 else start), place + 1
    if start >= 0:
        yield start, end


@dataclass(frozen=True, slots=True)
class _Passage:
    """A run of missing words in one piece."""

    piece: Piece
    start: int  # among the words of the piece
    end: int
    is_loss: bool  # whether it says something: a number, or more than a letter or two

    def shown(self) -> Missing:
        """The passage as it is written."""
        said: list[str] = []
        at = 0
        for written in self.piece.text.split():
            before, at = at, at + len(_words(written))
            if before >= self.end:
                break
            if at > max(self.start, before):
                said.append(written)
        text = " ".join(said)
        return Missing(self.piece.place, text if len(text) <= _SAMPLE_LENGTH else text[: _SAMPLE_LENGTH - 1] + "…")


def _passages(pieces: Iterable[Piece], file: Iterable[list[str]], places: Sequence[int]) -> Iterator[_Passage]:
    begin = 0  # of a piece, among the words of the file
    at = 0
    for piece, words in zip(pieces, file, strict=True):
        if at == len(places):
            return
        until = bisect_left(places, begin + len(words), at)
        for start, end in _runs([place - begin for place in places[at:until]], gap=_GAP):
            lost = [
                words[place - begin]
                for place in places[bisect_left(places, begin + start, at) : bisect_left(places, begin + end, at)]
            ]
            yield _Passage(piece, start, end, any(word.isdigit() for word in lost) or len("".join(lost)) > 2)
        at, begin = until, begin + len(words)
