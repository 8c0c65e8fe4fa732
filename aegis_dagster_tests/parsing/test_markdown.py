"""Markdown is read as its page would be: the same tree as marko's, the same document as docling's, in less time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from marko import Markdown
from marko.ext.gfm import elements
from marko.helpers import MarkoExtension
from marko.parser import Parser
from marko.source import Source

from aegis_dagster.domain.left_out import LeftOut
from aegis_dagster.parsing.web import markdown
from aegis_dagster.parsing.web.markdown import read_markdown
from aegis_dagster.parsing.web.markdown_document import document_of
from aegis_dagster.parsing.web.markdown_runs import BREAK, Run, joined, runs_of
from aegis_dagster.parsing.web.reader import document_of_page
from aegis_dagster_tests.support.markdown_texts import markdown_texts
from aegis_dagster_tests.support.places import CORPORA
from scripts.benchmark_phases.files import write_files

GENERATED = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=100)


def of_tree(text: str) -> tuple[str, list[LeftOut]] | None:
    """The document that is made without a page, of which nothing is left out; None where only a page has one."""
    document = document_of(read_markdown(text), "0123.md")
    return None if document is None else (document.model_dump_json(exclude_none=True, by_alias=True), [])


def of_page(text: str) -> tuple[str, list[LeftOut]]:
    """The document of the page, and what is left out of it."""
    document, left_out = document_of_page(read_markdown(text).to_html(), "0123.md")
    return document.model_dump_json(exclude_none=True, by_alias=True), left_out


class _AskedParagraph(markdown._Paragraph):
    """A paragraph that every kind of block may end, as marko has it."""

    @classmethod
    def get_type(cls, snake_case: bool = False) -> str:
        return "paragraph" if snake_case else "Paragraph"

    @classmethod
    def break_paragraph(cls, source: Source, lazy: bool = False) -> bool:
        asked: Any = elements.Paragraph.break_paragraph
        return bool(asked.__func__(cls, source, lazy)) or cls.is_followed(source)


def tree(element: Any) -> Any:
    """An element's kind, fields and children, but for places in the text."""
    fields = (
        "level",
        "lang",
        "ordered",
        "start",
        "tight",
        "_tight",
        "checked",
        "soft",
        "dest",
        "title",
        "label",
        "body",
    )
    children = getattr(element, "children", None)
    below = [tree(child) for child in children] if isinstance(children, list | tuple) else children
    return element.get_type(), [getattr(element, field, None) for field in fields], below


def marko_s_tree(text: str) -> Any:
    closed = {found["name"].lower() for found in markdown._TAG.finditer(text) if found["slash"]}
    extensions = [markdown._extension(closed), MarkoExtension(elements=[_AskedParagraph])]
    return tree(Markdown(parser=Parser, extensions=extensions).parse(text))


@pytest.fixture(scope="module")
def peps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    folder = tmp_path_factory.mktemp("peps") / "files"
    write_files(folder, 24)
    yield [file.read_text("utf-8") for file in sorted(folder.iterdir())]


@GENERATED
@given(markdown_texts())
def test_any_text_has_marko_s_tree_and_its_page_s_document(text: str) -> None:
    try:
        found = read_markdown(text).root
    except RecursionError:
        return  # marko would find the same block for ever
    if not markdown._FRONT_MATTER.match(text) and not markdown._LONG_LINE.search(text):
        assert tree(found) == marko_s_tree(text)
    assert of_tree(text) in (None, of_page(text))


def test_pieces_of_peps_have_marko_s_tree(peps: list[str]) -> None:
    assert [tree(read_markdown(text).root) for text in peps] == [marko_s_tree(text) for text in peps]


def test_pieces_of_peps_need_no_page(peps: list[str]) -> None:
    assert [of_tree(text) for text in peps] == [of_page(text) for text in peps]


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("> said\nand [^1] more\n", "<blockquote>\n<p>said\nand [^1] more</p>\n</blockquote>\n"),
        ("[^1]:\tnote\n\n> [^2]:\tother\n", "<p>[1] note</p>\n<blockquote>\n<p>[2] other</p>\n</blockquote>\n"),
    ],
)
def test_notes_at_which_marko_stands_still_are_read(text: str, html: str) -> None:
    assert read_markdown(text).to_html() == html


def test_a_line_after_a_quotation_that_is_nearly_a_table_is_kept() -> None:
    assert read_markdown("> said\nb | c\nlast\n").to_html() == "<blockquote>\n<p>said\nb | c\nlast</p>\n</blockquote>\n"


@pytest.mark.parametrize("file", sorted((CORPORA / "documents").glob("*.md")), ids=lambda file: file.name)
def test_documents_of_other_people_are_read_as_their_pages(file: Path) -> None:
    text = file.read_text("utf-8")
    assert of_tree(text) in (None, of_page(text))


@pytest.mark.parametrize("text", ["one <b>two</b>", "![alt](a.png)", "| a |\n|---|\n| 1 |", "---\nb: c\n---\n\ntext"])
def test_what_only_a_page_shows_is_read_from_one(text: str) -> None:
    assert document_of(read_markdown(text), "0123.md") is None


def test_a_paragraph_of_very_many_runs_is_read_in_one_pass() -> None:
    verse = 100_000  # a quadratic reading would take minutes
    runs = joined([each for _ in range(verse) for each in (Run("a line"), Run(BREAK))] + [Run("end", code=True)])
    assert runs == [Run(" ".join([f"a line {BREAK}"] * verse)), Run("end", code=True)]


def test_texts_beside_emphasis_in_a_word_are_one() -> None:
    paragraph = read_markdown("a*b*c **d**e `f` *g*\n").root.children[0]
    code, emphasised = Run("f", code=True), Run("g", frozenset({"italic"}))
    assert runs_of(paragraph.children) == [Run("abc de"), code, emphasised]
