"""Reads office files of before 2007, RTF and binary workbooks: LibreOffice turns them into what they would be today."""

import io
import struct
from dataclasses import replace
from typing import Any

from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.office import MODULES, line
from aegis_dagster.parsing.checks import corrupt, count_pages, protected
from aegis_dagster.parsing.formats import OLD_FORMATS
from aegis_dagster.parsing.office.packages import as_plain
from aegis_dagster.parsing.readers import Parsed, reader_of

_PROGRAMS = {"docx": "Word", "xlsx": "Excel", "pptx": "PowerPoint"}
_FILEPASS, _BIFF_RECORDS = 0x2F, 30  # [MS-XLS] 2.4.117; it stands among the first records


def read(data: bytes, *, name: str, kind: str, options: dict[str, Any]) -> Parsed:
    """The document of a converted file, as `readers.Reader` has it.

    Raises DocumentError: UNSUPPORTED_FORMAT where LibreOffice is not installed, ENCRYPTED_FILE, MEMORY_LIMIT,
    CORRUPT_FILE, and what the reader of the new format raises.
    """
    target = OLD_FORMATS[kind]
    if _is_protected(data, kind):
        raise protected()
    office = line()
    if office is None or kind not in office.formats:
        raise DocumentError(
            FailureCode.UNSUPPORTED_FORMAT,
            f"Files of the format {kind} are read through LibreOffice, which is not installed here.",
            remedy=f"install it (Debian: `apt-get install --no-install-recommends {MODULES[kind][1]}`), or save the"
            f" file as .{target} ({_PROGRAMS[target]}, or `soffice --convert-to {target} FILE` elsewhere).",
        )
    converted = office.convert(data, kind, target)
    if converted == "memory":
        raise DocumentError(
            FailureCode.MEMORY_LIMIT,
            "LibreOffice needs more memory for the file than a worker may use.",
            remedy=f"save it as .{target}, split it, or raise parse.memory_mb in aegis.yaml.",
        )
    if isinstance(converted, str):
        raise corrupt("LibreOffice cannot open it.")
    count_pages(converted, target, max_pages=options["max_pages"])
    plain = as_plain(converted, target)
    parsed = reader_of(target)(plain, name=name, kind=target, options=options)
    return replace(parsed, route="libreoffice", converted=(plain, target))


def _is_protected(data: bytes, kind: str) -> bool:
    """Whether a file asks for a password, as the specifications of its format have it."""
    if kind not in ("doc", "xls", "ppt"):
        return False
    import olefile

    try:
        with olefile.OleFileIO(io.BytesIO(data)) as file:
            match kind:
                case "doc":  # [MS-DOC] 2.5.2: FibBase.fEncrypted
                    flags = file.openstream("WordDocument").read(12)[11:]
                    return bool(flags and flags[0] & 0x01)
                case "xls":
                    book = "Workbook" if file.exists("Workbook") else "Book"
                    return _FILEPASS in _records(file.openstream(book).read(65536))
            return bool(file.exists("EncryptedSummary"))
    except (OSError, ValueError, IndexError, KeyError, OverflowError, struct.error):
        return False  # damaged: LibreOffice may still read it


def _records(stream: bytes) -> list[int]:
    """The kinds of the first records of a workbook."""
    kinds: list[int] = []
    at = 0
    while at + 4 <= len(stream) and len(kinds) < _BIFF_RECORDS:
        kinds.append(int.from_bytes(stream[at : at + 2], "little"))
        at += 4 + int.from_bytes(stream[at + 2 : at + 4], "little")
    return kinds
