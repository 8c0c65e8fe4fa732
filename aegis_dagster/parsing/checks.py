"""Checks before parsing: they find damage, passwords, ZIP bombs and excessive sizes in milliseconds."""

import io
import re
import zipfile
from typing import Final

from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.parsing.formats import IMAGE_FORMATS, ODF_FORMATS, ZIP_FORMATS
from aegis_dagster.parsing.unpacking import UNREADABLE_PART

# A compressed office file rarely exceeds 50:1 as a whole (the worst in our corpora: 24:1). Small archives are harmless
# at any ratio. Larger ones are bombs above this ratio, and any archive is one above the total.
_MAX_RATIO: Final = 200
_HARMLESS_BYTES: Final = 50 * 1024 * 1024
_MAX_UNPACKED_BYTES: Final = 2 * 1024 * 1024 * 1024
_MAX_MEMBERS: Final = 50_000
# Pillow's own limit against decompression bombs, about 268 MB as RGB; docling refuses larger pictures too.
_MAX_PIXELS: Final = 89_478_485
# Where a complete PDF ends: readers look for the end marker within the last 1024 bytes; some writers pad more.
_PDF_TAIL_BYTES: Final = 4096
_PICTURES: Final = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")
_MARKUP: Final = (".xml", ".rels", ".opf")  # the pages of an EPUB may declare entities
_PROLOGUE_BYTES: Final = 4096  # declarations stand before the first element
_ODF_MANIFEST, _ODF_CONTENT = "META-INF/manifest.xml", "content.xml"
_SLIDE = re.compile(r"ppt/slides/slide\d+\.xml")
_SHEET = re.compile(r"xl/(work|chart|dialog)sheets/[^/]+\.xml")


def count_pages(data: bytes, kind: str, *, max_pages: int) -> int:
    """Pages, slides, sheets or frames of a sound file; 0 where the format has none.

    Raises DocumentError: TRUNCATED_FILE, CORRUPT_FILE, ENCRYPTED_FILE, ZIP_BOMB, TOO_LARGE, TOO_MANY_PAGES.
    """
    if kind == "pdf":
        pages, unit = _check_pdf(data), "pages"
    elif kind in ODF_FORMATS:
        pages, unit = _check_odf(data, kind), "slides" if kind == "odp" else "sheets"
    elif kind in ZIP_FORMATS:
        names = _check_zip(data)
        pattern, unit = (_SLIDE, "slides") if kind == "pptx" else (_SHEET, "sheets")
        pages = sum(pattern.fullmatch(name) is not None for name in names)
    elif kind in IMAGE_FORMATS:
        pages, unit = _check_image(data), "frames"
    else:
        return 0
    if pages > max_pages:
        raise DocumentError(
            FailureCode.TOO_MANY_PAGES,
            f"The document has {pages} {unit}, the limit is {max_pages}.",
            remedy="split it, or raise parse.max_pages in aegis.yaml.",
        )
    return pages


def check_size(size_bytes: int, *, max_megabytes: int) -> None:
    """Raises DocumentError TOO_LARGE above the limit (megabytes of 1,000,000 bytes)."""
    if size_bytes > max_megabytes * 1_000_000:
        raise DocumentError(
            FailureCode.TOO_LARGE,
            f"The file has {size_bytes / 1e6:,.1f} MB, the limit is {max_megabytes} MB.",
            remedy="split it, or raise parse.max_megabytes in aegis.yaml.",
        )


def truncated(what: str) -> DocumentError:
    """The error for a file that ends too early."""
    return DocumentError(
        FailureCode.TRUNCATED_FILE,
        f"The file ends too early: {what}.",
        remedy="copy it again from its source; the copy was interrupted.",
    )


def corrupt(reason: str) -> DocumentError:
    """The error for a file that cannot be read for no known reason."""
    return DocumentError(
        FailureCode.CORRUPT_FILE,
        f"The file is damaged: {reason}",
        remedy="open it in its own program and save it again, or copy it again from its source.",
    )


def protected() -> DocumentError:
    """The error for an office file that asks for a password."""
    return DocumentError(
        FailureCode.ENCRYPTED_FILE,
        "The office file is protected with a password.",
        remedy="open it with its password and save it without one.",
    )


def too_large_for_memory() -> DocumentError:
    """The error for a file whose reader gets no more memory."""
    return DocumentError(
        FailureCode.MEMORY_LIMIT,
        "The document needs more memory than its worker may use.",
        remedy="split it, or raise parse.memory_mb in aegis.yaml.",
    )


def _check_pdf(data: bytes) -> int:
    import pypdfium2

    tail = data[-_PDF_TAIL_BYTES:]
    whole = b"%%EOF" in tail or b"startxref" in tail
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise DocumentError(
                FailureCode.ENCRYPTED_FILE,
                "The PDF is protected with a password.",
                remedy="save it without a password (`qpdf --decrypt --password=... IN OUT`).",
            ) from error
        if not whole:
            raise truncated("the PDF has no end marker") from error
        raise corrupt("it cannot be opened as a PDF.") from error
    try:
        if not whole:
            raise truncated("the PDF has no end marker")
        pages = len(document)
    finally:
        document.close()
    if pages == 0:
        raise corrupt("the PDF has no pages.")
    return pages


def _check_zip(data: bytes) -> list[str]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile as error:
        if b"PK\x05\x06" not in data:  # the end of the central directory
            raise truncated("its table of contents, at the end, is missing") from error
        raise corrupt("its archive cannot be opened.") from error
    members = archive.infolist()
    if any(member.flag_bits & 0x1 for member in members):
        raise DocumentError(
            FailureCode.ENCRYPTED_FILE,
            "The file's parts are protected with a password.",
            remedy="open it with its password and save it without one.",
        )
    unpacked = sum(member.file_size for member in members)
    ratio = unpacked / max(len(data), 1)
    if (
        unpacked > _MAX_UNPACKED_BYTES
        or (unpacked > _HARMLESS_BYTES and ratio > _MAX_RATIO)
        or len(members) > _MAX_MEMBERS
    ):
        raise DocumentError(
            FailureCode.ZIP_BOMB,
            f"The file unpacks to {unpacked / 1e6:,.0f} MB in {len(members):,} parts, {ratio:,.0f} times its size.",
            remedy="delete it unless you know where it comes from; if it is genuine, save it again in smaller parts.",
        )
    for member in members:
        _check_part(archive, member)
    return [member.filename for member in members]


def _check_odf(data: bytes, kind: str) -> int:
    """Slides or sheets; 0 for a text."""
    mark = {"odp": b"<draw:page ", "ods": b"<table:table "}.get(kind)
    if not zipfile.is_zipfile(io.BytesIO(data)) and data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return data.count(mark) if mark else 0
    names = _check_zip(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            manifest = archive.read(_ODF_MANIFEST) if _ODF_MANIFEST in names else b""
            if b"encryption-data" not in manifest:
                return archive.read(_ODF_CONTENT).count(mark) if mark and _ODF_CONTENT in names else 0
    except UNREADABLE_PART as error:
        raise corrupt("its archive cannot be unpacked.") from error
    raise protected()


def _check_part(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Raises DocumentError, with the part's name, where parsers refuse it without. Damage is left to them."""
    import warnings

    from PIL import Image

    name = member.filename.lower()
    try:
        if name.endswith(_MARKUP):
            with archive.open(member) as part:
                if b"<!ENTITY" in part.read(_PROLOGUE_BYTES):
                    raise _declares_entities(member.filename)
        elif name.endswith(_PICTURES):
            with warnings.catch_warnings(), archive.open(member) as part:
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                Image.open(part).close()  # reads only the head
    except Image.DecompressionBombError as error:
        raise DocumentError(
            FailureCode.TOO_LARGE,
            f"Its picture {member.filename} has more than {2 * _MAX_PIXELS:,} pixels.",
            remedy="scale the picture down in the original; 300 dots per inch are enough.",
        ) from error
    except (*UNREADABLE_PART, ValueError, SyntaxError):
        return


def _declares_entities(part: str) -> DocumentError:
    return DocumentError(
        FailureCode.CORRUPT_FILE,
        f"Its part {part} declares XML entities, which no office program writes.",
        remedy="delete it unless you know where it comes from; if it is genuine, open it in its program and save it.",
    )


def _check_image(data: bytes) -> int:
    import warnings

    from PIL import Image

    try:
        with warnings.catch_warnings():
            # The limit below replaces Pillow's warning.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
                if width * height > _MAX_PIXELS:
                    raise _too_many_pixels(width, height)
                frames = getattr(image, "n_frames", 1)
                image.load()
    except Image.DecompressionBombError as error:
        raise DocumentError(
            FailureCode.TOO_LARGE,
            "The picture has too many pixels.",
            remedy=f"scale it down below {_MAX_PIXELS:,} pixels.",
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        # Pillow's messages for a file that ends early (ImageFile.load, PngImagePlugin).
        if any(
            word in str(error).lower() for word in ("truncated", "broken png", "eof", "not enough", "unexpected end")
        ):
            raise truncated("the picture is cut off") from error
        raise corrupt("the picture cannot be decoded.") from error
    return int(frames)


def _too_many_pixels(width: int, height: int) -> DocumentError:
    return DocumentError(
        FailureCode.TOO_LARGE,
        f"The picture has {width} x {height} pixels, the limit is {_MAX_PIXELS:,} in all.",
        remedy="scale it down; 300 dots per inch are enough for text.",
    )
