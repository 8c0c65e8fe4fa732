"""Every bad file gets its own reason, with a remedy."""

import hashlib
from pathlib import Path

import pytest
from reportlab.lib.pdfencrypt import StandardEncryption

from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster_tests.parsing.conftest import Parse, parse_path
from aegis_dagster_tests.support import bad_files as samples

NOISE = hashlib.shake_256(b"noise").digest(4000)
PDF = samples.one_page_pdf()
DOCX = samples.docx(["Some text."])


def password_zip() -> bytes:
    """A DOCX whose parts say that they are encrypted."""
    data = bytearray(DOCX)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(mark, at + 4)
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "data", "code", "remedy"),
    [
        ("empty.pdf", b"", FailureCode.EMPTY_FILE, "copy it again"),
        ("empty.txt", b"", FailureCode.EMPTY_FILE, "copy it again"),
        ("half.pdf", PDF[: len(PDF) // 2], FailureCode.TRUNCATED_FILE, "copy it again"),
        ("half.docx", DOCX[: len(DOCX) // 2], FailureCode.TRUNCATED_FILE, "copy it again"),
        ("half.png", samples.picture("PNG")[:-300], FailureCode.TRUNCATED_FILE, "copy it again"),
        ("half.jpg", samples.picture("JPEG")[:-600], FailureCode.TRUNCATED_FILE, "copy it again"),
        (
            "secret.pdf",
            samples.pdf([[(72, 90, 11, "secret")]], encrypt=StandardEncryption("word", ownerPassword="owner")),
            FailureCode.ENCRYPTED_FILE,
            "without a password",
        ),
        ("secret.docx", samples.compound_file("EncryptedPackage"), FailureCode.ENCRYPTED_FILE, "without one"),
        ("parts.docx", password_zip(), FailureCode.ENCRYPTED_FILE, "without one"),
        ("letter.docx", PDF, FailureCode.WRONG_EXTENSION, "rename it to .pdf"),
        ("letter.pdf", DOCX, FailureCode.WRONG_EXTENSION, "rename it to .docx"),
        ("letter.doc", DOCX, FailureCode.WRONG_EXTENSION, "rename it to .docx"),
        ("photo.jpg", samples.picture("PNG"), FailureCode.WRONG_EXTENSION, "rename it to .png"),
        ("notes.pdf", b"Only some words.\n", FailureCode.WRONG_EXTENSION, "rename it to .txt"),
        ("page.pdf", b"<!DOCTYPE html><p>Hi", FailureCode.WRONG_EXTENSION, "rename it to .html"),
        ("text.txt", samples.picture("PNG"), FailureCode.WRONG_EXTENSION, "rename it to .png"),
        ("old.docx", samples.compound_file("WordDocument"), FailureCode.WRONG_EXTENSION, "rename it to .doc"),
        ("old.doc", samples.compound_file("WordDocument"), FailureCode.UNSUPPORTED_FORMAT, "save the file as .docx"),
        ("old.xls", samples.compound_file("Workbook"), FailureCode.UNSUPPORTED_FORMAT, "save the file as .xlsx"),
        ("old.ppt", samples.compound_file("PowerPoint Document"), FailureCode.UNSUPPORTED_FORMAT, ".pptx"),
        ("program.py", b"print('hello')\n", FailureCode.UNSUPPORTED_FORMAT, "rename it to .txt"),
        ("things.zip", samples.archive({"a.txt": b"a"}), FailureCode.UNSUPPORTED_FORMAT, "unpack"),
        ("noise.xyz", NOISE, FailureCode.UNSUPPORTED_FORMAT, "convert it"),
        ("noise.txt", NOISE, FailureCode.UNSUPPORTED_FORMAT, "copy the file again"),
        ("noise.pdf", NOISE, FailureCode.UNSUPPORTED_FORMAT, "copy the file again"),
        ("noname", NOISE, FailureCode.UNSUPPORTED_FORMAT, "convert it"),
        ("bomb.docx", samples.archive({"word/document.xml": bytes(60_000_000)}), FailureCode.ZIP_BOMB, "delete it"),
        ("broken.pdf", b"%PDF-1.7\n" + NOISE + b"\nstartxref\n9\n%%EOF\n", FailureCode.CORRUPT_FILE, "save it again"),
        ("broken.docx", samples.archive({"word/document.xml": b"<w"}), FailureCode.CORRUPT_FILE, "save it again"),
        ("blank.txt", b" \n\n\t\n", FailureCode.NO_TEXT, "delete it"),
        ("blank.docx", samples.docx([""]), FailureCode.NO_TEXT, "delete it"),
        ("blank.pdf", samples.pdf([[]]), FailureCode.NO_TEXT, "scan it again"),
        (
            "huge.png",
            samples.picture("PNG", (9500, 9500)),
            FailureCode.TOO_LARGE,
            "scale it down",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value and " " not in value else "",
)
def test_a_bad_file_has_its_own_reason_and_a_remedy(
    parse: Parse, name: str, data: bytes, code: FailureCode, remedy: str
) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(data, name)
    assert caught.value.code is code
    assert remedy in caught.value.remedy
    assert not caught.value.retryable
    assert "Traceback" not in str(caught.value)


def test_a_wrong_extension_names_both_formats(parse: Parse) -> None:
    with pytest.raises(DocumentError, match=r"says docx .* content is pdf"):
        parse(PDF, "letter.docx")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("long.pdf", samples.pdf([[(72, 90, 11, f"page {number}")] for number in range(4)])),
        ("long.pptx", samples.pptx(4)),
        ("long.tiff", samples.picture("TIFF", frames=4)),
    ],
)
def test_pages_are_counted_before_work(parse: Parse, name: str, data: bytes) -> None:
    with pytest.raises(DocumentError, match=r"has 4 (pages|slides|frames), the limit is 3") as caught:
        parse(data, name, max_pages=3)
    assert caught.value.code is FailureCode.TOO_MANY_PAGES


def test_a_file_above_the_size_limit_is_not_read(parse: Parse) -> None:
    with pytest.raises(DocumentError, match=r"1\.2 MB, the limit is 1 MB") as caught:
        parse(b"word " * 240_000, "large.txt", max_megabytes=1)
    assert caught.value.code is FailureCode.TOO_LARGE


def test_a_scan_with_ocr_switched_off_says_how_to_switch_it_on(parse: Parse) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(samples.picture("PNG"), "scan.png", ocr=False)
    assert caught.value.code is FailureCode.NO_TEXT
    assert "parse.ocr" in caught.value.remedy


def test_a_file_that_changed_since_it_was_listed_is_tried_again(tmp_path: Path) -> None:
    source = tmp_path / "notes.txt"
    source.write_bytes(b"new words")
    with pytest.raises(DocumentError) as caught:
        parse_path(source, tmp_path / "out", revision=hashlib.sha256(b"old words").hexdigest())
    assert caught.value.code is FailureCode.FILE_CHANGED
    assert caught.value.retryable


def test_a_file_that_is_gone_is_unreadable_and_tried_again(tmp_path: Path) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_path(tmp_path / "gone.txt", tmp_path / "out")
    assert caught.value.code is FailureCode.UNREADABLE_FILE
    assert caught.value.retryable


def test_a_pdf_that_only_its_owner_may_change_is_read(parse: Parse) -> None:
    data = samples.pdf(
        [[(72, 90, 11, "Everybody may read these words.")]], encrypt=StandardEncryption("", ownerPassword="owner")
    )
    assert "Everybody may read" in parse(data, "open.pdf").markdown
