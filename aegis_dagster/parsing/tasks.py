"""The parse task: one file in, one folder out. Runs in a worker process that may be killed at any time.

Equal bytes under equal suffixes give equal files, so that documents with equal bytes share them: neither
the path nor the name of the original reaches the output. Only `seconds` in the manifest differs.
"""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis_dagster.domain.left_out import LeftOut, count_by_reason, to_json
from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.opening import is_swapped, open_file
from aegis_dagster.parsing.checks import check_size, count_pages
from aegis_dagster.parsing.formats import check_kind
from aegis_dagster.parsing.office.packages import as_plain
from aegis_dagster.parsing.readers import reader_of

if TYPE_CHECKING:
    from docling_core.types.doc.document import DoclingDocument


def load(options: dict[str, Any]) -> None:
    """Load what text and Markdown need, in the process from which workers are forked: they are read once."""
    from aegis_dagster.parsing.source_text import texts_of

    for kind in ("md", "text"):
        reader_of(kind)(b"# Title\n\n- *first*\n- second\n\n<br\n", name=f"a.{kind}", kind=kind, options=options)
        texts_of(b"text", kind)


def parse_task(payload: dict[str, Any]) -> dict[str, Any]:
    """Parse one file into `out_dir`: `document.json`, `source_text.json`, `pictures/*.png`, `manifest.json`.

    Returns the manifest. `source_text.json` is what the file holds, as a simple reader finds it, and what is left out
    on purpose (`domain/left_out.py`); the chunk task compares its chunks with it.

    payload: `path` (absolute, without links), `suffix` (lower case, with its dot), `revision` (sha256 of the bytes
    that are expected, or None), `out_dir` (existing, empty), `options`: `max_pages`, `max_megabytes`, `max_pictures`,
    `max_picture_megabytes`, `pdf_route` ("models" or "rules"), `docling_models` (folder or None), `ocr` (bool);
    `read_hidden` (bool, false if absent); `mail`, the fields of `AttachmentLimits` (without it, its defaults). Also, if
    a docling-serve was asked about the file: `answer`, the file of its answer, or `fallback`, why it has none.

    manifest: `format`, `route` (as `readers.Parsed` has it), `pages` (0 where the format has none), `tables`,
    `pictures`, `characters` (table cells included), `ocr_pages`, `warnings`,
    `seconds`; `pictures_left_out` where a limit was reached; `left_out` where text is left out on purpose, a number
    by reason; `fallback`, as above.

    Raises DocumentError with any code of this package: UNREADABLE_FILE, FILE_CHANGED (both retryable), TOO_LARGE,
    EMPTY_FILE, UNSUPPORTED_FORMAT, WRONG_EXTENSION, ENCRYPTED_FILE, TRUNCATED_FILE, ZIP_BOMB, TOO_MANY_PAGES,
    CORRUPT_FILE, NO_TEXT, MEMORY_LIMIT; with an `answer` also TIMEOUT, BAD_ANSWER.
    """
    started = time.perf_counter()
    options: dict[str, Any] = payload["options"]
    suffix: str = payload["suffix"]
    out_dir = Path(payload["out_dir"])
    data = read_source(Path(payload["path"]), payload["revision"], max_megabytes=options["max_megabytes"])
    revision = hashlib.sha256(data).hexdigest()
    kind, pages = _checked(data, suffix, options)
    options = {**options, "answer": payload.get("answer"), "pages": pages}
    data = as_plain(data, kind)
    name = f"{revision[:16]}{suffix}"
    parsed = reader_of(kind)(data, name=name, kind=kind, options=options)
    document = parsed.document
    warnings, pictures_left_out = _write_pictures(document, data, kind, out_dir, options)
    document.name = Path(name).stem
    left_out, incomparable = _write_source_text(*(parsed.converted or (data, kind)), parsed.left_out, out_dir)
    manifest: dict[str, Any] = {
        "format": kind,
        "route": parsed.route,
        "ocr_pages": parsed.ocr_pages,
        "warnings": [*parsed.warnings, *warnings, *incomparable],
        "pages": len(document.pages) or pages,
        "tables": len(document.tables),
        "pictures": len(document.pictures),
        "characters": _count_characters(document),
    }
    if pictures_left_out:
        manifest["pictures_left_out"] = pictures_left_out
    if left_out:
        manifest["left_out"] = count_by_reason(left_out)
    if why := payload.get("fallback"):
        manifest["fallback"] = why
        manifest["warnings"].insert(0, f"It was to be parsed by docling-serve, and was parsed here: {why}")
    _require_text(manifest, ocr=options["ocr"])
    (out_dir / "document.json").write_text(document.model_dump_json(exclude_none=True, by_alias=True), "utf-8")
    manifest["seconds"] = round(time.perf_counter() - started, 3)
    (out_dir / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False, indent=1), "utf-8")
    return manifest


def check_task(payload: dict[str, Any]) -> dict[str, Any]:
    """Check one file as `parse_task` does, before it is sent to a server. The payload is the same, without `out_dir`.

    Raises DocumentError as `parse_task` does before it parses.
    """
    options = payload["options"]
    data = read_source(Path(payload["path"]), payload["revision"], max_megabytes=options["max_megabytes"])
    kind, pages = _checked(data, payload["suffix"], options)
    return {"format": kind, "pages": pages}


def _checked(data: bytes, suffix: str, options: dict[str, Any]) -> tuple[str, int]:
    """The format, and how many pages it has."""
    kind = check_kind(data, suffix)
    return kind, count_pages(data, kind, max_pages=options["max_pages"])


def read_source(path: Path, revision: str | None, *, max_megabytes: int) -> bytes:
    """The bytes of a file. revision: their sha256, or None if any will do.

    Raises DocumentError: UNREADABLE_FILE, FILE_CHANGED, TOO_LARGE.
    """
    try:
        with os.fdopen(open_file(path), "rb") as file:
            check_size(os.fstat(file.fileno()).st_size, max_megabytes=max_megabytes)
            data = file.read(max_megabytes * 1_000_000 + 1)  # it may have grown since
    except OSError as error:
        if is_swapped(error):
            raise _changed() from error
        raise DocumentError(
            FailureCode.UNREADABLE_FILE,
            f"The file cannot be read: {error.strerror or error}.",
            remedy="give the user of this process the right to read it, or check the disk.",
            retryable=True,
        ) from error
    check_size(len(data), max_megabytes=max_megabytes)
    if revision is not None and revision != hashlib.sha256(data).hexdigest():
        raise _changed()
    return data


def _changed() -> DocumentError:
    return DocumentError(
        FailureCode.FILE_CHANGED,
        "The file changed after it was listed.",
        remedy="nothing; the next run reads it again.",
        retryable=True,
    )


def _write_pictures(
    document: "DoclingDocument", data: bytes, kind: str, out_dir: Path, options: dict[str, Any]
) -> tuple[list[str], int]:
    """Returns warnings, and how many pictures are left out."""
    if not document.pictures and not document.pages:
        return [], 0
    from aegis_dagster.parsing.pictures import PictureLimits, write_pictures

    limits = PictureLimits(options["max_pictures"], options["max_picture_megabytes"])
    return write_pictures(document, data, kind, out_dir, limits)


def _write_source_text(
    data: bytes, kind: str, told: Sequence[LeftOut], out_dir: Path
) -> tuple[list[LeftOut], list[str]]:
    """Returns what is left out on purpose, and warnings.

    Where the real reader tells of texts for some reason, the simple one need not: it finds them in another way.
    """
    from aegis_dagster.parsing.source_text import texts_of

    try:
        pieces, unseen = texts_of(data, kind)
        warnings = []
    except Exception as error:
        # Any library may stop at a part that the real reader was able to pass over; that costs only the comparison.
        pieces, unseen = [], []
        warnings = [f"The chunks could not be compared with the file: its text is unreadable ({type(error).__name__})."]
    reasons = {item.reason for item in told}
    left_out = [*told, *(item for item in unseen if item.reason not in reasons)]
    text = json.dumps(to_json(pieces, left_out), ensure_ascii=False)
    (out_dir / "source_text.json").write_text(text, "utf-8", "surrogatepass")
    return left_out, warnings


def _count_characters(document: "DoclingDocument") -> int:
    in_texts = sum(len(item.text.strip()) for item in document.texts)
    return in_texts + sum(len(cell.text.strip()) for table in document.tables for cell in table.data.table_cells)


def _require_text(manifest: dict[str, Any], *, ocr: bool) -> None:
    """Raises DocumentError NO_TEXT for a document without searchable content.

    Pictures inside office files and web pages count as content, because enrichment reads them. OCR has already read
    those of PDFs and picture files.
    """
    paginated = manifest["route"] in ("rules", "docling-models", "docling-serve")
    if manifest["characters"] > 0 or (manifest["pictures"] > 0 and not paginated):
        return
    if paginated and not ocr:
        raise DocumentError(
            FailureCode.NO_TEXT,
            "The pages are pictures, and reading them is switched off.",
            remedy="set parse.ocr to true in aegis.yaml.",
        )
    if paginated:
        raise DocumentError(
            FailureCode.NO_TEXT,
            "No text was recognised on any page.",
            remedy="scan it again at 300 dots per inch, or take it out if it is only a picture.",
        )
    raise DocumentError(
        FailureCode.NO_TEXT, "The document holds no text and no pictures.", remedy="delete it, or fill it."
    )
