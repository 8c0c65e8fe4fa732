"""Reads captions and subtitles: WebVTT and SubRip. Each cue keeps its times, its name and who speaks.

docling's reader loses notes and the names of cues, and takes no SubRip.
"""

import html
import re
from typing import Any, Final

from aegis_dagster.parsing.markup.building import Builder, clean
from aegis_dagster.parsing.readers import Parsed
from aegis_dagster.parsing.text.encodings import decode

_ROUTE: Final = "markup"
_TIMES = re.compile(r"\s*((?:\d+:)?\d+:\d+[.,]\d+)\s*-->\s*((?:\d+:)?\d+:\d+[.,]\d+)")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s+([^<>]*)>")
_TAG = re.compile(r"</?(?:[a-z]+|\d[\d:.]*)(?:[.\s][^<>]*)?/?>", re.IGNORECASE)
_PLACE = re.compile(r"\{\\an?\d\}")  # SubRip's place on the screen
_PARAGRAPH: Final = 800  # characters, after which a new paragraph begins
_UNSEEN: Final = ("STYLE", "REGION")  # how cues look, not what they say


def read(data: bytes, *, name: str, kind: str, options: dict[str, Any]) -> Parsed:
    """The document of a file of captions, as `readers.Reader` has it."""
    decoded = decode(data)
    warnings = decoded.warnings()
    builder = Builder(name)
    cues: list[str] = []
    for number, block in enumerate(_blocks(decoded.text)):
        if number == 0 and block[0].lstrip("\ufeff").startswith("WEBVTT"):
            builder.title(block[0].lstrip("\ufeff").removeprefix("WEBVTT").strip(" \t-"))
            builder.paragraph("\n".join(block[1:]))
            continue
        at = next((line for line in range(min(len(block), 2)) if _TIMES.match(block[line])), None)
        if at is not None:
            cues.append(_cue(block, at))
            if sum(map(len, cues)) < _PARAGRAPH:
                continue
        builder.paragraph("\n".join(cues))
        cues = []
        if at is None and block[0].strip() not in _UNSEEN:
            builder.paragraph("\n".join(block))
    builder.paragraph("\n".join(cues))
    return Parsed(builder.document, _ROUTE, warnings)


def _blocks(text: str) -> list[list[str]]:
    """The runs of lines between empty ones."""
    blocks: list[list[str]] = [[]]
    for line in re.split(r"\r\n|\r|\n", text):
        if line.strip():
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def _cue(block: list[str], at: int) -> str:
    """Times, name and words of a cue on one line, a line for each further voice."""
    match = _TIMES.match(block[at])
    assert match is not None
    named = f"{block[0].strip()}: " if at == 1 and not block[0].strip().isdecimal() else ""
    words = _VOICE.sub(lambda voice: f"\n{voice[1].strip()}: ", "\n".join(block[at + 1 :]))
    said = clean(html.unescape(_PLACE.sub("", _TAG.sub("", words))))
    return f"[{match[1]} --> {match[2]}] {named}{said}"
