"""A DoclingDocument from plain text, without docling, which takes a second to import."""

from typing import TYPE_CHECKING, Any

from aegis_dagster.parsing.readers import Parsed
from aegis_dagster.parsing.text.encodings import decode, without_controls
from aegis_dagster.parsing.text.plain_text import Block, BlockKind, read_blocks

if TYPE_CHECKING:
    from docling_core.types.doc.document import DoclingDocument


def read(data: bytes, *, name: str, kind: str, options: dict[str, Any]) -> Parsed:
    """The document of a text file and warnings about its encoding, as `readers.Reader` has it."""
    from docling_core.types.doc.document import DoclingDocument

    decoded = decode(data)
    text, lines = without_controls(decoded.text)
    document = DoclingDocument(name=name)
    _fill(document, read_blocks(text))
    where = f"line {lines[0]:,}" + (f" and {len(lines) - 1:,} more" if len(lines) > 1 else "") if lines else ""
    controls = (f"Control characters that no text has were left out of {where}.",) if lines else ()
    return Parsed(document, "plain-text", (*decoded.warnings(), *controls))


def _fill(document: "DoclingDocument", blocks: list[Block]) -> None:
    from docling_core.types.doc.labels import CodeLanguageLabel, DocItemLabel

    languages = {language.value.lower(): language for language in CodeLanguageLabel}
    group = None
    for block in blocks:
        if block.kind in (BlockKind.BULLET, BlockKind.NUMBERED):
            group = group or document.add_list_group()
            numbered = block.kind is BlockKind.NUMBERED
            document.add_list_item(block.text, enumerated=numbered, marker=block.marker or "-", parent=group)
            continue
        group = None
        if block.kind is BlockKind.TITLE:
            document.add_title(block.text)
        elif block.kind is BlockKind.HEADING:
            document.add_heading(block.text, level=block.level)
        elif block.kind is BlockKind.CODE:
            document.add_code(block.text, code_language=languages.get(block.language.lower()))
        else:
            document.add_text(DocItemLabel.TEXT, block.text)
