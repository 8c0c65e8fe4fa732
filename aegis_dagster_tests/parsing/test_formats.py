"""What a file is, is told by its content; and a remedy that a message gives leads to a document that is read."""

import io
import re
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.parsing.formats import SUPPORTED, check_kind
from aegis_dagster_tests.parsing.conftest import Parse
from aegis_dagster_tests.support import bad_files as samples
from aegis_dagster_tests.support.markup_files import ODT_BODY, PLACES, flat_odf, odf

DOCX = samples.docx(["Quince words."])
PPTX = samples.pptx(1)
PLAIN_TYPES = {
    "docx": "vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml",
    "xlsx": "vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml",
    "pptx": "vnd.openxmlformats-officedocument.presentationml.presentation.main+xml",
}
VARIANTS = {
    ".docm": "vnd.ms-word.document.macroEnabled.main+xml",
    ".dotx": "vnd.openxmlformats-officedocument.wordprocessingml.template.main+xml",
    ".dotm": "vnd.ms-word.template.macroEnabledTemplate.main+xml",
    ".xlsm": "vnd.ms-excel.sheet.macroEnabled.main+xml",
    ".xltx": "vnd.openxmlformats-officedocument.spreadsheetml.template.main+xml",
    ".xltm": "vnd.ms-excel.template.macroEnabled.main+xml",
    ".pptm": "vnd.ms-powerpoint.presentation.macroEnabled.main+xml",
    ".ppsx": "vnd.openxmlformats-officedocument.presentationml.slideshow.main+xml",
    ".ppsm": "vnd.ms-powerpoint.slideshow.macroEnabled.main+xml",
    ".potx": "vnd.openxmlformats-officedocument.presentationml.template.main+xml",
    ".potm": "vnd.ms-powerpoint.template.macroEnabled.main+xml",
}


def xlsx() -> bytes:
    from openpyxl import Workbook

    book = Workbook()
    book.active["A1"] = "Quince words."
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


PLAIN = {"docx": DOCX, "xlsx": xlsx(), "pptx": PPTX}
WORDS = {"docx": "Quince words.", "xlsx": "Quince words.", "pptx": "Slide 1"}


def changed(data: bytes, old: str, new: str, only: str = "") -> bytes:
    """The package with a text replaced in its parts of XML (only: in this one)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(buffer, "w") as after:
        for member in before.infolist():
            content = before.read(member)
            if only in member.filename and member.filename.endswith((".xml", ".rels")):
                content = content.replace(old.encode(), new.encode())
            after.writestr(member.filename, content)
    return buffer.getvalue()


def with_member(data: bytes, name: str, content: bytes = b"x") -> bytes:
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", VARIANTS)
def test_macro_enabled_files_templates_and_shows_are_read_as_what_they_are(parse: Parse, suffix: str) -> None:
    kind = SUPPORTED[suffix]
    data = changed(PLAIN[kind], PLAIN_TYPES[kind], VARIANTS[suffix], only="[Content_Types].xml")
    assert VARIANTS[suffix].encode() in zipfile.ZipFile(io.BytesIO(data)).read("[Content_Types].xml")
    parsed = parse(data, f"file{suffix}")
    assert parsed.manifest["format"] == kind
    assert WORDS[kind] in parsed.markdown


@pytest.mark.parametrize("kind", PLAIN)
def test_strict_files_are_read(parse: Parse, kind: str) -> None:
    strict = PLAIN[kind]
    for area in ("officeDocument", "wordprocessingml", "spreadsheetml", "presentationml", "drawingml"):
        strict = changed(
            strict, f"http://schemas.openxmlformats.org/{area}/2006/", f"http://purl.oclc.org/ooxml/{area}/"
        )
    assert b"purl.oclc.org" in zipfile.ZipFile(io.BytesIO(strict)).read("_rels/.rels")
    assert WORDS[kind] in parse(strict, f"file.{kind}").markdown


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.docx", with_member(DOCX, "xl/workbook.xml"), "docx"),
        ("a.xlsx", with_member(PLAIN["xlsx"], "word/document.xml"), "xlsx"),
        ("a.pptx", with_member(PPTX, "ppt/slides/word/x.xml"), "pptx"),
        ("a.ott", odf("text-template", ODT_BODY), "odt"),
        ("a.ots", odf("spreadsheet-template", "<office:spreadsheet/>"), "ods"),
        ("a.otp", odf("presentation-template", "<office:presentation/>"), "odp"),
        ("a.odg", odf("graphics", "<office:drawing/>"), "odp"),
        ("a.fodt", flat_odf("text", ODT_BODY), "odt"),
        ("a.odt", flat_odf("text", ODT_BODY), "odt"),
        ("a.xml", flat_odf("spreadsheet", "<office:spreadsheet/>"), "ods"),
        ("a.nxml", PLACES["a.nxml"][0], "jats"),
        ("a.xml", PLACES["a.nxml"][0], "jats"),
        ("a.xml", PLACES["patent.xml"][0], "uspto"),
        ("a.xml", b"<!-- <us-patent-grant> --><article><section/></article>", "xml"),
        ("a.xml", b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>', "html"),
        ("a.xml", '<?xml version="1.0" encoding="UTF-16"?><us-patent-grant/>'.encode("utf-16"), "uspto"),
    ],
)
def test_the_content_tells_the_format(name: str, data: bytes, kind: str) -> None:
    assert check_kind(data, Path(name).suffix) == kind


@pytest.mark.parametrize(
    ("name", "data", "said", "remedy"),
    [
        ("a.docx", samples.archive({"word/notes.txt": b"x"}), "content is zip", "rename it to .zip, then unpack"),
        ("a.docx", samples.archive({"xl/x.xml": b"x", "ppt/y.xml": b"y"}), "content is zip", "unpack"),
        ("a.docx", PLAIN["xlsx"], "content is xlsx", "rename it to .xlsx"),
        ("a.xlsx", PPTX, "content is pptx", "rename it to .pptx"),
        ("a.pptx", odf("presentation", "<office:presentation/>"), "content is odp", "rename it to .odp"),
        ("a.odt", DOCX, "content is docx", "rename it to .docx"),
        ("a.xls", b"<!DOCTYPE html><table><tr><td>1</table>", "content is html", "rename it to .html"),
        ("a.xls", b"a\tb\n1\t2\n", "content is text", "rename it to .txt"),
        ("a.doc", b"{\\rtf1 words}", "content is rtf", "rename it to .rtf"),
        ("a.doc", b'<?xml version="1.0"?><w:wordDocument xmlns:w="x"/>', "content is xml", "rename it to .xml"),
        ("a.pages", samples.archive({"Index/Document.iwa": b"x"}), "named .pages", "export it as .docx"),
        ("a.json", b'{"a": 1}', "not a document that docling wrote", "rename it to .txt"),
        ("a.py", b"print()", "named .py", "rename it to .txt"),
        ("a.vsdx", samples.archive({"[Content_Types].xml": b"<Types/>"}), "format zip", "unpack"),
        ("a.png", samples.picture("WEBP"), "content is webp", "rename it to .webp"),
    ],
)
def test_a_wrong_name_is_told_with_what_the_content_is(name: str, data: bytes, said: str, remedy: str) -> None:
    with pytest.raises(DocumentError) as caught:
        check_kind(data, Path(name).suffix)
    assert said in caught.value.message
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("page.pdf", b"<!DOCTYPE html><p>Quince words.</p>"),
        ("letter.odt", DOCX),
        ("letter.doc", DOCX),
        ("sheet.docx", PLAIN["xlsx"]),
        ("slides.ppt", PPTX),
        ("text.docx", b"Quince words.\n"),
        ("values.json", b'{"said": "Quince words."}'),
        ("program.py", b"# Quince words.\n"),
        ("feed.docx", b'<?xml version="1.0"?><a><b>Quince words.</b></a>'),
        ("broken.xml", b"<a><b>Quince words.</a>"),
        ("plain.odp", odf("text", ODT_BODY)),
    ],
)
def test_a_renaming_that_was_advised_leads_to_a_document(parse: Parse, name: str, data: bytes) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(data, name)
    advised = re.search(r"rename (?:it|the file) to (\.\w+)", caught.value.remedy)
    assert advised is not None
    assert parse(data, f"again{advised[1]}").manifest["characters"] > 0


def test_unpacking_that_was_advised_leads_to_documents(parse: Parse, tmp_path: Path) -> None:
    data = samples.archive({"inner/notes.txt": b"Quince words."})
    for name in ("things.zip", "things.docx"):
        with pytest.raises(DocumentError, match="unpack the archive"):
            parse(data, name)
    zipfile.ZipFile(io.BytesIO(data)).extractall(tmp_path / "unpacked")
    (file,) = (tmp_path / "unpacked").rglob("*.txt")
    assert "Quince words." in parse(file.read_bytes(), file.name).markdown


def test_entities_that_were_expanded_as_advised_are_read(parse: Parse) -> None:
    from lxml import etree

    data = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY firm "Quince words.">]><a><b>&firm;</b></a>'
    with pytest.raises(DocumentError, match="xmllint --noent --dropdtd") as caught:
        parse(data, "a.xml")
    assert caught.value.code is FailureCode.CORRUPT_FILE
    tree = etree.fromstring(data, etree.XMLParser(resolve_entities=True)).getroottree()  # as xmllint does
    assert "Quince words." in parse(etree.tostring(tree, with_tail=False, doctype=""), "a.xml").markdown


def test_a_password_that_was_taken_off_as_advised_leads_to_a_document(parse: Parse) -> None:
    manifest = (
        '<manifest:manifest xmlns:manifest="m"><manifest:file-entry><manifest:encryption-data/></manifest:file-entry>'
    )
    secret = odf("text", ODT_BODY, **{"META-INF__manifest.xml": manifest})
    with pytest.raises(DocumentError) as caught:
        parse(secret, "a.odt")
    assert caught.value.code is FailureCode.ENCRYPTED_FILE
    assert "headingword" in parse(odf("text", ODT_BODY), "a.odt").markdown


def scan(kind: str) -> bytes:
    from PIL import ImageDraw, ImageFont

    image = Image.new("RGB", (400, 100), "white")
    ImageDraw.Draw(image).text((30, 30), "QUINCE 4711", fill="black", font=ImageFont.load_default(40))
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def test_a_picture_in_webp_is_read_by_recognition(parse: Parse) -> None:
    parsed = parse(scan("WEBP"), "scan.webp")
    assert parsed.manifest["format"] == "webp"
    assert "4711" in parsed.markdown


@pytest.mark.parametrize("kind", ["BMP", "GIF"])
def test_pictures_in_bmp_and_gif_get_as_far_as_the_recognition(parse: Parse, kind: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(scan(kind), f"scan.{kind.lower()}", ocr=False)
    assert caught.value.code is FailureCode.NO_TEXT
    assert "parse.ocr" in caught.value.remedy
