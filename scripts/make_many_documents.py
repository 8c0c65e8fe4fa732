"""Writes N different documents for benchmarks: mostly text, with some PDF, DOCX, XLSX and HTML."""

import random
import sys
from pathlib import Path

WORDS = ("harbour", "gauge", "tide", "ferry", "cable", "storm", "survey", "pilot", "dredger", "anchor", "radar")


def main(folder: Path, count: int) -> None:
    """Ten kinds in turn: six text, one each of HTML, PDF, DOCX and XLSX; one collection."""
    chance = random.Random(5)
    for number in range(count):
        target = folder / "many" / f"part-{number % 20:02}" / f"document-{number:05}"
        target.parent.mkdir(parents=True, exist_ok=True)
        paragraphs = [_paragraph(chance, number) for _ in range(chance.randrange(3, 12))]
        {6: _html, 7: _pdf, 8: _docx, 9: _xlsx}.get(number % 10, _text)(target, paragraphs)


def _paragraph(chance: random.Random, number: int) -> str:
    return f"Document {number}: " + " ".join(chance.choice(WORDS) for _ in range(60)) + "."


def _text(target: Path, paragraphs: list[str]) -> None:
    target.with_suffix(".txt").write_text("\n\n".join(paragraphs), "utf-8")


def _html(target: Path, paragraphs: list[str]) -> None:
    body = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    target.with_suffix(".html").write_text(f"<html><body><h1>{target.name}</h1>{body}</body></html>", "utf-8")


def _pdf(target: Path, paragraphs: list[str]) -> None:
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import Paragraph, SimpleDocTemplate

    styles = getSampleStyleSheet()
    story = [Paragraph(target.name, styles["Title"]), *(Paragraph(text, styles["Normal"]) for text in paragraphs)]
    SimpleDocTemplate(str(target.with_suffix(".pdf")), invariant=1).build(story)


def _docx(target: Path, paragraphs: list[str]) -> None:
    from docx import Document

    document = Document()
    document.add_heading(target.name, 0)
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    document.save(str(target.with_suffix(".docx")))


def _xlsx(target: Path, paragraphs: list[str]) -> None:
    from openpyxl import Workbook

    book = Workbook()
    for paragraph in paragraphs:
        book.active.append(paragraph.split()[:12])
    book.save(target.with_suffix(".xlsx"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2000)
