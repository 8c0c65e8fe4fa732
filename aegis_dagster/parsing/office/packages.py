"""What a ZIP or OLE file holds by what it says about itself, and office files in the form that every reader takes.

An office file names its main part in `_rels/.rels` and that part's type in `[Content_Types].xml`; the folders in it
prove nothing.
"""

import io
import re
import zipfile
from collections.abc import Mapping
from typing import Final

from aegis_dagster.parsing.unpacking import UNREADABLE_PART

_WORD: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml"
_EXCEL: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_POINT: Final = "application/vnd.openxmlformats-officedocument.presentationml"
# The type of the plain format, and the types of macro-enabled files, templates and shows with the same content.
_PLAIN: Final[dict[str, str]] = {
    "docx": f"{_WORD}.document.main+xml",
    "xlsx": f"{_EXCEL}.sheet.main+xml",
    "pptx": f"{_POINT}.presentation.main+xml",
}
_MAIN_TYPES: Final[dict[str, str]] = {
    **{main: kind for kind, main in _PLAIN.items()},
    f"{_WORD}.template.main+xml": "docx",
    "application/vnd.ms-word.document.macroEnabled.main+xml": "docx",
    "application/vnd.ms-word.template.macroEnabledTemplate.main+xml": "docx",
    f"{_EXCEL}.template.main+xml": "xlsx",
    "application/vnd.ms-excel.sheet.macroEnabled.main+xml": "xlsx",
    "application/vnd.ms-excel.template.macroEnabled.main+xml": "xlsx",
    "application/vnd.ms-excel.addin.macroEnabled.main+xml": "xlsx",
    "application/vnd.ms-excel.sheet.binary.macroEnabled.main": "xlsb",
    f"{_POINT}.slideshow.main+xml": "pptx",
    f"{_POINT}.template.main+xml": "pptx",
    "application/vnd.ms-powerpoint.presentation.macroEnabled.main+xml": "pptx",
    "application/vnd.ms-powerpoint.slideshow.macroEnabled.main+xml": "pptx",
    "application/vnd.ms-powerpoint.template.macroEnabled.main+xml": "pptx",
    "application/vnd.ms-powerpoint.addin.macroEnabled.main+xml": "pptx",
}
_BY_LOWER: Final = {main.lower(): kind for main, kind in _MAIN_TYPES.items()}
# Where the main part stands in files without types: those are damaged, and reported as such.
_MAIN_PARTS: Final = {
    "word/document.xml": "docx",
    "xl/workbook.xml": "xlsx",
    "ppt/presentation.xml": "pptx",
    "xl/workbook.bin": "xlsb",
}
_TYPES_PART: Final = "[Content_Types].xml"
_ODF: Final = "application/vnd.oasis.opendocument."
_MIMETYPES: Final[dict[str, str]] = {
    "application/epub+zip": "epub",
    **{f"{_ODF}{name}": "odt" for name in ("text", "text-template", "text-master", "text-web")},
    **{f"{_ODF}{name}": "ods" for name in ("spreadsheet", "spreadsheet-template")},
    **{f"{_ODF}{name}": "odp" for name in ("presentation", "presentation-template", "graphics", "graphics-template")},
}
_MOST_BYTES: Final = 4 * 1024 * 1024  # of a part that is read to tell the kind
# ISO/IEC 29500 Strict has its own names for the same elements.
_STRICT: Final = b"http://purl.oclc.org/ooxml/"
_STRICT_NAMES: Final = re.compile(
    rb"http://purl\.oclc\.org/ooxml/(officeDocument|wordprocessingml|spreadsheetml|presentationml|drawingml)/"
)

# Streams in an OLE file, UTF-16LE, and the format that each indicates. The encrypted package comes first.
_STREAMS: Final[tuple[tuple[str, str], ...]] = (
    ("EncryptedPackage", "encrypted office file"),
    ("WordDocument", "doc"),
    ("Workbook", "xls"),
    ("PowerPoint Document", "ppt"),
    ("Book\0", "xls"),  # of Excel 5 and 95
)


def zip_kind(data: bytes) -> str:
    """The format of a ZIP file: that of its main part, "zip" if it is none of ours."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            mimetype = _small(archive, "mimetype").decode("ascii", "replace").strip() if "mimetype" in names else ""
            if mimetype in _MIMETYPES:
                return _MIMETYPES[mimetype]
            if _TYPES_PART in names:
                return _BY_LOWER.get(_main_type(archive).lower(), "zip")
            if "META-INF/manifest.xml" in names and (kind := _manifest_kind(_small(archive, "META-INF/manifest.xml"))):
                return kind
    except UNREADABLE_PART:
        # The directory at the end is missing or damaged; the entries in front still reveal the format.
        names = {part for part in (*_MAIN_PARTS, "META-INF/container.xml") if part.encode() in data}
        for mimetype, kind in _MIMETYPES.items():
            if data[30:200].startswith(f"mimetype{mimetype}PK".encode()):
                return kind
    found = next((kind for part, kind in _MAIN_PARTS.items() if part in names), None)
    return found or ("epub" if "META-INF/container.xml" in names else "zip")


def compound_kind(data: bytes) -> str | None:
    """The format of an OLE file; None for a program that is not known."""
    if _is_outlook(data):
        return "msg"
    return next((kind for name, kind in _STREAMS if name.encode("utf-16-le") in data), None)


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


def as_plain(data: bytes, kind: str) -> bytes:
    """A macro-enabled file, a template, a show or a Strict file as a plain one, which every reader takes.

    Other formats, and files that are plain already or damaged, come back as they are.
    """
    if kind not in _PLAIN:
        return data
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            main = _main_type(archive)
            strict = any(_STRICT in _small(archive, name) for name in ("_rels/.rels",))
            if not main or (main == _PLAIN[kind] and not strict):
                return data
            return _rewritten(archive, {main.encode(): _PLAIN[kind].encode()}, strict=strict)
    except UNREADABLE_PART:
        return data


def _rewritten(archive: zipfile.ZipFile, types: Mapping[bytes, bytes], *, strict: bool) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as plain:
        for member in archive.infolist():
            content = archive.read(member)
            if member.filename == _TYPES_PART:
                for old, new in types.items():
                    content = content.replace(b'"' + old + b'"', b'"' + new + b'"').replace(
                        b"'" + old + b"'", b"'" + new + b"'"
                    )
            elif strict and member.filename.endswith((".xml", ".rels")):
                content = _transitional(content)
            plain.writestr(member.filename, content)
    return buffer.getvalue()


def _transitional(content: bytes) -> bytes:
    def name(match: re.Match[bytes]) -> bytes:
        return b"http://schemas.openxmlformats.org/" + match[1] + b"/2006/"

    return _STRICT_NAMES.sub(name, content)


def _main_type(archive: zipfile.ZipFile) -> str:
    """The type of the main part; "" if the file does not tell."""
    relations = _small(archive, "_rels/.rels")
    wanted = None
    for tag in re.findall(rb"<(?:\w+:)?Relationship\s[^>]*>", relations):
        if _value(tag, b"Type").endswith(b"/officeDocument"):
            wanted = _value(tag, b"Target").lstrip(b"/").removeprefix(b"./")
    if wanted is None:
        return ""
    types = _small(archive, _TYPES_PART)
    by_default = b""
    for tag in re.findall(rb"<(?:\w+:)?(?:Override|Default)\s[^>]*>", types):
        if _value(tag, b"PartName").lstrip(b"/").lower() == wanted.lower():
            return _value(tag, b"ContentType").decode("ascii", "replace")
        if _value(tag, b"Extension").lower() == wanted.rpartition(b".")[2].lower():
            by_default = _value(tag, b"ContentType")
    return by_default.decode("ascii", "replace")


def _value(tag: bytes, name: bytes) -> bytes:
    match = re.search(rb"\s" + name + rb"\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", tag)
    return (match[1] or match[2] or b"") if match else b""


def _manifest_kind(manifest: bytes) -> str | None:
    """The format that an OpenDocument file without a `mimetype` names as that of its root."""
    for tag in re.findall(rb"<(?:\w+:)?file-entry\s[^>]*>", manifest):
        if _value(tag, b"manifest:full-path") == b"/":
            return _MIMETYPES.get(_value(tag, b"manifest:media-type").decode("ascii", "replace"))
    return None


def _small(archive: zipfile.ZipFile, name: str) -> bytes:
    """The start of a part; nothing if it is missing."""
    try:
        with archive.open(name) as part:
            return part.read(_MOST_BYTES)
    except KeyError:
        return b""
