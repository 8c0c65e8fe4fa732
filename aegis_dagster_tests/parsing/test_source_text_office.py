"""The simple readers of office files find the text in every place, and say where it stands."""

import io
import zipfile

from aegis_dagster.domain.left_out import LeftOut, Reason
from aegis_dagster.parsing.source_text import pieces_of, texts_of
from aegis_dagster_tests.support.xml_packages import package

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
C = 'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart"'
P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
S = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
MC = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
WP = 'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing"'
M = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
XDR = 'xmlns:xdr="http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing"'


def chart(title: str, name: str, value: str) -> str:
    """A chart with one series, whose categories stand in it twice."""
    categories = (
        f"<c:cat><c:strRef><c:f>S!A1</c:f><c:strCache><c:pt><c:v>{name}</c:v></c:pt></c:strCache></c:strRef></c:cat>"
    )
    values = (
        f"<c:val><c:numRef><c:f>S!B1</c:f><c:numCache><c:pt><c:v>{value}</c:v></c:pt></c:numCache></c:numRef></c:val>"
    )
    return (
        f"<c:chart {C} {A}><c:title><c:tx><c:rich><a:p><a:r><a:t>{title}</a:t></a:r></a:p></c:rich></c:tx></c:title>"
        f"<c:ser>{categories}{values}</c:ser><c:ser>{categories}</c:ser></c:chart>"
    )


def diagram(text: str) -> str:
    """The data of a SmartArt."""
    return f"<dgm {A}><a:p><a:r><a:t>{text}</a:t></a:r></a:p></dgm>"


def word_file() -> bytes:
    def paragraph(text: str) -> str:
        return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"

    body = (
        paragraph("plain")
        + "<w:p><w:r><w:t>di</w:t></w:r><w:r><w:t>vided</w:t><w:tab/><w:t>tab</w:t><w:br/><w:t>break</w:t></w:r></w:p>"
        + f"<w:tbl><w:tr><w:tc>{paragraph('cell')}</w:tc><w:tc>{paragraph('beside')}</w:tc></w:tr></w:tbl>"
        + f"<w:tbl><w:tr><w:trPr><w:del/></w:trPr><w:tc>{paragraph('rowgone')}</w:tc></w:tr></w:tbl>"
        + f"<w:ins>{paragraph('inserted')}</w:ins><w:moveTo><w:r><w:t>moved</w:t></w:r></w:moveTo>"
        + "<w:p><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del>"
        + "<w:moveFrom><w:r><w:t>movedaway</w:t></w:r></w:moveFrom></w:p>"
        + f"<w:sdt><w:sdtContent>{paragraph('controlled')}</w:sdtContent></w:sdt>"
        + '<w:p><w:fldSimple w:instr="REF hiddencode"><w:r><w:t>field</w:t></w:r></w:fldSimple>'
        + "<w:r><w:instrText>PAGEREF morecode</w:instrText></w:r></w:p>"
        + f"<mc:AlternateContent><mc:Choice>{paragraph('boxed')}</mc:Choice>"
        + f"<mc:Fallback>{paragraph('boxed')}</mc:Fallback></mc:AlternateContent>"
        + '<w:drawing><wp:docPr descr="depicted"/></w:drawing><w:drawing><wp:docPr descr="image1.png"/></w:drawing>'
        + "<w:p><m:oMath><m:r><m:t>E=\U0001d45a</m:t></m:r><m:r><m:t>π7</m:t></m:r></m:oMath></w:p>"
    )
    separator = f'<w:{{0}} w:id="0" w:type="separator">{paragraph("")}</w:{{0}}>'
    notes = f'{separator}<w:{{0}} w:id="5">{paragraph("{1}")}</w:{{0}}>'
    return package(
        {
            "word/document.xml": f"<w:document {W} {MC} {WP} {M}><w:body>{body}</w:body></w:document>",
            "word/footnotes.xml": f"<w:footnotes {W}>{notes.format('footnote', 'below')}</w:footnotes>",
            "word/endnotes.xml": f"<w:endnotes {W}>{notes.format('endnote', 'atend')}</w:endnotes>",
            "word/comments.xml": f'<w:comments {W}><w:comment w:id="3">{paragraph("remark")}</w:comment></w:comments>',
            "word/header1.xml": f"<w:hdr {W}>{paragraph('running')}</w:hdr>",
            "word/header2.xml": f"<w:hdr {W}>{paragraph('running')}</w:hdr>",
            "word/footer1.xml": f"<w:ftr {W}>{paragraph('bottom')}</w:ftr>",
            "word/charts/chart1.xml": chart("sales", "north", "77"),
            "word/diagrams/data1.xml": diagram("node"),
            "word/glossary/document.xml": f"<w:document {W}>{paragraph('blueprint')}</w:document>",
        },
        {
            "": {"officeDocument": "word/document.xml"},
            "word/document.xml": {
                "footnotes": "footnotes.xml",
                "endnotes": "endnotes.xml",
                "comments": "comments.xml",
                "header1": "header1.xml",
                "header2": "header2.xml",
                "footer1": "footer1.xml",
                "chart": "charts/chart1.xml",
                "diagramData": "/word/diagrams/data1.xml",
                "glossaryDocument": "glossary/document.xml",
            },
        },
    )


def test_word() -> None:
    pieces, left_out = texts_of(word_file(), "docx")
    body = next(piece.text for piece in pieces if piece.place == "body")
    assert body.split() == (
        [
            "plain",
            "divided",
            "tab",
            "break",
            "cell",
            "beside",
            "inserted",
            "moved",
            "controlled",
            "field",
            "boxed",
            "E=m",
            "7",
        ]
    )
    assert [(piece.place, piece.text.split()) for piece in pieces if piece.place != "body"] == [
        ("body, alternative text", ["depicted"]),
        ("footnote 1", ["below"]),
        ("endnote 1", ["atend"]),
        ("comment 1", ["remark"]),
        ("header", ["running"]),
        ("footer", ["bottom"]),
        ("chart", ["sales", "north", "77"]),
        ("diagram", ["node"]),
    ]
    assert left_out == [
        LeftOut(Reason.DELETED_TEXT, "body", "rowgone"),
        LeftOut(Reason.DELETED_TEXT, "body", "deleted"),
        LeftOut(Reason.DELETED_TEXT, "body", "movedaway"),
    ]


def test_slides_in_the_order_of_the_presentation() -> None:
    def slide(text: str, more: str = "") -> str:
        return f"<p:sld {P} {A}><p:sp><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sp>{more}</p:sld>"

    table = "<a:tbl><a:tc><a:p><a:r><a:t>cell</a:t></a:r><a:br/><a:r><a:t>under</a:t></a:r></a:p></a:tc></a:tbl>"
    picture = '<p:pic><p:nvPicPr><p:cNvPr descr="depicted"/></p:nvPicPr></p:pic>'
    number = '<a:p><a:fld type="slidenum"><a:t>8</a:t></a:fld></a:p>'
    data = package(
        {
            "ppt/presentation.xml": f'<p:deck {P} {R}><p:sldId r:id="r1"/><p:sldId r:id="r0"/></p:deck>',
            "ppt/slides/slide1.xml": slide("second"),
            "ppt/slides/slide2.xml": slide("first", table + picture + number),
            "ppt/notesSlides/notesSlide1.xml": slide("spoken"),
            "ppt/comments/comment1.xml": f"<p:cmLst {P}><p:cm><p:text>remark</p:text></p:cm></p:cmLst>",
            "ppt/diagrams/data1.xml": diagram("node"),
            "ppt/charts/chart1.xml": chart("sales", "north", "77"),
            "ppt/slideLayouts/slideLayout1.xml": slide("prompt"),
        },
        {
            "": {"officeDocument": "ppt/presentation.xml"},
            "ppt/presentation.xml": {"slide1": "slides/slide1.xml", "slide2": "slides/slide2.xml"},
            "ppt/slides/slide2.xml": {
                "notesSlide": "../notesSlides/notesSlide1.xml",
                "comments": "../comments/comment1.xml",
                "diagramData": "../diagrams/data1.xml",
                "chart": "../charts/chart1.xml",
                "slideLayout": "../slideLayouts/slideLayout1.xml",
            },
        },
    )
    assert [(piece.place, piece.text.split()) for piece in pieces_of(data, "pptx")] == [
        ("slide 1", ["first", "cell", "under"]),
        ("slide 1, alternative text", ["depicted"]),
        ("slide 1 notes", ["spoken"]),
        ("slide 1 comments", ["remark"]),
        ("slide 1 diagram", ["node"]),
        ("slide 1 chart", ["sales", "north", "77"]),
        ("slide 2", ["second"]),
    ]


def test_sheets() -> None:
    cells = (
        '<c t="s"><v>0</v></c><c t="inlineStr"><is><t>inline</t></is></c><c t="str"><f>A1</f><v>cached</v></c>'
        '<c><v>42</v></c><c s="1"><v>0.07555</v></c><c s="2"><v>46000</v></c>'
        '<c><v>0.30000000000000004</v></c><c s="3"><v>-1234.5</v></c><c s="4"><v>7</v></c><c s="99"><v>8</v></c>'
        '<c><f>SUM(A1)</f></c><c t="e"><v>#REF!</v></c>'
    )
    comments = (
        "<comments {0}><authors><author>Ann</author><author>tc={{1}}</author></authors><commentList>"
        '<comment ref="B7" authorId="0"><text><r><t>re</t></r><r><t>mark</t></r></text></comment>'
        '<comment ref="C1" authorId="1"><text><t>standin</t></text></comment></commentList></comments>'
    )
    data = package(
        {
            "xl/workbook.xml": f'<workbook {S} {R}><sheets><sheet name="Prices" r:id="r0"/></sheets></workbook>',
            "xl/worksheets/sheet1.xml": f"<worksheet {S}><sheetData><row>{cells}</row></sheetData><headerFooter>"
            '<oddHeader>&amp;L&amp;"Arial,Bold"&amp;12Printed&amp;RPage &amp;P</oddHeader></headerFooter></worksheet>',
            "xl/sharedStrings.xml": f"<sst {S}><si><r><t>sha</t></r><r><t>red</t></r><rPh><t>reading</t></rPh></si>"
            "</sst>",
            "xl/styles.xml": f"<styleSheet {S}><numFmts>"
            '<numFmt numFmtId="164" formatCode="&quot;EUR&quot; #,##0.00"/><numFmt numFmtId="165" formatCode="000"/>'
            "</numFmts>"
            '<cellXfs><xf numFmtId="0"/><xf numFmtId="10"/><xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="165"/>'
            "</cellXfs></styleSheet>",
            "xl/comments1.xml": comments.format(S),
            "xl/threads/thread1.xml": '<ThreadedComments xmlns="urn:t"><threadedComment ref="C1">'
            "<text>threaded</text></threadedComment></ThreadedComments>",
            "xl/drawings/drawing1.xml": f'<xdr:wsDr {XDR} {A}><xdr:cNvPr descr="depicted"/><a:p><a:r>'
            "<a:t>boxed</a:t></a:r></a:p></xdr:wsDr>",
            "xl/charts/chart1.xml": chart("sales", "north", "77"),
            "xl/diagrams/data1.xml": diagram("node"),
        },
        {
            "": {"officeDocument": "xl/workbook.xml"},
            "xl/workbook.xml": {
                "worksheet": "worksheets/sheet1.xml",
                "sharedStrings": "sharedStrings.xml",
                "styles": "styles.xml",
            },
            "xl/worksheets/sheet1.xml": {
                "comments": "../comments1.xml",
                "threadedComment": "../threads/thread1.xml",
                "drawing": "../drawings/drawing1.xml",
            },
            "xl/drawings/drawing1.xml": {
                "chart": "../charts/chart1.xml",
                "diagramData": "../diagrams/data1.xml",
                "drawing": "drawing1.xml",
            },
        },
    )
    assert [(piece.place, piece.text.split()) for piece in pieces_of(data, "xlsx")] == [
        ("sheet Prices", ["Prices"]),
        ("sheet Prices", ["shared", "inline", "cached", "42", "7.56", "0.3", "1,234.50", "007"]),
        ("sheet Prices, printed header or footer", ["Printed", "Page"]),
        ("sheet Prices, comment at B7", ["remark"]),
        ("sheet Prices, comment at C1", ["threaded"]),
        ("sheet Prices, drawing", ["boxed"]),
        ("sheet Prices, alternative text", ["depicted"]),
        ("sheet Prices, chart", ["sales"]),
        ("sheet Prices, diagramData", ["node"]),
    ]


def test_a_part_that_many_lead_to_is_read_once() -> None:
    slide = f"<p:sld {P} {A}><a:p><a:r><a:t>{'word ' * 100}</a:t></a:r></a:p></p:sld>"
    named = '<p:sldId r:id="r0"/>' * 5_000
    data = package(
        {"ppt/presentation.xml": f"<p:presentation {P} {R}>{named}</p:presentation>", "ppt/slide.xml": slide},
        {"": {"officeDocument": "ppt/presentation.xml"}, "ppt/presentation.xml": {"slide": "slide.xml"}},
    )
    assert len(pieces_of(data, "pptx")) == 1


def test_a_damaged_part_costs_that_part() -> None:
    data = word_file()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        start = archive.getinfo("word/footnotes.xml").header_offset
    damaged = bytearray(data)
    damaged[start + 60] ^= 0xFF
    places = [piece.place for piece in pieces_of(bytes(damaged), "docx")]
    assert "footnote 1" not in places
    assert {"body", "endnote 1", "comment 1"} <= set(places)
