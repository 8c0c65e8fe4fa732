"""The package of a Word file: its parts, the relationships between them, and a plainer package with the same text.

Parts are parsed without entities and without network; a damaged part costs that part and gives a warning. Files of the
strict variant are read in the names of the common one. Imports lxml: load it in a worker.
"""

import io
import posixpath
import re
import zipfile
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import quoteattr

from lxml import etree

from aegis_dagster.parsing.unpacking import UNREADABLE_PART
from aegis_dagster.parsing.word.names import Element, W

_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN_TYPE: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_STRICT: Final = re.compile(rb"http://purl\.oclc\.org/ooxml/([A-Za-z]+)(/[A-Za-z0-9_/]*)?")
# The relationships of the main part that docling needs; all other text is in the main part by then.
_KEPT: Final = {
    f"{_OFFICE}/styles": "application/vnd.openxmlformats-officedocument.wordprocessingml.styles+xml",
    f"{_OFFICE}/numbering": "application/vnd.openxmlformats-officedocument.wordprocessingml.numbering+xml",
    f"{_OFFICE}/image": "",
}
_HYPERLINK: Final = f"{_OFFICE}/hyperlink"
_IMAGE_TYPES: Final = {"jpg": "jpeg", "tif": "tiff", "emf": "x-emf", "wmf": "x-wmf"}
_NAMES: Final = 10  # of the files that are not read
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Relationship:
    """What a part refers to by an id."""

    kind: str  # the last word of its type: "footnotes", "image", "hyperlink"
    type: str
    target: str  # a part's name, or an address outside the package
    external: bool


class Package:
    """The parts of a Word file. Raises ValueError if it has no main part that can be read, or is too large."""

    def __init__(self, data: bytes, *, largest: int | None = None) -> None:
        self._archive = zipfile.ZipFile(io.BytesIO(data))
        if largest is not None and sum(member.file_size for member in self._archive.infolist()) > largest:
            raise ValueError("it unpacks to too many bytes")
        self._names = {name.lower().lstrip("/").replace("\\", "/"): name for name in self._archive.namelist()}
        self._trees: dict[str, Element | None] = {}
        self._relationships: dict[str, dict[str, Relationship]] = {}
        self._warnings: dict[str, None] = {}
        self._unread: dict[str, None] = {}
        main = self.of_kind("", "officeDocument")
        root = self.tree(main) if main is not None else None
        if main is None or root is None:
            raise ValueError("it has no main part that can be read")
        self.main: str = main
        self.root: Element = root

    def data(self, part: str) -> bytes | None:
        """The bytes of a part; None, and a warning, where it is missing or damaged."""
        try:
            return self._archive.read(self._names[part.lower()])
        except UNREADABLE_PART:
            self.warn(f"The part {part} is damaged or missing, and is not read.")
            return None

    def has(self, part: str) -> bool:
        """Whether the package holds the part."""
        return part.lower() in self._names

    def tree(self, part: str) -> Element | None:
        """The root of a part's XML; None, and a warning, where it is missing or no XML.

        Of damaged XML as much is read as can be.
        """
        if part not in self._trees:
            data = self.data(part)
            self._trees[part] = self._parse(part, data) if data is not None else None
        return self._trees[part]

    def _parse(self, part: str, data: bytes) -> Element | None:
        data = _without_table_styles(data)
        if b"purl.oclc.org/ooxml" in data:
            data = _STRICT.sub(rb"http://schemas.openxmlformats.org/\1/2006\2", data)
        try:
            return etree.fromstring(data, _parser(recover=False))
        except etree.XMLSyntaxError:
            self.warn(f"The part {part} is damaged; only its text before the damage is sure to be read.")
        try:
            return etree.fromstring(data, _parser(recover=True))
        except etree.XMLSyntaxError:
            return None

    def related(self, part: str) -> dict[str, Relationship]:
        """The relationships of a part, or with "" those of the package, by id."""
        if part not in self._relationships:
            folder, name = posixpath.split(part)
            rels = posixpath.join(folder, "_rels", f"{name}.rels")
            root = self.tree(rels) if self.has(rels) else None
            found = {} if root is None else dict(_relationship(item, folder) for item in root.iter("{*}Relationship"))
            self._relationships[part] = found
        return self._relationships[part]

    def of_kind(self, part: str, kind: str) -> str | None:
        """The name of the first part that a part refers to by that kind of relationship."""
        found = (item for item in self.related(part).values() if item.kind == kind and not item.external)
        return next((item.target for item in found if self.has(item.target)), None)

    def warn(self, warning: str) -> None:
        """Keep a warning, once."""
        self._warnings[warning] = None

    def leave_unread(self, name: str) -> None:
        """Keep the name of a file inside this one that is not read."""
        self._unread[name] = None

    def all_warnings(self) -> list[str]:
        """The warnings, one of them for all the files that are not read."""
        if not self._unread:
            return list(self._warnings)
        names = ", ".join(list(self._unread)[:_NAMES])
        more = f" and {len(self._unread) - _NAMES} more" if len(self._unread) > _NAMES else ""
        what = f"Files inside the document are not read: {names}{more}; save them as documents of their own."
        return [*self._warnings, what]

    def plain(self) -> bytes:
        """A package of the main part as it is now, with its styles, numbering and pictures, and nothing else."""
        out = io.BytesIO()
        types = {self.main: _MAIN_TYPE}
        lines = []
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
            _write(archive, self.main, etree.tostring(_with_prefix(self.root), encoding="UTF-8"))
            for identifier, item in self.related(self.main).items():
                if item.target.startswith("#"):
                    continue  # a place in this document, which is no part
                if item.external and item.type in (_HYPERLINK, f"{_OFFICE}/image"):
                    lines.append(_line(identifier, item.type, item.target, external=True))
                elif not item.external and item.type in _KEPT and self.has(item.target):
                    data = self._kept(item, types)
                    if data is not None:
                        _write(archive, item.target, data)
                    if item.target in types:
                        lines.append(_line(identifier, item.type, f"/{item.target}", external=False))
            folder, name = posixpath.split(self.main)
            _write(archive, posixpath.join(folder, "_rels", f"{name}.rels"), _relationships(lines))
            main = _line("rId1", f"{_OFFICE}/officeDocument", f"/{self.main}", external=False)
            _write(archive, "_rels/.rels", _relationships([main]))
            _write(archive, "[Content_Types].xml", _content_types(types))
        return out.getvalue()

    def _kept(self, item: Relationship, types: dict[str, str]) -> bytes | None:
        """The bytes of a part that is kept, entered into `types`; None if it is there already or cannot be read."""
        if item.target in types:
            return None
        content_type = _KEPT[item.type]
        if content_type:
            root = self.tree(item.target)
            data = None if root is None else etree.tostring(_with_prefix(root), encoding="UTF-8")
        else:
            suffix = posixpath.splitext(item.target)[1].lower().removeprefix(".")
            content_type = (
                f"image/{ {'jpg': 'jpeg', 'tif': 'tiff', 'emf': 'x-emf', 'wmf': 'x-wmf'}.get(suffix, suffix) }"
            )
            data = self.data(item.target)
        if data is not None:
            types[item.target] = content_type
        return data


def _without_table_styles(data: bytes) -> bytes:
    """A part without the looks of tables, which nobody here asks for: they are nine tenths of many files' styles."""
    if b"<w:styles" not in data:
        return data
    start, *styles = data.split(b"<w:style ")
    is_table = (b'type="table"' in style[: style.find(b">")] and style.endswith(b"</w:style>") for style in styles)
    return b"<w:style ".join([start, *(style for style, table in zip(styles, is_table, strict=True) if not table)])


def _with_prefix(root: Element) -> Element:
    """The root with the usual prefix, which docling asks for, whatever the file calls the same names."""
    uri = W[1:-1]
    if root.nsmap.get("w") == uri:
        return root
    other = etree.Element(root.tag, dict(root.attrib), nsmap={**root.nsmap, "w": uri})
    other.extend(list(root))
    return other


def _parser(*, recover: bool) -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        recover=recover,
        remove_comments=True,
        remove_pis=True,
    )


def _relationship(item: Element, folder: str) -> tuple[str, Relationship]:
    type_, target = item.get("Type", ""), item.get("Target", "").replace("\\", "/")
    external = item.get("TargetMode", "").lower() == "external" or target.startswith("#")
    if not external:
        target = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
    return item.get("Id", ""), Relationship(posixpath.basename(type_), type_, target, external)


def _write(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)


def _line(identifier: str, type_: str, target: str, *, external: bool) -> str:
    mode = ' TargetMode="External"' if external else ""
    return f"<Relationship Id={quoteattr(identifier)} Type={quoteattr(type_)} Target={quoteattr(target)}{mode}/>"


def _relationships(lines: list[str]) -> bytes:
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{"".join(lines)}</Relationships>'.encode()


def _content_types(types: dict[str, str]) -> bytes:
    rels = '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    parts = "".join(
        f"<Override PartName={quoteattr(f'/{part}')} ContentType={quoteattr(type_)}/>" for part, type_ in types.items()
    )
    return f'<Types xmlns="{_PACKAGE}/content-types">{rels}{parts}</Types>'.encode()
