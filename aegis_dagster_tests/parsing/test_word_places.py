"""Each place of a Word file that holds text: its word is in the chunks, once, or in the list of what is left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from aegis_dagster.domain.left_out import Reason
from aegis_dagster.parsing.readers import Parsed
from aegis_dagster_tests.support.bad_files import picture
from aegis_dagster_tests.support.chunked_documents import chunk_document
from aegis_dagster_tests.support.word_files import (
    NAMESPACES,
    cell,
    control,
    drawing,
    heading,
    par,
    part,
    read_word,
    row,
    run,
    table,
    text_box,
    word_file,
)

WORD = "Quillwort"
FIELD = '<w:r><w:fldChar w:fldCharType="{}"/></w:r>'
TEXT = run(WORD)
PARAGRAPH = par(WORD)
BLIP = '<pic:pic><pic:blipFill><a:blip r:embed="pic"/></pic:blipFill></pic:pic>'
WORK = 'w:id="1" w:author="Ada" w:date="2026-01-02T00:00:00Z"'


@dataclass(frozen=True)
class Place:
    """A body that holds the word, and the parts beside it."""

    body: str
    parts: Mapping[str, str | bytes] = field(default_factory=dict)
    links: tuple[tuple[str, str, str], ...] = ()
    styles: str | None = None


def note(kind: str, content: str, *, cited: str = "") -> Place:
    """A note that the second paragraph cites."""
    separator = f'<w:{kind} w:type="separator" w:id="-1"><w:p><w:r><w:separator/></w:r></w:p></w:{kind}>'
    notes = part(f"{kind}s", f'{separator}<w:{kind} w:id="7">{content}</w:{kind}>')
    reference = f'<w:r><w:{kind}Reference w:id="7"/></w:r>'
    return Place((cited or par(run("Cited here.") + "{}")).format(reference), {f"{kind}s.xml": notes})


def comment(anchors: str) -> Place:
    comments = part("comments", f'<w:comment w:id="3" w:author="Yarrow">{PARAGRAPH}</w:comment>')
    return Place(anchors, {"comments.xml": comments})


def running(kind: str, content: str, type_: str = "default") -> Place:
    """A header or footer of the only section."""
    tag = {"header": "hdr", "footer": "ftr"}[kind]
    section = f'<w:sectPr><w:{kind}Reference w:type="{type_}" r:id="{kind}1"/></w:sectPr>'
    return Place(par("Plain text.") + section, {f"{kind}1.xml": part(tag, content)})


def linked(body: str, kind: str, name: str, content: str | bytes) -> Place:
    return Place(body, {name: content}, (("x1", kind, name),))


def inline(wrapped: str) -> Place:
    return Place(par(run("Before, ") + wrapped + run(", behind.")))


def field_of(data: str) -> str:
    """A form field without a result, as Word leaves it."""
    begin = f'<w:r><w:fldChar w:fldCharType="begin"><w:ffData>{data}</w:ffData></w:fldChar></w:r>'
    return f'{begin}<w:r><w:instrText>FORM</w:instrText></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r>'


CHART = (
    f"<c:chartSpace {NAMESPACES}><c:chart><c:title><c:tx><c:rich><a:p><a:r><a:t>{{}}</a:t></a:r></a:p></c:rich></c:tx>"
    "</c:title><c:plotArea><c:barChart><c:ser><c:tx><c:strRef><c:strCache><c:pt idx='0'><c:v>{}</c:v></c:pt>"
    "</c:strCache></c:strRef></c:tx><c:cat><c:strRef><c:strCache><c:pt idx='0'><c:v>{}</c:v></c:pt></c:strCache>"
    "</c:strRef></c:cat><c:val><c:numRef><c:numCache><c:pt idx='0'><c:v>{}</c:v></c:pt></c:numCache></c:numRef></c:val>"
    "</c:ser></c:barChart></c:plotArea></c:chart></c:chartSpace>"
)
IN_CHART = par(run("The chart.") + drawing('<c:chart r:id="x1"/>'))
DIAGRAM = (
    f"<dgm:dataModel {NAMESPACES}><dgm:ptLst><dgm:pt modelId='1'><dgm:t><a:p><a:r><a:t>{WORD}</a:t></a:r></a:p></dgm:t>"
    "</dgm:pt></dgm:ptLst></dgm:dataModel>"
)
EMBEDDED = '<w:r><w:object><o:OLEObject ProgID="Excel.Sheet.12" r:id="x1"/></w:object></w:r>'
READ = {
    "paragraph": Place(PARAGRAPH),
    "heading": Place(heading(WORD)),
    "cell": Place(table(row("a", WORD), row("b", "c"))),
    "nested table": Place(table(row("a", table(row("b", WORD)) + par("")), row("d", "e"))),
    "cell of a table of one cell": Place(table(row(WORD), grid=1)),
    "cell beyond the grid": Place(table(row("a", "b", WORD), row("d", "e", "f"))),
    "table without a grid": Place(
        table(row("a", WORD), row("d", "e")).replace("<w:tblGrid>", "<w:x>").replace("</w:tblGrid>", "</w:x>")
    ),
    "alternative text of a table": Place(
        table(row("a", "b")).replace("<w:tblPr/>", f'<w:tblPr><w:tblDescription w:val="{WORD}"/></w:tblPr>')
    ),
    "cell that continues nothing": Place(
        table(row("a", "b"), f"<w:tr>{cell('d')}<w:tc><w:tcPr><w:vMerge/></w:tcPr>{PARAGRAPH}</w:tc></w:tr>")
    ),
    "inserted run": inline(f"<w:ins {WORK}>{TEXT}</w:ins>"),
    "inserted run in a cell": Place(table(row("a", par(f"<w:ins {WORK}>{TEXT}</w:ins>")), row("b", "c"))),
    "inserted paragraph": Place(par(f"<w:ins {WORK}>{TEXT}</w:ins>", f"<w:rPr><w:ins {WORK}/></w:rPr>")),
    "inserted row": Place(
        table(row("a", "b"), row("c", WORD).replace("<w:tr>", f"<w:tr><w:trPr><w:ins {WORK}/></w:trPr>"))
    ),
    "run moved here": inline(f"<w:moveTo {WORK}>{TEXT}</w:moveTo>"),
    "control in a line": inline(control(TEXT)),
    "control around a paragraph": Place(control(PARAGRAPH)),
    "control around a cell": Place(table(f"<w:tr>{cell('a')}{control(cell(WORD))}</w:tr>", row("b", "c"))),
    "control around a row": Place(table(row("a", "b"), control(row("c", WORD)))),
    "control around a table": Place(control(table(row("a", WORD), row("b", "c")))),
    "control in a cell": Place(table(row("a", par(control(TEXT))), row("b", "c"))),
    "controls in each other": Place(control(control(par(control(f"<w:ins {WORK}>{control(TEXT)}</w:ins>"))))),
    "control around text and a picture": Place(
        control(par(drawing(BLIP)) + PARAGRAPH), {"p.png": picture("PNG")}, (("pic", "image", "p.png"),)
    ),
    "custom XML around paragraphs": Place(f'<w:customXml w:element="x"><w:customXmlPr/>{PARAGRAPH}</w:customXml>'),
    "custom XML around a row": Place(
        table(row("a", "b"), f'<w:customXml w:element="x">{row("c", WORD)}</w:customXml>')
    ),
    "smart tag": inline(f'<w:smartTag w:element="city">{TEXT}</w:smartTag>'),
    "simple field": inline(f'<w:fldSimple w:instr="DOCPROPERTY Client">{TEXT}</w:fldSimple>'),
    "field": inline(f"{FIELD.format('begin')}{FIELD.format('separate')}{TEXT}{FIELD.format('end')}"),
    "button": inline(f"<w:r><w:instrText>MACROBUTTON NoMacro {WORD}</w:instrText></w:r>"),
    "right-to-left run": inline(f'<w:bdo w:val="rtl"><w:dir w:val="rtl">{TEXT}</w:dir></w:bdo>'),
    "link": inline(f'<w:hyperlink w:anchor="x">{control(TEXT)}</w:hyperlink>'),
    "drop-down field": inline(
        field_of(f'<w:ddList><w:result w:val="1"/><w:listEntry w:val="a"/><w:listEntry w:val="{WORD}"/></w:ddList>')
    ),
    "text field": inline(field_of(f'<w:textInput><w:default w:val="{WORD}"/></w:textInput>')),
    "reading above a word": inline(
        f"<w:r><w:ruby><w:rt>{TEXT}</w:rt><w:rubyBase>{run('漢字')}</w:rubyBase></w:ruby></w:r>"
    ),
    "word below a reading": inline(
        f"<w:r><w:ruby><w:rt>{run('かん')}</w:rt><w:rubyBase>{TEXT}</w:rubyBase></w:ruby></w:r>"
    ),
    "word with several formats": inline(run("Quill", "<w:b/>") + run("wo") + run("rt", "<w:i/>")),
    "footnote": note("footnote", PARAGRAPH),
    "endnote": note("endnote", PARAGRAPH),
    "inserted text of a footnote": note("footnote", par(f"<w:ins {WORK}>{control(TEXT)}</w:ins>")),
    "table in a footnote": note("footnote", table(row("a", WORD))),
    "footnote of a cell": note("footnote", PARAGRAPH, cited=table(row("a", par(run("b") + "{}")), row("c", "d"))),
    "footnote of a heading": note(
        "footnote", PARAGRAPH, cited=par(run("Title") + "{}", '<w:pStyle w:val="Heading1"/>')
    ),
    "footnote that nothing cites": note("footnote", PARAGRAPH, cited=par("Text.")),
    "footnote with a text box": note("footnote", par(run("A note.") + text_box(PARAGRAPH))),
    "comment": comment(par(run("Text.") + '<w:r><w:commentReference w:id="3"/></w:r>')),
    "comment on deleted text": comment(
        par(run("Text.") + f'<w:del {WORK}><w:r><w:commentReference w:id="3"/></w:r></w:del>')
    ),
    "comment without a place": comment(par("Text.")),
    "comment in a control": Place(
        comment(par(run("T") + '<w:r><w:commentReference w:id="3"/></w:r>')).body,
        {"comments.xml": part("comments", f'<w:comment w:id="3">{control(PARAGRAPH)}</w:comment>')},
    ),
    "header": running("header", PARAGRAPH),
    "footer": running("footer", PARAGRAPH),
    "header of the first page": running("header", PARAGRAPH, "first"),
    "footer of even pages": running("footer", PARAGRAPH, "even"),
    "table in a header": running("header", table(row("a", WORD))),
    "control in a footer": running("footer", control(par(control(TEXT)))),
    "text box in a header": running("header", par(text_box(PARAGRAPH))),
    "watermark": running(
        "header", par(f'<w:r><w:pict><v:shape><v:textpath string="{WORD}"/></v:shape></w:pict></w:r>')
    ),
    "header of a section before the last": Place(
        par("One.", '<w:sectPr><w:headerReference w:type="default" r:id="header1"/></w:sectPr>')
        + par("Two.")
        + "<w:sectPr/>",
        {"header1.xml": part("hdr", PARAGRAPH)},
    ),
    "text box": Place(par(run("Anchor.") + text_box(PARAGRAPH))),
    "table in a text box": Place(par(run("Anchor.") + text_box(table(row("a", WORD), row("b", "c")) + par("")))),
    "text box in a cell": Place(table(row("a", par(run("b") + text_box(PARAGRAPH))), row("c", "d"))),
    "text box of a heading": Place(par(run("Title") + text_box(PARAGRAPH), '<w:pStyle w:val="Heading1"/>')),
    "control in a text box": Place(par(run("Anchor.") + text_box(control(par(control(TEXT)))))),
    "old text box": Place(
        par(
            f"<w:r><w:pict><v:shape><v:textbox><w:txbxContent>{PARAGRAPH}</w:txbxContent></v:textbox></v:shape></w:pict></w:r>"
        )
    ),
    "text of a shape": Place(
        par(
            run("Anchor.")
            + drawing(f"<a:sp><a:txBody><a:bodyPr/><a:p><a:r><a:t>{WORD}</a:t></a:r></a:p></a:txBody></a:sp>")
        )
    ),
    "alternative text": linked(
        par(drawing(BLIP.replace('"pic"', '"x1"'), f'descr="{WORD}"')), "image", "p.png", picture("PNG")
    ),
    "alternative text in a cell": linked(
        table(row("a", par(drawing(BLIP.replace('"pic"', '"x1"'), f'descr="{WORD}"'))), row("b", "c")),
        "image",
        "p.png",
        picture("PNG"),
    ),
    "alternative text in a header": running("header", par(drawing(BLIP, f'descr="{WORD}"'))),
    "alternative text of an old picture": Place(par(f'<w:r><w:pict><v:shape alt="{WORD}"/></w:pict></w:r>')),
    "title of a chart": linked(IN_CHART, "chart", "chart1.xml", CHART.format(WORD, "s", "c", "1")),
    "series of a chart": linked(IN_CHART, "chart", "chart1.xml", CHART.format("t", WORD, "c", "1")),
    "category of a chart": linked(IN_CHART, "chart", "chart1.xml", CHART.format("t", "s", WORD, "1")),
    "value of a chart": linked(IN_CHART, "chart", "chart1.xml", CHART.format("t", "s", "c", WORD)),
    "SmartArt": linked(par(run("Anchor.") + drawing('<dgm:relIds r:dm="x1"/>')), "diagramData", "data1.xml", DIAGRAM),
    "chart in a text box": linked(
        par(run("Anchor.") + text_box(IN_CHART)), "chart", "chart1.xml", CHART.format(WORD, "s", "c", "1")
    ),
    "alternative text in a text box": Place(
        par(run("Anchor.") + text_box(par(f'<w:r><w:pict><v:shape alt="{WORD}"/></w:pict></w:r>')))
    ),
    "embedded file": linked(par(run("Anchor.") + EMBEDDED), "package", f"{WORD}.xlsx", b"x"),
    "included web page": linked(
        '<w:altChunk r:id="x1"/>',
        "aFChunk",
        "a.html",
        f"<html><head><title>t</title></head><body><p>a</p><p>{WORD}</p></body></html>",
    ),
    "included mail archive": linked(
        '<w:altChunk r:id="x1"/>',
        "aFChunk",
        "a.mht",
        f"MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n<p>{WORD}</p>",
    ),
    "included Word file": linked(
        '<w:altChunk r:id="x1"/>',
        "aFChunk",
        "a.docx",
        word_file(heading("Annex") + table(row("a", par(control(TEXT))), row("b", "c"))),
    ),
    "footnote of an included Word file": linked(
        '<w:altChunk r:id="x1"/>',
        "aFChunk",
        "a.docx",
        word_file(note("footnote", PARAGRAPH).body, parts=note("footnote", PARAGRAPH).parts),
    ),
    "part of a master document": linked(par(run("a") + '<w:subDoc r:id="x1"/>'), "subDocument", f"{WORD}.docx", b"x"),
    "included text": linked('<w:altChunk r:id="x1"/>', "aFChunk", "a.txt", f"a\n{WORD}\n"),
    "included file that is not read": linked(
        '<w:altChunk r:id="x1"/>' + par("Text."), "aFChunk", f"{WORD}.rtf", b"{\\rtf}"
    ),
    "equation": inline(f"<m:oMath><m:r><m:t>{WORD}</m:t></m:r></m:oMath>"),
    "text beside an equation": Place(
        par(f"<m:oMath><m:r><m:t>x</m:t></m:r></m:oMath><w:ins {WORK}>{TEXT}</w:ins><w:r><w:noBreakHyphen/></w:r>")
    ),
    "branch that new programs do not know": inline(
        '<w:r><mc:AlternateContent><mc:Choice Requires="w16se"><w16se:x/></mc:Choice>'
        f"<mc:Fallback><w:t>{WORD}</w:t></mc:Fallback></mc:AlternateContent></w:r>"
    ),
    "paragraph whose end is deleted": Place(par(TEXT, f"<w:rPr><w:del {WORK}/></w:rPr>") + par("Next.")),
    "last paragraph of a cell, with a deleted end": Place(
        table(row("a", par(TEXT, f"<w:rPr><w:del {WORK}/></w:rPr>")), row("b", "c"))
    ),
    "text that a style hides and its run shows": Place(
        par(run(WORD, '<w:vanish w:val="0"/>'), '<w:pStyle w:val="Secret"/>') + par("Seen."), styles="hidden"
    ),
}

HIDDEN_STYLE = (
    '<w:style w:type="paragraph" w:styleId="Base"><w:rPr><w:vanish/></w:rPr></w:style>'
    '<w:style w:type="paragraph" w:styleId="Secret"><w:basedOn w:val="Base"/></w:style>'
)
PAGES = '<w:fldSimple w:instr=" PAGE "><w:r><w:t>{}</w:t></w:r></w:fldSimple>'
DELETED, HIDDEN = Reason.DELETED_TEXT, Reason.HIDDEN_TEXT
GONE = f"<w:del {WORK}><w:r><w:delText>{WORD}</w:delText></w:r></w:del>"
DELETED_ROW = row("c", WORD).replace("<w:tr>", f"<w:tr><w:trPr><w:del {WORK}/></w:trPr>")
LEFT_OUT = {
    "deleted run": (DELETED, inline(GONE)),
    "deleted run in a cell": (DELETED, Place(table(row("a", par(GONE)), row("b", "c")))),
    "deleted text of a footnote": (DELETED, note("footnote", par(run("Kept. ") + GONE))),
    "deleted text of a header": (DELETED, running("header", par(run("Kept. ") + GONE))),
    "deleted text of a comment": (
        DELETED,
        Place(
            par(run("T") + '<w:r><w:commentReference w:id="3"/></w:r>'),
            {"comments.xml": part("comments", f'<w:comment w:id="3">{par(run("Kept.") + GONE)}</w:comment>')},
        ),
    ),
    "run moved away": (DELETED, inline(f"<w:moveFrom {WORK}>{TEXT}</w:moveFrom>")),
    "deleted insertion": (DELETED, inline(f"<w:ins {WORK}>{GONE}</w:ins>")),
    "deleted row": (
        DELETED,
        Place(table(row("a", "b"), DELETED_ROW)),
    ),
    "deleted table": (
        DELETED,
        Place(table(DELETED_ROW) + par("Text.")),
    ),
    "deleted row in a control": (
        DELETED,
        Place(table(control(DELETED_ROW)) + par("Text.")),
    ),
    "deleted cell": (
        DELETED,
        Place(
            table(
                f"<w:tr>{cell('a')}<w:tc><w:tcPr><w:cellDel {WORK}/></w:tcPr>{PARAGRAPH}</w:tc></w:tr>", row("b", "c")
            )
        ),
    ),
    "footnote of deleted text": (
        DELETED,
        note("footnote", PARAGRAPH, cited=par(run("Kept.") + f"<w:del {WORK}>{{}}</w:del>")),
    ),
    "hidden run": (HIDDEN, inline(run(WORD, "<w:vanish/>"))),
    "hidden paragraph": (HIDDEN, Place(par(run(WORD, "<w:vanish/>"), "<w:rPr><w:vanish/></w:rPr>") + par("Text."))),
    "text that a style hides": (HIDDEN, Place(par(WORD, '<w:pStyle w:val="Secret"/>') + par("Seen."), styles="hidden")),
    "hidden text box": (
        HIDDEN,
        Place(par(run("T") + text_box(PARAGRAPH).replace("<w:r>", "<w:r><w:rPr><w:vanish/></w:rPr>", 1))),
    ),
    "text under a merged cell": (
        HIDDEN,
        Place(
            table(
                f"<w:tr>{cell('a')}<w:tc><w:tcPr><w:vMerge w:val='restart'/></w:tcPr>{par('b')}</w:tc></w:tr>",
                f"<w:tr>{cell('d')}<w:tc><w:tcPr><w:vMerge/></w:tcPr>{PARAGRAPH}</w:tc></w:tr>",
            )
        ),
    ),
}


def read(place: Place) -> Parsed:
    more = {} if place.styles is None else {"styles": HIDDEN_STYLE}
    return read_word(word_file(place.body, parts=place.parts, links=place.links, **more))


def chunk_text(parsed: Parsed) -> str:
    return "\n".join(line for chunk in chunk_document(parsed.document).chunks for line in (*chunk.headings, chunk.text))


@pytest.mark.parametrize("name", READ)
def test_the_text_of_a_place_is_in_the_chunks_once(name: str) -> None:
    parsed = read(READ[name])
    assert chunk_text(parsed).count(WORD) == 1
    assert not any("settled" in warning for warning in parsed.warnings)
    assert not any(WORD in item.text for item in parsed.left_out)


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_a_reader_does_not_see_is_left_out_by_reason(name: str) -> None:
    reason, place = LEFT_OUT[name]
    parsed = read(place)
    assert WORD not in chunk_text(parsed)
    assert [item.reason for item in parsed.left_out if WORD in item.text] == [reason]
