"""The numbers of headings, clauses and lists in Word files."""

import pytest

from aegis_dagster_tests.support.chunked_documents import chunk_document
from aegis_dagster_tests.support.word_files import (
    STYLES,
    chunked_text,
    heading,
    level,
    numbered,
    numbering,
    par,
    read_word,
    word_file,
)

WORK = 'w:id="1" w:author="Ada"'


def test_headings_and_clauses_have_the_numbers_that_the_text_refers_to() -> None:
    style = '<w:outlineLvl w:val="{0}"/><w:numPr><w:ilvl w:val="{0}"/><w:numId w:val="1"/></w:numPr>'
    styles = STYLES
    for index in (0, 1):
        styles = styles.replace(f'<w:outlineLvl w:val="{index}"/>', style.format(index))
    levels = (
        level(0, "Article %1", "upperRoman") + level(1, "%1.%2", more="<w:isLgl/>") + level(2, "(%3)", "lowerLetter")
    )
    body = heading("Scope") + heading("Goods", 2) + heading("Payment") + heading("Price", 2) + heading("Terms", 2)
    body += numbered("in cash", 1, 2) + numbered("by card", 1, 2) + par("See 2.2.")
    data = word_file(body, styles=styles, numbering=numbering(levels))
    chunks = chunk_document(read_word(data).document).chunks
    assert chunks[-1].headings == ("Article II Payment", "2.2 Terms")
    assert (
        chunks[-1].text == "- (a) in cash\n- (b) by card\n\nSee 2.2."
        or "- (a) in cash\n- (b) by card" in chunks[-1].text
    )


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("decimal", "3"),
        ("decimalZero", "03"),
        ("upperRoman", "III"),
        ("lowerRoman", "iii"),
        ("upperLetter", "C"),
        ("lowerLetter", "c"),
        ("ordinal", "3rd"),
        ("chineseCounting", "三"),
    ],
)
def test_formats_of_numbers(form: str, shown: str) -> None:
    body = "".join(numbered(text, 1) for text in ("one", "two", "three"))
    assert f"{shown}) three" in chunked_text(word_file(body, numbering=numbering(level(0, "%1)", form))))


def test_a_list_goes_on_after_other_text_and_starts_anew_where_it_says_so() -> None:
    restart = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="7"/></w:lvlOverride>'
    levels = level(0, "%1.") + level(1, "%1.%2.") + level(2, "%3;", more='<w:lvlRestart w:val="0"/>')
    body = numbered("a", 1) + numbered("b", 1, 1) + numbered("c", 1, 2) + par("Between.") + numbered("d", 1)
    body += numbered("e", 1, 1) + numbered("f", 1, 2) + numbered("g", 2) + numbered("h", 2, 1) + numbered("i", 1)
    lines = chunked_text(word_file(body, numbering=numbering(levels, restart))).splitlines()
    shown = [line.strip(" -") for line in lines]
    assert shown == ["1. a", "1.1. b", "1; c", "Between.", "2. d", "2.1. e", "2; f", "7. g", "7.1. h", "8. i"]


def test_bullets_have_no_number() -> None:
    body = numbered("first", 1) + numbered("second", 1)
    assert chunked_text(word_file(body, numbering=numbering(level(0, "\uf0b7", "bullet")))) == "- first\n- second"


def test_deleted_paragraphs_are_not_counted() -> None:
    gone = numbered("", 1).replace("</w:p>", f"<w:del {WORK}><w:r><w:delText>b</w:delText></w:r></w:del></w:p>")
    gone = gone.replace("<w:pPr>", f"<w:pPr><w:rPr><w:del {WORK}/></w:rPr>")
    text = chunked_text(word_file(numbered("a", 1) + gone + numbered("c", 1), numbering=numbering(level(0, "%1."))))
    assert text == "1. a\n2. c"
