"""Reads presentations: docling's reader, on slides that are rewritten first so that it sees all of their text.

Comments and the headers of notes are added afterwards, each below the title of its slide.
"""

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any, Final

from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.parsing import converter
from aegis_dagster.parsing.powerpoint.deck import Deck, Slide
from aegis_dagster.parsing.readers import Parsed

if TYPE_CHECKING:
    from docling_core.types.doc.common.reference import ProvenanceItem
    from docling_core.types.doc.document import DoclingDocument

_SKIPPED: Final = "Skipping"  # begins docling's warnings about pictures and charts


def read(data: bytes, *, name: str, kind: str, options: dict[str, Any]) -> Parsed:
    """The document of a presentation, as `readers.Reader` has it."""
    deck = Deck(data, read_hidden=bool(options.get("read_hidden")))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rewritten = deck.rewritten()
        try:
            parsed = converter.read(rewritten, name=name, kind=kind, options=options)
        except DocumentError as error:
            if error.code is not FailureCode.CORRUPT_FILE or not deck.slides:
                raise
            parsed = _read_plainly(deck, name)
    _complete(parsed.document, deck.slides)
    skipped = sum(str(warning.message).startswith(_SKIPPED) for warning in caught)
    lost = (f"Pictures or charts that could not be read: {skipped}.",) if skipped else ()
    said = tuple(dict.fromkeys((*parsed.warnings, *deck.warnings, *lost)))
    return dataclasses.replace(parsed, warnings=said, left_out=tuple(deck.left_out))


def _read_plainly(deck: Deck, name: str) -> Parsed:
    """The texts of the slides alone, where damage elsewhere (a master, a layout, a chart) stops docling's reader."""
    from docling_core.types.doc.base import Size
    from docling_core.types.doc.document import DoclingDocument
    from docling_core.types.doc.labels import DocItemLabel, GroupLabel

    document = DoclingDocument(name=name)
    for number, slide in enumerate(deck.slides):
        document.add_page(page_no=number + 1, size=Size(width=0, height=0))
        group = document.add_group(name=f"slide-{number}", label=GroupLabel.CHAPTER)
        for is_title, text in deck.plain_texts(slide):
            label = DocItemLabel.TITLE if is_title else DocItemLabel.TEXT
            document.add_text(label, text, prov=_place(number), parent=group)
    return Parsed(document, "office", ("The presentation is damaged: only the texts of its slides could be read.",))


def _place(number: int) -> "ProvenanceItem":
    """The slide of this number, counted from 0."""
    from docling_core.types.doc.base import BoundingBox
    from docling_core.types.doc.common.reference import ProvenanceItem

    return ProvenanceItem(page_no=number + 1, charspan=(0, 0), bbox=BoundingBox(l=0, t=0, r=0, b=0))


def _complete(document: "DoclingDocument", slides: list[Slide]) -> None:
    """Put the title of each slide above its other texts and no others, and its comments below them."""
    from docling_core.types.doc.common.content_layer import ContentLayer
    from docling_core.types.doc.items.text import TitleItem
    from docling_core.types.doc.labels import DocItemLabel

    groups = {group.name: group for group in document.groups}
    under_title = False
    for number, slide in enumerate(slides):
        group = groups.get(f"slide-{number}")
        if group is None or not (group.children or slide.notes):
            continue
        titled = any(isinstance(child.resolve(document), TitleItem) for child in group.children)
        if under_title and not titled:  # it does not belong below the title of the slide before
            document.add_title("", prov=_place(number), parent=group)
        under_title = titled
        group.children.sort(key=lambda child: not isinstance(child.resolve(document), TitleItem))
        for text in slide.notes:
            notes = ContentLayer.NOTES
            document.add_text(DocItemLabel.TEXT, text, prov=_place(number), parent=group, content_layer=notes)
