"""Small Word files, written as XML by hand: so that every element stands where a test wants it."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Final

from aegis_dagster.parsing.readers import Parsed
from aegis_dagster.parsing.word import reader as word
from aegis_dagster_tests.support.chunked_documents import chunk_document

_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
NAMESPACES: Final = " ".join(
    f'xmlns:{prefix}="{uri}"'
    for prefix, uri in {
        "w": "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
        "r": _OFFICE,
        "m": "http://schemas.openxmlformats.org/officeDocument/2006/math",
        "mc": "http://schemas.openxmlformats.org/markup-compatibility/2006",
        "a": "http://schemas.openxmlformats.org/drawingml/2006/main",
        "c": "http://schemas.openxmlformats.org/drawingml/2006/chart",
        "dgm": "http://schemas.openxmlformats.org/drawingml/2006/diagram",
        "pic": "http://schemas.openxmlformats.org/drawingml/2006/picture",
        "wp": "http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing",
        "wps": "http://schemas.microsoft.com/office/word/2010/wordprocessingShape",
        "v": "urn:schemas-microsoft-com:vml",
        "o": "urn:schemas-microsoft-com:office:office",
        "w14": "http://schemas.microsoft.com/office/word/2010/wordml",
        "w15": "http://schemas.microsoft.com/office/word/2012/wordml",
        "w16se": "http://schemas.microsoft.com/office/word/2015/wordml/symex",
    }.items()
)
STYLES: Final = (
    '<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/></w:style>'
    + "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{level}"><w:name w:val="heading {level}"/>'
        f'<w:basedOn w:val="Normal"/><w:pPr><w:outlineLvl w:val="{level - 1}"/></w:pPr></w:style>'
        for level in (1, 2, 3)
    )
)
MAIN_TYPES: Final = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml",
    ".docm": "application/vnd.ms-word.document.macroEnabled.main+xml",
    ".dotx": "application/vnd.openxmlformats-officedocument.wordprocessingml.template.main+xml",
    ".dotm": "application/vnd.ms-word.template.macroEnabledTemplate.main+xml",
}


def word_file(
    body: str,
    *,
    parts: Mapping[str, str | bytes] | None = None,
    links: Sequence[tuple[str, str, str]] = (),
    styles: str = STYLES,
    numbering: str = "",
    main_type: str = MAIN_TYPES[".docx"],
) -> bytes:
    """A file with the body's XML. `parts`: names below word/ -> what is in them; `links`: (id, kind, part).

    Footnotes, endnotes, comments, headers and footers are linked by their names.
    """
    members: dict[str, str | bytes] = {
        "document.xml": part("document", f"<w:body>{body}</w:body>"),
        "styles.xml": part("styles", styles),
        **({"numbering.xml": part("numbering", numbering)} if numbering else {}),
        **(parts or {}),
    }
    kinds = ("styles", "numbering", "footnotes", "endnotes", "commentsExtended", "comments", "header", "footer")
    known = {name: next((kind for kind in kinds if name.startswith(kind)), None) for name in members}
    every = [*links, *((name.partition(".")[0], kind, name) for name, kind in known.items() if kind)]
    lines = "".join(
        f'<Relationship Id="{identifier}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for identifier, kind, target in every
    )
    word = "application/vnd.openxmlformats-officedocument.wordprocessingml"
    types = "".join(
        f'<Override PartName="/word/{name}" ContentType="{word}.{kind}+xml"/>' for name, kind in known.items() if kind
    )
    package = "http://schemas.openxmlformats.org/package/2006"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{package}/content-types"><Default Extension="xml" ContentType="application/xml"/>'
            f'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Default Extension="png" ContentType="image/png"/>{types}'
            f'<Override PartName="/word/document.xml" ContentType="{main_type}"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" Type="{_OFFICE}/officeDocument" '
            'Target="word/document.xml"/></Relationships>',
        )
        archive.writestr(
            "word/_rels/document.xml.rels", f'<Relationships xmlns="{package}/relationships">{lines}</Relationships>'
        )
        for name, content in members.items():
            archive.writestr(f"word/{name}", content)
    return buffer.getvalue()


def part(root: str, content: str) -> str:
    """A part with its root element."""
    return f"<?xml version='1.0' encoding='UTF-8'?><w:{root} {NAMESPACES}>{content}</w:{root}>"


def run(text: str, properties: str = "") -> str:
    """A run."""
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def par(content: str, properties: str = "") -> str:
    """A paragraph of text, or of runs."""
    runs = content if content.startswith("<") or not content else run(content)
    return f"<w:p><w:pPr>{properties}</w:pPr>{runs}</w:p>"


def heading(text: str, level: int = 1) -> str:
    """A heading."""
    return par(text, f'<w:pStyle w:val="Heading{level}"/>')


def cell(content: str) -> str:
    """A table's cell with a paragraph, or with blocks."""
    return f"<w:tc>{content if content.startswith(('<w:p>', '<w:tbl>')) else par(content)}</w:tc>"


def table(*rows: str, grid: int = 2) -> str:
    """A table of rows given as XML."""
    return f"<w:tbl><w:tblPr/><w:tblGrid>{'<w:gridCol/>' * grid}</w:tblGrid>{''.join(rows)}</w:tbl>"


def row(*cells: str) -> str:
    """A row of cells, given as text or as blocks."""
    return f"<w:tr>{''.join(cell(content) for content in cells)}</w:tr>"


def control(content: str, properties: str = "") -> str:
    """A content control."""
    return f"<w:sdt><w:sdtPr>{properties}</w:sdtPr><w:sdtContent>{content}</w:sdtContent></w:sdt>"


def drawing(graphic: str, properties: str = "") -> str:
    """A run with a drawing."""
    return (
        f'<w:r><w:drawing><wp:inline><wp:docPr id="1" name="Object 1" {properties}/><a:graphic><a:graphicData uri="x">'
        f"{graphic}</a:graphicData></a:graphic></wp:inline></w:drawing></w:r>"
    )


def text_box(content: str) -> str:
    """A run with a text box as Word writes it: once for new programs, once for old ones."""
    box = f"<w:txbxContent>{content}</w:txbxContent>"
    new = drawing(f"<wps:wsp><wps:txbx>{box}</wps:txbx><wps:bodyPr/></wps:wsp>")
    new = new.removeprefix("<w:r>").removesuffix("</w:r>")
    old = f"<w:pict><v:shape><v:textbox>{box}</v:textbox></v:shape></w:pict>"
    choice = f'<mc:Choice Requires="wps">{new}</mc:Choice><mc:Fallback>{old}</mc:Fallback>'
    return f"<w:r><mc:AlternateContent>{choice}</mc:AlternateContent></w:r>"


def read_word(data: bytes) -> Parsed:
    """What the reader makes of a file."""
    options = {"pdf_route": "rules", "docling_models": None, "ocr": False}
    return word.read(data, name="x.docx", kind="docx", options=options)


def chunked_text(data: bytes) -> str:
    """The text of a file's chunks."""
    return "\n".join(chunk_document(read_word(data).document).texts)


def reference(kind: str, identifier: int) -> str:
    """A run that cites a note."""
    return f'<w:r><w:rPr><w:vertAlign w:val="superscript"/></w:rPr><w:{kind}Reference w:id="{identifier}"/></w:r>'


def notes(kind: str, *texts: str) -> dict[str, str | bytes]:
    """The part of the notes of a kind, with ids from 10."""
    items = "".join(f'<w:{kind} w:id="{number}">{par(text)}</w:{kind}>' for number, text in enumerate(texts, 10))
    return {f"{kind}s.xml": part(f"{kind}s", items)}


def level(index: int, text: str, form: str = "decimal", more: str = "") -> str:
    """A level of a numbering."""
    return f'<w:lvl w:ilvl="{index}"><w:numFmt w:val="{form}"/>{more}<w:lvlText w:val="{text}"/></w:lvl>'


def numbering(levels: str, *overrides: str) -> str:
    """One definition, and numberings from 1 that use it: the first as it is, the others with an override each."""
    numbers = "".join(
        f'<w:num w:numId="{number}"><w:abstractNumId w:val="0"/>{override}</w:num>'
        for number, override in enumerate(("", *overrides), 1)
    )
    return f'<w:abstractNum w:abstractNumId="0">{levels}</w:abstractNum>{numbers}'


def numbered(text: str, number: int, index: int = 0) -> str:
    """A numbered paragraph."""
    return par(text, f'<w:numPr><w:ilvl w:val="{index}"/><w:numId w:val="{number}"/></w:numPr>')
