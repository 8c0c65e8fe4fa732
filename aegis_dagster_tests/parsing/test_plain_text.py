"""Plain text and reStructuredText become blocks, and no text is lost."""

import re
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_dagster.parsing.text.plain_text import Block, BlockKind, read_blocks

_WORDS = re.compile(r"[^\W_]+")


def kinds(text: str) -> list[tuple[str, str]]:
    return [(block.kind.value, block.text) for block in read_blocks(text)]


def test_underlines_make_headings_whose_levels_follow_their_first_appearance() -> None:
    text = "One\n===\n\nwords\n\nTwo\n---\n\nThree\n~~~~~\n\nFour\n====\n"
    levels = {block.text: block.level for block in read_blocks(text) if block.kind is BlockKind.HEADING}
    assert levels == {"One": 1, "Two": 2, "Three": 3, "Four": 1}


def test_an_overline_is_a_style_of_its_own() -> None:
    blocks = read_blocks("words\n\n=====\nUpper\n=====\n\nLower\n=====\n")
    assert blocks[1:] == [Block(BlockKind.HEADING, "Upper", 1), Block(BlockKind.HEADING, "Lower", 2)]


def test_a_first_heading_without_equals_is_the_title() -> None:
    blocks = read_blocks("Guide\n#####\n\nUse\n===\n\nwords\n\nEnd\n===\n")
    assert [(block.kind, block.level) for block in blocks if block.kind is not BlockKind.PARAGRAPH] == [
        (BlockKind.TITLE, 0),
        (BlockKind.HEADING, 1),
        (BlockKind.HEADING, 1),
    ]


def test_the_title_of_a_pep_is_the_title_and_its_header_is_kept() -> None:
    blocks = read_blocks("PEP: 1\nTitle: A long\n  title\nAuthor: Somebody <a@b.c>\n\nAbstract\n========\n\nWords.\n")
    assert blocks[0] == Block(BlockKind.TITLE, "A long title")
    assert blocks[1].text == "PEP: 1\nTitle: A long\n  title\nAuthor: Somebody <a@b.c>"
    assert blocks[2] == Block(BlockKind.HEADING, "Abstract", 1)


def test_fields_without_a_title_are_a_paragraph() -> None:
    assert kinds("From: a\nTo: b\n\nwords") == [("paragraph", "From: a\nTo: b"), ("paragraph", "words")]


def test_wrapped_prose_becomes_one_line_and_short_lines_stay_apart() -> None:
    prose = "This line is long enough to have been wrapped by an editor\nand this is its end."
    assert kinds(prose) == [("paragraph", prose.replace("\n", " "))]
    assert kinds("Roses are red\nViolets are blue") == [("paragraph", "Roses are red\nViolets are blue")]


def test_a_literal_block_keeps_its_lines_and_ends_where_the_indentation_ends() -> None:
    text = "Like this::\n\n    if a:\n\n        b()\n\nAfter."
    assert kinds(text) == [("paragraph", "Like this::"), ("code", "if a:\n\n    b()"), ("paragraph", "After.")]


def test_a_code_directive_names_the_language() -> None:
    blocks = read_blocks(".. code-block:: python\n   :class: good\n\n   x = 1\n\nwords")
    assert blocks[1] == Block(BlockKind.CODE, "x = 1", language="python")


def test_lists_become_items_with_their_numbers() -> None:
    assert read_blocks("1. one\n2. two\n   more of two\n\n* three") == [
        Block(BlockKind.NUMBERED, "one", marker="1."),
        Block(BlockKind.NUMBERED, "two\n   more of two", marker="2."),
        Block(BlockKind.BULLET, "three"),
    ]


def test_a_table_keeps_its_columns() -> None:
    table = "=====  =====\nA      B\n=====  =====\n1      2\n=====  ====="
    assert kinds(table) == [("paragraph", table)]


def test_a_line_of_dashes_between_blank_lines_divides_and_is_dropped() -> None:
    assert kinds("one\n\n------\n\ntwo") == [("paragraph", "one"), ("paragraph", "two")]


_LINES = st.lists(
    st.one_of(
        st.just(""),
        st.sampled_from(
            ["====", "----", "~~", "::", ".. code-block:: python", "   :class: x", "* item", "1. item", "#. x"]
        ),
        st.builds(lambda indent, text: " " * indent + text, st.integers(0, 8), st.text(st.characters(), max_size=70)),
        st.builds(lambda text: f"{text}::", st.text("abc ", max_size=20)),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(_LINES)
def test_no_word_is_lost_whatever_the_lines(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = " ".join(f"{block.marker} {block.text}" for block in read_blocks(text))
    assert not Counter(_WORDS.findall(text)) - Counter(_WORDS.findall(found))
