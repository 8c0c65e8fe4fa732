"""The shared corpora: 31 real documents and 692 PEPs."""

import re
import tarfile
from collections import Counter
from pathlib import Path
from statistics import median

import pytest

from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.parsing.text.encodings import decode
from aegis_dagster.parsing.text.reader import read as read_text
from aegis_dagster_tests.parsing.conftest import Parsed, parse_path
from aegis_dagster_tests.support.chunked_documents import chunk_parsed
from aegis_dagster_tests.support.missing import missing
from aegis_dagster_tests.support.places import CORPORA

SCANS = {"ocr_test.pdf": "Docling bundles PDF document conversion", "sample_with_rotation_mismatch.pdf": ""}
# Their fonts say what some glyphs mean in a way that pdfium understands, and docling's parser does not.
LOSSY = {"skipped_1page.pdf", "skipped_2pages.pdf"}
_WORDS = re.compile(r"\w+")


def recall(expected: str, found: str) -> float:
    """Share of the expected words (lower case, counted) that were found."""
    wanted = Counter(_WORDS.findall(expected.lower()))
    return sum((wanted & Counter(_WORDS.findall(found.lower()))).values()) / max(1, sum(wanted.values()))


@pytest.fixture(scope="module")
def corpora() -> Path:
    if not CORPORA.is_dir():
        message = f"the shared corpora are not at {CORPORA}"
        missing(message)
    return CORPORA


@pytest.fixture(scope="module")
def outcomes(corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Parsed | DocumentError]:
    """Every document parsed once."""
    found: dict[str, Parsed | DocumentError] = {}
    for path in sorted((corpora / "documents").iterdir()):
        try:
            found[path.name] = parse_path(path, tmp_path_factory.mktemp("parsed") / "out")
        except DocumentError as error:
            found[path.name] = error
    return found


def text_of(outcome: Parsed | DocumentError) -> str:
    assert isinstance(outcome, Parsed), outcome
    return outcome.markdown


@pytest.mark.slow
def test_every_document_is_done_but_the_encrypted_one(outcomes: dict[str, Parsed | DocumentError]) -> None:
    assert len(outcomes) == 31
    failed = {name: outcome.code for name, outcome in outcomes.items() if isinstance(outcome, DocumentError)}
    assert failed == {"2206.01062_pg3.pdf": FailureCode.ENCRYPTED_FILE}


@pytest.mark.slow
def test_the_text_of_the_median_document_is_found(corpora: Path, outcomes: dict[str, Parsed | DocumentError]) -> None:
    recalls = {
        expected.name: recall(
            expected.read_text("utf-8"), text_of(outcomes[expected.name.removesuffix(".expected.md")])
        )
        for expected in (corpora / "expected").iterdir()
    }
    assert median(recalls.values()) >= 0.95, recalls
    assert min(share for name, share in recalls.items() if ".pdf" in name) >= 0.85, recalls
    assert min(recalls.values()) >= 0.75, recalls


@pytest.mark.slow
def test_every_born_digital_pdf_keeps_the_text_that_pdfium_sees(
    corpora: Path, outcomes: dict[str, Parsed | DocumentError]
) -> None:
    import pypdfium2

    for name, outcome in outcomes.items():
        if not name.endswith(".pdf") or name in SCANS or isinstance(outcome, DocumentError):
            continue
        document = pypdfium2.PdfDocument(corpora / "documents" / name)
        seen = "\n".join(page.get_textpage().get_text_range() for page in document)
        assert recall(seen, outcome.markdown) >= 0.85, name
        assert outcome.manifest["ocr_pages"] == 0, name


@pytest.mark.slow
def test_no_document_is_marked_without_a_loss(outcomes: dict[str, Parsed | DocumentError]) -> None:
    marked = {
        name: report["missing"]
        for name, outcome in outcomes.items()
        if isinstance(outcome, Parsed) and (report := chunk_parsed(outcome.folder).report)["losses"]
    }
    assert set(marked) == LOSSY, marked


@pytest.mark.slow
def test_scans_are_read(outcomes: dict[str, Parsed | DocumentError]) -> None:
    for name, words in SCANS.items():
        outcome = outcomes[name]
        assert isinstance(outcome, Parsed)
        assert outcome.manifest["ocr_pages"] == 1
        assert words in outcome.markdown and len(_WORDS.findall(outcome.markdown)) > 10, name


@pytest.mark.slow
def test_ruled_and_unruled_tables_of_pdfs_are_found(outcomes: dict[str, Parsed | DocumentError]) -> None:
    tables = {name: outcome.manifest["tables"] for name, outcome in outcomes.items() if isinstance(outcome, Parsed)}
    assert tables["odf_presentation_01.odp.pdf"] == 1
    assert tables["odf_table_with_title_01.ods.pdf"] == 1
    assert tables["right_to_left_03.pdf"] == 2
    assert tables["bookmark_sample.pdf"] == 0


@pytest.mark.slow
def test_bookmarks_and_sizes_give_headings(outcomes: dict[str, Parsed | DocumentError]) -> None:
    headings = [line for line in text_of(outcomes["text_document_01.odt.pdf"]).splitlines() if line.startswith("#")]
    assert [line.lstrip("# ") for line in headings] == [
        "Title",
        "Subtitle",
        "heading level 1.0",
        "Heading level 2: A",
        "Heading level 2: B",
    ]


def test_no_word_of_all_peps_is_lost(corpora: Path) -> None:
    with tarfile.open(corpora / "peps" / "2025-06-01.tar.gz") as archive:
        members = [member for member in archive if member.name.endswith(".txt")]
        assert len(members) == 692
        for member in members:
            file = archive.extractfile(member)
            assert file is not None
            data = file.read()
            parsed = read_text(data, name="pep", kind="text", options={})
            document = parsed.document
            assert parsed.warnings == ()
            found = " ".join(f"{getattr(item, 'marker', '')} {item.text}" for item in document.texts)
            lost = Counter(_WORDS.findall(decode(data).text)) - Counter(_WORDS.findall(found))
            assert not {word for word in lost if word.strip("_")}, member.name
            assert document.texts[0].label.value == "title", member.name
