"""Reads what a docling-serve answered for a file, as a stranger's: in a worker, with its limits.

Pictures are cut out of the file here, so none of the answer is used. Import it inside functions only.
"""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aegis_dagster.parsing.checks import corrupt
from aegis_dagster.parsing.markup.docling_json import sound_document
from aegis_dagster.parsing.readers import Parsed
from aegis_dagster.parsing.serve.failures import timed_out, unusable

if TYPE_CHECKING:
    from docling_core.types.doc.document import DoclingDocument

ROUTE: Final = "docling-serve"


def read(answer: Path, *, pages: int) -> Parsed:
    """The document of an answer. pages: of the file.

    Raises DocumentError: CORRUPT_FILE, if the server could not read the file; TIMEOUT; BAD_ANSWER.
    """
    try:
        told = json.loads(answer.read_bytes(), parse_constant=_no_number)
        status, errors, values = told["status"], told.get("errors") or [], told["document"]["json_content"]
        warnings, ocr_pages = [_warning(error) for error in errors], _ocr_pages(told)
        in_time = all(error.get("category") != "timeout" for error in errors)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise unusable(f"it is no result ({type(error).__name__})") from error
    if not in_time:
        raise timed_out()  # it holds the pages that were read by then
    if status not in ("success", "partial_success"):
        raise corrupt("docling-serve could not read it.") from ValueError("; ".join(map(str, errors))[:2000])
    try:
        document, mended = sound_document(values)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise unusable(f"it is no document of docling ({type(error).__name__})") from error
    unread = _keep_on_pages(document, pages)
    for picture in document.pictures:
        picture.image = None
    warnings += [f"page {page_no} could not be read" for page_no in unread]
    return Parsed(document, ROUTE, tuple(dict.fromkeys([*warnings, *mended])), ocr_pages=ocr_pages)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _warning(error: dict[str, Any]) -> str:
    page_no = error.get("page_no")
    return f"page {int(page_no)} could not be read" if page_no else "a part could not be read"


def _keep_on_pages(document: "DoclingDocument", pages: int) -> list[int]:
    """Drop the places of items that are on no page of the file; returns the pages that the answer lacks."""
    from docling_core.types.doc.common.content_layer import ContentLayer
    from docling_core.types.doc.items.node import DocItem

    document.pages = {
        number: page
        for number, page in document.pages.items()
        if 1 <= number <= pages and 0 < page.size.width < math.inf and 0 < page.size.height < math.inf
    }
    layers = set(ContentLayer)
    for item, _ in document.iterate_items(with_groups=True, traverse_pictures=True, included_content_layers=layers):
        if isinstance(item, DocItem):
            item.prov = [
                place
                for place in item.prov
                if place.page_no in document.pages and all(map(math.isfinite, place.bbox.as_tuple()))
            ]
    return [number for number in range(1, pages + 1) if number not in document.pages]


def _ocr_pages(told: dict[str, Any]) -> int:
    pages = (told.get("confidence") or {}).get("pages") or {}
    return sum(page.get("ocr_score") is not None for page in pages.values())
