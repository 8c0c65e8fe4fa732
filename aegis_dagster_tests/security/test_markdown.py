"""What a document says does nothing in Markdown: by CommonMark's parser, and by the rules for bare addresses.

`test_dagster_ui` shows the same in Dagster's own renderer.
"""

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from aegis_dagster.defs.ingestion.metadata import markdown_table
from aegis_dagster.defs.ingestion.page_preview import first_page
from aegis_dagster.domain.markdown import escaped, fenced, structure_only, unescaped, unlinked

# What mdast-util-gfm-autolink-literal makes a link of, in text whose backslashes and entities are resolved.
ADDRESSES = [
    re.compile(r"(https?://|www(?=\.))([-.\w]+)([^ \t\r\n]*)", re.IGNORECASE),
    re.compile(r"([-.\w+]+)@([-\w]+(?:\.[-\w]+)+)"),
]
HARMLESS = {"paragraph", "text", "softbreak", "heading", "strong"}
LISTS = {"bullet_list", "ordered_list", "list_item"}
TABLES = {"table", "thead", "tbody", "tr", "th", "td"}

PIECES = [
    *("![", "[", "](", ")", "]: ", "[^1]", "<img src=x>", "<", ">", "&#33;", "&lt;", "&", "`", "```", "~~~", "~~", "|"),
    *("http://", "https://", "www.", "a@b.co", "mailto:", "://", "\\", "*", "**", "_", "#", "# ", "- ", "1. ", "1) "),
    *("===", "---", "+ ", "=", "\n", "\r", "\t", "    ", "\u2028", "\x0b", "\u200b", "x", "/graphql?query=mutation"),
    *("|---|", ":", "!", "é", "名", "\u202e", '"', "'", "{", "}", "$", "^", "://evil.example/x.png"),
]
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


def tokens_of(markdown: str) -> Iterator[Token]:
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown):
        if token.type != "inline":
            yield token
        yield from token.children or ()


def kinds_of(markdown: str) -> set[str]:
    return {re.sub("_(open|close)$", "", token.type) for token in tokens_of(markdown)}


def shown_by(markdown: str) -> str:
    return "".join(token.content if token.type == "text" else " " for token in tokens_of(markdown) if token.content)


def assert_no_address(markdown: str) -> None:
    assert not any(rule.search(shown_by(markdown)) for rule in ADDRESSES)


@given(HOSTILE, st.sampled_from(["{}", "- {}", "a **{}**", "# {}", "From {}:", "before\n{}", "- a\n- {}\n\nafter"]))
def test_an_escaped_text_is_shown_as_it_is_wherever_it_stands(text: str, place: str) -> None:
    markdown = place.format(escaped(text))
    assert kinds_of(markdown) <= HARMLESS | LISTS
    assert_no_address(markdown)
    line = " ".join(text.split())
    assert line in shown_by(markdown).replace("\u200b", "") or "\u200b" in line
    assert unescaped(escaped(text)) == line.replace("\u200b", "")


@given(st.lists(st.tuples(HOSTILE, HOSTILE), max_size=3))
def test_a_table_keeps_its_cells(rows: list[tuple[str, str]]) -> None:
    markdown = markdown_table(("document", "why"), rows)
    assert kinds_of(markdown) <= TABLES | {"text"}
    assert sum(token.type == "td_open" for token in tokens_of(markdown)) == 2 * len(rows)
    assert_no_address(markdown)


@given(HOSTILE)
def test_a_document_keeps_structure_and_nothing_else(text: str) -> None:
    kinds = kinds_of(structure_only(text))
    assert kinds <= HARMLESS | LISTS | TABLES | {"code_block"}
    assert_no_address(structure_only(text))


def test_headings_lists_and_tables_of_a_document_stay() -> None:
    markdown = "# One\n\n- a [link](http://x)\n  - b\n\n1. c\n\n| d | e\\|f |\n| :-- | --: |\n| ![g](/h) | i |\n"
    told = structure_only(markdown)
    assert kinds_of(told) == {"heading", "text", "paragraph", *LISTS, *TABLES}
    assert [token.content for token in tokens_of(told) if token.type == "text"] == (
        ["One", "a [link](http:\u200b//x)", "b", "c", "d", "e|f", "![g](/h)", "i"]
    )


@given(HOSTILE)
def test_code_stays_in_its_block(code: str) -> None:
    assert kinds_of(fenced(code)) == {"fence"}
    page = {
        "body": {"children": [{"$ref": "#/texts/0"}, {"$ref": "#/texts/1"}]},
        "texts": [{"label": "code", "text": code}, {"label": "text", "text": code}],
    }
    assert kinds_of(first_page(page, 9)) <= HARMLESS | {"fence"}


@pytest.mark.parametrize("text", ["see https://evil.example/x", "HTTP://10.2.3.4", "http://user@host.com/?q"])
def test_a_log_line_has_no_address_and_can_still_be_read(text: str) -> None:
    assert not ADDRESSES[0].search(unlinked(text))
    assert unlinked(text).replace("\u200b", "") == text


@pytest.mark.parametrize("text", ["harbour/a_b.txt", "Report 12 (final), v1.5", "12.5 MB > 3 MB", "content_refused"])
def test_ordinary_names_read_as_before(text: str) -> None:
    assert escaped(text) in (text, text.replace("12.", "12\\.", 1))
