"""Office files made by hand: parts of XML in an archive."""

import io
import zipfile
from collections.abc import Mapping, Sequence

from aegis_dagster_tests.support.bad_files import archive

_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
SHEET_MAIN = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
NAMESPACES = (
    'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
    f'xmlns:r="{_OFFICE}/relationships" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:xdr="http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" '
    'xmlns:dgm="http://schemas.openxmlformats.org/drawingml/2006/diagram" '
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
)


def unpacked(data: bytes) -> dict[str, bytes]:
    """The parts of an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def relations(*links: tuple[str, str]) -> str:
    """A list of relations: kind (or its whole address) and target, with the ids rId1, rId2 and so on."""
    items = "".join(
        f'<Relationship Id="rId{number}" Type="{kind if ":" in kind else f"{_OFFICE}/relationships/{kind}"}" '
        f'Target="{target}"/>'
        for number, (kind, target) in enumerate(links, 1)
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{items}</Relationships>'


def workbook(
    sheets: Sequence[tuple[str, str]],
    *,
    attributes: Mapping[str, str] | None = None,
    main: str = SHEET_MAIN,
    extra: Mapping[str, str | bytes] | None = None,
) -> bytes:
    """A workbook of sheets (name and XML inside `worksheet`), with more attributes for a sheet's entry by its name.

    `extra` adds or replaces parts; shared texts and styles are linked.
    """
    entries = "".join(
        f'<sheet name="{name}" sheetId="{number}" r:id="rId{number}" {(attributes or {}).get(name, "")}/>'
        for number, (name, _) in enumerate(sheets, 1)
    )
    links = [("worksheet", f"worksheets/sheet{number}.xml") for number in range(1, len(sheets) + 1)]
    links += [("sharedStrings", "sharedStrings.xml"), ("styles", "styles.xml")]
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="xml" '
        f'ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="{main}"/></Types>',
        "_rels/.rels": relations(("officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": f"<workbook {NAMESPACES}><sheets>{entries}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": relations(*links),
        "xl/sharedStrings.xml": f"<sst {NAMESPACES}/>",
        "xl/styles.xml": f"<styleSheet {NAMESPACES}/>",
    }
    for number, (_, content) in enumerate(sheets, 1):
        parts[f"xl/worksheets/sheet{number}.xml"] = f"<worksheet {NAMESPACES}>{content}</worksheet>"
    parts |= extra or {}
    return archive({name: part.encode() if isinstance(part, str) else part for name, part in parts.items()})


def rows(*lines: Sequence[str]) -> str:
    """`sheetData` with inline texts; "" for no cell."""
    made = []
    for number, line in enumerate(lines, 1):
        cells = "".join(
            f'<c r="{chr(64 + column)}{number}" t="inlineStr"><is><t>{text}</t></is></c>'
            for column, text in enumerate(line, 1)
            if text
        )
        made.append(f'<row r="{number}">{cells}</row>')
    return f"<sheetData>{''.join(made)}</sheetData>"
