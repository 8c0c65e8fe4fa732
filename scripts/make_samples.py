"""Writes the sample documents: `python scripts/make_samples.py [FOLDER]`, by default into `samples/`.

Needs the `dev` group. Dates, random numbers and the time stamps inside ZIP containers are fixed, so that with
the same versions of the libraries every run writes the same bytes; with others the same text.
"""

import csv
import io
import random
import re
import sys
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import escape

import docx
import pptx
import sample_company as company
from docx.enum.text import WD_BREAK
from docx.shared import Inches as DocxInches
from openpyxl import Workbook
from openpyxl.styles import Font
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from pptx.util import Inches as PptxInches
from reportlab.lib import colors, pagesizes
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.units import cm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    Flowable,
    PageBreak,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
)
from reportlab.platypus import Image as PdfImage
from reportlab.platypus import Table as PdfTable

AUTHOR = company.COMPANY
WRITTEN = datetime(2026, 1, 12, 9, 0, 0, tzinfo=UTC)
ZIP_TIME = (2026, 1, 12, 9, 0, 0)
SCAN_DPI = 150
NAVY, TEAL, SAND, PAPER = "#1d3557", "#2a9d8f", "#e9c46a", "#f8f9fa"


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font in Pillow, so that no system font is needed. Size in pixels."""
    return ImageFont.load_default(size)


def logo() -> Image.Image:
    """The company's logo, 480 x 120 pixels; the same bytes in the handbook and on the slides."""
    image = Image.new("RGB", (480, 120), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((10, 10, 110, 110), fill=NAVY)
    draw.polygon([(24, 66), (60, 34), (98, 58), (62, 56), (52, 84)], fill=SAND)
    draw.line([(20, 92), (40, 86), (60, 92), (80, 86), (100, 92)], fill=TEAL, width=6)
    draw.text((130, 18), "KESTREL BAY", font=font(42), fill=NAVY)
    draw.text((132, 70), "INSTRUMENTS", font=font(30), fill=TEAL)
    return image


def gauge_drawing() -> Image.Image:
    """The parts of the TG-40 with their names, 800 x 420 pixels."""
    image = Image.new("RGB", (800, 420), PAPER)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 800, 60), fill="#8d99ae")
    draw.text((30, 14), "Pier", font=font(30), fill="white")
    draw.rectangle((330, 60, 450, 150), fill=NAVY)
    draw.polygon([(350, 150), (430, 150), (455, 190), (325, 190)], fill=TEAL)
    draw.line([(390, 190), (340, 340)], fill="#e76f51", width=3)
    draw.line([(390, 190), (440, 340)], fill="#e76f51", width=3)
    draw.rectangle((440, 70, 480, 95), fill=SAND)
    draw.rectangle((0, 340, 800, 420), fill="#a8dadc")
    labels = (
        ((490, 66), "Cable gland", (482, 82)),
        ((490, 112), "Battery, 14 months", (452, 128)),
        ((490, 158), "Radar head by Brightwater", (450, 174)),
    )
    for position, label, target in labels:
        draw.text(position, label, font=font(24), fill="black")
        draw.line([(position[0] - 6, position[1] + 16), target], fill="black", width=2)
    draw.text((60, 230), "Range up to 20 metres", font=font(26), fill="black")
    draw.text((60, 362), "Sea level", font=font(30), fill=NAVY)
    return image


def chart() -> Image.Image:
    """Revenue of the four quarters as bars, 800 x 420 pixels."""
    image = Image.new("RGB", (800, 420), "white")
    draw = ImageDraw.Draw(image)
    draw.text((40, 16), "Revenue in million euros", font=font(32), fill=NAVY)
    for number, (quarter, *_, total) in enumerate(company.SALES[1:]):
        left, height = 70 + number * 180, round(float(total) * 48)
        draw.rectangle((left, 360 - height, left + 110, 360), fill=TEAL if number < 3 else SAND)
        draw.text((left + 32, 324 - height), total, font=font(28), fill="black")
        draw.text((left + 8, 368), quarter, font=font(24), fill="black")
    draw.line([(40, 360), (770, 360)], fill="black", width=3)
    return image


def org_chart() -> Image.Image:
    """The organisation chart, 800 x 320 pixels."""
    image = Image.new("RGB", (800, 320), "white")
    draw = ImageDraw.Draw(image)

    def box(left: int, top: int, name: str, role: str, fill: str) -> None:
        draw.rounded_rectangle((left, top, left + 240, top + 100), radius=12, fill=fill)
        draw.text((left + 20, top + 16), name, font=font(27), fill="white")
        draw.text((left + 20, top + 56), role, font=font(22), fill="white")

    draw.line([(400, 120), (400, 165), (140, 165), (140, 210)], fill="black", width=3)
    draw.line([(400, 165), (660, 165), (660, 210)], fill="black", width=3)
    draw.line([(400, 165), (400, 210)], fill="black", width=3)
    box(280, 20, "Ines Halvorsen", "Managing director", NAVY)
    box(20, 205, "Tomas Okafor", "Engineering", TEAL)
    box(280, 205, "Priya Raman", "Quality", TEAL)
    box(540, 205, "Leon Marchetti", "Customer support", TEAL)
    return image


def scanned_letter() -> Image.Image:
    """The letter from Eastmere as a scanner sees it: A5 at 150 dpi, grey, a little noisy and askew."""
    width, height = round(5.83 * SCAN_DPI), round(8.27 * SCAN_DPI)
    page = Image.new("L", (width, height), 250)
    draw = ImageDraw.Draw(page)
    for number, line in enumerate(company.LETTER):
        draw.text((90, 100 + number * 42), line, font=font(34 if number == 0 else 28), fill=30)
    page = page.rotate(0.5, resample=Image.Resampling.BICUBIC, fillcolor=250)
    noise = Image.frombytes("L", page.size, random.Random(1843).randbytes(width * height))
    return Image.blend(page.filter(ImageFilter.GaussianBlur(0.6)), noise, 0.06)


def png(image: Image.Image) -> io.BytesIO:
    """The picture as a PNG file in memory."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    buffer.seek(0)
    return buffer


def write_pdf(target: Path) -> None:
    """The annual report: two A4 pages with headings, a drawing and a ruled table."""
    styles = getSampleStyleSheet()

    def told(sections: Sequence[company.Section]) -> list[Flowable]:
        flow: list[Flowable] = []
        for section in sections:
            flow.append(Paragraph(escape(section.heading), styles["Heading2"]))
            flow.extend(Paragraph(escape(text), styles["BodyText"]) for text in section.paragraphs)
        return flow

    results = PdfTable([list(row) for row in company.RESULTS], colWidths=[6 * cm, 3 * cm, 3 * cm])
    results.setStyle(
        [
            ("GRID", (0, 0), (-1, -1), 0.5, colors.black),
            ("BACKGROUND", (0, 0), (-1, 0), colors.lightgrey),
            ("FONTNAME", (0, 0), (-1, 0), "Helvetica-Bold"),
            ("ALIGN", (1, 0), (-1, -1), "RIGHT"),
        ]
    )
    story: list[Flowable] = [
        PdfImage(png(logo()), width=6 * cm, height=1.5 * cm, hAlign="LEFT"),
        Paragraph(company.REPORT_TITLE, styles["Title"]),
        *told(company.REPORT_PAGE_1),
        Spacer(1, 0.4 * cm),
        PdfImage(png(gauge_drawing()), width=14 * cm, height=7.35 * cm),
        Paragraph(company.REPORT_CAPTION, styles["Italic"]),
        PageBreak(),
        *told(company.REPORT_PAGE_2[:1]),
        Spacer(1, 0.3 * cm),
        results,
        *told(company.REPORT_PAGE_2[1:]),
    ]
    SimpleDocTemplate(str(target), pagesize=pagesizes.A4, title=company.REPORT_TITLE, author=AUTHOR, invariant=1).build(
        story
    )


def write_scan(target: Path) -> None:
    """The letter: one A5 page that holds a picture and no text."""
    jpeg = io.BytesIO()
    scanned_letter().save(jpeg, "JPEG", quality=60, dpi=(SCAN_DPI, SCAN_DPI))
    jpeg.seek(0)
    canvas = Canvas(str(target), pagesize=pagesizes.A5, invariant=1)
    canvas.setTitle("Scan")
    canvas.setAuthor("Scanner")
    canvas.drawInlineImage(Image.open(jpeg), 0, 0, width=pagesizes.A5[0], height=pagesizes.A5[1])
    canvas.save()


def write_docx(target: Path) -> None:
    """The handbook: three pages with headings, the logo, the organisation chart and a table."""
    document = docx.Document()
    document.core_properties.author = AUTHOR
    document.core_properties.comments = ""
    document.core_properties.title = company.HANDBOOK_TITLE
    document.core_properties.created = document.core_properties.modified = WRITTEN

    def tell(sections: Sequence[company.Section]) -> None:
        for section in sections:
            document.add_heading(section.heading, level=1)
            for text in section.paragraphs:
                document.add_paragraph(text)

    document.add_picture(png(logo()), width=DocxInches(2.4))
    document.add_heading(company.HANDBOOK_TITLE, level=0)
    tell(company.HANDBOOK_WORK)
    document.add_picture(png(org_chart()), width=DocxInches(5.5))
    document.add_paragraph().add_run().add_break(WD_BREAK.PAGE)
    tell(company.HANDBOOK_TRAVEL)
    table = document.add_table(rows=0, cols=len(company.ALLOWANCES[0]), style="Table Grid")
    for values in company.ALLOWANCES:
        for cell, value in zip(table.add_row().cells, values, strict=True):
            cell.text = value
    document.add_paragraph().add_run().add_break(WD_BREAK.PAGE)
    tell(company.HANDBOOK_SAFETY)
    document.save(str(target))
    settle_zip(target)


def write_pptx(target: Path) -> None:
    """The review of the year: five slides with bullets, a chart as a picture and a table."""
    deck = pptx.Presentation()
    deck.core_properties.author = AUTHOR
    deck.core_properties.title = company.SLIDES[0].title
    deck.core_properties.created = deck.core_properties.modified = WRITTEN
    pictures = {"logo": logo, "chart": chart}
    title_only, with_body = deck.slide_layouts[5], deck.slide_layouts[1]
    for content in company.SLIDES:
        slide = deck.slides.add_slide(with_body if content.bullets else title_only)
        slide.shapes.title.text = content.title
        if content.bullets:
            slide.placeholders[1].text = "\n".join(content.bullets)
        if content.table:
            frame = slide.shapes.add_table(
                len(content.table),
                len(content.table[0]),
                PptxInches(0.6),
                PptxInches(1.8),
                PptxInches(8.8),
                PptxInches(3),
            )
            for row, values in enumerate(content.table):
                for column, value in enumerate(values):
                    frame.table.cell(row, column).text = value
        if content.picture == "logo":
            slide.shapes.add_picture(png(logo()), PptxInches(3), PptxInches(5.8), width=PptxInches(4))
        elif content.picture:
            slide.shapes.add_picture(
                png(pictures[content.picture]()), PptxInches(1), PptxInches(1.9), width=PptxInches(8)
            )
    deck.save(str(target))
    settle_zip(target)


def write_xlsx(target: Path) -> None:
    """Sales and customers: a workbook of two sheets with numbers as numbers."""
    book = Workbook()
    book.properties.creator = AUTHOR
    book.properties.created = WRITTEN
    book.remove(book.active)
    for title, rows in (("Sales", company.SALES), ("Customers", company.CUSTOMERS)):
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append([number(value) for value in row])
        for cell in sheet[1]:
            cell.font = Font(bold=True)
        for column, header in enumerate(rows[0]):
            sheet.column_dimensions[sheet.cell(1, column + 1).column_letter].width = max(
                len(header), *(len(row[column]) for row in rows)
            )
    book.save(target)
    settle_zip(target)


def number(value: str) -> str | int | float:
    """A cell's value: a number where the text is one."""
    if re.fullmatch(r"\d+", value):
        return int(value)
    return float(value) if re.fullmatch(r"\d+\.\d+", value) else value


def settle_zip(target: Path) -> None:
    """Rewrite an Office file so that nothing in it depends on the time of writing."""
    with zipfile.ZipFile(target) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            if name == "docProps/core.xml":  # openpyxl stamps the time of saving
                content = re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>2026-01-12T09:00:00Z", content)
            archive.writestr(zipfile.ZipInfo(name, ZIP_TIME), content, zipfile.ZIP_DEFLATED, 9)


def write_csv(target: Path) -> None:
    """The calibrations of the year."""
    with target.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(company.CALIBRATIONS)


def write_all(folder: Path) -> list[Path]:
    """Write every sample below `folder`, in two collections; returns the files."""
    handbook, reports = folder / "handbook", folder / "reports"
    handbook.mkdir(parents=True, exist_ok=True)
    reports.mkdir(parents=True, exist_ok=True)
    write_docx(handbook / "employee-handbook.docx")
    (handbook / "first-week.md").write_text(company.ONBOARDING, "utf-8")
    (handbook / "support.html").write_text(company.SUPPORT_HTML, "utf-8")
    write_pdf(reports / "annual-report-2025.pdf")
    write_pptx(reports / "review-2025.pptx")
    write_xlsx(reports / "sales-2025.xlsx")
    write_csv(reports / "calibrations-2025.csv")
    write_scan(reports / "letter-from-eastmere.pdf")
    (reports / "drift-at-eastmere.eml").write_text(company.EMAIL, "utf-8")
    return sorted(path for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    for written in write_all(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "samples"):
        print(f"{written.stat().st_size:8,d}  {written}")
