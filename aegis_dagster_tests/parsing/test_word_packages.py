"""Word files as they come: templates, the strict variant, damaged ones."""

import io
import zipfile
from collections.abc import Callable

import pytest

from aegis_dagster.parsing.word import reader as word
from aegis_dagster_tests.support.bad_files import picture
from aegis_dagster_tests.support.chunked_documents import chunk_document
from aegis_dagster_tests.support.word_files import (
    MAIN_TYPES,
    cell,
    chunked_text,
    control,
    heading,
    level,
    notes,
    numbered,
    numbering,
    par,
    read_word,
    reference,
    row,
    run,
    table,
    word_file,
)

WORK = 'w:id="1" w:author="Ada"'


@pytest.mark.parametrize("suffix", MAIN_TYPES)
def test_templates_and_files_with_macros_are_read(suffix: str) -> None:
    parsed = read_word(
        word_file(par("Pennycress clause."), main_type=MAIN_TYPES[suffix], parts={"vbaProject.bin": b"x"})
    )
    assert chunk_document(parsed.document).texts == ["Pennycress clause."]
    assert parsed.warnings == ()


def test_strict_files_are_read() -> None:
    data = word_file(
        table(row("a", par(control(run("Pennycress")))), row("b", "c")) + par(run("Cited") + reference("footnote", 10)),
        parts=notes("footnote", "Sorrel treaty."),
    )
    text = chunked_text(rewritten(data, lambda _, content: as_strict(content)))
    assert "Pennycress" in text and "[Footnote 1: Sorrel treaty.]" in text


def as_strict(content: bytes) -> bytes:
    for name in ("wordprocessingml", "officeDocument", "drawingml"):
        host = f"http://schemas.openxmlformats.org/{name}/2006"
        content = content.replace(host.encode(), f"http://purl.oclc.org/ooxml/{name}".encode())
    return content


def rewritten(data: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "changes",
    [
        {b"<w:": b"<ns0:", b"</w:": b"</ns0:", b" w:": b" ns0:", b"xmlns:w=": b"xmlns:ns0="},
        {b'<w:b w:val="1"/>': b'<w:b w:val="x"/>'},
        {b'<w:u w:val="single"/>': b'<w:u w:val="x"/>'},
    ],
    ids=["another prefix", "a switch that is neither on nor off", "an unknown line"],
)
def test_unusual_names_and_unknown_values_do_no_harm(changes: dict[bytes, bytes]) -> None:
    def change(_: str, content: bytes) -> bytes:
        for usual, other in changes.items():
            content = content.replace(usual, other)
        return content

    formatted = par(run("Sorrel", '<w:b w:val="1"/><w:u w:val="single"/>'))
    data = word_file(numbered("Pennycress", 1) + formatted, numbering=numbering(level(0, "%1.")))
    text = chunked_text(rewritten(data, change))
    assert "1. Pennycress" in text and "Sorrel" in text


def test_an_included_word_file_keeps_its_headings_and_numbers() -> None:
    inner = word_file(heading("Annex") + numbered("First clause", 1), numbering=numbering(level(0, "§ %1")))
    data = word_file(
        par("Before.") + '<w:altChunk r:id="x"/>' + par("Behind."),
        parts={"a.docx": inner},
        links=[("x", "aFChunk", "a.docx")],
    )
    chunks = chunk_document(read_word(data).document).chunks
    assert [(chunk.headings, chunk.text) for chunk in chunks] == [
        ((), "Before."),
        (("Annex",), "§ 1 First clause\nBehind."),
    ]


def test_word_files_in_each_other_are_read_to_a_depth_and_then_named() -> None:
    data = word_file(par("Innermost."))
    for number in range(5):
        name = f"a{number}.docx"
        body = par(f"Level {number}.") + '<w:altChunk r:id="x"/>'
        data = word_file(body, parts={name: data}, links=[("x", "aFChunk", name)])
    parsed = read_word(data)
    text = "\n".join(chunk_document(parsed.document).texts)
    assert "Level 4." in text and "Level 1." in text and "Level 0." not in text
    assert "[Embedded file: a1.docx]" in text and "a1.docx" in parsed.warnings[0]


def test_a_damaged_part_costs_that_part() -> None:
    section = '<w:sectPr><w:headerReference w:type="default" r:id="header1"/></w:sectPr>'
    data = word_file(
        par(run("Kept text") + reference("footnote", 10)) + section,
        parts={"footnotes.xml": b"\x00\x01 no xml", "header1.xml": b"", "p.png": picture("PNG")},
        links=[("gone", "image", "NULL"), ("p", "image", "p.png")],
    )
    parsed = read_word(data)
    assert "Kept text" in "\n".join(chunk_document(parsed.document).texts)
    assert all(any(name in warning for warning in parsed.warnings) for name in ("footnotes.xml", "header1.xml"))


def test_of_a_cut_main_part_the_text_before_the_cut_is_read() -> None:
    data = word_file("".join(par(f"Paragraph {number}.") for number in range(50)))
    cut = rewritten(
        data, lambda name, content: content[: len(content) // 2] if name == "word/document.xml" else content
    )
    parsed = read_word(cut)
    assert "Paragraph 0." in "\n".join(chunk_document(parsed.document).texts)
    assert any("word/document.xml is damaged" in warning for warning in parsed.warnings)


def test_equal_files_give_equal_documents() -> None:
    data = word_file(par("Text.") + table(row("a", cell("b")[6:-7]), row("c", "d")))
    assert read_word(data).document == read_word(data).document
    assert word.settle(data) == word.settle(data)


def test_a_file_that_cannot_be_settled_is_read_by_docling_with_a_warning() -> None:
    stray = b'</w:body><w:vertAlign w:val="superscript"/>'
    data = word_file(par("Kept text."))
    parsed = read_word(rewritten(data, lambda _, content: content.replace(b"</w:body>", stray)))
    assert chunk_document(parsed.document).texts == ["Kept text."]
    assert parsed.warnings[0].startswith("The document's parts could not be settled (AttributeError)")
