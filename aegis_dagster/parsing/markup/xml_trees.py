"""Parses XML that a stranger wrote: no entity is expanded, nothing outside the file is read.

Imports lxml: load it in a worker.
"""

import html
import re
from typing import Final

from lxml import etree

from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.parsing.text.encodings import declared_in, decode

_XML_ENTITIES: Final = frozenset({"amp", "lt", "gt", "quot", "apos"})
_NAMED = re.compile(r"&([A-Za-z][A-Za-z0-9]{1,31});")
_DECLARATION = re.compile(r"^\s*<\?xml[^>]{0,200}\?>")


def parse_xml(data: bytes) -> etree._Element:
    """The root element. Raises DocumentError CORRUPT_FILE where it is not well-formed or declares texts as entities."""
    try:
        root = etree.fromstring(data, _parser())
    except (etree.XMLSyntaxError, ValueError, LookupError):
        # What people's programs get wrong: the encoding, and HTML's names for characters.
        text = _DECLARATION.sub("", decode(data, declared_in(data)).text.lstrip("\ufeff"))
        try:
            root = etree.fromstring(_NAMED.sub(_character, text).encode(), _parser())
        except (etree.XMLSyntaxError, ValueError) as error:
            raise _malformed(error) from error
    declared = root.getroottree().docinfo.internalDTD
    if declared is not None and any(entity.content is not None for entity in declared.iterentities()):
        raise DocumentError(
            FailureCode.CORRUPT_FILE,
            "The file declares texts as XML entities, which are not expanded: they may grow without limit.",
            remedy="expand them if you trust it (`xmllint --noent --dropdtd IN > OUT`), or take it out.",
        )
    return root


def local_name(element: etree._Element) -> str:
    """The element's name without its namespace; "" for comments, instructions and entities."""
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def entity_text(node: etree._Element) -> str:
    """The character that an unexpanded entity names, or the entity as it stands; "" for comments and instructions."""
    return html.unescape(node.text or "") if isinstance(node, etree._Entity) else ""


def _parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


def _character(named: re.Match[str]) -> str:
    return named[0] if named[1] in _XML_ENTITIES else html.unescape(named[0])


def _malformed(error: Exception) -> DocumentError:
    place = f" at line {error.lineno}" if isinstance(error, etree.XMLSyntaxError) else ""
    return DocumentError(
        FailureCode.CORRUPT_FILE,
        f"The XML is not well-formed{place}: {str(error)[:200]}.",
        remedy="correct it there, or rename the file to .txt to have it read as plain text.",
    )
