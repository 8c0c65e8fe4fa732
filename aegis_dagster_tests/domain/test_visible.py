"""What cannot be seen is made visible; what people write stays as it is."""

import json
import unicodedata

import pytest

from aegis_dagster.domain.visible import visible, visible_json, visible_lines

FORMATS = [
    chr(code)
    for code in range(0x110000)
    if unicodedata.category(chr(code)) in ("Cc", "Cs", "Zl", "Zp")
    or (unicodedata.category(chr(code)) == "Cf" and unicodedata.bidirectional(chr(code)) in ("BN", "LRE", "RLE", "PDF"))
]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("\x1b]8;;http://evil\x07x", "\\x1b]8;;http://evil\\x07x"),
        ("\x9b31m\x7f", "\\x9b31m\\x7f"),
        ("two\nlines\tand\r", "two\\nlines\\tand\\r"),
        ("fdp.\u202eexe", "fdp.<U+202E>exe"),
        ("in\u00advoice\u200b", "in<U+00AD>voice<U+200B>"),
        ("\U000e0041", "<U+E0041>"),
        ("na\udcffme", "na\\xffme"),
        ("a\u2028b", "a<U+2028>b"),
    ],
)
def test_what_acts_or_hides_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_every_control_and_every_surrogate_is_written_out() -> None:
    assert len(FORMATS) > 2_000
    assert [f"{ord(one):04X}" for one in FORMATS if one in visible(f"a{one}b")] == []


@pytest.mark.parametrize(
    "text",
    ["Zürich, 12 €", "نامه\u200cها", "क्\u200dष", "👩\u200d💻 ❤\ufe0f", "日本語", "a\\x1b", "naïve\u0301"],
)
def test_what_people_write_stays(text: str) -> None:
    assert visible(text) == text


def test_a_selector_after_a_selector_hides_something() -> None:
    assert visible("❤\ufe0f\ufe0f\ufe01") == "❤\ufe0f<U+FE0F><U+FE01>"


def test_a_body_keeps_its_lines() -> None:
    assert visible_lines("a\tb\r\nc\x1b\rd") == "a\tb\nc\\x1b\\rd"


def test_json_shows_everything_and_parses_to_the_same() -> None:
    values = {"name": "-".join(FORMATS) + 'ü\n\t"\\ \u00ad\ufe0f\u3164'}
    text = visible_json(values)
    assert json.loads(text) == values
    assert [one for one in FORMATS if one in text] == []
    assert "ü" in text and "\n" not in text
