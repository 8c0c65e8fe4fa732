"""The parts of an office file and the relations between them (Open Packaging Conventions), read with care.

A part that cannot be read raises DamagedPart, so that it costs only itself. Imports lxml: load it in a worker.
"""

import io
import posixpath
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Final

from lxml import etree

from aegis_dagster.parsing.checks import corrupt
from aegis_dagster.parsing.unpacking import UNREADABLE_PART

# Nothing is fetched and no entity is expanded.
_PARSER: Final[dict[str, Any]] = {"resolve_entities": False, "no_network": True, "huge_tree": False, "load_dtd": False}
_READ_ERRORS: Final = (*UNREADABLE_PART, ValueError)


class DamagedPart(Exception):
    """A part is missing or cannot be read."""


@dataclass(frozen=True, slots=True)
class Relation:
    """What a part refers to."""

    kind: str  # the last word of the relation's type: "worksheet", "comments", "image"
    target: str  # the name of a part, or an address
    external: bool


class OfficePackage:
    """An office file."""

    def __init__(self, data: bytes) -> None:
        """Raises DocumentError CORRUPT_FILE for what is no archive."""
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
        except zipfile.BadZipFile as error:
            raise corrupt("its archive cannot be opened.") from error
        self._names = {name.lower(): name for name in self._archive.namelist()}
        self._relations: dict[str, dict[str, Relation]] = {}

    def __iter__(self) -> Iterator[str]:
        """The names of the parts."""
        return iter(self._archive.namelist())

    def open(self, part: str) -> IO[bytes]:
        """The bytes of a part as a stream. Raises DamagedPart; reading on may raise what `guarded` lists."""
        try:
            return self._archive.open(self._names[part.lower()])
        except _READ_ERRORS as error:
            raise DamagedPart(part) from error

    def read(self, part: str) -> bytes:
        """The bytes of a part. Raises DamagedPart."""
        try:
            with self.open(part) as stream:
                return stream.read()
        except _READ_ERRORS as error:
            raise DamagedPart(part) from error

    def xml(self, part: str, *, recover: bool = False) -> etree._Element:
        """The root element of a part; of a damaged one, if wanted, what is left. Raises DamagedPart."""
        return parse_xml(self.read(part), part, recover=recover)

    def elements(self, part: str, *names: str) -> Iterator[etree._Element]:
        """The elements of these names, whole and in order, without holding the part in memory.

        Raises DamagedPart where the part's damage begins.
        """
        try:
            with self.open(part) as stream:
                for _, element in etree.iterparse(stream, tag=[f"{{*}}{name}" for name in names], **_PARSER):
                    yield element
                    element.clear()
                    while element.getprevious() is not None:
                        del element.getparent()[0]
        except (etree.XMLSyntaxError, *_READ_ERRORS) as error:
            raise DamagedPart(part) from error

    def relations(self, part: str) -> dict[str, Relation]:
        """What a part ("" for the file itself) refers to, by the relation's id; nothing where the list is damaged."""
        if part not in self._relations:
            folder, name = posixpath.split(part)
            try:
                root = self.xml(posixpath.join(folder, "_rels", f"{name}.rels"))
            except DamagedPart:
                root = etree.Element("none")
            self._relations[part] = {
                element.get("Id", ""): _relation(element, folder) for element in root if isinstance(element.tag, str)
            }
        return self._relations[part]

    def related(self, part: str, kind: str) -> list[str]:
        """The parts that a part refers to by relations of this kind."""
        return [item.target for item in self.relations(part).values() if item.kind == kind and not item.external]

    def main_part(self, usual: str) -> str:
        """The workbook or the presentation itself; `usual`: its usual name. Raises DocumentError CORRUPT_FILE."""
        for part in (*self.related("", "officeDocument"), usual):
            if part.lower() in self._names:
                return part
        raise corrupt("its main part is missing.")


def parse_xml(data: bytes, part: str, *, recover: bool = False) -> etree._Element:
    """The root element of XML; of damaged XML, if wanted, what is left. Raises DamagedPart with this name."""
    try:
        root = etree.fromstring(data, etree.XMLParser(recover=recover, **_PARSER))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise DamagedPart(part) from error
    if root is None:
        raise DamagedPart(part)
    return root


def relation_id(element: etree._Element, name: str = "id") -> str:
    """The attribute of an element that names a relation, in the namespace of either edition of the standard."""
    for key, value in element.attrib.items():
        if str(key).endswith(f"/relationships}}{name}"):
            return str(value)
    return ""


def local_name(element: etree._Element) -> str:
    """The element's name without its namespace; "" for comments and instructions."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _relation(element: etree._Element, folder: str) -> Relation:
    target, external = element.get("Target", ""), element.get("TargetMode") == "External"
    if not external:
        target = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
    return Relation(element.get("Type", "").rpartition("/")[2], target, external)
