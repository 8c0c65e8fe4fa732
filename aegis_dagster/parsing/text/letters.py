"""How well a decoded text reads: what each language's letters are, and how likely a text is one of them. Pure.

The right encoding of a text is the one whose letters make sense: `für` and not `f³r`. Only characters beyond ASCII are
judged, by how often their language writes them and by what stands beside them, so that a dozen of them are enough.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_LETTERS: Final = 0.9  # the share of letters among the characters beyond ASCII
_COMMON_MARK: Final = math.log(0.005)
_IN_PLACE: Final = math.log(0.3)  # where it is usual: as likely as a letter, which it may be in another encoding
_MARK: Final = math.log(0.001)
_LINE: Final = math.log(0.03)  # beside another of its kind, as in the frame of a table
_STRANGE: Final = math.log(0.00005)
_BROKEN: Final = -14.0  # no character at all: unassigned, a control, or replaced
_CAPITAL: Final = math.log(0.1)
_MISPLACED: Final = -5.0

_COMMON_MARKS: Final = frozenset("€„“”‘’–—…«»°§ \ufeff")
_MARKS: Final = frozenset("‚‹›©®™·•²³µ±×÷½¼¾£¥¡¿ªº†№\xad\u200e\u200f\u200b‐−≤≥ΔΩ→←")
_LINES: Final = frozenset("─│┌┐└┘├┤┬┴┼═║╔╗╚╝╠╣╦╩╬░▒▓█■╒╓╕╖╘╙╛╜╞╟╡╢╤╥╧╨╪╫▀▄")
# Where marks stand in a text of ASCII: what may be before and after each.
_ANY, _NO_LETTER, _NO_WORD = r"[\x00-\x7e]", r"[^A-Za-z\x7f-\U0010ffff]", r"[^A-Za-z0-9\x7f-\U0010ffff]"
_PLACES: Final = re.compile(
    rf"{_NO_LETTER}[€£¥¢§¶†½¼¾±×÷©•·Ø]{_NO_LETTER}"
    rf"|{_NO_LETTER}[°µ]{_ANY}|{_NO_LETTER}[¿¡][A-Za-z]|{_ANY}[™®²³…\xad]{_NO_LETTER}|[0-9][ªº]{_NO_LETTER}|[!-~]\xa0[!-~]"
    rf"|[ \n0-9][–—][ \n0-9]|{_NO_WORD}[“‘„«][A-Za-z0-9]|[A-Za-z0-9.,;:!?][”’“»]{_NO_WORD}"
    r"|[A-Za-z]’[sStTdDmMrRvVlL]|[cdjlmnstuCDJLMNSTU]’[aeiouyhAEIOUYHéÉêâàÀôœ]"
)
_WIDE_MARKS: Final = frozenset("。、「」『』（）・：；！？，〈〉《》【】〜～％　…ー")

# The letters of each language beyond ASCII, the most frequent first.
_WEST: Final = {
    "German": "üäöß",
    "French": "éèàêçôîùâûëïœ",
    "Spanish": "óíáéñúü",
    "Portuguese": "ãçáéóêíõâàúô",
    "Italian": "èàùòìé",
    "Catalan": "àéèíóòçúïü",
    "Swedish": "äåöé",
    "Danish": "øåæé",
    "Icelandic": "áíðþóéöúæý",
    "Dutch": "ëéïöüè",
}
_CENTRAL: Final = {
    "Polish": "łęąóżśćńź",
    "Czech": "íáěéčřšžýůúťóďň",
    "Slovak": "áéíčžýšľúťôňďäóĺŕ",
    "Hungarian": "áéöóőíüúű",
    "Croatian": "čšžćđ",
    "Romanian": "ăîâşţșț",
}
_TURKISH: Final = {"Turkish": "ıüşçöğİâî"}
_BALTIC: Final = {"Lithuanian": "ėšųžįąčūę", "Latvian": "āīēšūņļžģčķ", "Estonian": "äõüöšž"}
_CYRILLIC: Final = {
    "Russian": "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",
    "Ukrainian": "оанитіверкслдпумьязгбйчхцїюєшжщфґ",
    "Bulgarian": "аоиетнрсвлкдпмъузгябчцщйхжюшфь",
    "Serbian": "аоиентрсјвкудмплзбгшчћцжхљњђфџ",
}
_GREEK: Final = {"Greek": "αοιετσνηυρπκλμςδωγίθόάήέχφβύώξζψϊϋΐΰ"}
_HEBREW: Final = {"Hebrew": "יוהלאברתשמנםדקעחפטזסגןכצךףץ"}
_ARABIC: Final = {"Arabic": "اليمنتربوعسفدقهكحجةشصطأىءذخضغثزظئإؤآ،؟"}
_THAI: Final = {"Thai": "านรอก่เงม้ยลวดีทัสติปบคหแะจพ์ขืุชใูไ็ผโซถธึณฟศำษญภฐฉๆฎฏฑฒฌฆฮฬ"}

# Of the languages with thousands of characters: the frequent ones, and an encoding whose two-byte codes between the
# two lead bytes are the common ones.
_WIDE: Final[dict[str, tuple[str, str, int, int]]] = {
    "Japanese": ("のにはをたがでてとしれさいるなかまらりこすあっもうけよくきつめ", "euc_jp", 0xB0, 0xCF),
    "Korean": ("이다는에의을가고로한하지를기사은도서자대리인어시수", "euc_kr", 0xB0, 0xC8),
    "Simplified Chinese": (
        "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里",
        "gb2312",
        0xB0,
        0xD7,
    ),
    "Traditional Chinese": (
        "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡",
        "big5",
        0xA4,
        0xC6,
    ),
}
_WIDE_COMMON: Final = math.log(0.45 / 45)
_WIDE_LISTED: Final = {"Korean": math.log(0.5 / 2350), "Japanese": math.log(0.35 / 2965)}
_WIDE_OTHER: Final = math.log(0.5 / 3755)
_WIDE_RARE: Final = math.log(0.000005)
_KANA: Final = math.log(0.15 / 110)
_HALF_WIDTH: Final = math.log(0.1 / 63)
_WIDE_MARK: Final = math.log(0.06 / 12)

# What languages write that is no letter to Unicode: signs of vowels and tones.
_SIGNS: Final = frozenset(char for char in _THAI["Thai"] + _ARABIC["Arabic"] if not char.isalpha())

# Each encoding that is tried, how much less usual it is than the first, and the languages written in it. Of two that
# give the same text the first is taken.
CANDIDATES: Final[tuple[tuple[str, float, dict[str, str]], ...]] = (
    ("cp1252", 0.0, _WEST),
    ("cp1250", -0.5, _CENTRAL),
    ("cp1251", -0.5, _CYRILLIC),
    ("cp932", -1.0, {"Japanese": ""}),
    ("gb18030", -1.0, {"Simplified Chinese": ""}),
    ("big5", -1.0, {"Traditional Chinese": ""}),
    ("cp949", -1.0, {"Korean": ""}),
    ("euc_jp", -1.0, {"Japanese": ""}),
    ("cp1253", -1.0, _GREEK),
    ("cp1254", -1.0, _TURKISH),
    ("cp1255", -1.0, _HEBREW),
    ("cp1256", -1.0, _ARABIC),
    ("cp1257", -1.0, _BALTIC),
    ("cp874", -1.0, _THAI),
    ("koi8-r", -2.0, {"Russian": _CYRILLIC["Russian"]}),
    ("koi8-u", -2.5, {"Ukrainian": _CYRILLIC["Ukrainian"]}),
    ("iso8859-2", -1.0, _CENTRAL),
    ("iso8859-15", -1.5, _WEST),
    ("iso8859-7", -1.5, _GREEK),
    ("iso8859-5", -2.0, _CYRILLIC),
    ("iso8859-6", -2.0, _ARABIC),
    ("iso8859-9", -1.5, _TURKISH),
    ("cp850", -4.0, _WEST),
    ("cp437", -4.0, _WEST),
    ("cp852", -4.0, _CENTRAL),
    ("cp866", -2.0, _CYRILLIC),
    ("cp857", -5.0, _TURKISH),
    ("mac_roman", -4.0, _WEST),
    ("mac_cyrillic", -4.0, _CYRILLIC),
    ("mac_latin2", -5.0, _CENTRAL),
)
ALL_LANGUAGES: Final[dict[str, str]] = {
    **_WEST,
    **_CENTRAL,
    **_TURKISH,
    **_BALTIC,
    **_CYRILLIC,
    **_GREEK,
    **_HEBREW,
    **_ARABIC,
    **_THAI,
    **dict.fromkeys(_WIDE, ""),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How well a text reads in the language that fits it best."""

    score: float  # log-likelihood of all characters beyond ASCII; 0 where there are none
    characters: int  # beyond ASCII, and controls

    @property
    def mean(self) -> float:
        """The score of a character."""
        return self.score / self.characters if self.characters else 0.0


def read_as(text: str, languages: dict[str, str]) -> Reading:
    """How well the text reads in the best of the languages (name -> letters, "" for those with thousands)."""
    seen = [(found, count) for found, count in _neighbours(text).items() if _is_judged(found[1])]
    if not seen:
        return Reading(0.0, 0)
    characters = sum(count for _, count in seen)
    best = -math.inf
    judged: tuple[list[_Letter], float] | None = None
    for name, letters in languages.items():
        if name in _WIDE:
            score = sum(count * _judge_wide(char, name) for (_, char, _), count in seen)
        else:
            judged = judged or _judge_all(seen)
            table, one_script = _table(letters), letters[0] > "\u0370"
            score = judged[1]
            for letter in judged[0]:
                score += letter.count * table.get(letter.char, letter.otherwise)
                if one_script and letter.beside_another:
                    score += letter.count * _MISPLACED
        best = max(best, score)
    return Reading(best, characters)


def _neighbours(text: str) -> Counter[tuple[str, str, str]]:
    """How often each character stands between which two others."""
    return Counter(zip(f" {text}", text, f"{text[1:]} ", strict=False))


def _is_judged(char: str) -> bool:
    return char >= "\x7f" or (char < " " and char not in "\t\n\r\f\v\x1b")


@dataclass(frozen=True, slots=True)
class _Letter:
    """A character that languages judge differently."""

    char: str
    count: int
    beside_another: bool  # script, or twice itself
    otherwise: float  # its log-likelihood in a language that does not have it


def _judge_all(seen: list[tuple[tuple[str, str, str], int]]) -> tuple[list[_Letter], float]:
    """The letters, and the log-likelihood of all other characters together."""
    letters: list[_Letter] = []
    others = 0.0
    for (before, char, after), count in seen:
        if char == "�" or char < " " or not (char.isprintable() or char.isspace() or char in _MARKS):
            others += count * _BROKEN
        elif _PLACES.fullmatch(before + char + after):
            others += count * _IN_PLACE
        elif char.isalpha() or char in _SIGNS:
            another = _is_latin(before) or _is_latin(after) or before == char == after
            letters.append(_Letter(char, count, another, _STRANGE))
            if char.isupper() and before.isalpha() and not before.isupper():
                others += count * _MISPLACED
        else:
            others += count * _judge_mark(char, before, after)
    return letters, others


def _judge_mark(char: str, before: str, after: str) -> float:
    if char in _LINES:
        return _LINE if char in (before, after) else _MARK if not (before.isalpha() or after.isalpha()) else _STRANGE
    between = before.isalpha() and after.isalpha()
    if char in _COMMON_MARKS:
        return _COMMON_MARK if not between or char in "’–—…\ufeff" else _STRANGE
    return _MARK if char in _MARKS and not between else _STRANGE


@lru_cache(maxsize=64)
def _table(letters: str) -> dict[str, float]:
    """The log-likelihood of each letter: the last of an alphabet is about 20 times rarer than the first."""
    weights = [math.exp(-3.0 * rank / len(letters)) for rank in range(len(letters))]
    small = {char: math.log(_LETTERS * weight / sum(weights)) for char, weight in zip(letters, weights, strict=True)}
    capitals = {char.upper(): score + _CAPITAL for char, score in small.items() if len(char.upper()) == 1}
    return capitals | small


@lru_cache(maxsize=20_000)
def _judge_wide(char: str, language: str) -> float:
    common, encoding, first, last = _WIDE[language]
    if char in common:
        return _WIDE_COMMON
    if char in _WIDE_MARKS:
        return _WIDE_MARK
    if language == "Japanese" and "\u3041" <= char <= "\u30fe":
        return _KANA
    if language == "Japanese" and "\uff61" <= char <= "\uff9f":
        return _HALF_WIDTH
    if "\uff01" <= char <= "\uff5e":  # full-width letters and digits
        return _MARK
    try:
        code = char.encode(encoding)
    except UnicodeEncodeError:
        return _WIDE_RARE
    if len(code) == 2 and first <= code[0] <= last:
        return _WIDE_LISTED.get(language, _WIDE_OTHER)
    return _STRANGE - 1.0 if len(code) == 2 and char.isalpha() else _STRANGE


def _is_latin(char: str) -> bool:
    return char.isalpha() and char < "\u0370"
