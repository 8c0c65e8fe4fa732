"""How the text of Word files arrives: together, in order, each word whole."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_dagster.domain.left_out import Reason
from aegis_dagster.parsing.readers import reader_of
from aegis_dagster.parsing.word import reader as word
from aegis_dagster_tests.support.chunked_documents import Chunked, chunk_document
from aegis_dagster_tests.support.word_files import (
    chunked_text,
    control,
    drawing,
    heading,
    level,
    notes,
    numbered,
    numbering,
    par,
    part,
    read_word,
    reference,
    row,
    run,
    table,
    text_box,
    word_file,
)

MATH = "http://schemas.openxmlformats.org/officeDocument/2006/math"
WORK = 'w:id="1" w:author="Ada"'


def chunks_of(data: bytes) -> Chunked:
    return chunk_document(read_word(data).document)


def test_the_reader_of_word_files_is_this_one() -> None:
    assert reader_of("docx") is word.read


def test_a_note_stands_in_the_passage_that_cites_it() -> None:
    long = "".join(par(f"Filler sentence number {number} of a long chapter.") for number in range(60))
    cited = par(run("The tariff") + reference("footnote", 10) + run(" was fixed") + reference("endnote", 10))
    parts = {**notes("footnote", "Sorrel treaty."), **notes("endnote", "Clover annex.")}
    passage = next(text for text in chunks_of(word_file(long + cited + long, parts=parts)).texts if "tariff" in text)
    assert "The tariff[1] was fixed[i] [Footnote 1: Sorrel treaty.] [Endnote i: Clover annex.]" in passage


def test_notes_are_numbered_in_the_order_of_their_citations() -> None:
    body = par(run("One") + reference("footnote", 11)) + par(run("Two") + reference("footnote", 10))
    text = chunked_text(word_file(body, parts=notes("footnote", "second note", "first note")))
    assert "One[1] [Footnote 1: first note]\nTwo[2] [Footnote 2: second note]" in text


def test_a_note_of_a_list_item_or_a_cell_stays_in_it() -> None:
    item = par(run("Item") + reference("footnote", 10), '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>')
    body = item + numbered("Next item", 1) + table(row("a", par(run("b") + reference("footnote", 11))), row("c", "d"))
    data = word_file(body, parts=notes("footnote", "of item", "of cell"), numbering=numbering(level(0, "%1.")))
    text = chunked_text(data)
    assert "1. Item[1] [Footnote 1: of item]\n2. Next item" in text
    assert "| a | b[2] [Footnote 2: of cell] |" in text


def test_a_heading_keeps_its_words_and_its_note_follows() -> None:
    body = par(run("Scope") + reference("footnote", 10), '<w:pStyle w:val="Heading1"/>') + par("Text.")
    (chunk,) = chunks_of(word_file(body, parts=notes("footnote", "Since 1911."))).chunks
    assert chunk.headings == ("Scope[1]",)
    assert chunk.text == "[Footnote 1: Since 1911.]\nText."


def test_comments_stand_with_their_author_and_replies_where_they_are_anchored() -> None:
    first = par("Needs a date.").replace("<w:p>", '<w:p w14:paraId="AA">')
    reply = par("Added.").replace("<w:p>", '<w:p w14:paraId="BB">')
    comments = part(
        "comments",
        f'<w:comment w:id="4" w:author="Yarrow" w:date="2026-01-04T05:48:07Z">{first}</w:comment>'
        f'<w:comment w:id="5" w:author="Rue">{reply}</w:comment>',
    )
    extended = part("commentsEx", '<w15:commentEx w15:paraId="BB" w15:paraIdParent="AA"/>')
    anchor = '<w:commentRangeStart w:id="4"/>' + run("Signed.") + '<w:r><w:commentReference w:id="4"/></w:r>'
    anchor += '<w:r><w:commentReference w:id="5"/></w:r>'
    data = word_file(par(anchor) + par("Behind."), parts={"comments.xml": comments, "commentsExtended.xml": extended})
    assert (
        chunked_text(data) == "Signed. [Comment by Yarrow, 2026-01-04: Needs a date. | Reply by Rue: Added.]\nBehind."
    )


def test_headers_and_footers_stand_once_in_front_of_the_text() -> None:
    page = '<w:fldSimple w:instr=" PAGE "><w:r><w:t>3</w:t></w:r></w:fldSimple>'
    parts: dict[str, str | bytes] = {
        "header1.xml": part("hdr", heading("Contract HX-2207")),
        "header2.xml": part("hdr", par("Contract HX-2207") + par("Annex B")),
        "footer1.xml": part("ftr", par(run("Teasel Ltd")) + par(run("Page ") + page + run(" of ") + page)),
    }
    first = '<w:sectPr><w:headerReference w:type="default" r:id="header1"/></w:sectPr>'
    last = '<w:headerReference w:type="first" r:id="header2"/><w:footerReference w:type="default" r:id="footer1"/>'
    parsed = read_word(
        word_file(heading("Terms") + par("One.", first) + par("Two.") + f"<w:sectPr>{last}</w:sectPr>", parts=parts)
    )
    first_chunk, second_chunk = chunk_document(parsed.document).chunks
    assert (first_chunk.headings, first_chunk.text) == ((), "Contract HX-2207\nAnnex B\nTeasel Ltd")
    assert (second_chunk.headings, second_chunk.text) == (("Terms",), "One.\nTwo.")
    assert [(item.reason, item.text) for item in parsed.left_out] == [
        (Reason.RUNNING_LINE, "Contract HX-2207"),
        (Reason.PAGE_NUMBER, "Page 3 of 3"),
    ]


def test_a_number_in_a_header_that_is_not_the_pages_stays() -> None:
    section = '<w:sectPr><w:headerReference w:type="default" r:id="header1"/></w:sectPr>'
    assert "2207" in chunked_text(word_file(par("Text.") + section, parts={"header1.xml": part("hdr", par("2207"))}))


def test_a_paragraph_whose_end_is_deleted_goes_on_in_the_next() -> None:
    body = (
        par("One ", f"<w:rPr><w:del {WORK}/></w:rPr>") + par("two ", f"<w:rPr><w:del {WORK}/></w:rPr>") + par("three.")
    )
    assert chunked_text(word_file(body)) == "One two three."


def test_words_are_not_cut_where_their_format_changes() -> None:
    raised = '<w:vertAlign w:val="superscript"/>'
    runs = run("Note", "<w:b/>") + run(": the ") + run("10") + run("th", raised) + run(" lot, 12 m") + run("2", raised)
    assert chunked_text(word_file(par(runs))) == "**Note:** the 10th lot, 12 m²"


def test_symbols_hyphens_and_boxes_are_characters() -> None:
    sym = '<w:r><w:sym w:font="{}" w:char="{}"/></w:r>'
    box = control("", '<w14:checkbox><w14:checked w14:val="{}"/></w14:checkbox>')
    data = "<w:ffData><w:checkBox><w:checked/></w:checkBox></w:ffData>"
    field = f'<w:r><w:fldChar w:fldCharType="begin">{data}</w:fldChar></w:r>'
    field += '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    runs = sym.format("Wingdings", "F0FE") + sym.format("Symbol", "F061") + box.format(1) + box.format(0) + field
    runs += (
        "<w:r><w:t>AX</w:t><w:noBreakHyphen/><w:t>77</w:t><w:softHyphen/><w:t>3\u00ad1</w:t><w:tab/><w:t>B</w:t></w:r>"
    )
    runs += '<w:r><w:rPr><w:rFonts w:ascii="Symbol"/></w:rPr><w:t>\uf057</w:t></w:r>'
    assert chunked_text(word_file(par(runs))) == "☑α☒☐☒AX-7731\tBΩ"


def test_tabs_and_line_breaks_beside_a_formula_part_words() -> None:
    formula = f'<m:oMath xmlns:m="{MATH}"><m:r><m:t>x+y</m:t></m:r></m:oMath>'
    runs = "<w:r><w:t>be one</w:t><w:tab/><w:t>cell</w:t></w:r><w:r><w:br/></w:r>" + run("Next line")
    assert chunked_text(word_file(par(run("Let") + formula + runs))).split() == [
        *("Let", "$x+y$", "be", "one", "cell", "Next", "line"),
    ]


def test_the_break_of_a_page_parts_words() -> None:
    runs = '<w:r><w:t>one</w:t><w:br w:type="page"/><w:t>two</w:t><w:br w:type="column"/><w:t>three</w:t></w:r>'
    assert chunked_text(word_file(par(runs))) == "one two three"


def test_an_empty_heading_does_not_end_the_section_above() -> None:
    found = chunks_of(word_file(heading("Tariffs") + heading("", 2) + heading("") + par(run("Under tariffs."))))
    assert [(chunk.headings, chunk.text) for chunk in found.chunks] == [(("Tariffs",), "Under tariffs.")]


def test_a_chart_is_a_table_and_smartart_a_list_in_its_order() -> None:
    series = "".join(
        f"<c:ser><c:tx><c:v>{name}</c:v></c:tx><c:cat><c:strCache><c:pt idx='0'><c:v>North</c:v></c:pt><c:pt idx='1'>"
        f"<c:v>South</c:v></c:pt></c:strCache></c:cat><c:val><c:numCache><c:pt idx='1'><c:v>{value}</c:v></c:pt>"
        "</c:numCache></c:val></c:ser>"
        for name, value in (("2024", "11"), ("2025", "12"))
    )
    title = "<c:title><a:p><a:r><a:t>Sales</a:t></a:r></a:p></c:title>"
    chart = part("x", f"<c:chart>{title}{series}</c:chart>").replace("w:x", "c:chartSpace")
    points = "".join(
        f"<dgm:pt modelId='{number}'><dgm:t><a:p><a:r><a:t>{text}</a:t></a:r></a:p></dgm:t></dgm:pt>"
        for number, text in enumerate(("last", "child", "first"), 1)
    )
    links = "<dgm:cxn srcId='0' destId='3' srcOrd='0'/><dgm:cxn srcId='0' destId='1' srcOrd='1'/>"
    links += "<dgm:cxn srcId='3' destId='2' srcOrd='0'/>"
    smart = part(
        "x", f"<dgm:ptLst><dgm:pt modelId='0' type='doc'/>{points}</dgm:ptLst><dgm:cxnLst>{links}</dgm:cxnLst>"
    )
    data = word_file(
        par(drawing('<c:chart r:id="c"/>')) + par(drawing('<dgm:relIds r:dm="d"/>')),
        parts={"chart1.xml": chart, "data1.xml": smart},
        links=[("c", "chart", "chart1.xml"), ("d", "diagramData", "data1.xml")],
    )
    text = chunked_text(data)
    assert "Sales\n" in text and "| South | 11 | 12 |" in text
    assert text.endswith("first\nchild\nlast")


def test_packed_files_are_named_as_they_were_and_warned_of() -> None:
    packed = b"..\x40\x00\x00\x00\x02\x00budget 2026.pdf\x00C:\\x\\budget 2026.pdf\x00..."
    objects = "".join(
        f'<w:r><w:object><o:OLEObject ProgID="{program}" r:id="{link}"/></w:object></w:r>'
        for program, link in (("Package", "p"), ("Equation.3", "p"))
    )
    data = word_file(par(run("See") + objects), parts={"o.bin": packed}, links=[("p", "oleObject", "o.bin")])
    parsed = read_word(data)
    assert "[Embedded file: budget 2026.pdf]" in "\n".join(chunk_document(parsed.document).texts)
    assert parsed.warnings == (
        "Equations of an old equation editor are read as pictures only.",
        "Files inside the document are not read: budget 2026.pdf; save them as documents of their own.",
    )


def in_a_text_box(blocks: str) -> str:
    new, old = text_box(blocks).split("<mc:Fallback>", 1)
    return par(f"{run('Anchor.')}{new}<mc:Fallback>{old.replace('@', 'as old programs see it')}")


def in_a_cell(wrap: Callable[[str], str], blocks: str) -> str:
    return table(wrap(row("left", f"<w:p><w:r/></w:p>{blocks}")), row("a", "b"))


WRAPPERS: list[Callable[[str], str]] = [
    control,
    lambda inner: f"<w:ins {WORK}>{inner}</w:ins>",
    lambda inner: f'<w:customXml w:element="x">{inner}</w:customXml>',
    lambda inner: f"<w:moveTo {WORK}>{inner}</w:moveTo>",
    lambda inner: f'<w:smartTag w:element="x">{inner}</w:smartTag>',
]
INLINE = st.recursive(
    st.just(run(" @ ")),
    lambda inner: st.one_of(
        st.builds(lambda wrap, text: wrap(text), st.sampled_from(WRAPPERS), inner),
        st.lists(inner, min_size=1, max_size=3).map("".join),
    ),
    max_leaves=6,
)
BLOCKS = st.recursive(
    INLINE.map(par),
    lambda inner: st.one_of(
        st.builds(lambda wrap, text: wrap(text), st.sampled_from(WRAPPERS[:3]), inner),
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.builds(in_a_cell, st.sampled_from(WRAPPERS[:3]), inner),
        inner.map(in_a_text_box),
    ),
    max_leaves=6,
)


@settings(max_examples=30, deadline=None)
@given(BLOCKS)
def test_every_word_arrives_once_and_in_order_however_it_is_wrapped(blocks: str) -> None:
    pieces = blocks.split("@")
    words = [f"word{number}q" for number in range(len(pieces) - 1)]
    body = "".join(piece + name for piece, name in zip(pieces, [*words, ""], strict=True))
    found = [
        token for token in chunked_text(word_file(body + par("Behind."))).replace("|", " ").split() if token in words
    ]
    assert found == words
