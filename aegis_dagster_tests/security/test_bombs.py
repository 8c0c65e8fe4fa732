"""Files that are small and want to be large are refused before they are unpacked, with the part that is to blame."""

import io
import struct
import zipfile
import zlib

import pytest

from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.parsing.checks import count_pages

LAUGHTER = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
FOREIGN = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


def archive(parts: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in parts.items():
            made.writestr(name, content)
    return data.getvalue()


def picture(width: int, height: int) -> bytes:
    """A PNG whose head says so; its pixels are missing."""

    def block(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + block(b"IHDR", head) + block(b"IDAT", zlib.compress(b"")) + block(b"IEND", b"")


def refused(data: bytes, kind: str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        count_pages(data, kind, max_pages=10)
    return caught.value


@pytest.mark.parametrize(("kind", "folder"), [("docx", "word"), ("pptx", "ppt"), ("xlsx", "xl"), ("epub", "OEBPS")])
def test_a_picture_of_too_many_pixels_is_named(kind: str, folder: str) -> None:
    error = refused(archive({f"{folder}/media/image1.PNG": picture(30_000, 30_000)}), kind)
    assert error.code is FailureCode.TOO_LARGE
    assert error.message == f"Its picture {folder}/media/image1.PNG has more than 178,956,970 pixels."


@pytest.mark.parametrize("declared", [LAUGHTER, FOREIGN])
def test_a_part_that_declares_entities_is_named(declared: str) -> None:
    error = refused(archive({"word/document.xml": f'<?xml version="1.0"?>{declared}<x>&a;</x>'.encode()}), "docx")
    assert error.code is FailureCode.CORRUPT_FILE
    assert "word/document.xml declares XML entities" in error.message


def test_what_office_programs_write_is_not_refused() -> None:
    parts = {
        "word/document.xml": b'<?xml version="1.0"?><x>&lt;!ENTITY</x>',
        "word/media/image1.png": picture(3000, 3000),
        "word/media/image2.png": b"no picture",
        "word/media/image3.emf": b"\x01\x00\x00\x00",
    }
    assert count_pages(archive(parts), "docx", max_pages=10) == 0
    page = b'<?xml version="1.0"?><!DOCTYPE html [<!ENTITY nbsp "&#160;">]><html/>'
    assert count_pages(archive({"OEBPS/page.xhtml": page}), "epub", max_pages=10) == 0
