"""The simple readers find the text in every place that a format has, and say where it stands."""

import io
import re

import pytest
from reportlab.pdfgen.canvas import Canvas

from aegis_dagster.domain.left_out import Piece, Reason
from aegis_dagster.parsing.source_text import pieces_of, texts_of
from aegis_dagster_tests.parsing.conftest import Parse
from aegis_dagster_tests.support.xml_packages import package

TEXT = 'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"'
OFFICE = 'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
STYLE = 'xmlns:style="urn:oasis:names:tc:opendocument:xmlns:style:1.0"'
TABLE = 'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"'


def test_pdf() -> None:
    file = io.BytesIO()
    canvas = Canvas(file, invariant=1)
    canvas.drawString(72, 700, "printed")
    canvas.acroForm.textfield(name="who", value="filled", x=72, y=600, width=100, height=20)
    canvas.acroForm.checkbox(name="agreed", checked=True, x=72, y=500)
    canvas.textAnnotation("noted", Rect=(72, 400, 100, 420))
    canvas.freeTextAnnotation("written", DA="/Helv 12 Tf", Rect=(72, 300, 200, 320))
    canvas.linkURL("https://example.org/target", (72, 200, 100, 220))
    canvas.showPage()
    canvas.drawString(72, 700, "second")
    canvas.drawString(72, -700, "beside")
    canvas.save()
    pieces = [(piece.place, piece.text.strip()) for piece in pieces_of(file.getvalue(), "pdf")]
    assert sorted(pieces) == [
        ("page 1", "printed"),
        ("page 1, form field", "filled"),
        ("page 1, note", "noted"),
        ("page 1, note", "written"),
        ("page 2", "second"),
    ]


@pytest.mark.parametrize("kind", ["html", "epub"])
def test_pages(kind: str) -> None:
    page = (
        "<html><head><title>titled</title><style>styled{}</style></head><body>"
        "<script>scripted()</script><!-- comment -->"
        "<p>in<b>li</b>ne</p><p>below</p><td>cell</td><td>beside</td>"
        '<div style="display: none">hid<b>den</b></div>kept<img alt="depicted"><img alt="bottom">'
        "<footer>bottom</footer></body></html>"
    )
    data = page.encode()
    if kind == "epub":
        data = package(
            {
                "META-INF/container.xml": '<container><rootfile full-path="OPS/b.opf"/></container>',
                "OPS/b.opf": '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>bound</dc:title>'
                '<item id="a" href="text/a%20b.xhtml"/><itemref idref="a"/><itemref idref="a"/></package>',
                "OPS/text/a b.xhtml": page,
            },
            {},
        )
    pieces, left_out = texts_of(data, kind)
    at, name = ("chapter 1, ", "chapter 1") if kind == "epub" else ("", "the page")
    expected = [
        (f"{at}hidden text", ["hidden"]),
        (name, ["inline", "below", "cell", "beside", "kept", "bottom"]),
        (f"{at}title", ["titled"]),
    ]
    expected.append((f"{at}alternative text", ["depicted"]))
    if kind == "epub":
        expected.insert(0, ("title", ["bound"]))
    assert [(piece.place, piece.text.split()) for piece in pieces] == expected
    assert [(item.reason, item.text.strip()) for item in left_out] == [(Reason.HIDDEN_TEXT, "hidden")]


MARKUP = {
    "md": (
        '# Heading\n[label](https://example.org/a_(b) "hint") ![depicted](pic.png)\n[other][ref]\n'
        "[ref]: https://example.org\n[^1]: below\n"
        '<div class="{{< styled >}}">kept</div> <your-token> List<String> &amp; <!-- gone\nboth -->\n'
        "```python\ncode\n```\n",
        "Heading label hint depicted other 1 below kept your token List String code",
    ),
    "asciidoc": (
        ":toc: left\n= Heading\n// gone\n[source,java]\ncode <1>\n////\nboth\n////\nimage::pic.png[depicted,200]\n"
        "https://example.org[label] <<anchor,cross>> {product} footnote:[below]\n|===\n2+|span a|cell\n|===\n",
        "Heading code depicted label cross below span cell",
    ),
    "latex": (
        "\\documentclass{article}\n\\title{Titled \\emph{twice}}\n\\begin{document}\n% gone\n"
        "\\section*{Heading}\\label{key}\n"
        "caf\\'e gar\\c{c}on 50\\% \\href{https://example.org}{label}\\begin{tabular}{l|c}a & \\multicolumn{2}{c}{span}"
        "\\end{tabular}\\begin{comment}\nboth\n\\end{comment}\\item[term] said\n\\end{document}\nafter",
        "Titled twice Heading café garçon 50 label a span term said",
    ),
    "vtt": (
        "WEBVTT - Heading\n\nNOTE remark\n\nSTYLE\n::cue { color: red }\n\n1\n00:01.000 --> 00:02.000 position:10%\n"
        "<v.loud Ada>said <i>twice</i> &amp; more\n",
        "Heading remark Ada said twice more",
    ),
}


@pytest.mark.parametrize("kind", MARKUP)
def test_text_without_its_markup(kind: str) -> None:
    text, words = MARKUP[kind]
    pieces = pieces_of(text.encode(), kind)
    assert re.findall(r"\w+", " ".join(piece.text for piece in pieces)) == words.split()
    assert sum(piece.text.count("\n") + 1 for piece in pieces) <= len(text.splitlines())


@pytest.mark.parametrize(("kind", "mark"), [("md", "<!--"), ("latex", "\\begin{comment}")])
def test_a_comment_that_never_ends_is_none(kind: str, mark: str) -> None:
    assert "after" in pieces_of(f"before\n\n{mark} after\n".encode(), kind)[0].text


def test_lines_say_where_they_stand() -> None:
    pieces = pieces_of("\n".join(f"line{number}" for number in range(1, 42)).encode(), "text")
    assert [piece.place for piece in pieces] == ["lines 1 to 20", "lines 21 to 40", "line 41"]


def test_mail() -> None:
    data = (
        b"From: =?utf-8?q?Ann_M=C3=BCller?= <ann@example.org>\r\nTo: bob@example.org\r\nCc: eve@example.org\r\n"
        b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"
        b"--x\r\nContent-Type: multipart/alternative; boundary=y\r\n\r\n"
        b"--y\r\nContent-Type: text/plain\r\n\r\nboth plain words here\r\n"
        b"--y\r\nContent-Type: text/html\r\n\r\n<p>both <b>HTML</b> words here</p>\r\n--y--\r\n"
        b"--x\r\nContent-Type: text/plain; charset=unknown-8bit\r\n\r\nsecond\r\n"
        b"--x\r\nContent-Type: text/calendar\r\n\r\nBEGIN:VEVENT\r\n"
        b"LOCATION;X=1:At the qu\r\n ay\\, north\r\nUID:code\r\n"
        b"--x\r\nContent-Type: application/pdf; name=offer.pdf\r\n"
        b"Content-Disposition: attachment\r\n\r\n%PDF\r\n--x--\r\n"
    )
    assert [(piece.place, piece.text.strip()) for piece in pieces_of(data, "eml")] == [
        ("from", "Ann Müller <ann@example.org>"),
        ("to", "bob@example.org"),
        ("cc", "eve@example.org"),
        ("subject", "Grüße"),
        ("body", "both words here"),
        ("body", "second"),
        ("calendar", "At the quay, north"),
        ("attachment", "offer.pdf"),
    ]


@pytest.mark.parametrize("flat", [False, True])
def test_open_document(flat: bool) -> None:
    changes = "<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>"
    body = (
        f"<office:body>{changes}<text:h>head</text:h><text:p>di<text:span>vi</text:span>ded<text:tab/>tab"
        "<text:note><text:p>below</text:p></text:note>after</text:p>"
        "<table:table table:name='Prices'><text:p>cell</text:p></table:table>"
        "<table:table table:name='Old' table:style-name='h'><text:p>away</text:p></table:table></office:body>"
    )
    styles = "<style:master-page><style:header><text:p>running</text:p></style:header></style:master-page>"
    hiding = '<style:style style:name="h"><style:table-properties table:display="false"/></style:style>'
    names = f"{OFFICE} {TEXT} {STYLE} {TABLE}"
    if flat:
        data = f"<?xml version='1.0'?><office:document {names}>{styles}{hiding}{body}</office:document>".encode()
    else:
        content = f"<office:document-content {names}>{hiding}{body}</office:document-content>"
        data = package({"content.xml": content, "styles.xml": f"<office:s {names}>{styles}</office:s>"}, {})
    pieces, left_out = texts_of(data, "ods")
    assert [(piece.place, piece.text.split()) for piece in pieces] == [
        ("body", ["head", "divided", "tab", "below", "after", "cell", "away"]),
        ("sheet Prices", ["Prices"]),
        ("header or footer", ["running"]),
    ]
    assert [(item.reason, item.text.strip()) for item in left_out] == [(Reason.DELETED_TEXT, "deleted")]


def test_xml_and_the_json_of_docling() -> None:
    article = b"<article><front><title>T<i>it</i>le</title></front><body><p>text</p></body></article>"
    assert [(piece.place, piece.text.split()) for piece in pieces_of(article, "jats")] == [
        ("front", ["T", "it", "le"]),
        ("body", ["text"]),
    ]
    values = b'{"texts": [{"text": "one"}], "tables": [{"data": {"table_cells": [{"text": "two"}]}}]}'
    assert pieces_of(values, "docling-json") == [Piece("texts", "one"), Piece("table 1", "two")]


def test_a_format_without_a_simple_reader_has_no_pieces() -> None:
    assert texts_of(b"\x89PNG", "png") == ([], [])


def test_entities_are_not_expanded() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;">]><article><p>before &c; after</p></article>'
    assert "bbbb" not in pieces_of(bomb.encode(), "jats")[0].text


def test_what_is_left_out_on_purpose_is_counted_by_reason(parse: Parse) -> None:
    page = '<h1>kept</h1><p>seen</p><p hidden>unseen</p><p style="display:none">also unseen</p>'
    assert parse(page.encode(), "page.html").manifest["left_out"] == {"hidden_text": 2}


@pytest.mark.parametrize(
    ("data", "kind", "word"),
    [
        (b"\x1b[1;31mfailed\x1b[0m", "text", "failed"),
        (rb"\begin{document}Stra\ss e, \L{}odz\end{document}", "latex", "Straße, Łodz"),
        ('<?xml version="1.0" encoding="utf-8"?><a><b>Grüße</b></a>'.encode("cp1252"), "xml", "Grüße"),
        ('<meta charset="koi8-u"><p>ґанок</p>'.encode("koi8-u"), "html", "ґанок"),
        (b'Content-Type: image/png; name="../a\\b.png"\n\n', "eml", "b.png"),
    ],
)
def test_what_the_other_reader_settles_is_no_loss(data: bytes, kind: str, word: str) -> None:
    assert word in [piece.text.strip() for piece in pieces_of(data, kind)]
