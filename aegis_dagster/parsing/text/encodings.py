"""Turns the bytes of a text into characters, and says how sure it is. Pure; for every format that is text.

A byte-order mark counts first, then a declaration that the bytes do not contradict, then UTF-8, then what reads best in
the languages of `letters.py`, and last what charset-normalizer takes it for. Wrong bytes are replaced and counted;
nothing fails.
"""

import codecs
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from aegis_dagster.parsing.text.letters import ALL_LANGUAGES, CANDIDATES, Reading, read_as

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE: Final = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
# Text of seven bits changes its character set with these sequences.
_SHIFTS: Final = (
    (re.compile(rb"\x1b\$[@B]|\x1b\([IJ]|\x1b\$\(D"), "iso2022_jp_ext"),
    (re.compile(rb"\x1b\$\)C"), "iso2022_kr"),
    (re.compile(rb"~\{(?:[!-}][!-~])+~\}"), "hz"),
)
# What is written under a name that promises less (WHATWG, Encoding, 4.2).
_REALLY: Final = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "shift_jis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "utf-8-sig": "utf-8",
    "utf-16": "utf-16-be",  # RFC 2781, 4.3, where there is no mark
    "utf-32": "utf-32-be",
    "iso2022_jp": "iso2022_jp_ext",
}
_LABELS: Final = {"x-sjis": "cp932", "x-gbk": "gb18030", "ks_c_5601-1987": "cp949", "unicode": "utf-16-le"}
_NO_ENCODINGS: Final = frozenset({"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "charmap"})
_KNOWN_AS: Final = {"cp932": "Shift_JIS", "cp949": "EUC-KR", "mac_roman": "Macintosh", "iso2022_jp_ext": "ISO-2022-JP"}

_DECLARED: Final = re.compile(
    rb"""<\?xml[^>]{0,200}?\bencoding\s*=\s*["']?(?P<xml>[\w.:-]{1,40})"""
    rb"""|<meta\b[^>]{0,500}?\bcharset\s*=\s*["']?\s*(?P<meta>[\w.:-]{1,40})""",
    re.IGNORECASE,
)
_DECLARED_WITHIN: Final = 4096
_COMMENT: Final = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)

_SAMPLE: Final = 4096
_WINDOWS: Final = 32
_FIRST_LOOK: Final = 512  # bytes, after which only the best are compared further
_BEST: Final = 6
_HIGH: Final = re.compile(rb"[\x80-\xff]")
_LEGIBLE: Final = -9.3  # the mean score of a character, below which the letters make no sense
_FLUENT: Final = -5.0  # above which they are those of a language
_ENOUGH: Final = 8  # characters to doubt a declaration
_BETTER: Final = 1.5  # how much higher the mean of another encoding is to doubt it
_MARGIN: Final = 3.0  # how much better than any other text the best reads where it is sure
_NEARLY_ALL: Final = 4  # well-formed characters of UTF-8 for each byte that is not
_MAX_REPLACED: Final = 0.005  # of the bytes, in a declared encoding
_CONTROLS: Final = bytes(sorted({*range(0x20), 0x7F} - set(b"\t\n\x0b\x0c\r\x1a\x1b")))
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]{0,32}[ -/]{0,4}[@-~]|[ -/]{0,4}[0-~])?")
_CONTROL: Final = re.compile(f"[{re.escape(_CONTROLS.decode())}\x1a]")
_MAX_CONTROLS: Final = 0.02
_MAX_CONTROLS_UTF8: Final = 0.05  # what is well-formed is hardly chance
_MAX_ODD: Final = 0.05  # of the characters of a text with a mark: unassigned ones, marks of direction, controls


@dataclass(frozen=True, slots=True)
class Decoded:
    """The text of some bytes."""

    text: str
    encoding: str  # as people know it: "UTF-8", "windows-1252"
    replaced: int  # places where bytes have no meaning; the text has U+FFFD there
    certain: bool  # whether no other encoding gives a text that reads as well
    declared: str = ""  # the encoding that the file names
    contradicted: bool = False  # whether the bytes are in another than that

    def warnings(self) -> tuple[str, ...]:
        """What a person should know about the reading."""
        found = []
        if self.contradicted:
            found.append(
                f"The file names {self.declared} as its encoding, but is not in it; it was read as {self.encoding}."
            )
        elif not self.certain:
            found.append(
                f"The text names no encoding and fits more than one; it was read as {self.encoding}. "
                "If words look wrong, save it as UTF-8."
            )
        elif not self.declared and not self.encoding.startswith("UTF"):
            found.append(f"The text is not UTF-8; it was read as {self.encoding}.")
        if self.replaced:
            places = "place holds" if self.replaced == 1 else "places hold"
            found.append(f"{self.replaced:,} {places} bytes that are not {self.encoding}; a � stands there.")
        return tuple(found)


def decode(data: bytes, declared: str | None = None) -> Decoded:
    """The text of the bytes. `declared`: the encoding that their surroundings name (a mail's part, a page's head)."""
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return _decoded(data[len(mark) :], codec, certain=True)
    named = codec_of(declared) if declared else None
    if declared and named and _bears_out(data, named):
        return _decoded(data, named, certain=True, declared=declared)
    found, certain = _detect(data)
    contradicted = named is not None and not data.isascii()
    if found == "mixed":
        return _decode_lines(data, declared or "", contradicted)
    return _decoded(data, found or "cp1252", certain=certain, declared=declared or "", contradicted=contradicted)


def without_controls(text: str) -> tuple[str, list[int]]:
    """The text without the control characters that no text has, and the numbers of the lines that had some.

    The colours of a terminal go too, and are no trouble to tell of.
    """
    text = _ESCAPES.sub("", text)
    if not _CONTROL.search(text):
        return text, []
    lines = re.split(r"\r\n|[\r\n]", text)
    return _CONTROL.sub("", text), [number for number, line in enumerate(lines, 1) if _CONTROL.search(line)]


def declared_in(data: bytes) -> str | None:
    """The encoding that a page or an XML file names at its beginning, outside of comments."""
    found = _DECLARED.search(_COMMENT.sub(b"", data[:_DECLARED_WITHIN]))
    return (found["xml"] or found["meta"]).decode("ascii") if found else None


def is_text(data: bytes) -> bool:
    """Whether the bytes are a text in some encoding: hardly any control characters, and letters that make sense."""
    if any(data.startswith(mark) for mark, _ in _MARKS):
        text = decode(data[: 2 * _SAMPLE]).text
        return sum(char == "�" or not (char.isprintable() or char.isspace()) for char in text) <= len(text) * _MAX_ODD
    if not _has_few_controls(data):
        return (b"\0" in data and _wide(data) is not None) or _shifted(data) is not None
    return _detect(data)[0] is not None or codec_of(declared_in(data) or "") is not None


def codec_of(label: str) -> str | None:
    """Python's codec for the name of an encoding; None for a name of none."""
    name = label.strip().strip("\"'").lower()
    try:
        codec = codecs.lookup(_LABELS.get(name, name)).name
        "".encode(codec)
    except (LookupError, ValueError):  # unknown, or one from bytes to bytes
        return None
    return None if codec in _NO_ENCODINGS else _REALLY.get(codec, codec)


def _decoded(data: bytes, codec: str, *, certain: bool, declared: str = "", contradicted: bool = False) -> Decoded:
    text = data.decode(codec, "replace")
    replaced = text.count("�")
    if replaced and codec == "utf-8":
        replaced -= data.count("�".encode())  # those that the file itself has
    return Decoded(text, _known_as(codec), replaced, certain, declared, contradicted)


def _known_as(codec: str) -> str:
    if codec in _KNOWN_AS:
        return _KNOWN_AS[codec]
    if codec in _WIDE:
        return codec[:6].upper()
    if re.fullmatch(r"cp(?:125\d|874)", codec):
        return f"windows-{codec[2:]}"
    return codec.replace("iso8859", "iso-8859").replace("_", "-").upper()


def _has_few_controls(data: bytes) -> bool:
    few = _MAX_CONTROLS_UTF8 if _is_utf8(data) else _MAX_CONTROLS
    return len(data) - len(data.translate(None, _CONTROLS)) <= max(1, len(data) * few)


def _bears_out(data: bytes, codec: str) -> bool:
    """Whether the bytes may be in the encoding that is declared for them."""
    if codec in _WIDE:
        return (b"\0" in data or not data.isascii()) and _read(_sample(data), codec).mean > _LEGIBLE
    if data.isascii():
        return True
    if codec == "utf-8":
        return _nearly_utf8(data)
    sample = _sample(data)
    declared = _read(sample, codec)
    if _is_utf8(data):
        return declared.mean >= _read(sample, "utf-8").mean
    if data.decode(codec, "replace").count("�") > len(data) * _MAX_REPLACED + 1:
        return False
    if declared.characters < _ENOUGH:
        return True
    found, certain = _detect(data)
    better = max(_FLUENT, declared.mean + _BETTER)
    return not (found and certain and found != "mixed" and _read(sample, found).mean > better)


def _read(sample: bytes, codec: str) -> Reading:
    return read_as(sample.decode(codec, "replace"), ALL_LANGUAGES)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _utf8_characters(data: bytes) -> tuple[int, int]:
    """How many characters beyond ASCII are well-formed UTF-8, and how many bytes are not."""
    well_formed = len(data.decode("utf-8", "ignore"))
    wrong = len(data.decode("utf-8", "surrogateescape")) - well_formed
    return well_formed - len(data.translate(None, bytes(range(0x80, 0x100)))), wrong


def _nearly_utf8(data: bytes) -> bool:
    if _is_utf8(data):
        return True
    good, wrong = _utf8_characters(data)
    return good >= wrong * _NEARLY_ALL


def _detect(data: bytes) -> tuple[str | None, bool]:
    """The codec that fits best and whether no other does: "mixed" where lines differ, None if nothing fits."""
    if b"\0" in data and (wide := _wide(data)):
        return wide, True
    if shifted := _shifted(data):
        return shifted, True
    if _nearly_utf8(data):
        return "utf-8", True
    good, wrong = _utf8_characters(data)
    if good >= 2 and good * 2 >= wrong and b"\n" in data:
        return "mixed", False
    return _by_letters(data)


def _shifted(data: bytes) -> str | None:
    """The encoding of seven bits, if it is one."""
    if (b"\x1b" not in data and b"~{" not in data) or not data.isascii():
        return None
    for pattern, codec in _SHIFTS:
        if pattern.search(data) and "�" not in data.decode(codec, "replace"):
            return codec
    return None


def _wide(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, told by the zero bytes of ASCII or by what the words are."""
    sample = data[:_SAMPLE]
    if sample.count(0) < len(sample) * 0.02 and _is_utf8(data):
        return None
    readings = []
    for codec in _WIDE:
        width = 4 if "32" in codec else 2
        text = sample[: len(sample) // width * width].decode(codec, "replace")
        if _is_plausible(text):
            readings.append((read_as(text, ALL_LANGUAGES), codec))
    if not readings:
        return None
    best, codec = max(readings, key=lambda reading: reading[0].mean)
    return codec if best.mean > _LEGIBLE else None


def _is_plausible(text: str) -> bool:
    """Whether Latin letters, if there are any, are mostly those of ASCII: numbers of two bytes make others too."""
    ascii_letters = sum("a" <= char.lower() <= "z" for char in text)
    return sum("\x80" <= char < "\u0370" for char in text) <= ascii_letters


def _by_letters(data: bytes) -> tuple[str | None, bool]:
    """The encoding whose text reads best."""
    return _best_of_sample(_sample(data))


@lru_cache(maxsize=2)  # a text is first looked at, then read
def _best_of_sample(sample: bytes) -> tuple[str | None, bool]:
    tried = list(CANDIDATES)
    if len(sample) <= _FIRST_LOOK and not len(sample) % 2:  # Chinese in UTF-16 may have no zero byte
        tried += [(codec, -4.0, ALL_LANGUAGES) for codec in _WIDE[:2]]
    readings = _compare(sample[:_FIRST_LOOK], tried)
    if len(sample) > _FIRST_LOOK:
        best = {codec for _, codec, *_ in readings[:_BEST]}
        readings = _compare(sample, [candidate for candidate in tried if candidate[0] in best])
    score, codec, text, mean = readings[0]
    if mean < _LEGIBLE:
        return _by_normalizer(sample), False
    other = next((reading[0] for reading in readings if reading[2] != text), score - _MARGIN)
    return codec, score - other >= _MARGIN


def _compare(sample: bytes, candidates: list[tuple[str, float, dict[str, str]]]) -> list[tuple[float, str, str, float]]:
    """Score, codec, text and mean of each candidate, the best first."""
    readings = []
    for codec, prior, languages in candidates:
        text = sample.decode(codec, "replace")
        reading = read_as(text, languages)
        readings.append((reading.score + prior, codec, text, reading.mean))
    return sorted(readings, key=lambda reading: reading[0], reverse=True)


def _by_normalizer(sample: bytes) -> str | None:
    """What charset-normalizer takes it for: it knows encodings of more languages than `letters.py`."""
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_exclusion=["utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_7"]).best()
    return codecs.lookup(best.encoding).name if best else None


def _sample(data: bytes) -> bytes:
    """The bytes, or of many the lines that are not ASCII, from everywhere in the file."""
    if len(data) <= _SAMPLE:
        return data
    size = _SAMPLE // _WINDOWS
    windows: dict[int, bytes] = {}
    seen = -1
    for at in range(0, len(data), max(1, len(data) // _WINDOWS)):
        if at <= seen:
            continue
        high = _HIGH.search(data, at)
        if high is None:
            break
        seen = high.start()
        start = max(data.rfind(b"\n", max(0, high.start() - size), high.start()) + 1, high.start() - size, 0)
        end = data.find(b"\n", high.end(), start + 2 * size)
        windows.setdefault(start, data[start : end if end > 0 else start + 2 * size])
    return b"\n".join(windows.values())


def _decode_lines(data: bytes, declared: str, contradicted: bool) -> Decoded:
    """Lines that are UTF-8 as UTF-8, and the others as what they are together."""
    lines = data.split(b"\n")
    others = b"\n".join(line for line in lines if not _is_utf8(line))
    codec = _by_letters(others)[0] or "cp1252"
    if codec in _WIDE:
        codec = "cp1252"
    text = "\n".join(line.decode("utf-8" if _is_utf8(line) else codec, "replace") for line in lines)
    encoding = f"UTF-8 and, in some lines, {_known_as(codec)}"
    return Decoded(text, encoding, text.count("�") - data.count("�".encode()), False, declared, contradicted)
