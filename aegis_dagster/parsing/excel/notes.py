"""The comments of a sheet: notes, and threads of comments with their answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from aegis_dagster.parsing.excel.references import cell_of, whole_number
from aegis_dagster.parsing.excel.sheets import Sheet, Workbook, text_of
from aegis_dagster.parsing.office.office_package import DamagedPart

# Older programs see a thread as a note by this author, with an explanation before its text.
_THREAD_AUTHOR: Final = "tc={"
_THREAD_TEXT: Final = "Comment:\n"


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody wrote about a cell."""

    row: int
    column: int
    author: str
    text: str
    day: str = ""  # year-month-day


def notes_on(book: Workbook, sheet: Sheet) -> tuple[list[Note], list[Note]]:
    """The comments of a sheet by their cells, those of one cell in the order of the file; and copies of threads."""
    notes: list[Note] = []
    copies: list[Note] = []
    for kind, read in (("threadedComment", _threaded), ("comments", _plain)):
        for part in book.package.related(sheet.part, kind):
            threaded = {(note.row, note.column) for note in notes}
            try:
                for note in read(book, part):
                    if is_copy := note.author.startswith(_THREAD_AUTHOR):
                        copies.append(note)
                        note = Note(
                            note.row, note.column, "", note.text.partition(_THREAD_TEXT)[2].strip() or note.text
                        )
                    if note.text and not (is_copy and (note.row, note.column) in threaded):
                        notes.append(note)
            except DamagedPart:
                book.warnings.append(f"Sheet {sheet.name}: some of its comments could not be read.")
    return sorted(notes, key=lambda note: (note.row, note.column)), copies


def _threaded(book: Workbook, part: str) -> Iterator[Note]:
    for element in book.package.elements(part, "threadedComment"):
        author = book.persons.get(element.get("personId", ""), "")
        text, day = element.findtext("{*}text", "").strip(), element.get("dT", "").partition("T")[0]
        yield Note(*cell_of(element.get("ref", "")), author, text, day)


def _plain(book: Workbook, part: str) -> Iterator[Note]:
    authors: list[str] = []
    for element in book.package.elements(part, "author", "comment"):
        if element.tag.endswith("}author"):
            authors.append((element.text or "").strip())
            continue
        number = whole_number(element.get("authorId", ""), len(authors))
        author = authors[number] if number < len(authors) else ""
        text = "\n".join(text_of(body) for body in element.iterfind("{*}text")).strip()
        yield Note(*cell_of(element.get("ref", "")), author, text.removeprefix(f"{author}:").strip())
