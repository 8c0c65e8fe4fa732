"""The text of articles and patents in XML: every text node."""

from collections.abc import Iterator

from lxml import etree

from aegis_dagster.domain.left_out import Piece
from aegis_dagster.parsing.source_text.office import root_of


def read(data: bytes, kind: str) -> Iterator[Piece]:
    """One piece for each part of the document."""
    root = root_of(data)
    for part in () if root is None else root:
        if isinstance(part.tag, str):
            yield Piece(etree.QName(part).localname, " ".join(str(text) for text in part.itertext(etree.Element)))
