"""The committed sample documents: what they are, what they say, and that the script makes them."""

import subprocess
import sys
import zipfile
from pathlib import Path

import docx
import openpyxl
import pptx
import pypdfium2
import pytest

from aegis_dagster_tests.samples.plain_reading import text_of
from aegis_dagster_tests.support.places import REPOSITORY

SAMPLES = REPOSITORY / "samples"
SCAN = "reports/letter-from-eastmere.pdf"

FACTS = [
    ("handbook/employee-handbook.docx", "Hotels are paid up to 140 euros a night"),
    ("handbook/employee-handbook.docx", "radio check every 30 minutes on channel 72"),
    ("handbook/employee-handbook.docx", "46 euros"),
    ("handbook/first-week.md", "test tank in hall 3"),
    ("handbook/support.html", "warranty of a TG-40 tide gauge is five years"),
    ("reports/annual-report-2025.pdf", "Ines Halvorsen founded the company in Morrow Haven in 2009"),
    ("reports/annual-report-2025.pdf", "Brightwater Sensors in Port Alder makes its radar head"),
    ("reports/annual-report-2025.pdf", "Heron wave buoy 0.0 2.0"),
    ("reports/calibrations-2025.csv", "TG40-0117,TG-40,Eastmere,2025-03-17,11.0,Mira Solheim,fail"),
    ("reports/drift-at-eastmere.eml", "salt crystals in the cable gland"),
    ("reports/review-2025.pptx", "Norrland Ferry Lines bought the first four"),
    ("reports/review-2025.pptx", "Revision C with a potted gland"),
    ("reports/sales-2025.xlsx", "Harbour Authority of Eastmere\tEastmere\t38"),
    ("reports/sales-2025.xlsx", "Sales\tQ4 2025\t3\t0.9\t1.2\t5.1"),
]


def files_below(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(("name", "fact"), FACTS, ids=[f"{Path(name).name}-{fact[:20]}" for name, fact in FACTS])
def test_a_sample_says_the_fact_that_the_demo_asks_for(name: str, fact: str) -> None:
    assert fact in text_of(SAMPLES / name)


def test_every_sample_but_the_scan_has_text_and_a_fact_is_asked_of_it() -> None:
    assert set(files_below(SAMPLES)) == {name for name, _ in FACTS} | {SCAN}


def test_all_samples_together_are_smaller_than_a_megabyte() -> None:
    assert sum(path.stat().st_size for path in files_below(SAMPLES).values()) < 1_000_000


def test_the_report_has_two_pages_a_picture_on_the_first_and_text_on_both() -> None:
    pages = list(pypdfium2.PdfDocument(SAMPLES / "reports/annual-report-2025.pdf"))
    pictures = [sum(type(item) is pypdfium2.PdfImage for item in page.get_objects()) for page in pages]
    assert pictures == [2, 0]
    assert all(page.get_textpage().count_chars() > 500 for page in pages)


def test_the_scan_is_one_page_of_picture_at_150_dpi_without_text() -> None:
    pages = list(pypdfium2.PdfDocument(SAMPLES / SCAN))
    (picture,) = pages[0].get_objects()
    assert len(pages) == 1
    assert pages[0].get_textpage().count_chars() == 0
    assert round(picture.get_px_size()[0] / (pages[0].get_width() / 72)) == 150


def test_the_handbook_has_three_pages_a_table_and_two_pictures() -> None:
    document = docx.Document(str(SAMPLES / "handbook/employee-handbook.docx"))
    page_breaks = document.element.xpath('//w:br[@w:type="page"]')
    assert (len(page_breaks) + 1, len(document.tables), len(document.inline_shapes)) == (3, 1, 2)


def test_the_review_has_five_slides_each_with_a_title() -> None:
    slides = list(pptx.Presentation(str(SAMPLES / "reports/review-2025.pptx")).slides)
    titles = [slide.shapes.title.text for slide in slides if slide.shapes.title is not None]
    assert len(slides) == len(titles) == 5
    assert all(titles)


def test_the_workbook_has_two_sheets_whose_totals_are_the_sums_of_their_rows() -> None:
    book = openpyxl.load_workbook(SAMPLES / "reports/sales-2025.xlsx")
    assert book.sheetnames == ["Sales", "Customers"]
    for _, gauges, buoys, service, total in list(book["Sales"].iter_rows(values_only=True))[1:]:
        assert gauges + buoys + service == pytest.approx(total)


def test_the_logo_is_the_same_bytes_in_handbook_and_slides_so_that_it_is_described_once() -> None:
    def pictures(name: str) -> set[bytes]:
        with zipfile.ZipFile(SAMPLES / name) as archive:
            return {archive.read(member) for member in archive.namelist() if "/media/" in member}

    assert len(pictures("handbook/employee-handbook.docx") & pictures("reports/review-2025.pptx")) == 1


def test_the_script_writes_the_committed_samples_again(tmp_path: Path) -> None:
    script = REPOSITORY / "scripts" / "make_samples.py"
    subprocess.run([sys.executable, script, tmp_path], check=True, capture_output=True)
    written, committed = files_below(tmp_path), files_below(SAMPLES)
    assert set(written) == set(committed)
    assert {name: text_of(path) for name, path in written.items()} == {
        name: text_of(path) for name, path in committed.items()
    }
