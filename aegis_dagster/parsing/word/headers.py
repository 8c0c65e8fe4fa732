"""The headers and footers of a Word file as blocks of its text."""

import re
from collections.abc import Iterator
from typing import Final

from aegis_dagster.domain.left_out import Reason
from aegis_dagster.parsing.word.names import TABLE, Element, P, W, fit_for_another_part, text_of
from aegis_dagster.parsing.word.revisions import Revisions
from aegis_dagster.parsing.word.runs import join_words
from aegis_dagster.parsing.word.tables import mend_tables

_PAGE_FIELD: Final = re.compile(r"\s*(PAGE|NUMPAGES|SECTIONPAGES)\b", re.IGNORECASE)
_PAGE_NUMBER: Final = re.compile(
    r"\W*(pages?|pag|página|pagina|seiten?|sid[ae]|side|sivu|strona|strana|oldal|p|s)?\W*(\d{1,5}|[ivxl]{1,8})?"
    r"(\W+(of|von|de|di|du|sur|van|z|av|af|/)?\W*\d{1,5})?\W*",
    re.IGNORECASE,
)


def counts_pages(root: Element) -> bool:
    """Whether a header has a field with the number of the page. Asked before the fields are opened."""
    codes = [node.text or "" for node in root.iter(W + "instrText")]
    codes.extend(node.get(W + "instr", "") for node in root.iter(W + "fldSimple"))
    return next(root.iter(W + "pgNum"), None) is not None or any(_PAGE_FIELD.match(code) for code in codes)


def running_blocks(root: Element, place: str, revisions: Revisions, *, numbered: bool) -> Iterator[Element]:
    """The paragraphs and tables of a settled header or footer, fit for the main part: without styles and links.

    `numbered`: it shows page numbers, which are left out where they stand alone.
    """
    mend_tables(root, revisions, place)
    join_words(root)
    fit_for_another_part(root)
    for block in [child for child in root if child.tag in (P, TABLE)]:
        text = text_of(block)
        if numbered and len(text) < 40 and _PAGE_NUMBER.fullmatch(text):
            revisions.leave_out(Reason.PAGE_NUMBER, place, text)
        elif text:
            yield block
