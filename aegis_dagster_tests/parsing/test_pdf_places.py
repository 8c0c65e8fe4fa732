"""Every place of a PDF that can hold a text: its words arrive, or are left out for a reason."""

import io
import re
from collections.abc import Callable
from functools import cache

import pypdfium2.raw as pdfium
import pytest
from docling_core.types.doc.base import BoundingBox, CoordOrigin, Size
from docling_core.types.doc.common.content_layer import ContentLayer
from docling_core.types.doc.common.reference import ProvenanceItem
from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.items.text import TextItem
from docling_core.types.doc.labels import DocItemLabel
from reportlab.lib import colors
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Table, TableStyle

from aegis_dagster.chunking.hybrid import hybrid_passages
from aegis_dagster.chunking.parts import parts_of
from aegis_dagster.chunking.passages import Passage
from aegis_dagster.domain.left_out import Reason, count_by_reason
from aegis_dagster.parsing.pdf.added_texts import add_notes, unread_fields
from aegis_dagster.parsing.pdf.form_rules import Field, FieldKind
from aegis_dagster.parsing.pdf.layout_rules import Rect
from aegis_dagster.parsing.pdf.page_edges import keep_one_copy
from aegis_dagster.parsing.readers import Parsed, reader_of
from aegis_dagster_tests.support.chunked_documents import token_counter
from aegis_dagster_tests.support.marked_pdfs import HEIGHT, WIDTH, annotated, canvas_on, undrawn_form

GRID = TableStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.black)])
PROSE = "The quay is swept on every morning of the week, and the harbour master walks along it."


def read(data: bytes) -> Parsed:
    options = {"pdf_route": "rules", "docling_models": None, "ocr": True}
    return reader_of("pdf")(data, name="a.pdf", kind="pdf", options=options)


def passages(parsed: Parsed) -> list[Passage]:
    return list(hybrid_passages(parts_of(parsed.document), token_counter(), max_tokens=220, merge_peers=True))


def lines(data: bytes) -> list[str]:
    """The lines of the chunks, headings included."""
    return [line for p in passages(read(data)) for line in (*p.headings, *p.text.splitlines())]


def drawn(*pages: Callable[[Canvas], None]) -> bytes:
    """A PDF whose pages are drawn by these functions."""
    buffer = io.BytesIO()
    canvas = canvas_on(buffer)
    for draw in pages:
        canvas.setFont("Helvetica", 11)
        draw(canvas)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def turned(canvas: Canvas, text: str, left: float, bottom: float, *, degrees: float, size: float = 11) -> None:
    canvas.saveState()
    canvas.setFont("Helvetica", size)
    canvas.translate(left, bottom)
    canvas.rotate(degrees)
    canvas.drawString(0, 0, text)
    canvas.restoreState()


def table(canvas: Canvas, rows: list[list[str]], bottom: float, **options: object) -> None:
    built = Table(rows, style=GRID, colWidths=[120] * len(rows[0]), **options)
    built.wrapOn(canvas, WIDTH, HEIGHT)
    built.drawOn(canvas, 72, bottom)


# A unique word in each place -> the reason for which it may be left out.
PLACES: dict[str, Reason | None] = {
    "bodyword": None,
    "firstheader": None,
    "runningword": None,
    "footerword": None,
    "cellword": None,
    "fieldword": None,
    "multiword": None,
    "comboword": None,
    "listword": None,
    "unlistedword": None,
    "ticklabel": None,
    "radiolabel": None,
    "freeword": None,
    "noteword": None,
    "authorword": None,
    "stampword": None,
    "markword": None,
    "filename": None,
    "pinnedfile": None,
    "upword": None,
    "downword": None,
    "overword": None,
    "markwater": None,
    "spacedword": None,
    "valueword": None,
    "Printed 2026-03-15 10:02": Reason.PRINT_DATE,
    "- 2 -": Reason.PAGE_NUMBER,
}


@cache
def everywhere() -> Parsed:
    def first(canvas: Canvas) -> None:
        canvas.drawString(72, HEIGHT - 30, "firstheader of the first page only")
        form = canvas.acroForm
        canvas.drawString(72, 640, "Family name")
        form.textfield(name="a", value="fieldword", x=200, y=635, width=150, height=20)
        canvas.drawString(72, 610, "Remarks")
        form.textfield(name="b", value="one\nmultiword", x=200, y=580, width=150, height=45, fieldFlags="multiline")
        canvas.drawString(72, 550, "Colour")
        form.choice(name="c", value="comboword", options=["comboword", "red"], x=200, y=545, width=100, height=20)
        canvas.drawString(72, 520, "Ports")
        form.listbox(
            name="d", value="listword", options=["listword", "unlistedword"], x=200, y=490, width=100, height=40
        )
        form.checkbox(name="e", checked=True, x=72, y=460, size=14)
        canvas.drawString(100, 463, "ticklabel of a box")
        form.radio(name="f", value="g", selected=True, x=72, y=430, size=14)
        form.radio(name="f", value="h", selected=False, x=300, y=430, size=14)
        canvas.drawString(100, 433, "radiolabel of a button")
        canvas.drawString(330, 433, "another button")
        canvas.drawString(72, 400, "Berth")

    def second(canvas: Canvas) -> None:
        table(canvas, [["Boat", "Fee"], ["cellword", "4.50"], ["Gull", "5.50"]], 600)
        turned(canvas, "upword goes up", 450, 300, degrees=90)
        turned(canvas, "downword goes down", 500, 500, degrees=270)
        turned(canvas, "overword on its head", 400, 250, degrees=180)
        turned(canvas, "markwater", 150, 150, degrees=45, size=70)
        canvas.drawString(72, 560, "s p a c e d w o r d")
        for row, (label, value) in enumerate([("Vessel", "Gull"), ("Trade", "valueword"), ("Town", "Emden")]):
            canvas.drawString(72, 500 - 22 * row, label)
            canvas.drawString(220, 500 - 22 * row, value)

    def framed(draw: Callable[[Canvas], None], number: int) -> Callable[[Canvas], None]:
        def page(canvas: Canvas) -> None:
            canvas.drawString(250, HEIGHT - 50, "runningword of the head")
            for row in range(4):
                canvas.drawString(72, 740 - 14 * row, f"bodyword {number} {row} {PROSE}"[:90])
            canvas.drawString(72, 60, "footerword of the foot")
            canvas.drawString(72, 45, f"Printed 2026-03-15 10:0{number}")
            canvas.drawString(280, 30, f"- {number} -")
            draw(canvas)

        return page

    data = annotated(
        drawn(framed(first, 1), framed(second, 2)),
        [
            (pdfium.FPDF_ANNOT_FREETEXT, (200, 395, 350, 415), {"Contents": "freeword"}),
            (pdfium.FPDF_ANNOT_TEXT, (500, 400, 520, 420), {"Contents": "noteword", "T": "authorword"}),
            (pdfium.FPDF_ANNOT_STAMP, (400, 300, 500, 320), {"Contents": "stampword"}),
            (pdfium.FPDF_ANNOT_HIGHLIGHT, (72, 700, 200, 715), {"Contents": "markword"}),
            (pdfium.FPDF_ANNOT_FILEATTACHMENT, (500, 200, 520, 220), {"name": "pinnedfile.dwg"}),
        ],
        ["filename.xlsx"],
    )
    return read(data)


def test_a_word_in_every_place_arrives_or_is_left_out_for_a_reason() -> None:
    parsed = everywhere()
    text = "\n".join(line for p in passages(parsed) for line in (*p.headings, p.text))
    left_out = {item.text: item.reason for item in parsed.left_out}
    for word, reason in PLACES.items():
        assert (word in text) == (reason is None), word
        assert reason is None or left_out[word] is reason, word


def test_each_word_arrives_once() -> None:
    text = "\n".join(p.text for p in passages(everywhere()))
    repeated = {word: text.count(word) for word in PLACES if word not in ("bodyword", "tick") and text.count(word) > 1}
    assert repeated == {}


def test_a_word_keeps_its_neighbours() -> None:
    found = [line for p in passages(everywhere()) for line in p.text.splitlines()]
    for expected in (
        "Family name: fieldword",
        "Remarks: one multiword",
        "Colour: comboword",
        "Ports: [x] listword [ ] unlistedword",
        "[x] ticklabel of a box",
        "[x] radiolabel of a button [ ] another button",
        "Berth: freeword",
        "Note by authorword: noteword",
        "Stamp: stampword",
        "Trade valueword",
        "upword goes up",
        "downword goes down",
        "overword on its head",
        "spacedword",
        "Attachments: pinnedfile.dwg, filename.xlsx",
    ):
        assert expected in found


def test_attachments_are_named_in_a_warning() -> None:
    warning = "2 attached files are not read: pinnedfile.dwg, filename.xlsx; save what you need beside the PDF"
    assert everywhere().warnings == (warning,)


def test_a_watermark_is_no_heading_and_stays_once() -> None:
    def page(canvas: Canvas) -> None:
        turned(canvas, "SPECIMEN", 120, 200, degrees=50, size=80)
        canvas.setFont("Helvetica-Bold", 60)
        canvas.drawString(80, 655, "DRAFT COPY")
        canvas.setFont("Helvetica", 11)
        for row in range(8):
            canvas.drawString(72, 700 - 14 * row, f"{canvas.getPageNumber()} {row} {PROSE}")

    parsed = read(drawn(page, page, page))
    assert not [heading for p in passages(parsed) for heading in p.headings]
    text = "\n".join(p.text for p in passages(parsed))
    assert (text.count("SPECIMEN"), text.count("DRAFT COPY")) == (1, 1)
    assert [item.reason for item in parsed.left_out] == [Reason.RUNNING_LINE] * 4


def test_fields_without_appearance_show_what_the_file_stores() -> None:
    data = undrawn_form(
        [
            "/FT /Tx /T (a) /V (Marchbanks) /Rect [200 700 350 715]",
            "/FT /Btn /T (b) /V /Yes /Rect [72 670 84 682]",
            "/FT /Btn /T (c) /V /Off /Rect [72 640 84 652]",
            "/FT /Ch /Ff 131072 /T (d) /V (t) /Opt [[(t) (teal)] [(r) (red)]] /Rect [200 610 350 625]",
            "/FT /Tx /T (form[0].town[0]) /V (Emden) /Rect [200 500 350 515]",
            "/FT /Tx /T (e) /TU (Mother tongue) /V (Frisian) /Rect [200 450 350 465]",
            "/FT /Tx /T (f) /F 2 /V (hiddenword) /Rect [200 400 350 415]",
        ],
        [(72, 703, "Family name"), (90, 673, "Insured"), (90, 643, "Married"), (72, 613, "Colour")],
    )
    assert lines(data) == [
        "Family name: Marchbanks",
        "[x] Insured",
        "[ ] Married",
        "Colour: teal",
        "town: Emden",
        "Mother tongue: Frisian",
    ]
    assert [(item.reason, item.text) for item in read(data).left_out] == [(Reason.HIDDEN_TEXT, "hiddenword")]


def test_fields_in_a_ruled_table_stay_in_their_cells() -> None:
    def page(canvas: Canvas) -> None:
        table(canvas, [["Boat", "Fee"], ["Gull", ""], ["Tern", ""]], 600, rowHeights=[24] * 3)
        canvas.acroForm.textfield(name="a", value="4.50", x=195, y=626, width=100, height=18)
        canvas.acroForm.textfield(name="b", value="5.50", x=195, y=602, width=100, height=18)

    assert lines(drawn(page))[2:] == ["| Gull | 4.50 |", "| Tern | 5.50 |"]


def test_a_page_drawn_on_its_side_is_read_like_an_upright_one() -> None:
    def page(canvas: Canvas) -> None:
        canvas.setFont("Helvetica-Bold", 18)
        canvas.drawString(72, 500, "Table of boats")
        canvas.setFont("Helvetica", 11)
        for row in range(3):
            canvas.drawString(72, 470 - 14 * row, f"Left column, line {row}.")
            canvas.drawString(400, 470 - 14 * row, f"right column, line {row}.")
        table(canvas, [["Boat", "Fee"], ["Gull", "4.50"], ["Tern", "5.50"]], 300)

    def on_its_side(canvas: Canvas) -> None:
        canvas.translate(WIDTH, 0)
        canvas.rotate(90)
        page(canvas)

    def on_its_other_side(canvas: Canvas) -> None:
        canvas.translate(0, HEIGHT)
        canvas.rotate(270)
        page(canvas)

    expected = lines(drawn(page))
    assert "Table of boats" in expected and "| Gull | 4.50 |" in expected
    assert lines(drawn(on_its_side)) == expected
    assert lines(drawn(on_its_other_side)) == expected


def table_pages(header: list[str], *, repeat: bool) -> list[str]:
    rows = [[f"P-{number}", "red", f"{number}.50"] for number in range(12)]

    def page(number: int) -> Callable[[Canvas], None]:
        def draw(canvas: Canvas) -> None:
            canvas.drawString(72, HEIGHT - 40, "Price list")
            canvas.drawString(72, 30, f"Page {number}")
            own = rows[6 * number - 6 : 6 * number]
            if number == 1:
                table(canvas, [header, *own], 60, rowHeights=[90] * 7)
            else:
                table(canvas, [header, *own] if repeat else own, HEIGHT - 60 - 20 * (6 + repeat), rowHeights=20)

        return draw

    return [p.text for p in passages(read(drawn(page(1), page(2))))]


@pytest.mark.parametrize("repeat", [False, True])
def test_a_table_over_two_pages_has_its_header_once_on_each(*, repeat: bool) -> None:
    texts = table_pages(["Part", "Colour", "Price"], repeat=repeat)
    for first_row in ("| P-0 | red | 0.50 |", "| P-6 | red | 6.50 |"):
        text = next(text for text in texts if first_row in text)
        assert re.search(rf"\| Part \| Colour \| Price \|\n\| - \| - \| - \|\n{re.escape(first_row)}", text)
    assert sum(text.count("| Part |") for text in texts) == 2


def test_a_table_goes_on_after_a_sum_carried_forward_and_a_title() -> None:
    def page(number: int) -> Callable[[Canvas], None]:
        def draw(canvas: Canvas) -> None:
            canvas.drawString(72, HEIGHT - 40, "Schedule" if number == 0 else "Schedule, continued")
            rows = [("Code", "Fitting", "Price")] if number == 0 else []
            rows += [(f"C-{n}", f"valve {n}", f"{n}.50") for n in range(40 * number, 40 * number + 40)]
            for n, row in enumerate(rows):
                for left, text in zip((72, 200, 400), row, strict=True):
                    canvas.drawString(left, HEIGHT - 60 - 16 * n, text)
            if number == 0:
                canvas.drawString(72, 60, "Carried forward to the next page")

        return draw

    found = [p.text for p in passages(read(drawn(page(0), page(1))))]
    goes_on = next(text for text in found if "| C-40 |" in text)
    assert "| Code | Fitting | Price |\n| - | - | - |\n| C-40 | valve 40 | 40.50 |" in goes_on


def test_a_new_table_on_the_next_page_keeps_its_own_header() -> None:
    def first(canvas: Canvas) -> None:
        table(canvas, [["Part", "Price"], ["Gasket", "1.50"], ["Seal", "2.50"]], 60, rowHeights=200)

    def second(canvas: Canvas) -> None:
        table(canvas, [["Boat", "Length"], ["Gull", "8.5"], ["Tern", "9.5"]], 700)

    found = lines(drawn(first, second))
    assert found.count("| Part | Price |") == 1
    assert "| Boat | Length |" in found


def test_a_running_line_is_taken_out_of_the_block_that_it_touches() -> None:
    def page(number: int) -> Callable[[Canvas], None]:
        def draw(canvas: Canvas) -> None:
            canvas.drawString(72, HEIGHT - 50, "Rules of the quay")
            for row in range(5):
                canvas.drawString(72, HEIGHT - 63 - 13 * row, f"Paragraph {number}, row {row}: {PROSE[:50]}")

        return draw

    parsed = read(drawn(*(page(number) for number in (1, 2, 3))))
    assert "\n".join(p.text for p in passages(parsed)).count("Rules of the quay") == 1
    assert [(item.reason, item.place) for item in parsed.left_out] == [
        (Reason.RUNNING_LINE, "page 2"),
        (Reason.RUNNING_LINE, "page 3"),
    ]


def test_the_furniture_that_docling_finds_stays_once_and_where_it_does_not_run() -> None:
    document = DoclingDocument(name="a")
    texts = [
        (DocItemLabel.PAGE_HEADER, ("Rules", "Rules", "Rules"), 40),
        (DocItemLabel.PAGE_HEADER, ("Docket 4711", "Docket 4720", "Docket 4799"), 60),
        (DocItemLabel.PAGE_FOOTER, ("7", "8", "9"), 800),
    ]
    for page_no in (1, 2, 3):
        document.add_page(page_no, Size(width=WIDTH, height=HEIGHT))
        for label, own, top in texts:
            box = BoundingBox(l=50, t=top, r=200, b=top + 10, coord_origin=CoordOrigin.TOPLEFT)
            prov = ProvenanceItem(page_no=page_no, bbox=box, charspan=(0, 0))
            document.add_text(label, own[page_no - 1], prov=prov, content_layer=ContentLayer.FURNITURE)
    left_out = keep_one_copy(document)
    kept = [item.text for item in document.texts if item.content_layer is ContentLayer.BODY]
    assert kept == ["Rules", "Docket 4711", "Docket 4720", "Docket 4799"]
    assert count_by_reason(left_out) == {"page_number": 3, "running_line": 2}


def test_ticks_and_values_that_docling_does_not_see_are_added_to_their_page() -> None:
    document = DoclingDocument(name="a")
    rect = Rect(50, 50, 60, 60)
    for page_no, text in ((1, "Family name Marchbanks"), (2, "The second page")):
        document.add_page(page_no, Size(width=WIDTH, height=HEIGHT))
        box = BoundingBox(l=50, t=50, r=200, b=60, coord_origin=CoordOrigin.TOPLEFT)
        document.add_text(DocItemLabel.TEXT, text, prov=ProvenanceItem(page_no=page_no, bbox=box, charspan=(0, 0)))
    fields = [
        Field(rect, FieldKind.TEXT, "Marchbanks", "surname"),
        Field(rect, FieldKind.TEXT, "Emden", "town"),
        Field(rect, FieldKind.TICK, "[x]", "insured"),
    ]
    add_notes(document, unread_fields(document, {1: fields}))
    found = [item.text for item, _ in document.iterate_items() if isinstance(item, TextItem)]
    assert found == ["Family name Marchbanks", "town: Emden", "[x] insured", "The second page"]


def test_damage_that_only_the_finder_of_tables_sees_costs_neither_text_nor_the_next_document() -> None:
    def ruled(canvas: Canvas) -> None:
        table(canvas, [["Boat", "Fee"], ["Gull", "4.50"], ["Tern", "5.50"]], 600)

    data = drawn(ruled)
    damaged = data.replace(b"/Rotate 0", b"/Rota 0 0")  # an odd number of entries in the page's dictionary
    assert damaged != data
    assert "Gull" in " ".join(lines(damaged))
    assert lines(data)[2:] == ["| Gull | 4.50 |", "| Tern | 5.50 |"]


def test_a_form_of_thousands_of_fields_with_long_names_is_read_in_part_and_says_so() -> None:
    name = "n" * 900
    data = undrawn_form([f"/FT /Tx /T ({name}{n}) /V (value {n}) /Rect [10 10 20 20]" for n in range(1_200)])
    parsed = read(data)
    assert any(item.text.endswith("value 7") for item in parsed.document.texts)
    assert parsed.warnings == ("200 fields and notes are left out: the PDF has too many",)


def test_thousands_of_attachments_are_counted() -> None:
    data = annotated(drawn(lambda canvas: canvas.drawString(72, 700, PROSE)), [], [f"{n}.bin" for n in range(1_200)])
    assert read(data).warnings[0].startswith("1200 attached files are not read: 0.bin")
