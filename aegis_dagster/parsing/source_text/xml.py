"""The text of articles and patents in XML: every text node."""

import re
from collections.abc import Iterator

from lxml import etree

from aegis_dagster.domain.left_out import Piece
from aegis_dagster.parsing.source_text.office import root_of
from aegis_dagster.parsing.text.encodings import declared_in, decode

_DECLARATION = re.compile(r"^\s*<\?xml[^>]{0,200}\?>")


def read(data: bytes, kind: str) -> Iterator[Piece]:
    """One piece for each part of the document, called by its element."""
    text = decode(data, declared_in(data)).text  # what a file names as its encoding may not be it
    root = root_of(_DECLARATION.sub("", text).encode("utf-8", "replace"))
    if root is None:
        return
    for part in root:
        if isinstance(part.tag, str):
            yield Piece(etree.QName(part).localname, " ".join(str(text) for text in part.itertext(etree.Element)))
    yield Piece(etree.QName(root).localname, " ".join([root.text or "", *(part.tail or "" for part in root)]))
