"""The file formats that are read, and the detection of a file's format from its bytes."""

import re
from typing import Final

from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.parsing.office.packages import compound_kind, zip_kind

# Suffix (lower case, with its dot) -> format. The formats are the names that manifests carry. The first suffix of a
# format is the one that a wrong name is to be changed to.
SUPPORTED: Final[dict[str, str]] = {
    ".pdf": "pdf",
    **dict.fromkeys((".docx", ".docm", ".dotx", ".dotm"), "docx"),
    **dict.fromkeys((".pptx", ".pptm", ".ppsx", ".ppsm", ".potx", ".potm"), "pptx"),
    **dict.fromkeys((".xlsx", ".xlsm", ".xltx", ".xltm"), "xlsx"),
    **dict.fromkeys((".odt", ".ott", ".fodt"), "odt"),
    **dict.fromkeys((".ods", ".ots", ".fods"), "ods"),
    **dict.fromkeys((".odp", ".otp", ".fodp", ".odg"), "odp"),
    # Read through LibreOffice, where it is installed.
    **dict.fromkeys((".doc", ".dot"), "doc"),
    ".rtf": "rtf",
    **dict.fromkeys((".xls", ".xlt"), "xls"),
    ".xlsb": "xlsb",
    **dict.fromkeys((".ppt", ".pps", ".pot"), "ppt"),
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
    **dict.fromkeys((".adoc", ".asciidoc", ".asc"), "asciidoc"),
    **dict.fromkeys((".tex", ".latex", ".ltx"), "latex"),
    **dict.fromkeys((".vtt", ".srt"), "vtt"),
    **dict.fromkeys((".xml", ".nxml"), "xml"),
    ".json": "docling-json",
    ".eml": "eml",
    ".msg": "msg",
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
    ".bmp": "bmp",
    ".gif": "gif",
    ".epub": "epub",
}

# Formats whose content is text: the bytes do not distinguish them.
TEXT_FORMATS: Final = frozenset(
    {"html", "md", "text", "csv", "eml", "asciidoc", "latex", "vtt", "xml", "jats", "uspto", "docbook", "docling-json"}
)
ODF_FORMATS: Final = frozenset({"odt", "ods", "odp"})  # packages, or single files of XML
OLD_FORMATS: Final[dict[str, str]] = {"doc": "docx", "rtf": "docx", "xls": "xlsx", "xlsb": "xlsx", "ppt": "pptx"}
ZIP_FORMATS: Final = frozenset({"docx", "pptx", "xlsx", "epub", "xlsb", *ODF_FORMATS})
IMAGE_FORMATS: Final = frozenset({"png", "jpeg", "tiff", "webp", "bmp", "gif"})

_UNPACK: Final = "unpack the archive into the watched folder."
# Formats that are recognised but not read -> what the operator can do.
_UNREAD: Final[dict[str, str]] = {
    **dict.fromkeys(("zip", "gzip", "7z", "rar"), _UNPACK),
}
# Files of programs that pack their documents as ZIP files -> what the operator can do.
_UNREAD_SUFFIXES: Final[dict[str, str]] = {
    ".pages": "export it as .docx (Pages, File, Export To, Word).",
    ".numbers": "export it as .xlsx (Numbers, File, Export To, Excel).",
    ".key": "export it as .pptx (Keynote, File, Export To, PowerPoint).",
}
_AS_TEXT: Final = "rename it to .txt to have it read as plain text, or take it out of the watched folder."
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
_SNIFF_BYTES: Final = 8192
# The first line of a mail: a header field, or the line that a mailbox file puts above it.
_MAIL_START = re.compile(rb"\s{0,100}(?:>?From |[!-9;-~]{1,76}[ \t]{0,10}:)")
# An OpenDocument file that is one file of XML.
_FLAT_ODF: Final = re.compile(
    rb"<office:document\s[^>]*office:mimetype=[\"']application/vnd\.oasis\.opendocument\.(\w+)"
)
_FLAT_KINDS: Final = {b"text": "odt", b"spreadsheet": "ods", b"presentation": "odp", b"graphics": "odp"}
# The first element of a file of XML, and its document type.
_ROOT: Final = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)")
_NOT_ELEMENTS: Final = re.compile(rb"<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[[^\]]*\]\s*)?>", re.DOTALL)
_XML_KINDS: Final[dict[bytes, str]] = {
    **dict.fromkeys((b"us-patent-grant", b"us-patent-application", b"patent-application-publication"), "uspto"),
    b"PATDOC": "uspto",
    **dict.fromkeys((b"article", b"book", b"chapter", b"refentry", b"part", b"set", b"section", b"sect1"), "docbook"),
    b"html": "html",
}
_JATS_MARKS: Final = (b"JATS", b"//NLM//", b"<front", b"article-type=", b"dtd-version=")
_DOCBOOK_MARKS: Final = (b"DocBook", b"docbook.org")


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
    if declared == "xml" and content in ODF_FORMATS:
        return content
    return _by_content(declared, data) if declared in ("xml", "docling-json") else declared


def sniff(data: bytes) -> str | None:
    """The format of the bytes: a format name, "text" for any readable text, None if unrecognised."""
    from aegis_dagster.parsing.text.encodings import is_text  # it weighs the letters of thirty languages when imported

    head = data[:_SNIFF_BYTES]
    for start, kind in _MAGIC:
        if head.startswith(start) and (kind != "bmp" or not is_text(data)):
            return kind
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith(_CFB_START):
        return compound_kind(data)
    if head.startswith(_ZIP_STARTS):
        return zip_kind(data)
    if b"%PDF-" in head[:1024]:  # PDF 32000-1 annex H.3.4.1: readers accept it within the first 1024 bytes
        return "pdf"
    if is_text(data):
        start_of_text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        if start_of_text.startswith((b"<!doctype html", b"<html")):
            return "html"
        if not start_of_text.startswith(b"<?xml"):
            return "text"
        flat = _FLAT_ODF.search(head)
        return _FLAT_KINDS.get(flat[1], "xml") if flat else "xml"
    return None


def _by_content(declared: str, data: bytes) -> str:
    """The format of a file whose suffix does not tell it. Raises DocumentError UNSUPPORTED_FORMAT."""
    if declared == "docling-json":
        if b'"DoclingDocument"' in data and data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            return declared
        raise DocumentError(
            FailureCode.UNSUPPORTED_FORMAT,
            "The file is JSON, but not a document that docling wrote.",
            remedy=_AS_TEXT,
        )
    head = data[:_SNIFF_BYTES].replace(b"\0", b"")  # UTF-16 reads as ASCII without its zeros
    root = _ROOT.search(_NOT_ELEMENTS.sub(b"", head))
    kind = _XML_KINDS.get(root[1], "xml") if root else "xml"
    if kind == "docbook" and not any(mark in head for mark in _DOCBOOK_MARKS):
        return "jats" if root and root[1] == b"article" and any(mark in head for mark in _JATS_MARKS) else "xml"
    return kind


def _agree(declared: str, content: str | None) -> bool:
    if declared in TEXT_FORMATS:
        return content in ("text", "html", "xml") or (declared == "xml" and content in ODF_FORMATS)
    return declared == content


def _refusal(suffix: str, declared: str | None, content: str | None) -> DocumentError:
    remedy = _UNREAD_SUFFIXES.get(suffix)
    if remedy is None and content is not None and (declared is not None or content not in TEXT_FORMATS):
        right = _suffix_of(content)
        if right != suffix and (declared is not None or right in SUPPORTED):
            said = f"The name says {declared} ({suffix})" if declared else f"The name says {suffix or 'nothing'}"
            then = f"rename it to {right}" + ("." if right in SUPPORTED else f", then {_UNREAD[content]}")
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
    if remedy is None:
        # Text under an unknown suffix may be anything (source code, configuration): it is not treated as a document.
        remedy = _AS_TEXT if content in TEXT_FORMATS else _CONVERT.format(", ".join(sorted(SUPPORTED)))
    return DocumentError(
        FailureCode.UNSUPPORTED_FORMAT, f"Files named {suffix or 'without a suffix'} are not read.", remedy=remedy
    )


def _suffix_of(kind: str) -> str:
    return next((suffix for suffix, name in SUPPORTED.items() if name == kind), f".{kind}")
