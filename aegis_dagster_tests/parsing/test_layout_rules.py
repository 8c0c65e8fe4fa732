"""The rules that read a PDF page, each by itself."""

from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_dagster.parsing.pdf.grid_rules import find_grids
from aegis_dagster.parsing.pdf.heading_rules import PagedBlock, heading_levels, label_blocks
from aegis_dagster.parsing.pdf.layout_rules import (
    BlockLabel,
    Fragment,
    Line,
    Rect,
    TextBlock,
    build_blocks,
    build_lines,
    merge_touching,
)
from aegis_dagster.parsing.pdf.reading_order import reading_order
from aegis_dagster.parsing.pdf.tables import build_table, text_outside


def fragment(text: str, left: float, top: float, width: float, height: float = 10, *, bold: bool = False) -> Fragment:
    return Fragment(text, Rect(left, top, left + width, top + height), bold)


def line(text: str, left: float, top: float, width: float = 200, height: float = 10, *, bold: bool = False) -> Line:
    return Line(text, Rect(left, top, left + width, top + height), bold)


def paged(text: str, top: float, *, height: float = 10, bold: bool = False, page_no: int = 1) -> PagedBlock:
    block = TextBlock((line(text, 50, top, height=height, bold=bold),), BlockLabel.TEXT)
    return PagedBlock(block, page_no, 800)


def test_fragments_side_by_side_are_one_line_and_columns_are_not() -> None:
    lines = build_lines(
        [fragment("right", 300, 100, 50), fragment("world", 134, 100, 30), fragment("Hello", 100, 100, 31)]
    )
    assert [found.text for found in lines] == ["Hello world", "right"]


def test_parts_of_a_word_in_two_fonts_are_joined_without_a_space() -> None:
    assert build_lines([fragment("bo", 100, 100, 12), fragment("ld", 112.2, 100, 12)])[0].text == "bold"


def test_a_line_in_a_script_from_right_to_left_is_read_from_the_right() -> None:
    assert build_lines([fragment("اصلی", 100, 100, 40), fragment("بازار", 144, 100, 40)])[0].text == "بازار اصلی"


def test_close_lines_are_a_paragraph_and_a_gap_ends_it() -> None:
    blocks = build_blocks([line("one", 50, 100), line("two", 50, 113), line("three", 50, 140)])
    assert [block.text for block in blocks] == ["one two", "three"]


def test_an_indented_line_begins_a_paragraph_but_continues_a_list_item() -> None:
    prose = build_blocks([line("It ends.", 50, 100, 80), line("It begins with an indent", 65, 113)])
    assert len(prose) == 2
    item = build_blocks([line("• an item that", 50, 100), line("goes on", 62, 113, 150)])
    assert [(block.text, block.label) for block in item] == [("• an item that goes on", BlockLabel.LIST_ITEM)]


def test_bold_ends_a_paragraph() -> None:
    blocks = build_blocks([line("A heading", 50, 100, bold=True), line("and its text", 50, 113)])
    assert [block.bold for block in blocks] == [True, False]


def test_large_or_bold_lines_are_headings_and_the_rest_is_not() -> None:
    blocks = [
        paged("Large", 100, height=16),
        paged("body " * 30, 150),
        paged("Bold", 170, bold=True),
        paged("Bold with an end.", 190, bold=True),
        paged("body " * 30, 210),
    ]
    assert [label is BlockLabel.HEADING for label in label_blocks(blocks)] == [True, False, True, False, False]


def test_where_all_text_is_bold_weight_makes_no_heading() -> None:
    assert label_blocks([paged("Bold", 100, bold=True), paged("body " * 30, 150, bold=True)])[0] is BlockLabel.TEXT


def test_levels_follow_the_sizes_of_headings() -> None:
    sizes = [20.0, 14.0, 14.5, 20.0, 11.0]
    assert heading_levels([paged("x", 100, height=size, bold=True) for size in sizes]) == [1, 2, 2, 1, 3]


def test_columns_are_read_one_after_the_other_below_a_title() -> None:
    title, left_1, right_1, left_2, right_2, foot = (
        Rect(50, 50, 550, 80),
        Rect(50, 100, 290, 300),
        Rect(310, 100, 550, 250),
        Rect(50, 310, 290, 500),
        Rect(310, 260, 550, 480),
        Rect(50, 600, 550, 640),
    )
    rects = [foot, right_2, left_2, right_1, left_1, title]
    assert [rects[index] for index in reading_order(rects)] == [title, left_1, left_2, right_1, right_2, foot]


def test_columns_are_read_from_the_right_where_the_script_runs_so() -> None:
    assert reading_order([Rect(50, 0, 90, 50), Rect(110, 0, 150, 50)], right_to_left=True) == [1, 0]


def test_a_narrow_title_is_read_before_the_page_below_it() -> None:
    assert reading_order([Rect(50, 100, 500, 300), Rect(250, 50, 320, 70)]) == [1, 0]


def test_a_large_line_with_a_number_is_a_heading_and_an_item_of_a_list_is_none() -> None:
    def item(text: str, height: float) -> PagedBlock:
        return PagedBlock(build_blocks([line(text, 50, 100, height=height)])[0], 1, 800)

    prose = paged("words of the text " * 20, 300)
    labels = label_blocks([item("1. Scope", 14), item("1. a pound of flour", 11.8), prose])
    assert labels == [BlockLabel.HEADING, BlockLabel.LIST_ITEM, BlockLabel.TEXT]


def test_short_lines_above_and_below_a_narrow_table_are_no_column() -> None:
    heading, table, note = Rect(50, 50, 120, 65), Rect(220, 80, 400, 200), Rect(50, 215, 130, 225)
    assert reading_order([note, table, heading]) == [2, 1, 0]


_RECTS = st.builds(
    lambda left, top, width, height: Rect(left, top, left + width, top + height),
    st.floats(0, 500),
    st.floats(0, 700),
    st.floats(1, 300),
    st.floats(1, 200),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_RECTS, max_size=25))
def test_reading_order_names_every_rectangle_once(rects: list[Rect]) -> None:
    assert sorted(reading_order(rects)) == list(range(len(rects)))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["2019", "word", "• item", "a long line of text"]), _RECTS), max_size=25))
def test_no_fragment_is_lost_between_page_and_blocks(given_fragments: list[tuple[str, Rect]]) -> None:
    fragments = [Fragment(text, rect) for text, rect in given_fragments]
    grids, lines = find_grids(build_lines(fragments))
    texts = [block.text for block in build_blocks(lines)] + [cell.text for grid in grids for cell in grid.cells]
    kept = sorted("".join(texts).replace(" ", ""))
    assert kept == sorted("".join(fragment.text for fragment in fragments).replace(" ", ""))


def test_rows_of_short_entries_are_a_table_even_without_lines() -> None:
    rows = [
        ("Year", 50),
        ("Ducks", 120),
        ("2019", 65),
        ("120", 140),
        ("2020", 65),
        ("135", 140),
        ("2021", 65),
        ("150", 140),
    ]
    lines = [line(text, left, 100 + 14 * (number // 2), 20) for number, (text, left) in enumerate(rows)]
    grids, rest = find_grids([line("Ducks in a year", 50, 80, 90), *lines])
    assert [(grid.rows, grid.columns) for grid in grids] == [(4, 2)]
    assert [cell.text for cell in grids[0].cells] == [text for text, _ in rows]
    assert [left_over.text for left_over in rest] == ["Ducks in a year"]


def test_two_columns_of_prose_are_no_table() -> None:
    prose = "words of a column that runs on in 1999"
    lines = [line(prose, left, 100 + 13 * row) for row in range(5) for left in (50, 300)]
    assert find_grids(lines)[0] == []


def test_a_cell_over_two_columns_spans_them() -> None:
    grid: list[list[Rect | None]] = [
        [Rect(0, 0, 100, 20), None],
        [Rect(0, 20, 50, 40), Rect(50, 20, 100, 40)],
    ]
    words = [fragment("Head", 10, 5, 30), fragment("a", 10, 25, 5), fragment("b", 60, 25, 5)]
    table = build_table(grid, words)
    assert table is not None
    assert [(cell.text, cell.rows, cell.columns) for cell in table.cells] == [("Head", 1, 2), ("a", 1, 1), ("b", 1, 1)]


def test_an_empty_form_is_no_table() -> None:
    boxes: list[list[Rect | None]] = [
        [Rect(0, 0, 50, 20), Rect(50, 0, 100, 20)],
        [Rect(0, 20, 50, 40), Rect(50, 20, 100, 40)],
    ]
    assert build_table(boxes, [fragment("only", 10, 5, 20)]) is None


def test_words_beside_the_cells_of_a_table_stay_text() -> None:
    table = build_table(
        [[Rect(0, 0, 50, 20), Rect(50, 0, 100, 20)], [Rect(0, 20, 50, 40), Rect(50, 20, 100, 40)]],
        [fragment(text, left, top, 20) for text, left, top in (("a", 5, 5), ("b", 55, 5), ("c", 5, 25), ("d", 55, 25))],
    )
    assert table is not None
    words = [fragment("d", 55, 25, 20), fragment("beside", 105, 25, 40)]
    assert text_outside([fragment("d beside", 55, 25, 90)], words, [table]) == [words[1]]


def test_strips_of_one_picture_are_united() -> None:
    assert merge_touching([Rect(0, 0, 100, 50), Rect(0, 50, 100, 99), Rect(0, 200, 100, 220)]) == [
        Rect(0, 0, 100, 99),
        Rect(0, 200, 100, 220),
    ]


def test_lines_set_far_apart_are_one_paragraph_and_two_sentences_are_not() -> None:
    wide = [
        line("We are pleased with our performance and", 50, 100, 400),
        line("geographies remained strong in this year", 50, 120, 398),
        line("as before.", 50, 140, 60),
        line("The next paragraph begins here and is", 50, 160, 400),
    ]
    blocks = build_blocks(wide)
    assert [len(block.lines) for block in blocks] == [3, 1]


def test_headings_set_far_apart_are_not_joined() -> None:
    blocks = build_blocks([line("A heading of the page", 50, 100, 200), line("Another heading", 50, 120, 150)])
    assert len(blocks) == 2


def test_a_size_that_running_text_is_set_in_is_no_headings_size() -> None:
    notes = [paged("small print " * 40, 300 + 20 * number, height=8) for number in range(6)]
    text = [paged("running text " * 20, 100, height=10), paged("We expect the following", 150, height=10)]
    title = paged("Title", 50, height=14)
    labels = label_blocks([title, *text, *notes])
    assert [label is BlockLabel.HEADING for label in labels[:3]] == [True, False, False]


def test_a_line_on_the_columns_of_a_table_is_its_caption_and_a_title_above_is_not() -> None:
    body = paged("body " * 30, 500)

    def over(left: float, top: float) -> BlockLabel:
        block = TextBlock((line("Revenue", left, top, 60, bold=True),), BlockLabel.TEXT)
        return label_blocks([PagedBlock(block, 1, 800, tables=(Rect(50, 100, 500, 300),)), body])[0]

    assert over(250, 88) is BlockLabel.CAPTION
    assert over(50, 88) is BlockLabel.HEADING
    assert over(250, 70) is BlockLabel.HEADING
