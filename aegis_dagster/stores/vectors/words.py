"""The terms of a text in any script, for BM25: a question and a passage that mean the same word give the same term."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain, pairwise

import regex
from py_rust_stemmers import SnowballStemmer

# Lucene's EnglishAnalyzer.ENGLISH_STOP_WORDS_SET, question words, and the fragments that apostrophes leave in
# contractions.
_FUNCTION_WORDS = """
a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to
was will with
am can could did do does doing had has have having how i me my our should so than them those us we were what when
where which who whom whose why would you your
s t d ll m re ve don doesn didn isn aren wasn weren won wouldn shouldn couldn
"""
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())
# One word in twenty of an English text is one of these (about one in six of running text); of other languages none.
_ENGLISH_ONLY = frozenset(("the", "and", "of", "to", "that", "this", "with", "by"))
_ENGLISH_SHARE = 0.05
# Letters of a word within a compound, and of what is left of it: Druck-messer, Jahres-bericht.
_SHORTEST_END, _SHORTEST_REST = 5, 4
_LONGEST = 64  # letters; a longer run is no word

# Scripts that put no space between words, or too few (Hangul): their terms are pairs of neighbouring characters, as in
# Lucene's CJKBigramFilter.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー"
_IDEOGRAPH = regex.compile(r"\p{Han}")  # one is often a word

_WORD = rf"[[\w\p{{M}}]--[{_UNSPACED}]]"  # marks belong to words: vowels of Devanagari are marks
# A run of unspaced characters; or a run of word characters, joined by dots and hyphens inside it (`__init__`,
# `asyncio.run`, `pep-0484`, `3.12`), with the signs at the end of C++, C# and F#.
_TOKEN = regex.compile(
    rf"(?P<unspaced>[{_UNSPACED}][{_UNSPACED}\p{{M}}]*)|{_WORD}+(?:[.\-]{_WORD}+)*(?:\+\+|\#)?", regex.V1
)
# What _TOKEN finds in ASCII text, in a fifth of the time.
_ASCII_TOKEN = re.compile(r"\w+(?:[.\-]\w+)*(?:\+\+|\#)?", re.ASCII)
# The parts of a compound: words of one case, words that begin with a capital, numbers.
_PARTS = regex.compile(r"\p{Lu}+(?!\p{Ll})|\p{Lu}?[[\p{L}\p{M}]--\p{Lu}]+|\d+", regex.V1)
_DOTTED = regex.compile(r"\d+(?:[.\-]\d+)+")  # the number in `v2.10.3-rc1`
# Numbers printed in groups: an IBAN (ISO 13616, paper format), a telephone number, thousands.
_GROUPED = regex.compile(
    r"\b(?:\p{Lu}{2}\d{2}(?: [\p{Lu}\d]{4}){2,7}(?: [\p{Lu}\d]{1,4})?"
    r"|\d{2,6}(?: \d{2,6}){2,7}|\d{1,3}(?: \d{3}){1,5})\b"
)

# Soft hyphens, zero-width characters, direction marks, variation selectors, the Arabic line that stretches a word.
_INVISIBLE = regex.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff\u0640]")
_HYPHENS = regex.compile(r"[\u2010-\u2013\u2212\ufe58\ufe63\uff0d]")
_FOREIGN_DIGITS = regex.compile(r"[\p{Nd}--0-9]", regex.V1)
# Marks that are written or not at will: accents of Greek capitals, vowels of Hebrew and Arabic.
_OPTIONALLY_MARKED = regex.compile(r"[\p{Greek}\p{Hebrew}\p{Arabic}]")
_OPTIONAL_MARKS = regex.compile(r"([\p{Greek}\p{Hebrew}\p{Arabic}])\p{Mn}+")

_ENGLISH = SnowballStemmer("english")
# The stemmer of each script other than Latin, by its letters; the most common language of the script.
_OTHER_STEMMERS = tuple(
    (regex.compile(rf"\p{{{script}}}"), SnowballStemmer(language))
    for script, language in (("Cyrillic", "russian"), ("Greek", "greek"), ("Arabic", "arabic"))
)


def question_words(text: str) -> list[str]:
    """The terms of a text in order, function words too.

    A compound counts both whole and in parts, so that `asyncio.run` is found by its full name and by either word.
    """
    return _terms(_normalised(text))


def passage_words(text: str) -> tuple[list[str], list[str]]:
    """The terms of a text, and what else a question may call its words: ideographs one by one, and ends of compounds.

    German, Dutch, Finnish and others write compounds as one word: `Kündigungsfrist` is to find
    `Kündigungsfristverlängerung`. English writes them apart, so its words have no such parts.
    """
    plain = _normalised(text)
    terms = _terms(plain)
    others = [] if plain.isascii() else _IDEOGRAPH.findall(plain)
    if sum(map(_ENGLISH_ONLY.__contains__, terms)) < _ENGLISH_SHARE * len(terms):
        others += [part for term in terms for part in _ends(term)]
    return terms, others


def _terms(plain: str) -> list[str]:
    tokens: Iterable[Iterable[str]]
    if plain.isascii():
        tokens = map(_compound, _ASCII_TOKEN.findall(plain))
    else:
        found = _TOKEN.finditer(plain)
        tokens = (_pairs(token[0]) if token["unspaced"] else _compound(token[0]) for token in found)
    numbers = [number.replace(" ", "").casefold() for number in _GROUPED.findall(plain)]
    return [*chain.from_iterable(tokens), *numbers]


def _normalised(text: str) -> str:
    """Compatible forms made one (NFKC: full width, ligatures, composed letters), and what nobody sees left out."""
    if text.isascii():
        return text
    # Invisible characters first: they would keep a letter from its accent.
    plain = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
    plain = _HYPHENS.sub("-", plain)
    plain = _FOREIGN_DIGITS.sub(lambda digit: str(unicodedata.decimal(digit[0])), plain)
    if _OPTIONALLY_MARKED.search(plain):
        plain = unicodedata.normalize("NFC", _OPTIONAL_MARKS.sub(r"\1", unicodedata.normalize("NFD", plain)))
    return plain


def _pairs(run: str) -> Iterable[str]:
    return map("".join, pairwise(run)) if len(run) > 1 else iter(run)


@lru_cache(maxsize=1 << 16)
def _ends(term: str) -> Sequence[str]:
    """What may be the first or the last word of a compound."""
    if not _SHORTEST_END + _SHORTEST_REST <= len(term) <= _LONGEST or not term.isalpha():
        return ()
    lengths = range(_SHORTEST_END, len(term) - _SHORTEST_REST + 1)
    return tuple(dict.fromkeys([*(term[:length] for length in lengths), *(term[-length:] for length in lengths)]))


@lru_cache(maxsize=1 << 16)
def _compound(compound: str) -> Sequence[str]:
    parts = _PARTS.findall(compound)
    whole = _folded(compound)
    if [whole] == [_folded(part) for part in parts]:
        return _term(whole)
    dotted = [number for number in _DOTTED.findall(compound) if number != whole]
    return (whole, *dotted, *(term for part in parts for term in _term(_folded(part))))


def _folded(word: str) -> str:
    """Without case: `ß` as `ss`, the dotted and the dotless i of Turkish as i, Cyrillic ё as е."""
    if word.isascii():
        return word.lower()
    return word.casefold().replace("i\u0307", "i").replace("ı", "i").replace("ё", "е")


def _term(word: str) -> Sequence[str]:
    """The stem of a folded word; a number as it is and without leading zeros."""
    if word in STOP_WORDS:
        return (word,)
    if word.isdigit():
        return (word,) if word == (short := word.lstrip("0") or "0") else (word, short)
    if not word.isascii():
        for letters, stemmer in _OTHER_STEMMERS:
            if letters.search(word):
                return (stemmer.stem_word(word),)
    return (_ENGLISH.stem_word(word),)
