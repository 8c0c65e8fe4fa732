"""The reader of Word files: it settles what the parts say, and lets docling read the result.

docling reads the main part of a finished document well. Tracked changes, content controls, notes, comments, headers,
drawings and computed numbers reach it in places only, so they are written into the main part as plain paragraphs before
(`word_*.py`, one matter each). Imports lxml: load it in a worker.
"""

from typing import Any, Final

from aegis_dagster.domain.left_out import LeftOut, Reason
from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.parsing import converter
from aegis_dagster.parsing.readers import Parsed
from aegis_dagster.parsing.word.chunks import write_chunks
from aegis_dagster.parsing.word.drawings import Drawings
from aegis_dagster.parsing.word.headers import counts_pages, running_blocks
from aegis_dagster.parsing.word.names import (
    BODY,
    P_PR,
    TABLE,
    AfterParagraphs,
    Element,
    P,
    R,
    W,
    detach,
    fit_for_another_part,
    text_of,
)
from aegis_dagster.parsing.word.notes import Apparatus, comments_of, notes_of
from aegis_dagster.parsing.word.numbers import Numbering, take_numbers
from aegis_dagster.parsing.word.package import Package
from aegis_dagster.parsing.word.revisions import Revisions
from aegis_dagster.parsing.word.runs import join_words, mend_values, plain_characters
from aegis_dagster.parsing.word.styles import Styles
from aegis_dagster.parsing.word.tables import mend_tables

_FALLBACK: Final = (
    "The document's parts could not be settled ({reason}): notes, comments, headers and text in content controls "
    "may be missing; save it again with Word or LibreOffice."
)
_DEEPEST: Final = 3  # files that include each other
_LARGEST_INCLUDED: Final = 50_000_000  # bytes, unpacked


def read(data: bytes, *, name: str, kind: str, options: dict[str, Any]) -> Parsed:
    """docling's document of a Word file in which every text stands in the main part, as `readers.Reader` has it.

    What cannot be settled is read by docling as it is, with a warning.
    """
    try:
        settled, left_out, warnings = settle(data)
        parsed = converter.read(settled, name=name, kind=kind, options=options)
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, DocumentError) and error.code is FailureCode.MEMORY_LIMIT:
            raise
        # Files are damaged in many ways, and docling reads some of them.
        parsed = converter.read(data, name=name, kind=kind, options=options)
        reason = error.message.rstrip(".") if isinstance(error, DocumentError) else type(error).__name__
        return Parsed(parsed.document, parsed.route, (_FALLBACK.format(reason=reason), *parsed.warnings))
    take_numbers(parsed.document)
    return Parsed(parsed.document, parsed.route, (*warnings, *parsed.warnings), tuple(left_out))


def settle(data: bytes) -> tuple[bytes, list[LeftOut], list[str]]:
    """The file with all its text in the main part, what is left out of it on purpose, and warnings.

    Raises whatever a damaged package makes zipfile and lxml raise.
    """
    package = Package(data)
    left_out = _settle_main(package, depth=0)
    return package.plain(), left_out, package.all_warnings()


def _settle_main(package: Package, *, depth: int) -> list[LeftOut]:
    """Write all text of a package into its main part. Returns what is left out. `depth`: files around this one."""
    root = package.root
    body = root.find(BODY)
    styles_root, numbering_root = _related_tree(package, "styles"), _related_tree(package, "numbering")
    styles = Styles(styles_root)
    revisions = Revisions(styles)
    after = AfterParagraphs()
    write_chunks(root, package, lambda data: _included(data, package, revisions, depth))
    _settle_part(package, package.main, "body", revisions, after)
    apparatus = Apparatus(body, styles, after)
    for kind, reference in (("footnotes", W + "footnoteReference"), ("endnotes", W + "endnoteReference")):
        notes = notes_of(_settled(package, kind, revisions))
        apparatus.write_notes(notes, reference, revisions)
    comments = comments_of(_settled(package, "comments", revisions), _related_tree(package, "commentsExtended"))
    apparatus.write_comments(comments)
    mend_tables(root, revisions, "body")
    join_words(root)
    numbering = Numbering(numbering_root, styles)
    for paragraph in root.iter(P):
        numbering.mark(paragraph)
        if styles.is_heading(paragraph) and not text_of(paragraph):
            for name in ("pStyle", "outlineLvl", "numPr"):  # it heads nothing, and would end the section above
                for node in paragraph.findall(f"{P_PR}/{W}{name}"):
                    detach(node)
    _write_headers(package, body, revisions)
    styles.forget_hidden()
    for part in (root, styles_root, numbering_root):
        if part is not None:
            mend_values(part)
    return revisions.left_out


def _included(data: bytes, package: Package, revisions: Revisions, depth: int) -> list[Element]:
    """The blocks of a Word file that a Word file includes: its text, without its pictures and most of its styles.

    Raises ValueError beyond the depth and the size that are read.
    """
    if depth == _DEEPEST:
        raise ValueError("too many files in each other")
    included = Package(data, largest=_LARGEST_INCLUDED)
    revisions.left_out.extend(_settle_main(included, depth=depth + 1))
    for warning in included.all_warnings():
        package.warn(warning)
    body = included.root.find(BODY)
    fit_for_another_part(body, keep_headings=True)
    return [block for block in body if block.tag in (P, TABLE)]


def _related_tree(package: Package, kind: str) -> Element | None:
    part = package.of_kind(package.main, kind)
    return package.tree(part) if part is not None else None


def _settled(package: Package, kind: str, revisions: Revisions) -> Element | None:
    part = package.of_kind(package.main, kind)
    return _settle_part(package, part, kind, revisions, AfterParagraphs(), with_pictures=False) if part else None


def _settle_part(
    package: Package,
    part: str,
    place: str,
    revisions: Revisions,
    after: AfterParagraphs,
    *,
    with_pictures: bool = True,
) -> Element | None:
    root = package.tree(part)
    if root is not None:
        revisions.settle(root, place)
        plain_characters(root)
        Drawings(package, part, after, with_pictures=with_pictures).write_texts(root)
    return root


def _write_headers(package: Package, body: Element, revisions: Revisions) -> None:
    """Put the headers and footers of all sections in front of the text, each text once.

    The sections themselves go: docling would look for their headers, and make empty ones.
    """
    seen: set[str] = set()
    blocks: list[Element] = []
    for tag in ("headerReference", "footerReference"):
        parts = [package.related(package.main).get(item.get(R + "id", "")) for item in body.iter(W + tag)]
        for part in dict.fromkeys(item.target for item in parts if item is not None and not item.external):
            place = tag.removesuffix("Reference")
            root = package.tree(part)
            numbered = root is not None and counts_pages(root)
            _settle_part(package, part, place, revisions, AfterParagraphs(), with_pictures=False)
            for block in running_blocks(root, place, revisions, numbered=numbered) if root is not None else ():
                text = text_of(block)
                if text in seen:
                    revisions.leave_out(Reason.RUNNING_LINE, place, text)
                else:
                    seen.add(text)
                    blocks.append(block)
    for section in list(body.iter(W + "sectPr")):
        detach(section)
    for block in reversed(blocks):
        body.insert(0, block)
