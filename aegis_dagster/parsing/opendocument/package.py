"""An OpenDocument file: its trees of XML and its pictures, from a package or from one flat XML file.

Imports lxml: load it in a worker.
"""

import base64
import binascii
import io
import zipfile
from typing import Final

from lxml import etree

from aegis_dagster.errors import DocumentError
from aegis_dagster.parsing.checks import corrupt
from aegis_dagster.parsing.markup.xml_trees import parse_xml
from aegis_dagster.parsing.unpacking import UNREADABLE_PART

_OASIS: Final = "urn:oasis:names:tc:opendocument:xmlns:"  # then the prefix or a longer name, and the version
_LONGER: Final = {"drawing": "draw", "svg-compatible": "svg", "xsl-fo-compatible": "fo", "datastyle": "number"}
_OTHERS: Final = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://www.w3.org/1999/xlink": "xlink",
    "http://www.w3.org/1998/Math/MathML": "math",
}


class Package:
    """The parts of a file; `damaged`: those that cannot be read."""

    def __init__(self, data: bytes) -> None:
        """Raises DocumentError CORRUPT_FILE where there is no content that can be read."""
        self.damaged: dict[str, None] = {}
        self._archive = None if data.lstrip()[:1] == b"<" else zipfile.ZipFile(io.BytesIO(data))
        if self._archive is None:
            self.content = self.styles = parse_xml(data)
            return
        content = self.part("content.xml")
        if content is None:
            raise corrupt("its part content.xml is missing or cannot be read.")
        self.content = content
        styles = self.part("styles.xml")
        self.styles = content if styles is None else styles

    def part(self, name: str) -> etree._Element | None:
        """The tree of an XML part; None if it is missing or damaged."""
        data = self.file(name)
        try:
            return None if data is None else parse_xml(data)
        except DocumentError:
            self.damaged[name] = None
            return None

    def file(self, name: str) -> bytes | None:
        """The bytes of a part; None if it is missing or damaged."""
        try:
            return self._archive.read(name) if self._archive is not None else None
        except KeyError:
            return None
        except UNREADABLE_PART:
            self.damaged[name] = None
            return None

    def picture(self, image: etree._Element) -> bytes | None:
        """The picture that a `draw:image` shows, if it is inside the file."""
        inline = next((child for child in image if odf_name(child) == "office:binary-data"), None)
        if inline is not None:
            try:
                return base64.b64decode("".join(inline.itertext()))
            except (binascii.Error, ValueError):
                return None
        return self.file(attribute(image, "xlink:href").removeprefix("./"))


def odf_name(element: etree._Element) -> str:
    """The element's name with the prefix that the standard uses, e.g. `text:p`; "" for comments."""
    return _prefixed(str(element.tag)) if isinstance(element.tag, str) else ""


def attribute(element: etree._Element, name: str) -> str:
    """The value of an attribute by its prefixed name; "" if there is none."""
    return next((str(value) for key, value in element.attrib.items() if _prefixed(str(key)) == name), "")


def _prefixed(tag: str) -> str:
    space, _, local = tag.removeprefix("{").rpartition("}")
    name = space.removeprefix(_OASIS).partition(":")[0] if space.startswith(_OASIS) else ""
    prefix = _LONGER.get(name, name) or _OTHERS.get(space, "")
    return f"{prefix}:{local}" if prefix else local
