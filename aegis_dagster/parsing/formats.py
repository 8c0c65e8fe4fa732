"""The file formats that are read, and the detection of a file's format from its bytes."""

import io
import re
import zipfile
from typing import Final

from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.parsing.encodings import is_text

# Suffix (lower case, with its dot) -> format. The formats are the names that manifests carry.
SUPPORTED: Final[dict[str, str]] = {
    ".pdf": "pdf",
    ".docx": "docx",
    ".pptx": "pptx",
    ".xlsx": "xlsx",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".md": "md",
    ".markdown": "md",
    ".txt": "text",
    ".text": "text",
    ".rst": "text",
    ".log": "text",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".eml": "eml",
    ".msg": "msg",
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".epub": "epub",
}

# Formats whose content is text: the bytes do not distinguish them.
TEXT_FORMATS: Final = frozenset({"html", "md", "text", "csv", "eml"})
ZIP_FORMATS: Final = frozenset({"docx", "pptx", "xlsx", "epub"})
IMAGE_FORMATS: Final = frozenset({"png", "jpeg", "tiff"})

# Formats that are recognised but not read -> what the operator can do.
_UNREAD: Final[dict[str, str]] = {
    "doc": "save it as .docx (Word, or `soffice --convert-to docx FILE`).",
    "xls": "save it as .xlsx (Excel, or `soffice --convert-to xlsx FILE`).",
    "ppt": "save it as .pptx (PowerPoint, or `soffice --convert-to pptx FILE`).",
    "rtf": "save it as .docx (`soffice --convert-to docx FILE`).",
    "odt": "save it as .docx (`soffice --convert-to docx FILE`).",
    "ods": "save it as .xlsx (`soffice --convert-to xlsx FILE`).",
    "odp": "save it as .pptx (`soffice --convert-to pptx FILE`).",
    "gif": "save the picture as .png.",
    "bmp": "save the picture as .png.",
    "webp": "save the picture as .png.",
    "zip": "unpack the archive into the watched folder.",
    "gzip": "unpack the archive into the watched folder.",
    "7z": "unpack the archive into the watched folder.",
    "rar": "unpack the archive into the watched folder.",
}
_CONVERT: Final = "convert it to a format that is read ({}), or take it out of the watched folder."

_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"{\\rtf", "rtf"),
    (b"\x1f\x8b", "gzip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
)
_ZIP_STARTS: Final = (b"PK\x03\x04", b"PK\x05\x06")
_CFB_START: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # OLE compound file, MS-CFB 2.2
# Stream names in a compound file, UTF-16LE, and the format that each indicates. The encrypted package comes first.
_CFB_STREAMS: Final[tuple[tuple[str, str], ...]] = (
    ("EncryptedPackage", "encrypted office file"),
    ("WordDocument", "doc"),
    ("Workbook", "xls"),
    ("PowerPoint Document", "ppt"),
    ("__substg1.0_", "msg"),
)
_ZIP_MIMETYPES: Final[dict[str, str]] = {
    "application/epub+zip": "epub",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
}
_SNIFF_BYTES: Final = 8192
# The first line of a mail: a header field, or the line that a mailbox file puts above it.
_MAIL_START = re.compile(rb"\s{0,100}(?:>?From |[!-9;-~]{1,76}[ \t]{0,10}:)")


def check_kind(data: bytes, suffix: str) -> str:
    """The format of a file whose suffix and content agree.

    `suffix`: lower case, with its dot. Raises DocumentError: EMPTY_FILE, UNSUPPORTED_FORMAT,
    WRONG_EXTENSION, ENCRYPTED_FILE.
    """
    if not data:
        raise DocumentError(
            FailureCode.EMPTY_FILE,
            "The file has no bytes.",
            remedy="copy it again, or delete it if nothing is missing.",
        )
    content = sniff(data)
    declared = SUPPORTED.get(suffix)
    if declared == "eml" and content != "html" and _MAIL_START.match(data):
        content = "text"  # whatever encodings its parts have
    if content == "encrypted office file":
        raise DocumentError(
            FailureCode.ENCRYPTED_FILE,
            "The office file is protected with a password.",
            remedy="open it with its password and save it without one.",
        )
    if declared is None or not _agree(declared, content):
        raise _refusal(suffix, declared, content)
    return declared


def sniff(data: bytes) -> str | None:
    """The format of the bytes: a format name, "text" for any readable text, None if unrecognised."""
    head = data[:_SNIFF_BYTES]
    for start, kind in _MAGIC:
        if head.startswith(start) and (kind != "bmp" or not is_text(data)):
            return kind
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith(_CFB_START):
        return _sniff_compound(data)
    if head.startswith(_ZIP_STARTS):
        return _sniff_zip(data)
    if b"%PDF-" in head[:1024]:  # PDF 32000-1 annex H.3.4.1: readers accept it within the first 1024 bytes
        return "pdf"
    if is_text(data):
        start_of_text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        return "html" if start_of_text.startswith((b"<!doctype html", b"<html")) else "text"
    return None


def _sniff_zip(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            if "mimetype" in names and archive.getinfo("mimetype").file_size < 200:
                mimetype = archive.read("mimetype").decode("ascii", "replace").strip()
                if mimetype in _ZIP_MIMETYPES:
                    return _ZIP_MIMETYPES[mimetype]
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError):
        # The directory at the end is missing; the entries in front still reveal the format.
        names = {part for part in ("word/", "ppt/", "xl/", "META-INF/container.xml") if part.encode() in data}
    for folder, kind in (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "xlsx")):
        if any(name.startswith(folder) for name in names):
            return kind
    return "epub" if "META-INF/container.xml" in names else "zip"


def _sniff_compound(data: bytes) -> str | None:
    if _is_outlook(data):
        return "msg"
    for name, kind in _CFB_STREAMS:
        if name.encode("utf-16-le") in data:
            return kind
    return None


def _is_outlook(data: bytes) -> bool:
    """Whether it is a mail of Outlook, which may hold office files: what lies at the top decides."""
    if "__properties_version1.0".encode("utf-16-le") not in data:
        return False
    from olefile import OleFileIO

    try:
        with OleFileIO(data) as ole:
            return bool(ole.exists("__properties_version1.0"))
    except Exception:  # it raises what the damage leads to
        return True


def _agree(declared: str, content: str | None) -> bool:
    if declared in TEXT_FORMATS:
        return content in ("text", "html")
    return declared == content


def _refusal(suffix: str, declared: str | None, content: str | None) -> DocumentError:
    known = content is not None and (content in SUPPORTED.values() or content in _UNREAD)
    # Text under an unknown suffix may be anything (source code, configuration): it is not treated as a document.
    if content is not None and known and not (declared is None and content in TEXT_FORMATS):
        right = _suffix_of(content)
        if declared is not None or (right in SUPPORTED and right != suffix):
            said = f"The name says {declared} ({suffix})" if declared else f"The name says {suffix or 'nothing'}"
            then = f"rename it to {right}" + ("." if right in SUPPORTED else f", then {_UNREAD.get(content, '')}")
            return DocumentError(FailureCode.WRONG_EXTENSION, f"{said}, the content is {content}.", remedy=then)
        return DocumentError(
            FailureCode.UNSUPPORTED_FORMAT, f"Files of the format {content} are not read.", remedy=_UNREAD[content]
        )
    if declared is not None:
        kind = "text" if declared in TEXT_FORMATS else declared
        return DocumentError(
            FailureCode.UNSUPPORTED_FORMAT,
            f"The name says {declared} ({suffix}), but the content is not {kind} and of no known format.",
            remedy="copy the file again from its source; it is damaged or of another kind.",
        )
    remedy = _UNREAD.get(suffix.removeprefix("."), _CONVERT.format(", ".join(sorted(set(SUPPORTED)))))
    return DocumentError(
        FailureCode.UNSUPPORTED_FORMAT, f"Files named {suffix or 'without a suffix'} are not read.", remedy=remedy
    )


def _suffix_of(kind: str) -> str:
    return next((suffix for suffix, name in SUPPORTED.items() if name == kind), f".{kind}")
