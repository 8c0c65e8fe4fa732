"""Reads the JSON that docling writes, as a stranger's: nothing outside it is opened, and its tree is made sound.

docling's reader trusts the references between the items: a circle or a broken one ends in a crash.
"""

import base64
import binascii
import io
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from aegis_dagster.domain.left_out import LeftOut, Reason
from aegis_dagster.parsing.checks import corrupt
from aegis_dagster.parsing.readers import Parsed

if TYPE_CHECKING:
    from docling_core.types.doc.document import DoclingDocument

_ROUTE: Final = "docling"
_LISTS: Final = (
    "texts",
    "tables",
    "pictures",
    "groups",
    "key_value_items",
    "form_items",
    "field_regions",
    "field_items",
)
_DEEPEST: Final = 60  # levels of the tree; what stands deeper moves to the body
_MOST_PIXELS: Final = 89_478_485


def read(data: bytes, *, name: str, kind: str, options: dict[str, Any]) -> Parsed:
    """The document of a file, as `readers.Reader` has it. Raises DocumentError CORRUPT_FILE."""
    try:
        document, warnings = sound_document(json.loads(data))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        said = str(error).splitlines()
        raise corrupt(f"it is no document that docling reads ({' '.join(said[:3])[:200]}).") from error
    return Parsed(document, _ROUTE, tuple(warnings), tuple(_show_furniture(document)))


def sound_document(values: Any) -> tuple["DoclingDocument", list[str]]:
    """The document of a stranger's values, which are changed, and warnings about what was wrong with them.

    Raises ValueError, TypeError, KeyError, AttributeError, IndexError or RecursionError for what is no document.
    """
    from docling_core.types.doc.document import DoclingDocument

    pictures = _drop_pictures(values)
    moved = _Tree(values).mend()
    document = DoclingDocument.model_validate(values)
    document.origin = None
    tables = _mend_tables(document)
    warnings = [
        f"{pictures} pictures that lie outside the file, or cannot be shown, were not read." if pictures else "",
        f"{moved} items hung nowhere or in a circle, and stand at the end." if moved else "",
        f"{tables} tables have cells outside their grid, and are read as one column." if tables else "",
    ]
    return document, list(filter(None, warnings))


def _drop_pictures(values: Any) -> int:
    """Remove the pictures that are addresses, or that Pillow would refuse; returns how many."""
    dropped = 0
    waiting = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for key, inner in value.items():
                if isinstance(inner, dict) and "uri" in inner and key != "origin":
                    if not _is_sound(str(inner["uri"])):
                        value[key] = None
                        dropped += 1
                else:
                    waiting.append(inner)
        elif isinstance(value, list):
            waiting.extend(value)
    return dropped


def _is_sound(uri: str) -> bool:
    from PIL import Image

    head, _, body = uri.partition(",")
    if not head.startswith("data:image/") or not head.endswith(";base64"):
        return False
    try:
        with Image.open(io.BytesIO(base64.b64decode(body))) as image:
            return image.width * image.height <= _MOST_PIXELS
    except (OSError, ValueError, SyntaxError, binascii.Error, Image.DecompressionBombError):
        return False


class _Tree:
    """Every item once, below the parent that names it first; in the JSON, because docling refuses any other."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._roots = [values.setdefault(name, {"name": "_root_"}) for name in ("body", "furniture")]
        self._items: dict[str, dict[str, Any]] = {}
        for name in _LISTS:
            for number, item in enumerate(values.get(name) or []):
                item["self_ref"] = f"#/{name}/{number}"
                self._items[item["self_ref"]] = item
        self._seen: set[str] = set()

    def mend(self) -> int:
        """Returns how many items moved to the end of the body."""
        body, furniture = self._roots
        for root, name in ((body, "body"), (furniture, "furniture")):
            root.update(self_ref=f"#/{name}", parent=None)
        # Headers and footers hung apart in older versions: no reader walks there any more.
        body["children"] = [*(body.get("children") or []), *(furniture.get("children") or [])]
        furniture["children"] = []
        self._walk(body, 0)
        moved = 0
        # Groups come first, so that their items stay together.
        for ref in sorted(self._items, key=lambda ref: not ref.startswith("#/groups/")):
            if ref not in self._seen:
                body["children"].append({"$ref": ref})
                self._take(ref, "#/body", 1)
                moved += 1
        for item in self._items.values():
            for name in ("captions", "footnotes", "references", "comments"):
                if item.get(name):
                    item[name] = [ref for ref in item[name] if _ref(ref) in self._items]
        return moved

    def _take(self, ref: str, parent: str, depth: int) -> None:
        self._seen.add(ref)
        self._items[ref]["parent"] = {"$ref": parent}
        self._walk(self._items[ref], depth)

    def _walk(self, parent: dict[str, Any], depth: int) -> None:
        kept = []
        for child in parent.get("children") or []:
            ref = _ref(child)
            if ref in self._items and ref not in self._seen and depth < _DEEPEST:
                self._seen.add(ref)
                kept.append(ref)
        parent["children"] = [{"$ref": ref} for ref in kept]
        for ref in kept:
            self._take(ref, parent["self_ref"], depth + 1)


def _ref(value: Any) -> str:
    return str(value.get("$ref") or value.get("cref")) if isinstance(value, dict) else ""


def _mend_tables(document: "DoclingDocument") -> int:
    from docling_core.types.doc.items.table.table_data import RichTableCell, TableCell, TableData

    from aegis_dagster.parsing.table_cells import table_cell

    wrong = 0
    refs = {item.self_ref for name in _LISTS for item in getattr(document, name, None) or []}
    for table in document.tables:
        cells = table.data.table_cells
        plain = [
            TableCell.model_validate(cell.model_dump(exclude={"ref"}))
            if isinstance(cell, RichTableCell) and cell.ref.cref not in refs
            else cell
            for cell in cells
        ]
        if all(
            0 <= cell.start_row_offset_idx < cell.end_row_offset_idx <= table.data.num_rows
            and 0 <= cell.start_col_offset_idx < cell.end_col_offset_idx <= table.data.num_cols
            for cell in cells
        ):
            table.data.table_cells = plain
            continue
        wrong += 1
        column = [table_cell(cell.text, row, 0) for row, cell in enumerate(cells)]
        table.data = TableData(table_cells=column, num_rows=len(column), num_cols=1)
    return wrong


def _show_furniture(document: "DoclingDocument") -> Iterator[LeftOut]:
    """Move the first copy of each running line to the body; its further copies, and hidden text, are left out."""
    from docling_core.types.doc.common.content_layer import ContentLayer
    from docling_core.types.doc.labels import DocItemLabel

    shown: set[str] = set()
    for item in document.texts:
        text = item.text.strip()
        if item.content_layer is ContentLayer.FURNITURE:
            if text in shown:
                yield LeftOut(Reason.RUNNING_LINE, "running lines", text)
                continue
            shown.add(text)
            item.content_layer = ContentLayer.BODY
            if item.label in (DocItemLabel.PAGE_HEADER, DocItemLabel.PAGE_FOOTER):
                item.label = DocItemLabel.TEXT
        elif item.content_layer not in (ContentLayer.BODY, ContentLayer.NOTES) and text:
            yield LeftOut(Reason.HIDDEN_TEXT, "hidden text", text)
