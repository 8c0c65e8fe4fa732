"""The rules for forms, turned text, letter-spaced words and watermarks, each by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_dagster.parsing.pdf.form_rules import Field, FieldKind
from aegis_dagster.parsing.pdf.layout_rules import Fragment, Line, Rect, TextBlock
from aegis_dagster.parsing.pdf.letter_spacing import close_up
from aegis_dagster.parsing.pdf.page_text import Drawn, PageText, compose
from aegis_dagster.parsing.pdf.pair_rules import find_pairs
from aegis_dagster.parsing.pdf.turned import Turn, quarters_of

SIZE = (600.0, 800.0)


def piece(text: str, left: float, top: float, *, height: float = 10.0) -> Fragment:
    return Fragment(text, Rect(left, top, left + 0.5 * height * len(text), top + height))


def page(*pieces: Fragment, fields: tuple[Field, ...] = (), quarters: int = 0) -> PageText:
    turn = Turn(quarters, *SIZE)
    cells = [Drawn(Fragment(p.text, turn.on_page(p.rect)), quarters, p.rect.height) for p in pieces]
    return compose(cells, cells, fields, SIZE, lambda words, turn: [])


def texts(blocks: list[TextBlock]) -> list[str]:
    return [block.text for block in blocks]


def line(text: str, left: float, top: float) -> Line:
    return Line(text, Rect(left, top, left + 5 * len(text), top + 10), bold=False)


def box(left: float, top: float, width: float = 100, height: float = 14) -> Rect:
    return Rect(left, top, left + width, top + height)


@given(
    quarters=st.integers(0, 3),
    corners=st.tuples(*[st.floats(0, 800, allow_nan=False)] * 4),
)
def test_a_turned_rectangle_comes_back(quarters: int, corners: tuple[float, float, float, float]) -> None:
    left, right = sorted(corners[:2])
    top, bottom = sorted(corners[2:])
    turn = Turn(quarters, *SIZE)
    back = turn.on_page(turn.upright(Rect(left, top, right, bottom)))
    assert [back.left, back.top, back.right, back.bottom] == pytest.approx([left, top, right, bottom], abs=1e-6)


@pytest.mark.parametrize(
    ("end", "expected"),
    [((9, 0), 0), ((9, 1), 0), ((0, -9), 1), ((-9, 0), 2), ((0, 9), 3), ((9, -9), None), ((0, 0), 0)],
)
def test_a_baseline_says_how_its_text_is_turned(end: tuple[float, float], expected: int | None) -> None:
    assert quarters_of((0, 0), end) == expected


@pytest.mark.parametrize("quarters", range(4))
def test_a_turned_page_is_read_line_by_line(quarters: int) -> None:
    found = page(*(piece(f"line {n} of the text", 100, 100 + 14 * n) for n in range(4)), quarters=quarters)
    assert texts(found.blocks) == ["line 0 of the text line 1 of the text line 2 of the text line 3 of the text"]
    assert found.quarters == quarters
    assert found.blocks[0].size == pytest.approx(10)


def test_a_slanted_text_is_a_watermark() -> None:
    cells = [Drawn(piece("SPECIMEN", 100, 100, height=300), None, 60.0), Drawn(piece("body", 50, 50))]
    found = compose(cells, cells, [], SIZE, lambda words, turn: [])
    assert (texts(found.blocks), texts(found.watermarks)) == (["body"], ["SPECIMEN"])
    assert found.watermarks[0].lines[0].apart


def test_a_large_text_across_others_is_a_watermark_and_a_title_is_none() -> None:
    body = [piece("words of the body of this page", 50, 200 + 14 * n) for n in range(6)]
    found = page(piece("DRAFT", 60, 205, height=60), piece("Title", 50, 100, height=30), *body)
    assert texts(found.watermarks) == ["DRAFT"]
    assert "Title" in texts(found.blocks)


LETTERS = [
    ("C O N F I D E N T I A L", [8] * 11, ["CONFIDENTIAL"]),
    ("T O P S E C R E T", [4, 4, 14, 4, 4, 4, 4, 4], ["TOP", "SECRET"]),
    ("R e p o r t", [3] * 5, ["Report"]),
    ("A B C D E", [4] * 4, ["A", "B", "C", "D", "E"]),  # a list of options
    ("M T W T F", [40] * 4, ["M", "T", "W", "T", "F"]),  # columns of a calendar
    ("1 2 3 4 5", [4] * 4, ["1", "2", "3", "4", "5"]),
    ("x = y z w", [4] * 4, ["x", "=", "y", "z", "w"]),
]


@pytest.mark.parametrize(("text", "gaps", "expected"), LETTERS)
def test_letter_spaced_words_are_closed_up(text: str, gaps: list[int], expected: list[str]) -> None:
    words, left = [], 50.0
    for letter, gap in zip(text.split(), [*gaps, 0], strict=True):
        words.append(Fragment(letter, Rect(left, 100, left + 7, 110)))
        left += 7 + gap
    whole = Fragment(text, Rect(50, 100, left, 110))
    fragments, closed = close_up([whole], words)
    assert fragments[0].text.split() == expected
    assert sorted(word.text for word in closed) == sorted(expected)


def test_a_value_stands_with_the_label_before_it_or_above_it() -> None:
    fields = (
        Field(box(200, 100), FieldKind.TEXT, "Marchbanks"),
        Field(box(50, 150), FieldKind.TEXT, "Emden"),
        Field(box(200, 200), FieldKind.TEXT, ""),
        Field(box(400, 300), FieldKind.TEXT, "nowhere", name="Berth"),
    )
    found = page(
        piece("Family name", 50, 102), piece("Place of birth", 50, 136), piece("Empty", 50, 202), fields=fields
    )
    assert sorted(texts(found.forms)) == ["Berth: nowhere", "Family name: Marchbanks", "Place of birth: Emden"]
    assert texts(found.blocks) == ["Empty"]


def test_a_tick_stands_with_the_label_after_it_or_else_before_it() -> None:
    def tick(left: float, top: float, value: str) -> Field:
        return Field(box(left, top, 12, 12), FieldKind.TICK, value)

    fields = (tick(50, 100, "[x]"), tick(200, 130, "[ ]"), tick(90, 160, "[x]"), tick(200, 160, "[ ]"))
    found = page(
        piece("By post", 80, 101),
        piece("Insured", 50, 131),
        piece("Yes", 50, 161),
        piece("No", 160, 161),
        fields=fields,
    )
    assert sorted(texts(found.forms)) == ["[ ] Insured", "[x] By post", "[x] Yes [ ] No"]


def test_a_field_higher_than_any_page_is_read_in_time() -> None:
    fields = tuple(Field(Rect(0, -1e12, 1e12, 1e12), FieldKind.TEXT, f"value {n}", f"name {n}") for n in range(300))
    found = page(piece("Words", 50, 100), fields=fields)
    assert all(f"value {n}" in " ".join(texts([*found.forms, *found.blocks])) for n in range(300))


def test_the_boxes_of_a_question_stand_with_it() -> None:
    fields = (
        Field(box(200, 100, 12, 12), FieldKind.TICK, "[x]"),
        Field(box(260, 100, 12, 12), FieldKind.TICK, "[ ]"),
    )
    printed = piece("Are you insured?", 50, 101), piece("Yes", 216, 101), piece("No", 276, 101)
    found = page(*printed, piece("Other words", 50, 130), fields=fields)
    assert texts([*found.forms, *found.blocks]) == ["Are you insured? [x] Yes [ ] No", "Other words"]


def test_fields_side_by_side_below_their_labels_keep_their_own() -> None:
    labels = [("First name", 50), ("Last name", 170), ("Born", 290)]
    fields = [Field(box(left, 112), FieldKind.TEXT, f"value of {label}") for label, left in labels]
    found = page(*(piece(label, left, 100) for label, left in labels), fields=tuple(fields))
    assert sorted(texts(found.forms)) == [f"{label}: value of {label}" for label in ("Born", "First name", "Last name")]


def test_the_boxes_of_one_label_stay_with_it() -> None:
    parts = enumerate(("15", "03", "2026"))
    fields = tuple(Field(box(100 + 40 * n, 100, 35), FieldKind.TEXT, text) for n, text in parts)
    assert texts(page(piece("Date:", 50, 102), fields=fields).forms) == ["Date: 15 03 2026"]


def test_a_value_takes_the_place_of_the_line_to_write_on() -> None:
    printed = Fragment("Name:________________ Date:________", Rect(50, 100, 250, 110))
    words = [
        Fragment("Name:________________", Rect(50, 100, 160, 110)),
        Fragment("Date:________", Rect(170, 100, 250, 110)),
    ]
    fields = (
        Field(Rect(78, 98, 158, 112), FieldKind.TEXT, "Ada"),
        Field(Rect(205, 98, 250, 112), FieldKind.TEXT, "3 May"),
    )
    cells = [Drawn(printed)]
    found = compose(cells, [Drawn(word) for word in words], fields, SIZE, lambda found, turn: [])
    assert " ".join(texts([*found.forms, *found.blocks])).replace(":", "").split() == [
        "Name",
        "Ada",
        "Date",
        "3",
        "May",
    ]


def test_columns_of_labels_and_values_are_read_by_rows() -> None:
    rows = [("Family name", "Marchbanks"), ("Given name", "Ada"), ("Place of birth", "Emden on the river")]
    lines = [
        line(text, left, 100 + 20 * n) for n, row in enumerate(rows) for text, left in zip(row, (50, 250), strict=True)
    ]
    wrapped = line("Ems", 250, 153)
    pairs, rest = find_pairs([*lines, wrapped])
    assert [pair.text for pair in pairs] == [
        "Family name Marchbanks",
        "Given name Ada",
        "Place of birth Emden on the river Ems",
    ]
    assert rest == []


def test_the_labels_of_a_form_may_be_numbered() -> None:
    rows = [("1. Family name", "Marchbanks"), ("2. Given name", "Ada"), ("3. Policy", "XX44")]
    lines = [
        line(text, left, 100 + 20 * n) for n, row in enumerate(rows) for text, left in zip(row, (50, 250), strict=True)
    ]
    pairs, rest = find_pairs(lines)
    assert [pair.text for pair in pairs] == [" ".join(row) for row in rows]
    assert rest == []


@pytest.mark.parametrize(
    "rows",
    [
        [("Bill to:", "Ship to:"), ("Alder & Sons", "Birch Works"), ("12 Quay", "44 Dock"), ("Kiel 1", "Kiel 2")],
        [
            ("the quay is swept on every", "one walks along it before"),
            ("morning of the", "the first"),
            ("week", "boat"),
        ],
        [("1. Apples", "4. Dates"), ("2. Bread", "5. Eggs"), ("3. Cheese", "6. Figs")],
        [(f"{n}. Apples", f"{n} the quay is swept on every morning of the week before") for n in range(1, 4)],
        [("• one", "• two"), ("• three", "• four"), ("• five", "• six")],
        [("Ada", "Bo")],
    ],
)
def test_other_columns_are_no_labels_and_values(rows: list[tuple[str, str]]) -> None:
    lines = [
        line(text, left, 100 + 13 * n) for n, row in enumerate(rows) for text, left in zip(row, (50, 300), strict=True)
    ]
    assert find_pairs(lines) == ([], lines)
