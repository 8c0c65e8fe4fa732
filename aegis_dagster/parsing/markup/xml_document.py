"""Reads XML: articles in JATS, patents of the USPTO, DocBook; of any other XML the values with their names.

docling reads the first two and loses footnotes, supplements, what patents cite, and cells of tables.
"""

from typing import TYPE_CHECKING, Any, Final

from aegis_dagster.parsing.markup.building import Builder
from aegis_dagster.parsing.readers import Parsed

if TYPE_CHECKING:
    from lxml import etree


def read(data: bytes, *, name: str, kind: str, options: dict[str, Any]) -> Parsed:
    """The document of an XML file, as `readers.Reader` has it. Raises DocumentError CORRUPT_FILE."""
    from aegis_dagster.parsing.markup.xml_trees import parse_xml
    from aegis_dagster.parsing.markup.xml_vocabularies import VOCABULARIES
    from aegis_dagster.parsing.markup.xml_walk import Walk

    root = parse_xml(data)
    builder = Builder(name)
    if kind in VOCABULARIES:
        Walk(builder, VOCABULARIES[kind]).document(root)
    else:
        _records(builder, root)
    return Parsed(builder.document, ROUTE)


ROUTE: Final = "markup"


def _records(builder: Builder, root: "etree._Element") -> None:
    """Each element with its attributes, and the elements below it that hold only text, as one paragraph."""
    from aegis_dagster.parsing.markup.xml_trees import entity_text, local_name

    for element in root.iter():
        if not local_name(element) or _is_value(element):
            continue
        lines = _attributes(element)
        text = [element.text or ""]
        for child in element:
            if not local_name(child):
                text.append(entity_text(child))
            elif _is_value(child):
                named = f"{local_name(child)}: {_words(''.join(child.itertext()))}"
                lines.append("; ".join([named, *_attributes(child)]) if named.strip(": ") else "")
            text.append(child.tail or "")
        said = _words(" ".join(text))
        above = f"{local_name(element)}: {said}" if said else local_name(element)
        if said or lines:
            builder.paragraph("\n".join([above, *lines]))
    if _is_value(root):
        builder.paragraph(_words("".join(root.itertext())))
        builder.paragraph("\n".join(_attributes(root)))


def _is_value(element: "etree._Element") -> bool:
    """Whether no element is below it."""
    return not any(isinstance(child.tag, str) for child in element)


def _attributes(element: "etree._Element") -> list[str]:
    named = ((str(name).rpartition("}")[2], _words(str(value))) for name, value in element.attrib.items())
    return [f"{name}: {value}" for name, value in named if value]


def _words(text: str) -> str:
    return " ".join(text.split())
