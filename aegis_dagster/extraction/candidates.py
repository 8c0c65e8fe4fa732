"""Finds names in a segment: proper names, acronyms, identifiers, and phrases between stop words."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files

from aegis_dagster.extraction.segments import Segment, SegmentKind


class NameKind(StrEnum):
    """The type of an entity found without a language model."""

    NAME = "name"
    ACRONYM = "acronym"
    IDENTIFIER = "identifier"
    PHRASE = "phrase"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One occurrence of a name."""

    name: str
    kind: NameKind
    words: int


@dataclass(frozen=True, slots=True)
class _Word:
    """A word between two breaks, without a genitive's s."""

    text: str
    initial: bool  # first in its segment or cell, where a capital means nothing
    lower: str
    named: bool  # may be a name or a part of one: has a capital, or an unexpected one, and is no function word
    capital: bool  # its first letter
    distinct: bool  # has an unexpected capital: GIL, CPython, iPhone
    parts: bool  # parts two phrases


_TOKEN = re.compile(
    # Most words: what the next groups would try in vain.
    r"(?P<plain>[A-Za-z]++(?=[\s,;:)]|\Z)|[A-Za-z]{2,}+(?=\.(?:\s|\Z)))"
    r"|(?P<literal>``[^`\n]{1,80}``|`[^`\n]{1,80}`)"
    r"|(?P<path>(?:[\w.~-]*+[/\\]){2,}[\w.-]*|--?[a-z][\w-]*(?==))"
    r"|(?P<identifier>[^\W\d]\w*(?:\.[^\W\d]\w*)+(?:\(\))?|[^\W\d]\w*\(\)|_*[^\W\d_]+\d*(?:_[^\W_]+)+_*|__[a-z]\w*__)"
    r"|(?P<word>(?:[A-Z]\.){2,}|[A-Z]\.(?=\s?[A-Z])|[^\W\d_][^\W_]*(?:['’&-][^\W_]+|\+\+)*)"
    r"|(?P<number>\d[\w.,:%-]*)"
    r"|(?P<break>\S)"
)
_WORDS = frozenset({"plain", "word"})  # groups
_NAMING = _WORDS | {"literal", "identifier"}
_IDENTIFIER = re.compile(r"_{0,2}[A-Za-z]\w*(?:\.[A-Za-z_]\w*)*(?:\(\))?$")
_CAMEL = re.compile(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b")
_INNER_CAPITAL = re.compile(r"[^\W_][A-Z]")
_ACRONYM = re.compile(r"(?=.*[A-Z].*[A-Z])[A-Z][A-Z0-9]{1,6}$")
_PLURAL_ACRONYM = re.compile(r"[A-Z]{2,6}s$")
_SERIES_NUMBER = re.compile(r"\d{1,5}$")  # the 484 of PEP 484
_PARTICLES = frozenset(["al", "bin", "da", "de", "del", "der", "di", "du", "ibn", "la", "le", "van", "von"])
_LINKING_STARTS = _PARTICLES | {"of", "&"}
_CONNECTORS = _LINKING_STARTS | {"the", "den"}  # at most two of these between two words of a name
_NO_IDENTIFIERS = frozenset({"none", "true", "false", "self", "cls", "null", "args", "kwargs"})
_NAME_STARTS = frozenset({"new", "great"})  # New York, Great Britain
_VERBAL = ("ing", "ed", "ly")
_MIN_CHARACTERS = 3
_MAX_CHARACTERS = 60
_MAX_NAME_WORDS = 6
_MAX_PHRASE_WORDS = 3
_SINGULAR_NOUNS = frozenset(["series", "species", "news", "lens", "physics", "mathematics"])


@dataclass(frozen=True, slots=True)
class StopWords:
    """The sections of `stopwords.txt`; the file explains them."""

    function: frozenset[str]
    common: frozenset[str]
    alone: frozenset[str]


@cache
def stop_words() -> StopWords:
    """English stop words. Other languages get names, acronyms and identifiers, but few good phrases."""
    sections: dict[str, set[str]] = {}
    words: set[str] = set()
    text = (files("aegis_dagster.extraction") / "stopwords.txt").read_text("utf-8")
    for line in text.splitlines():
        if line.startswith("["):
            words = sections.setdefault(line.strip("[]"), set())
        elif not line.startswith("#"):
            words.update(line.split())
    return StopWords(**{name: frozenset(section) for name, section in sections.items()})


def candidates(chunk: Sequence[Segment]) -> list[list[Candidate]]:
    """The names of each segment in reading order, one per occurrence.

    A word with a capital at the beginning of a sentence or in a heading is a name only if it has a capital elsewhere in
    the chunk, too.
    """
    runs = [list(_runs(segment)) for segment in chunk]
    known = {
        word.text
        for segment, run in zip(chunk, runs, strict=True)
        if segment.kind is not SegmentKind.HEADING
        for words in run
        if not isinstance(words, Candidate)
        for word in words
        if word.named and word.capital and not word.initial
    }
    found: list[list[Candidate]] = []
    for segment, run in zip(chunk, runs, strict=True):
        names: list[Candidate] = []
        for words in run:
            if isinstance(words, Candidate):
                names.append(words)
            elif segment.kind is not SegmentKind.CODE:
                names += _names_in(words, known, heading=segment.kind is SegmentKind.HEADING)
        found.append(names)
    return found


def _runs(segment: Segment) -> Iterator[list[_Word] | Candidate]:
    """Runs of words without punctuation between them, and entities recognized by their form alone."""
    code = segment.kind is SegmentKind.CODE
    words: list[_Word] = []
    initial = segment.kind is not SegmentKind.ROW
    for token in _TOKEN.finditer(segment.text):
        text, group = token[0], token.lastgroup
        if group in _WORDS and not (code and _CAMEL.fullmatch(text)):
            words.append(_word(text, initial))
            initial = False
            continue
        if group == "number" and words and _is_series(words[-1].text, text):
            yield Candidate(f"{words.pop().text} {text}", NameKind.NAME, 2)
        if words:
            yield words
            words = []
        if group in _NAMING and (name := _identifier(text.strip("`"))):
            yield Candidate(name, NameKind.IDENTIFIER, 1)
        initial = text == ":" or (initial and group == "break")
    if words:
        yield words


def _is_series(word: str, number: str) -> bool:
    return bool(_ACRONYM.match(word) and _SERIES_NUMBER.match(number)) and word.lower() not in stop_words().function


@lru_cache(maxsize=1 << 15)  # a text uses few words often
def _word(text: str, initial: bool) -> _Word:
    stop, text = stop_words(), text[:-2] if text.endswith(("'s", "’s")) else text
    lower, capital, distinct = text.lower(), text[0].isupper(), bool(_INNER_CAPITAL.search(text))
    named = (capital or distinct) and lower not in stop.function
    parts = lower in stop.function or lower in stop.common or len(lower) < _MIN_CHARACTERS or lower.endswith("ly")
    return _Word(text, initial, lower, named, capital, distinct, parts)


def _identifier(text: str) -> str | None:
    """The name of the identifier, or None if the text is not one."""
    if not _IDENTIFIER.match(text) or not _MIN_CHARACTERS <= len(text) <= _MAX_CHARACTERS:
        return None
    name = text.removesuffix("()")
    parts = name.split(".")
    if name.lower() in _NO_IDENTIFIERS or all(len(part) == 1 for part in parts) or parts[0] in ("self", "cls"):
        return None
    return name


def _names_in(words: Sequence[_Word], known: set[str], *, heading: bool) -> Iterator[Candidate]:
    """The names and phrases in one run of words."""
    phrase: list[tuple[str, bool]] = []  # a displayed word, and whether it is part of a proper name
    position = 0
    while position < len(words):
        word = words[position]
        length = _name_length(words, position, known, heading=heading) if word.named else 0
        if length:
            name = [word.text for word in words[position : position + length]]
            yield from _proper(name)
            phrase += [(text, True) for text in name]
            position += length
            continue
        if not word.parts:
            phrase.append((word.lower, False))
        elif phrase:
            yield from _phrase(phrase)
            phrase = []
        position += 1
    if phrase:
        yield from _phrase(phrase)


def _name_length(words: Sequence[_Word], start: int, known: set[str], *, heading: bool) -> int:
    """How many words from `start` are one proper name; 0 when none begins here."""
    if not _begins_name(words, start, known, heading=heading):
        return 0
    end = start + 1
    while end < len(words):
        after = end
        while after < len(words) and words[after].text in _CONNECTORS and after < end + 2:
            after += 1
        linked = after == end or words[end].text in _LINKING_STARTS
        if not linked or after == len(words) or not _continues_name(words[after], known, heading=heading):
            break
        end = after + 1
    return end - start


def _begins_name(words: Sequence[_Word], start: int, known: set[str], *, heading: bool) -> bool:
    word = words[start]
    if not _continues_name(word, known, heading=heading):
        return False
    if word.distinct or not word.initial or word.text in known:
        return True
    following = next((other for other in words[start + 1 :] if other.text not in _PARTICLES), None)
    text = word.lower
    doubtful = text.endswith(_VERBAL) or (text in stop_words().common and text not in _NAME_STARTS)
    return following is not None and not doubtful and _continues_name(following, known, heading=heading)


def _continues_name(word: _Word, known: set[str], *, heading: bool) -> bool:
    return word.named and (not heading or word.text in known or (word.distinct and not word.text.isupper()))


def _proper(name: list[str]) -> Iterator[Candidate]:
    """The name that capitalised words form; one that is too long is a title or a list."""
    text = " ".join(name)
    if len(name) > _MAX_NAME_WORDS or len(text) > _MAX_CHARACTERS:
        return
    if len(name) > 1:
        yield Candidate(text, NameKind.NAME, len(name))
    elif _PLURAL_ACRONYM.match(text):
        yield Candidate(text[:-1], NameKind.ACRONYM, 1)
    elif _ACRONYM.match(text):
        yield Candidate(text, NameKind.ACRONYM, 1)
    elif len(text) >= _MIN_CHARACTERS and text.lower() not in stop_words().common:
        yield Candidate(text, NameKind.NAME, 1)


def _phrase(words: Sequence[tuple[str, bool]]) -> Iterator[Candidate]:
    """The phrase of words between two stop words.

    Proper names are found before; a word beside a name of several words is usually its verb.
    """
    if len(words) > _MAX_PHRASE_WORDS:
        return
    last, proper = words[-1]
    if len(words) == 1:
        if proper or _singular(last) in stop_words().alone:
            return
    elif [one for _, one in words].count(True) > 1:
        return
    if not proper:
        if last.endswith("ed") or (last.endswith("ing") and len(words) == 1):
            return
        last = _singular(last)
    text = " ".join([*(word for word, _ in words[:-1]), last])
    if len(text) <= _MAX_CHARACTERS:
        yield Candidate(text, NameKind.PHRASE, len(words))


@lru_cache(maxsize=1 << 14)
def _singular(word: str) -> str:
    """The word without its plural s where that is safe, so that equal things share one name."""
    if len(word) < 5 or word in _SINGULAR_NOUNS or not word.endswith("s"):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith("sses"):
        return word[:-2]
    if word.endswith(("ss", "us", "is", "os", "as", "ics", "ses", "xes", "zes", "ches", "shes")):
        return word
    return word[:-1]
