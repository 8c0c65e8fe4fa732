"""Markup that a stranger wrote reads no other file, expands nothing without limit, and does not stop its worker."""

from pathlib import Path

import pytest

from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.parsing.checks import count_pages
from aegis_dagster.parsing.formats import check_kind
from aegis_dagster.parsing.readers import Parsed, reader_of
from aegis_dagster_tests.support.markup_files import flat_odf, odf, odf_content

XML = b'<?xml version="1.0"?>'


def read(data: bytes, name: str) -> Parsed:
    kind = check_kind(data, Path(name).suffix)
    count_pages(data, kind, max_pages=1000)
    return reader_of(kind)(data, name=name, kind=kind, options={"max_pages": 1000})


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret.tex"
    file.write_text("the secret words")
    return file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.xml", '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e SYSTEM "file://{secret}">]><a>shown &e;</a>'),
        ("a.xml", '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY % e SYSTEM "file://{secret}">%e;]><a>shown</a>'),
        ("a.xml", '<?xml version="1.0"?><!DOCTYPE a SYSTEM "file://{secret}"><a>shown</a>'),
        (
            "a.xml",
            '<a xmlns:xi="http://www.w3.org/2001/XInclude">shown<xi:include href="file://{secret}" parse="text"/></a>',
        ),
        (
            "a.tex",
            "shown \\input{{{secret}}} \\include{{{secret}}} \\verbatiminput{{{secret}}} \\lstinputlisting{{{secret}}}",
        ),
        (
            "a.adoc",
            "shown\n\ninclude::{secret}[]\n\n----\ninclude::{secret}[]\n----\n\n|===\ninclude::{secret}[]\n|===\n",
        ),
    ],
)
def test_no_other_file_is_read(secret: Path, name: str, text: str) -> None:
    parsed = read(text.replace("{secret}", str(secret)).replace("{{", "{").replace("}}", "}").encode(), name)
    said = "\n".join(item.text for item in parsed.document.texts)
    assert "shown" in said and "the secret words" not in said


def test_a_picture_outside_an_opendocument_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"\x89PNG")
    image = (
        f'<draw:frame><draw:image xlink:href="file://{tmp_path}/secret.png"/><draw:image xlink:href="../secret.png"/>'
    )
    body = f"<office:text><text:p>shown{image}</draw:frame></text:p></office:text>"
    for data, name in ((odf("text", body), "a.odt"), (flat_odf("text", body), "a.fodt")):
        parsed = read(data, name)
        assert [item.text for item in parsed.document.texts] == ["shown"]
        assert parsed.document.pictures == []


@pytest.mark.parametrize(("levels", "remedy"), [(1, "xmllint --noent"), (12, "rename the file to .txt")])
def test_entities_are_not_expanded(levels: int, remedy: str) -> None:
    more = b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(levels))
    with pytest.raises(DocumentError) as caught:
        read(XML + b'<!DOCTYPE l [<!ENTITY a "ha">' + more + b"]><l>&%c;</l>" % (97 + levels), "a.xml")
    assert caught.value.code is FailureCode.CORRUPT_FILE
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("deep.xml", b"<a>" * 5000 + b"x" + b"</a>" * 5000),
        ("torn.xml", b"<a><b>words</a>"),
        ("laughs.odt", odf("text", "<office:text/>", styles='&#x41;<!-- --><!DOCTYPE a [<!ENTITY a "b">]>')),
    ],
)
def test_what_cannot_be_parsed_is_told(name: str, data: bytes) -> None:
    with pytest.raises(DocumentError) as caught:
        read(data, name)
    assert caught.value.code is FailureCode.CORRUPT_FILE


NESTED = "<text:note><text:note-body><text:p>"
MANY = 20_000


@pytest.mark.parametrize(
    ("name", "data", "shown"),
    [
        ("a.adoc", b"footnote:[" * MANY + b" shown", "shown"),
        ("a.adoc", b"link:" * MANY + b" shown", "shown"),
        ("a.adoc", b":a: " + b"x" * 1000 + b"\n\n" + b"{a}" * MANY + b" shown", "shown"),
        ("a.adoc", b"|===\n" + b"99*|a\n" * MANY + b"|===\n\nshown", "shown"),
        ("a.adoc", b"|===\n" + b"999.999+|a\n" * 1000 + b"|===\n\nshown", "shown"),
        ("a.tex", b"\\begin{tabular}" * MANY + b"shown", "shown"),
        ("a.tex", b"\\[" * MANY + b"shown", "shown"),
        ("a.tex", b"\\newcommand{\\a}{" * MANY + b"shown", "shown"),
        ("a.tex", b"\\caption{" * MANY + b"shown" + b"}" * MANY, "shown"),
        ("a.tex", b"\\def\\a{" + b"x" * 1900 + b"}" + b"\\a " * MANY + b"shown", "shown"),
        ("a.vtt", b"WEBVTT\n\n00:01.000 --> 00:02.000\n" + b"<v " * MANY + b"shown", "shown"),
        ("a.odt", odf("text", f"<office:text><text:p>{NESTED * 60}shown{'</text:p></text:note-body></text:note>' * 60}"
                              "</text:p></office:text>"), "shown"),
    ],
)  # fmt: skip
def test_beginnings_without_an_end_keep_the_rest(name: str, data: bytes, shown: str) -> None:
    parsed = read(data, name)
    assert any(shown in item.text for item in parsed.document.texts)


def test_cells_that_are_repeated_by_the_million_are_shown_once_and_told() -> None:
    cell = '<table:table-cell table:number-columns-repeated="1000"><text:p>shown</text:p></table:table-cell>'
    row = f'<table:table-row table:number-rows-repeated="1000000">{cell}</table:table-row>'
    parsed = read(
        odf("spreadsheet", f"<office:spreadsheet><table:table>{row * 3}</table:table></office:spreadsheet>"), "a.ods"
    )
    assert any("repeats too often" in warning for warning in parsed.warnings)
    assert 3 <= sum(len(table.data.table_cells) for table in parsed.document.tables) <= 200_000


def test_an_object_in_itself_is_read_so_many_times_and_told() -> None:
    inner = '<draw:frame><draw:object xlink:href="./Object 1"/></draw:frame>'
    body = f"<office:text><text:p>shown {inner}</text:p></office:text>"
    content = odf_content(f"<office:text><text:p>inner {inner * 40}</text:p></office:text>")
    parsed = read(odf("text", body, **{"Object 1__content.xml": content}), "a.odt")
    assert any("embedded objects" in warning for warning in parsed.warnings)
    assert parsed.document.texts[0].text == "shown"


def test_a_damaged_part_of_an_opendocument_file_costs_that_part() -> None:
    inner = '<draw:frame><draw:object xlink:href="./Object 1"/></draw:frame>'
    data = odf(
        "text", f"<office:text><text:p>shown{inner}</text:p></office:text>", **{"Object 1__content.xml": "<torn"}
    )
    parsed = read(data, "a.odt")
    assert [item.text for item in parsed.document.texts] == ["shown"]
    assert parsed.warnings == ("Its part Object 1/content.xml is damaged and was not read.",)
