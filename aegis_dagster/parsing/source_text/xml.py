"""The text of articles and patents in XML: every text node."""

from collections.abc import Iterator

from lxml import etree

from aegis_dagster.domain.left_out import Piece
from aegis_dagster.parsing.source_text.office import root_of


def read(data: bytes, kind: str) -> Iterator[Piece]:
    """One piece for each part of the document, called by its element."""
    root = root_of(data)
    if root is None:
        return
    for part in root:
        if isinstance(part.tag, str):
            yield Piece(etree.QName(part).localname, " ".join(str(text) for text in part.itertext(etree.Element)))
    yield Piece(etree.QName(root).localname, " ".join([root.text or "", *(part.tail or "" for part in root)]))
