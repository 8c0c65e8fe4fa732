"""Presentations: every text of a slide arrives, below the title of its slide, or is listed as left out."""

import io
from functools import cache
from typing import Any

import pytest
from pptx import Presentation
from pptx.chart.data import BubbleChartData, CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from aegis_dagster.domain.chunks import Chunk
from aegis_dagster.domain.left_out import Reason
from aegis_dagster.parsing.powerpoint.reader import read
from aegis_dagster.parsing.readers import Parsed
from aegis_dagster_tests.parsing.conftest import Parse
from aegis_dagster_tests.support.bad_files import archive, picture
from aegis_dagster_tests.support.chunked_documents import chunk_document, text_in
from aegis_dagster_tests.support.office_files import NAMESPACES, unpacked

BOX = (Inches(1), Inches(3), Inches(4), Inches(1))
PRESENTATION = b"application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MODERN = "http://schemas.microsoft.com/office/powerpoint/2018/8/main"
TEXT = "<a:p><a:r><a:t>{text}</a:t></a:r></a:p>"
SHAPE = (
    '<p:sp><p:nvSpPr><p:cNvPr id="80" name="Box" {properties}/><p:cNvSpPr/><p:nvPr>{placeholder}</p:nvPr></p:nvSpPr>'
    "<p:spPr/><p:txBody><a:bodyPr/>{paragraphs}</p:txBody></p:sp>"
)
FRAME = (
    '<p:graphicFrame><p:nvGraphicFramePr><p:cNvPr id="90" name="Frame"/><p:cNvGraphicFramePr/><p:nvPr/>'
    '</p:nvGraphicFramePr><p:xfrm><a:off x="914400" y="5000000"/><a:ext cx="914400" cy="914400"/></p:xfrm><a:graphic>'
    '<a:graphicData uri="x">{content}</a:graphicData></a:graphic></p:graphicFrame>'
)
CHOICES = (
    '<mc:AlternateContent><mc:Choice xmlns:a14="urn:x" Requires="a14">{choice}</mc:Choice>'
    "<mc:Fallback>{fallback}</mc:Fallback></mc:AlternateContent>"
)
DIAGRAM = f"""<dgm:dataModel {NAMESPACES}><dgm:ptLst><dgm:pt modelId="0" type="doc"/>
<dgm:pt modelId="1"><dgm:t>{TEXT.format(text="Borage")}</dgm:t></dgm:pt></dgm:ptLst></dgm:dataModel>"""
NEWER_CHART = f"""<cx:chartSpace xmlns:cx="http://schemas.microsoft.com/office/drawing/2014/chartex" {NAMESPACES}>
<cx:chartData><cx:data id="0"><cx:strDim><cx:lvl><cx:pt idx="0">Parsley</cx:pt></cx:lvl></cx:strDim><cx:numDim><cx:lvl>
<cx:pt idx="0">4711</cx:pt></cx:lvl></cx:numDim></cx:data></cx:chartData><cx:chart><cx:title><cx:tx><cx:rich>
{TEXT.format(text="Chives")}</cx:rich></cx:tx></cx:title><cx:plotArea><cx:plotAreaRegion><cx:series><cx:tx><cx:txData>
<cx:v>Dill</cx:v></cx:txData></cx:tx></cx:series></cx:plotAreaRegion></cx:plotArea></cx:chart></cx:chartSpace>"""


def parsed(data: bytes, *, read_hidden: bool = False) -> Parsed:
    options = {"read_hidden": read_hidden, "pdf_route": "rules", "docling_models": None, "ocr": True}
    return read(data, name="deck.pptx", kind="pptx", options=options)


def chunks_of(data: bytes, *, read_hidden: bool = False) -> list[Chunk]:
    return chunk_document(parsed(data, read_hidden=read_hidden).document).chunks


@cache
def text_of(data: bytes, *, read_hidden: bool = False) -> str:
    return "\n".join(chunk.embedded_text for chunk in chunks_of(data, read_hidden=read_hidden))


def box(text: str, *, properties: str = "", placeholder: str = "") -> str:
    return SHAPE.format(properties=properties, placeholder=placeholder, paragraphs=TEXT.format(text=text))


def footer(kind: str, paragraphs: str) -> str:
    return SHAPE.format(properties="", placeholder=f'<p:ph type="{kind}"/>', paragraphs=paragraphs)


@cache
def ordinary() -> bytes:
    """Three slides with what python-pptx can make; the third is hidden."""
    deck = Presentation()
    for title in ("Basil", "Sorrel", "Nettle"):
        slide = deck.slides.add_slide(deck.slide_layouts[5])
        slide.shapes.title.text = title
    first, second, third = deck.slides
    first.shapes.add_textbox(*BOX).text_frame.text = "Sage\vleaves"
    table = first.shapes.add_table(1, 2, *BOX).table
    table.cell(0, 0).text, table.cell(0, 1).text = "Thyme\vseed", "Rosemary"
    image = first.shapes.add_picture(io.BytesIO(picture("PNG")), *BOX)
    image._element.xpath(".//p:cNvPr")[0].set("descr", "Lavender")
    first.shapes.add_group_shape().shapes.add_textbox(*BOX).text_frame.text = "Fennel"
    first.notes_slide.notes_text_frame.text = "Mint\vnotes"
    chart_data: Any = CategoryChartData
    data = chart_data()
    data.categories = ["Chervil"]
    data.add_series("Lovage", (3.5,))
    chart = second.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, *BOX, data).chart
    chart.has_title = True
    chart.chart_title.text_frame.text = "Savory"
    chart.value_axis.has_title = True
    chart.value_axis.axis_title.text_frame.text = "Yarrow"
    third._element.set("show", "0")
    third.notes_slide.notes_text_frame.text = "Thistle"
    made = io.BytesIO()
    deck.save(made)
    return made.getvalue()


@cache
def everything() -> bytes:
    """A presentation with a word in each place that the format has."""
    parts = unpacked(ordinary())
    old = box("Update your program")
    equation = (
        '<a14:m xmlns:a14="http://schemas.microsoft.com/office/drawing/2010/main"><m:oMath '
        'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"><m:r><m:t>tansy</m:t></m:r></m:oMath></a14:m>'
    )
    day = '<a:p><a:fld type="datetime1" id="{1}"><a:t>15.03.2026</a:t></a:fld></a:p>'
    number = '<a:p><a:fld type="slidenum" id="{2}"><a:t>1</a:t></a:fld></a:p>'
    ole = CHOICES.format(
        choice='<p:oleObj name="Saffron" progId="Excel.Sheet.12" r:id="rId99"/>',
        fallback='<p:oleObj progId="Excel.Sheet.12" r:id="rId99"><p:pic/></p:oleObj>',
    )
    first = [
        box("Oregano", properties='descr="Marjoram"'),
        box("Hyssop", properties='hidden="1"'),
        CHOICES.format(choice=box("Tarragon"), fallback=old),
        FRAME.format(content='<dgm:relIds r:dm="rId91"/>'),
        FRAME.format(content=ole),
        CHOICES.format(choice=FRAME.format(content='<cx:chart xmlns:cx="urn:x" r:id="rId92"/>'), fallback=old),
        SHAPE.format(
            properties="", placeholder="", paragraphs=f"<a:p>{CHOICES.format(choice=equation, fallback='')}</a:p>"
        ),
        footer("ftr", TEXT.format(text="Angelica")) + footer("dt", day) + footer("sldNum", number),
    ]
    insert(parts, "ppt/slides/slide1.xml", "".join(first))
    insert(parts, "ppt/slides/slide2.xml", footer("ftr", TEXT.format(text="Angelica")))
    insert(parts, "ppt/slideMasters/slideMaster1.xml", box("Valerian"))
    insert(parts, "ppt/notesSlides/notesSlide1.xml", footer("hdr", TEXT.format(text="Arnica")))
    link(parts, "ppt/slides/slide1.xml", ("rId91", f"{OFFICE}/diagramData", "../diagrams/data1.xml"))
    link(parts, "ppt/slides/slide1.xml", ("rId92", f"{OFFICE}/chartEx", "../charts/chartEx1.xml"))
    link(parts, "ppt/slides/slide1.xml", ("rId93", f"{OFFICE}/comments", "../comments/comment1.xml"))
    link(parts, "ppt/slides/slide2.xml", ("rId94", f"{OFFICE}/comments", "../comments/comment2.xml"))
    link(parts, "ppt/presentation.xml", ("rId95", f"{OFFICE}/commentAuthors", "commentAuthors.xml"))
    link(parts, "ppt/presentation.xml", ("rId96", f"{OFFICE}/authors", "authors.xml"))
    reply = (
        f'<m:replyLst><m:reply authorId="{{A}}"><m:txBody>{TEXT.format(text="Aloe")}</m:txBody></m:reply></m:replyLst>'
    )
    said = f'<m:cm authorId="{{A}}">{reply}<m:txBody>{TEXT.format(text="Linden")}</m:txBody></m:cm>'
    remark = '<p:cm authorId="0"><p:text>Cumin</p:text></p:cm>'
    made = {
        "ppt/diagrams/data1.xml": DIAGRAM,
        "ppt/charts/chartEx1.xml": NEWER_CHART,
        "ppt/comments/comment1.xml": f"<p:cmLst {NAMESPACES}>{remark}</p:cmLst>",
        "ppt/comments/comment2.xml": f'<m:cmLst xmlns:m="{MODERN}" {NAMESPACES}>{said}</m:cmLst>',
        "ppt/commentAuthors.xml": f'<p:cmAuthorLst {NAMESPACES}><p:cmAuthor id="0" name="Woodruff"/></p:cmAuthorLst>',
        "ppt/authors.xml": f'<m:authorLst xmlns:m="{MODERN}"><m:author id="{{A}}" name="Clary"/></m:authorLst>',
    }
    return archive(parts | {name: content.encode() for name, content in made.items()})


def insert(parts: dict[str, bytes], part: str, shapes: str) -> None:
    """Add shapes to a slide."""
    declared = parts[part].replace(b"<p:spTree>", f"<p:spTree {NAMESPACES}>".encode(), 1)
    parts[part] = declared.replace(b"</p:spTree>", f"{shapes}</p:spTree>".encode(), 1)


def link(parts: dict[str, bytes], part: str, relation: tuple[str, str, str]) -> None:
    folder, _, name = part.rpartition("/")
    listing = f"{folder}/_rels/{name}.rels"
    entry = '<Relationship Id="{}" Type="{}" Target="{}"/>'.format(*relation)
    parts[listing] = parts[listing].replace(b"</Relationships>", f"{entry}</Relationships>".encode())


SEEN = [
    *("Basil", "Sorrel", "Sage leaves", "Thyme seed", "Rosemary", "Lavender", "Fennel", "Mint notes", "tansy"),
    *("Savory", "Lovage", "Chervil", "Yarrow", "Chives", "Dill", "Parsley", "4711"),
    *("Oregano", "Marjoram", "Tarragon", "Borage", "Saffron", "Angelica", "Valerian", "Arnica"),
    *("Woodruff: Cumin", "Clary: Linden", "Clary: Aloe"),
]
HIDDEN = {
    "Nettle": Reason.HIDDEN_SLIDE,
    "Thistle": Reason.HIDDEN_SLIDE,
    "Hyssop": Reason.HIDDEN_TEXT,
}


@pytest.fixture(scope="module")
def shown() -> str:
    return text_of(everything())


@pytest.mark.parametrize("words", SEEN)
def test_a_word_in_each_place_is_found(words: str, shown: str) -> None:
    assert words in shown


@pytest.mark.parametrize("word", HIDDEN)
def test_what_is_hidden_is_left_out_and_listed(word: str, shown: str) -> None:
    assert word not in shown
    assert HIDDEN[word] in {item.reason for item in parsed(everything()).left_out if word in item.text}
    assert word in text_of(everything(), read_hidden=True)


def test_what_nobody_sees_is_not_there(shown: str) -> None:
    assert "Update your program" not in shown
    assert "15.03.2026" not in shown  # the day of the last look at it
    assert "Click to edit" not in shown
    assert [shown.count(word) for word in ("Angelica", "Borage", "Valerian", "Tarragon", "Chives")] == [1] * 5


def test_left_out_is_counted_in_the_manifest(parse: Parse) -> None:
    counts = parse(everything(), "deck.pptx").manifest["left_out"]
    assert counts == {"hidden_slide": 1, "hidden_text": 1, "page_number": 1, "print_date": 1, "running_line": 1}


def test_notes_and_comments_stand_below_the_title_of_their_slide() -> None:
    under = {
        word: chunk.headings
        for chunk in chunks_of(everything())
        for word in ("Cumin", "Mint", "Linden")
        if word in chunk.text
    }
    assert under == {"Cumin": ("Basil",), "Mint": ("Basil",), "Linden": ("Sorrel",)}


def test_a_slide_without_a_title_has_not_that_of_the_slide_before() -> None:
    deck = Presentation()
    for layout, text in ((5, "one"), (6, "two"), (6, "three"), (5, "four")):
        slide = deck.slides.add_slide(deck.slide_layouts[layout])
        slide.shapes.add_textbox(*BOX).text_frame.text = text
        if slide.shapes.title is not None:
            slide.shapes.title.text = f"Title of {text}"
    made = io.BytesIO()
    deck.save(made)
    found = [(chunk.headings, chunk.text.split()) for chunk in chunks_of(made.getvalue())]
    assert found == [(("Title of one",), ["one"]), ((), ["two", "three"]), (("Title of four",), ["four"])]


def test_the_points_of_a_chart_keep_both_their_values_and_their_size() -> None:
    deck = Presentation()
    chart_data: Any = BubbleChartData
    data = chart_data()
    series = data.add_series("Herbs")
    series.add_data_point(1.5, 22.5, 333)
    series.add_data_point(3.25, 4.5, 666)
    shapes: Any = deck.slides.add_slide(deck.slide_layouts[6]).shapes
    shapes.add_chart(XL_CHART_TYPE.BUBBLE, *BOX, data)
    file = io.BytesIO()
    deck.save(file)
    text = text_of(file.getvalue())
    assert "22.5" in text
    assert "X values: 1.5, 3.25" in text
    assert "Sizes: 333, 666" in text


def test_an_embedded_object_is_warned_of() -> None:
    assert any("Slide 1 holds an embedded object (Excel.Sheet.12)" in text for text in parsed(everything()).warnings)


@pytest.mark.parametrize(
    ("suffix", "main"),
    [
        (".pptm", b"application/vnd.ms-powerpoint.presentation.macroEnabled.main+xml"),
        (".ppsx", b"application/vnd.openxmlformats-officedocument.presentationml.slideshow.main+xml"),
        (".potx", b"application/vnd.openxmlformats-officedocument.presentationml.template.main+xml"),
        (".ppsm", b"application/vnd.ms-powerpoint.slideshow.macroEnabled.main+xml"),
        (".potm", b"application/vnd.ms-powerpoint.template.macroEnabled.main+xml"),
    ],
)
def test_templates_shows_and_macros_are_read(suffix: str, main: bytes) -> None:
    parts = unpacked(ordinary())
    assert PRESENTATION in parts["[Content_Types].xml"]
    parts["[Content_Types].xml"] = parts["[Content_Types].xml"].replace(PRESENTATION, main)
    assert "Rosemary" in text_of(archive(parts))


def test_the_strict_edition_is_read() -> None:
    parts = {
        name: content.replace(b"http://schemas.openxmlformats.org/presentationml/2006", b"http://purl.oclc.org/ooxml/presentationml")
        .replace(b"http://schemas.openxmlformats.org/drawingml/2006", b"http://purl.oclc.org/ooxml/drawingml")
        .replace(b"http://schemas.openxmlformats.org/officeDocument/2006", b"http://purl.oclc.org/ooxml/officeDocument")
        for name, content in unpacked(ordinary()).items()
    }  # fmt: skip
    assert "Rosemary" in text_of(archive(parts))


@pytest.mark.parametrize(
    ("part", "content", "said", "kept"),
    [
        ("ppt/slides/slide1.xml", b"no slide", "Slide 1 could not be read", "Sorrel"),
        ("ppt/slides/slide1.xml", None, "ppt/slides/slide1.xml is damaged", "Basil"),
        ("ppt/charts/chart1.xml", b"", "could not be read", "Sorrel"),
        ("ppt/notesSlides/notesSlide1.xml", b"", "The notes of slide 1 could not be read", "Rosemary"),
        ("ppt/slideMasters/slideMaster1.xml", None, "slideMaster1.xml is damaged", "Rosemary"),
        ("ppt/slideMasters/slideMaster1.xml", b"", "only the texts of its slides", "Rosemary"),
        ("ppt/diagrams/data1.xml", b"", "ppt/diagrams/data1.xml could not be read", "Tarragon"),
        ("ppt/comments/comment1.xml", b"", "The comments on slide 1 could not be read", "Linden"),
    ],
)
def test_a_damaged_part_costs_itself(part: str, content: bytes | None, said: str, kept: str) -> None:
    parts = unpacked(everything())
    whole = parts[part]
    parts[part] = whole[: whole.index(b"</p:sp>") + 7] if content is None else content
    result = parsed(archive(parts))
    assert any(said in text for text in result.warnings), result.warnings
    assert kept in text_in(result.document)
    assert len(result.document.pages) == 3


def test_equal_bytes_give_equal_documents() -> None:
    data = everything()
    assert parsed(data).document.model_dump_json() == parsed(data).document.model_dump_json()
