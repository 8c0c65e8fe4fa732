"""Workbooks: every text arrives below the name of its sheet, or is listed as left out."""

import io
import json
from pathlib import Path

import openpyxl
import pytest
from openpyxl.chart import BarChart, Reference
from openpyxl.worksheet.table import Table

from aegis_dagster.domain.chunks import Chunk
from aegis_dagster.domain.left_out import Reason
from aegis_dagster.domain.stages import Stage
from aegis_dagster.parsing.excel.reader import read
from aegis_dagster.parsing.excel.regions import find_regions
from aegis_dagster.parsing.readers import Parsed
from aegis_dagster.settings.stages import ParseSettings
from aegis_dagster_tests.parsing.conftest import Parse
from aegis_dagster_tests.support.bad_files import archive
from aegis_dagster_tests.support.chunked_documents import chunk_document, text_in
from aegis_dagster_tests.support.office_files import NAMESPACES, relations, rows, unpacked, workbook
from aegis_dagster_tests.support.projects import bring_up, make_project


def parsed(data: bytes, *, read_hidden: bool = False) -> Parsed:
    return read(data, name="book.xlsx", kind="xlsx", options={"read_hidden": read_hidden})


def chunks_of(data: bytes, *, read_hidden: bool = False) -> list[Chunk]:
    return chunk_document(parsed(data, read_hidden=read_hidden).document).chunks


def text_of(data: bytes, *, read_hidden: bool = False) -> str:
    return "\n".join(chunk.embedded_text for chunk in chunks_of(data, read_hidden=read_hidden))


def saved(book: openpyxl.Workbook) -> bytes:
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


SHAPE = (
    "<xdr:twoCellAnchor><xdr:from><xdr:col>4</xdr:col><xdr:row>{row}</xdr:row></xdr:from>"
    "<xdr:to><xdr:col>6</xdr:col><xdr:row>9</xdr:row></xdr:to>{shape}<xdr:clientData/></xdr:twoCellAnchor>"
)
BOX = (
    '<xdr:sp><xdr:nvSpPr><xdr:cNvPr id="2" name="Box" {properties}/><xdr:cNvSpPr/></xdr:nvSpPr><xdr:spPr/>'
    "<xdr:txBody><a:bodyPr/><a:p><a:r><a:t>{text}</a:t></a:r></a:p></xdr:txBody></xdr:sp>"
)
FRAME = (
    '<xdr:graphicFrame><xdr:nvGraphicFramePr><xdr:cNvPr id="4" name="Chart" {properties}/></xdr:nvGraphicFramePr>'
    "<a:graphic><a:graphicData>{content}</a:graphicData></a:graphic></xdr:graphicFrame>"
)
RICH = "<c:tx><c:rich><a:p><a:r><a:t>{text}</a:t></a:r></a:p></c:rich></c:tx>"
CHART = f"""<c:chartSpace {NAMESPACES}><c:chart><c:title>{RICH.format(text="Peridot")}</c:title><c:plotArea><c:barChart>
<c:ser><c:tx><c:strRef><c:f>x</c:f><c:strCache><c:pt idx="0"><c:v>Citrine</c:v></c:pt></c:strCache></c:strRef></c:tx>
<c:cat><c:strRef><c:f>x</c:f><c:strCache><c:pt idx="0"><c:v>Beryl</c:v></c:pt></c:strCache></c:strRef></c:cat>
<c:val><c:numRef><c:f>x</c:f><c:numCache><c:formatCode>0.0%</c:formatCode><c:pt idx="0"><c:v>0.125</c:v></c:pt>
</c:numCache></c:numRef></c:val><c:extLst><c:ext><c:datalabelsRange><c:dlblRangeCache><c:pt idx="0"><c:v>Hematite</c:v>
</c:pt></c:dlblRangeCache></c:datalabelsRange></c:ext></c:extLst></c:ser></c:barChart><c:catAx><c:title>{RICH.format(text="Olivine")}</c:title></c:catAx>
<c:valAx><c:title>{RICH.format(text="Kunzite")}</c:title></c:valAx></c:plotArea></c:chart></c:chartSpace>"""
VML = 'xmlns:v="urn:schemas-microsoft-com:vml" xmlns:x="urn:schemas-microsoft-com:office:excel"'
CONTROL = (
    '<v:shape><v:textbox><div><font face="x">{text}</font></div></v:textbox>'
    '<x:ClientData ObjectType="{kind}"><x:Anchor>1, 0, 2, 0, 3, 0, 4, 0</x:Anchor></x:ClientData></v:shape>'
)
POINT = '<dgm:pt modelId="{number}"><dgm:t><a:p><a:r><a:t>{text}</a:t></a:r></a:p></dgm:t></dgm:pt>'
DIAGRAM = f"""<dgm:dataModel {NAMESPACES}><dgm:ptLst><dgm:pt modelId="0" type="doc"/>
{POINT.format(number=2, text="Zircon")}{POINT.format(number=1, text="Spinel")}</dgm:ptLst><dgm:cxnLst>
<dgm:cxn srcId="0" destId="1" srcOrd="0"/><dgm:cxn srcId="0" destId="2" srcOrd="1"/></dgm:cxnLst></dgm:dataModel>"""


def everything() -> bytes:
    """A workbook with a word in each place that the format has."""
    shapes = [
        BOX.format(properties="", text="Garnet"),
        BOX.format(properties='descr="Topaz picture"', text="Amber"),
        BOX.format(properties='hidden="1"', text="Onyx"),
        f"<xdr:grpSp><xdr:nvGrpSpPr/>{BOX.format(properties='', text='Jasper')}</xdr:grpSp>",
        FRAME.format(properties='descr="Morganite"', content='<c:chart r:id="rId1"/>'),
        FRAME.format(properties="", content='<dgm:relIds r:dm="rId2"/>'),
    ]
    choice = (
        f"<mc:AlternateContent><mc:Choice Requires='a14'>{BOX.format(properties='', text='Sapphire')}</mc:Choice>"
        f"<mc:Fallback>{BOX.format(properties='', text='Update your program')}</mc:Fallback></mc:AlternateContent>"
    )
    drawn = "".join(SHAPE.format(row=row, shape=shape) for row, shape in enumerate([*shapes, choice]))
    content = """<cols><col min="3" max="3" hidden="1"/></cols><sheetData>
      <row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><r><t>Ru</t></r><r><t>by</t></r></is></c>
        <c r="C1" t="inlineStr"><is><t>Agate</t></is></c></row>
      <row r="2" hidden="1"><c r="A2" t="inlineStr"><is><t>Opal</t></is></c></row>
      <row r="3"><c r="A3" t="str"><f>"Jad"&amp;"e"</f><v>Jade</v></c><c r="B3"><f>SUM(B4:B9)</f></c></row>
      <row r="4"><c r="A4" t="inlineStr" s="1"><is><t>Malachite</t></is></c><c r="B4" t="b"><v>1</v></c></row>
      <row r="5"><c r="A5" t="e"><v>#DIV/0!</v></c><c r="B5" t="d"><v>2026-03-15T00:00:00</v></c></row>
      </sheetData><dataValidations><dataValidation sqref="B9" promptTitle="Slate" prompt="Shale"/></dataValidations>
      <hyperlinks><hyperlink ref="A7" display="Lapis"/></hyperlinks>
      <headerFooter><oddHeader>&amp;L&amp;"Arial,Bold"&amp;12Pearl&amp;RPage &amp;P</oddHeader></headerFooter>
      <drawing r:id="rId1"/><oleObjects><oleObject progId="Word.Document.12" r:id="rId9"/></oleObjects>"""
    threads = "http://schemas.microsoft.com/office/spreadsheetml/2018/threadedcomments"
    return workbook(
        [("Main", content), ("Coral", rows(["Turquoise"])), ("Empty", "")],
        attributes={"Coral": 'state="veryHidden"'},
        extra={
            "xl/sharedStrings.xml": f"""<sst {NAMESPACES}><si><t>Emerald</t><rPh sb="0" eb="1"><t>reading</t></rPh></si>
              </sst>""",
            "xl/styles.xml": f"""<styleSheet {NAMESPACES}><numFmts><numFmt numFmtId="170" formatCode=";;;"/></numFmts>
              <cellXfs><xf numFmtId="0"/><xf numFmtId="170"/></cellXfs></styleSheet>""",
            "xl/worksheets/_rels/sheet1.xml.rels": relations(
                ("drawing", "../drawings/drawing1.xml"),
                ("comments", "../comments1.xml"),
                ("vmlDrawing", "../drawings/vmlDrawing1.vml"),
                ("http://schemas.microsoft.com/office/2017/10/relationships/threadedComment", "../threads.xml"),
            ),
            "xl/drawings/drawing1.xml": f"<xdr:wsDr {NAMESPACES}>{drawn}</xdr:wsDr>",
            "xl/drawings/_rels/drawing1.xml.rels": relations(
                ("chart", "../charts/chart1.xml"), ("diagramData", "../diagrams/data1.xml")
            ),
            "xl/charts/chart1.xml": CHART,
            "xl/diagrams/data1.xml": DIAGRAM,
            "xl/drawings/vmlDrawing1.vml": f"<xml {VML}>{CONTROL.format(kind='Button', text='Chalk')}"
            f"{CONTROL.format(kind='Checkbox', text='Garnet')}{CONTROL.format(kind='Note', text='')}</xml>",
            "xl/comments1.xml": f"""<comments {NAMESPACES}>
              <authors><author>Quartz</author><author>tc={{1}}</author></authors><commentList>
              <comment ref="B1" authorId="0"><text><r><t>Quartz:</t></r><r><t> Feldspar</t></r></text></comment>
              <comment ref="A3" authorId="1"><text><t>[Threaded comment]\n\nComment:\n Mica</t></text></comment>
              </commentList></comments>""",
            "xl/threads.xml": f"""<ThreadedComments xmlns="{threads}">
              <threadedComment ref="A3" personId="p" id="1" dT="2026-06-18T17:15:52"><text>Mica</text></threadedComment>
              <threadedComment ref="A3" personId="q" id="2" parentId="1"><text>Gneiss</text></threadedComment>
              </ThreadedComments>""",
            "xl/persons/person.xml": f'<people xmlns="{threads}"><person id="p" displayName="Basalt"/></people>',
            "xl/_rels/workbook.xml.rels": relations(
                *[("worksheet", f"worksheets/sheet{number}.xml") for number in (1, 2, 3)],
                ("sharedStrings", "sharedStrings.xml"),
                ("styles", "styles.xml"),
                ("http://schemas.microsoft.com/office/2017/10/relationships/person", "persons/person.xml"),
            ),
        },
    )


SEEN = [
    *("Emerald", "Ruby", "Jade", "=SUM(B4:B9)", "TRUE", "#DIV/0!", "2026-03-15", "Lapis", "Pearl", "Main", "Empty"),
    *(
        "Garnet",
        "Chalk",
        "Slate: Shale",
        "Topaz",
        "Amber",
        "Jasper",
        "Sapphire",
        "Spinel",
        "Zircon",
        "Word.Document.12",
    ),
    *("Peridot", "Citrine", "Beryl", "12.5%", "Olivine", "Kunzite", "Morganite", "Hematite"),
    *("Feldspar", "B1 by Quartz", "Mica", "A3 by Basalt on 2026-06-18", "Gneiss"),
]
HIDDEN = {
    "Coral": Reason.HIDDEN_SHEET,
    "Turquoise": Reason.HIDDEN_SHEET,
    "Agate": Reason.HIDDEN_COLUMN,
    "Opal": Reason.HIDDEN_ROW,
    "Malachite": Reason.HIDDEN_TEXT,
    "Onyx": Reason.HIDDEN_TEXT,
}


@pytest.mark.parametrize("word", SEEN)
def test_a_word_in_each_place_is_found(word: str, shown: str) -> None:
    assert word in shown


@pytest.mark.parametrize("word", HIDDEN)
def test_what_is_hidden_is_left_out_and_listed(word: str, shown: str) -> None:
    assert word not in shown
    assert HIDDEN[word] in {item.reason for item in parsed(everything()).left_out if word in item.text}
    assert word in text_of(everything(), read_hidden=True)


@pytest.fixture(scope="module")
def shown() -> str:
    return text_of(everything())


def test_what_nobody_sees_is_not_there(shown: str) -> None:
    assert "reading" not in shown  # how an East Asian text is spoken
    assert "Update your program" not in shown  # for older programs
    assert shown.count("Garnet") == 1  # a caption in two markups
    assert shown.count("Mica") == 1  # a thread and its copy for older programs
    assert shown.index("Spinel") < shown.index("Zircon")  # as the diagram has them, not as the file has them


def test_left_out_is_counted_in_the_manifest(parse: Parse) -> None:
    counts = parse(everything(), "book.xlsx").manifest["left_out"]
    assert counts == {"hidden_column": 1, "hidden_row": 1, "hidden_sheet": 1, "hidden_text": 2, "other_body": 1}


async def test_the_setting_reaches_the_reader_and_has_documents_read_again(tmp_path: Path) -> None:
    for read_hidden in (False, True):
        project = make_project(tmp_path, parse=ParseSettings(read_hidden=read_hidden))
        (tmp_path / "root" / "book.xlsx").write_bytes(everything())
        await bring_up(project, stages=[Stage.PARSE])
        newest = max((tmp_path / "home").rglob("manifest.json"), key=lambda path: path.stat().st_mtime_ns)
        assert ("hidden_sheet" in json.loads(newest.read_text())["left_out"]) is not read_hidden


def test_a_formula_without_a_value_is_warned_of() -> None:
    warnings = parsed(everything()).warnings
    assert any("Sheet Main has formulas without a stored value" in text and "(B3)" in text for text in warnings)
    assert any("Word.Document.12" in text for text in warnings)


def test_a_shared_formula_is_moved_along() -> None:
    first = '<row r="1"><c r="A1"><f t="shared" ref="A1:A2" si="0">B1*2</f></c></row>'
    second = '<row r="2"><c r="A2"><f t="shared" si="0"/></c></row>'
    assert text_of(workbook([("S", f"<sheetData>{first}{second}</sheetData>")])).split() == ["S", "=B1*2", "=B2*2"]


@pytest.mark.parametrize(("other", "shown"), [("0", "=B1*2"), ("7", "0")])
def test_zeros_of_a_program_that_cannot_compute_are_no_values(other: str, shown: str) -> None:
    cells = f'<c r="A1"><f>B1*2</f><v>0</v></c><c r="C1"><f>1+6</f><v>{other}</v></c>'
    main = (
        f'<workbook {NAMESPACES}><sheets><sheet name="S" r:id="rId1"/></sheets><calcPr fullCalcOnLoad="1"/></workbook>'
    )
    data = workbook([("S", f'<sheetData><row r="1">{cells}</row></sheetData>')], extra={"xl/workbook.xml": main})
    assert shown in text_of(data).split()


@pytest.mark.parametrize(
    ("suffix", "main"),
    [
        (".xlsm", "application/vnd.ms-excel.sheet.macroEnabled.main+xml"),
        (".xltx", "application/vnd.openxmlformats-officedocument.spreadsheetml.template.main+xml"),
        (".xltm", "application/vnd.ms-excel.template.macroEnabled.main+xml"),
    ],
)
def test_templates_and_macros_are_read(suffix: str, main: str) -> None:
    data = workbook([("S", rows(["Tourmaline"]))], main=main)
    assert "Tourmaline" in read(data, name=f"a{suffix}", kind="xlsx", options={}).document.export_to_markdown()


def test_the_strict_edition_is_read() -> None:
    parts = {
        name: content.replace(b"http://schemas.openxmlformats.org/spreadsheetml/2006", b"http://purl.oclc.org/ooxml/spreadsheetml")
        .replace(b"http://schemas.openxmlformats.org/officeDocument/2006", b"http://purl.oclc.org/ooxml/officeDocument")
        for name, content in unpacked(everything()).items()
    }  # fmt: skip
    assert {"Emerald", "Ruby", "Peridot"} <= set(text_of(archive(parts)).replace("|", " ").split())


def test_every_chunk_of_a_long_sheet_names_it() -> None:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name in ("North", "South"):
        sheet = book.create_sheet(name)
        sheet.append(["Station", "Depth in metres", "Remark"])
        for number in range(150):
            sheet.append([f"{name} station {number}", number * 1.5, "measured with the usual instruments"])
    chunks = chunks_of(saved(book))
    assert len(chunks) > 10
    for chunk in chunks:
        assert chunk.headings in (("North",), ("South",))
        other = "South" if chunk.headings == ("North",) else "North"
        assert other not in chunk.text


def test_charts_without_kept_values_take_those_of_their_cells() -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in (["Month", "Landed"], ["May", 0.25], ["June", 0.5]):
        sheet.append(row)
    for cell in (sheet["B2"], sheet["B3"]):
        cell.number_format = "0%"
    chart = BarChart()
    chart.title = "Catch"
    chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=3), titles_from_data=True)
    chart.set_categories(Reference(sheet, min_col=1, min_row=2, max_row=3))
    book.create_chartsheet("Figure").add_chart(chart)
    figure = next(chunk.text for chunk in chunks_of(saved(book)) if chunk.headings == ("Figure",))
    assert all(word in figure for word in ("Catch", "Bar chart", "Landed", "May", "25%", "June", "50%"))


def test_hidden_columns_do_not_tear_a_table() -> None:
    content = '<cols><col min="2" max="2" width="0.0"/></cols>' + rows(["Part", "Cost", "Price"], ["Valve", "3", "7"])
    assert "| Part | Price |\n| - | - |\n| Valve | 7 |" in text_of(workbook([("S", content)]))


def test_a_title_over_merged_cells_stands_once_and_groups_stay_with_their_columns() -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet["A1"], sheet["A2"], sheet["B2"], sheet["A3"], sheet["B3"], sheet["C3"] = (
        "Title",
        "",
        "2026",
        "Port",
        "May",
        "June",
    )
    sheet["A4"], sheet["B4"], sheet["C4"] = "Kiel", 4, 5
    sheet.merge_cells("A1:C1")
    sheet.merge_cells("B2:C2")
    text = text_of(saved(book))
    assert text.count("Title") == 1
    assert "2026" in text


def test_tables_that_the_workbook_declares_stay_apart() -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in (["Stock list"], ["Item", "Count"], ["Bolt", 12], ["Nut", 9]):
        sheet.append(row)
    sheet.add_table(Table(displayName="Stock", ref="A2:B4"))
    assert "Stock list\n| Item | Count |\n| - | - |\n| Bolt | 12 |" in text_of(saved(book))


def test_labels_and_values_stay_on_one_line() -> None:
    cells = {1: {1: "Customer", 3: "Ferry Lines"}, 2: {1: "Invoice", 3: "4711"}}
    (region,) = find_regions(cells, [], [])
    assert [(cell.row, cell.column, cell.text) for cell in region.cells] == [
        (0, 0, "Customer"),
        (0, 1, "Ferry Lines"),
        (1, 0, "Invoice"),
        (1, 1, "4711"),
    ]


def test_tables_beside_and_below_each_other_are_several() -> None:
    table = {row: {column: f"{row}/{column}" for column in (1, 2, 4, 5)} for row in (1, 2, 3, 7, 8)}
    areas = [region.area for region in find_regions(table, [], [])]
    assert areas == [(1, 1, 3, 2), (1, 4, 3, 5), (7, 1, 8, 2), (7, 4, 8, 5)]


def test_distant_cells_cost_nothing() -> None:
    cells = {row: {row: str(row), row + 1: "x"} for row in range(1, 8000)}
    cells[1_048_576] = {16_384: "far"}
    regions = find_regions(cells, [], [])
    assert sum(region.rows * region.columns for region in regions) < 100_000
    assert regions[-1].text == "far"


@pytest.mark.parametrize(
    ("part", "content", "lost", "kept"),
    [
        ("xl/drawings/drawing1.xml", b"<xdr:wsDr", "text boxes, pictures and charts", "Ruby"),
        ("xl/charts/chart1.xml", b"no chart", "xl/charts/chart1.xml", "Garnet"),
        ("xl/comments1.xml", b"<comments", "comments", "Gneiss"),
        ("xl/styles.xml", b"<styleSheet", "number formats", "Malachite"),
        ("xl/sharedStrings.xml", b"<sst><si><t>Emerald</t></si>", "shared texts", "Emerald"),
        (
            "xl/workbook.xml",
            b'<workbook xmlns:r="urn:/relationships"><sheets><sheet r:id="rId1"/>',
            "list of sheets",
            "Ruby",
        ),
        ("xl/worksheets/sheet1.xml", None, "Sheet Main is damaged after row 3", "Garnet"),
    ],
)
def test_a_damaged_part_costs_itself(part: str, content: bytes | None, lost: str, kept: str) -> None:
    parts = unpacked(everything())
    parts[part] = parts[part].partition(b'<row r="4">')[0] if content is None else content
    result = parsed(archive(parts))
    assert any(lost in text for text in result.warnings), result.warnings
    assert kept in text_in(result.document)


def test_numbers_that_are_too_long_are_no_error() -> None:
    long = "9" * 5000
    cell = f'<row r="1"><c r="A{long}" s="{long}"><v>{long}</v></c><c t="s"><v>{long}</v></c></row>'
    sheet = f'<cols><col min="1" max="{long}" hidden="1"/></cols><sheetData>{cell}</sheetData>'
    assert text_in(parsed(workbook([("S", sheet)])).document).split() == ["S", long]


def test_an_empty_workbook_has_no_text() -> None:
    assert parsed(workbook([("Sheet1", ""), ("Sheet2", "")])).document.export_to_markdown() == ""
