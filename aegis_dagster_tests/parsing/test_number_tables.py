"""Tables without lines, or with few: a label and its numbers stay in one row."""

import io
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from reportlab.pdfgen.canvas import Canvas

from aegis_dagster.parsing.pdf.layout_rules import Fragment, Rect
from aegis_dagster.parsing.pdf.number_grids import find_number_tables, tables_of
from aegis_dagster.parsing.pdf.tables import build_table
from aegis_dagster_tests.parsing.conftest import Parse, Parsed

_SIZE = 10
_NUMBERS = (300, 380, 460)  # where columns of numbers end on the right


def pdf(*placed: tuple[float, float, str], rules: Sequence[tuple[float, float, float, float]] = ()) -> bytes:
    """A page with texts at their left edge and distance from the top; a negative left edge is a right one."""
    file = io.BytesIO()
    canvas = Canvas(file, pagesize=(612, 792))
    canvas.setFont("Helvetica", _SIZE)
    for left, top, text in placed:
        draw = canvas.drawString if left >= 0 else canvas.drawRightString
        draw(abs(left), 792 - top, text)
    for box in rules:
        canvas.line(box[0], 792 - box[1], box[2], 792 - box[3])
    canvas.showPage()
    canvas.save()
    return file.getvalue()


def numbers(top: float, label: str, *values: str, left: float = 50) -> list[tuple[float, float, str]]:
    """A row: a label and numbers that end where their columns do."""
    return [(left, top, label), *((-right, top, value) for right, value in zip(_NUMBERS, values, strict=False))]


def rows(parsed: Parsed, table: int = 0) -> list[list[str]]:
    """The cells of a table, row by row."""
    return [[cell.text for cell in row] for row in parsed.document.tables[table].data.grid]


def test_signs_parentheses_and_dashes_stand_with_their_numbers(parse: Parse) -> None:
    placed = [
        *numbers(100, "Net sales", "1,234", "1,111"),
        (250, 100, "$"),
        (330, 100, "$"),
        *numbers(114, "Cost of sales", "(1,000)", "(900)"),
        *numbers(128, "Other income", "—", "7"),
        *numbers(142, "Net income", "234", "218"),
        (250, 142, "$"),
        (330, 142, "$"),
        *numbers(156, "Margin", "19.0", "19.6"),
        (303, 156, "%"),
        (383, 156, "%"),
    ]
    assert rows(parse(pdf(*placed), "a.pdf"))[1:] == [
        ["Net sales", "$1,234", "$1,111"],
        ["Cost of sales", "(1,000)", "(900)"],
        ["Other income", "-", "7"],
        ["Net income", "$234", "$218"],
        ["Margin", "19.0%", "19.6%"],
    ]


def test_headings_over_several_lines_and_columns_name_each_column(parse: Parse) -> None:
    placed = [
        (-375, 80, "Three Months Ended"),
        (50, 94, "(in millions)"),
        (-300, 94, "June 30,"),
        (-380, 94, "June 30,"),
        (-460, 94, "Percent"),
        (-300, 108, "2023"),
        (-380, 108, "2022"),
        (-460, 108, "change"),
        *numbers(124, "Flexibles", "2,800", "3,000", "(7)"),
        *numbers(138, "Rigid Packaging", "880", "909", "(3)"),
        *numbers(152, "Total", "3,680", "3,909", "(6)"),
    ]
    found = rows(parse(pdf(*placed, rules=[(50, 112, 470, 112)]), "a.pdf"))
    assert [heading.split()[-1] for heading in found[0]] == ["millions)", "2023", "2022", "change"]
    assert "Three Months Ended" in found[0][2]
    assert found[1] == ["Flexibles", "2,800", "3,000", "(7)"]


def test_a_wrapped_label_is_one_cell_and_sections_keep_their_rows(parse: Parse) -> None:
    placed = [
        (50, 100, "Operating activities"),
        *numbers(114, "Depreciation", "12", left=60),
        (60, 128, "Impairment of goodwill and of assets"),
        *numbers(140, "acquired in earlier years", "34", left=70),
        *numbers(154, "Taxes(a)", "(5)", left=60),
        (50, 168, "Investing activities"),
        *numbers(182, "Capital spending", "(16)", left=60),
    ]
    assert rows(parse(pdf(*placed), "a.pdf"))[1:] == [
        ["Depreciation", "12"],
        ["Impairment of goodwill and of assets acquired in earlier years", "34"],
        ["Taxes(a)", "(5)"],
        ["Investing activities", ""],
        ["Capital spending", "(16)"],
    ]


def test_dotted_leaders_lead_to_their_number(parse: Parse) -> None:
    leaders = ["Preface " + "." * 60, "Methods " + ". " * 30, "Results" + "." * 62]
    placed = [(50.0, 100.0 + 14 * n, text) for n, text in enumerate(leaders)]
    placed += [(-300.0, 100.0 + 14 * n, number) for n, number in enumerate(["3", "17", "120"])]
    assert rows(parse(pdf(*placed), "a.pdf"))[1:] == [["Preface", "3"], ["Methods", "17"], ["Results", "120"]]


def test_numbers_far_from_their_labels_keep_them(parse: Parse) -> None:
    placed = [
        item for n in range(4) for item in ((40, 100 + 14 * n, f"Item {'abcd'[n]}"), (-570, 100 + 14 * n, f"{n}7"))
    ]
    assert rows(parse(pdf(*placed), "a.pdf"))[1:] == [[f"Item {'abcd'[n]}", f"{n}7"] for n in range(4)]


def test_one_row_of_numbers_under_headings_is_a_table(parse: Parse) -> None:
    placed = [
        (50, 80, "Proposal 2 was put to the vote, with this result:"),
        *((left, 100, name) for left, name in ((50, "Votes For"), (200, "Votes Against"), (350, "Abstentions"))),
        *((left, 114, value) for left, value in ((52, "57,172"), (205, "13,324"), (355, "170"))),
        (50, 140, "It was approved."),
    ]
    assert rows(parse(pdf(*placed), "a.pdf")) == [
        ["Votes For", "Votes Against", "Abstentions"],
        ["57,172", "13,324", "170"],
    ]


def test_telephone_numbers_and_years_in_text_are_no_table(parse: Parse) -> None:
    placed = [
        (50, 100, "Press office"),
        (50, 114, "+61 3 9226 9028"),
        (50, 128, "press@example.com"),
        (250, 100, "Investors"),
        (250, 114, "+41 78 698 6940"),
        (50, 160, "The company was founded in"),
        (250, 160, "1999"),
        (50, 174, "and was sold in"),
        (250, 174, "2011"),
    ]
    assert parse(pdf(*placed), "a.pdf").document.tables == []


def test_prose_beside_a_table_stays_prose(parse: Parse) -> None:
    prose = [f"Commentary line {n} on the revenues of this year" for n in range(6)]
    placed = [item for n in range(6) for item in numbers(100 + 12 * n, f"Product {'abcdef'[n]}", f"{n}10")]
    placed += [(330, 100 + 12 * n, text) for n, text in enumerate(prose) if n != 3]
    parsed = parse(pdf(*placed), "a.pdf")
    assert rows(parsed)[1:] == [[f"Product {'abcdef'[n]}", f"{n}10"] for n in range(6)]
    assert "Commentary line 0 on the revenues of this year Commentary line 1" in parsed.markdown


def test_two_columns_of_prose_with_numbers_are_read_one_after_the_other(parse: Parse) -> None:
    left = [f"left {n} of 12 lines in a column of prose" for n in range(12)]
    right = [f"right {n} of 12 lines in a column of 1999" for n in range(12)]
    placed = [(x, 100 + 12 * n, text[n]) for n in range(12) for x, text in ((50, left), (330, right))]
    parsed = parse(pdf(*placed), "a.pdf")
    assert parsed.document.tables == []
    assert parsed.markdown.index("left 11") < parsed.markdown.index("right 0")


_BOX = [
    [Rect(50, 100, 200, 112), Rect(200, 100, 300, 112)],
    [Rect(50, 112, 200, 160), Rect(200, 112, 300, 160)],
]


def word(text: str, left: float, top: float) -> Fragment:
    return Fragment(text, Rect(left, top, left + 6 * len(text), top + 10))


def test_ruling_lines_that_hold_several_rows_give_way_to_the_numbers() -> None:
    names, values = ("Name", "Sales", "Costs", "Taxes"), ("2023", "120", "80", "7")
    words = [word(text, 60, 101 + 13 * n) for n, text in enumerate(names)]
    words += [word(text, 250, 101 + 13 * n) for n, text in enumerate(values)]
    ruled = build_table(_BOX, words)
    assert ruled is not None and ruled.rows == 2
    (table,) = tables_of([ruled], words)
    assert [cell.text for cell in table.cells] == [text for pair in zip(names, values, strict=True) for text in pair]


def test_ruling_lines_that_keep_rows_apart_are_followed() -> None:
    grid = [[Rect(50, top, 200, top + 14), Rect(200, top, 300, top + 14)] for top in range(100, 156, 14)]
    words = [word(text, 60, 102 + 14 * n) for n, text in enumerate(("Name", "Sales", "Costs", "Taxes"))]
    words += [word(text, 250, 102 + 14 * n) for n, text in enumerate(("2023", "120", "80", "7"))]
    ruled = build_table(grid, words)
    assert ruled is not None
    assert tables_of([ruled], words) == [ruled]


def test_a_ruled_table_beside_short_lines_of_prose_keeps_to_itself() -> None:
    grid = [[Rect(350, top, 420, top + 14), Rect(420, top, 500, top + 14)] for top in range(100, 142, 14)]
    own = [word(text, 360, 102 + 14 * n) for n, text in enumerate(("Name", "Sales", "Costs"))]
    own += [word(text, 430, 102 + 14 * n) for n, text in enumerate(("Value", "120", "80"))]
    prose = [
        word(text, 50, 102 + 14 * n) for n, text in enumerate(("they sailed from the quay", "with salt", "to Ems"))
    ]
    ruled = build_table(grid, own)
    assert ruled is not None
    assert tables_of([ruled], [*own, *prose]) == [ruled]


def test_a_last_row_without_a_number_stays_in_its_table(parse: Parse) -> None:
    placed = [*numbers(100, "Date:", "15.03.2026"), *numbers(114, "Due:", "14.04.2026")]
    placed += [*numbers(128, "Customer:", "K-889"), (50, 142, "Payment is due in thirty days from receipt of this.")]
    assert rows(parse(pdf(*placed), "a.pdf"))[1:] == [
        ["Date:", "15.03.2026"],
        ["Due:", "14.04.2026"],
        ["Customer:", "K-889"],
    ]


_TEXTS = st.sampled_from(["$", "(", "17", "(1,200)", "—", "2023", "%", "Sales", "of", "goods......", "......4", "€ 5"])
_PLACES = st.tuples(_TEXTS, st.integers(0, 11), st.integers(0, 60))


@settings(max_examples=150, deadline=None)
@given(st.lists(_PLACES, max_size=60, unique_by=lambda place: place[1:]))
def test_no_word_that_stands_in_a_table_is_lost(places: list[tuple[str, int, int]]) -> None:
    words = [word(text, 50 * column, 11.0 * row) for text, column, row in places]
    for found in find_number_tables(words):
        cells = found.table.cells
        inside = [w for w in words if any(cell.rect.holds_center_of(w.rect) for cell in cells)]
        shown = "".join(cell.text for cell in cells).replace(" ", "")
        for letters in ("Sales", "goods", "17", "(1,200)", "2023", "of"):
            assert shown.count(letters) >= sum(w.text.strip(".") == letters for w in inside), (letters, shown)


def test_a_label_that_touches_its_number_is_cut_from_it(parse: Parse) -> None:
    placed = [*numbers(100, "Sales", "1,200"), *numbers(114, "Interest", "3,000"), *numbers(128, "", "1,277")]
    placed += [(-272, 128, "Costs of goods sold in the shops of all countries")]
    assert rows(parse(pdf(*placed), "a.pdf"))[-1] == ["Costs of goods sold in the shops of all countries", "1,277"]
