"""The texts of a Word part's drawings, put into its paragraphs: docling reads pictures, and text boxes only in places.

Text boxes, shapes, WordArt, SmartArt and charts give paragraphs and tables behind the paragraph that they are anchored
in; alternative texts and the names of embedded files stand in that paragraph. What is left is the picture, if any.
"""

import posixpath
import re
from collections.abc import Iterator
from typing import Final

from aegis_dagster.parsing.word.charts import chart_blocks, diagram_texts
from aegis_dagster.parsing.word.names import (
    RUN,
    TABLE,
    A,
    AfterParagraphs,
    Element,
    P,
    R,
    V,
    W,
    detach,
    new_paragraph,
    new_run,
    parent_of,
    xml_text,
)
from aegis_dagster.parsing.word.package import Package

_DRAWINGS: Final = (W + "drawing", W + "pict", W + "object")
_BOX: Final = W + "txbxContent"
_PICTURES: Final = (A + "blip", V + "imagedata")
# In the stream Ole10Native of a packed file: the kind of object, then its name.
_PACKED: Final = re.compile(rb"\x02\x00([^\x00-\x1f\\/:]{1,200}\.[A-Za-z0-9]{1,5})\x00")


class Drawings:
    """Takes the texts out of the drawings of one part."""

    def __init__(self, package: Package, part: str, after: AfterParagraphs, *, with_pictures: bool = True) -> None:
        self._package = package
        self._part = part
        self._after = after
        self._with_pictures = with_pictures

    def write_texts(self, root: Element) -> None:
        """Write the texts of all drawings into their paragraphs and behind them."""
        for drawing in list(root.iter(*_DRAWINGS)):
            paragraph = parent_of(drawing, P)
            if paragraph is None:
                continue
            if said := dict.fromkeys([*_alternatives(drawing), *self._embedded(drawing)]):
                _beside(drawing, new_run("".join(f" [{xml_text(text)}] " for text in said)))
            for block in self._blocks(drawing):
                self._after.add(paragraph, block)
            # Without a picture nothing is left to read: docling would have LibreOffice draw it.
            if not self._with_pictures or next(drawing.iter(*_PICTURES), None) is None:
                detach(drawing)

    def _blocks(self, drawing: Element) -> list[Element]:
        blocks: list[Element] = []
        for node in list(_own(drawing, _BOX, V + "textbox", V + "textpath", A + "p", "{*}chart", "{*}relIds")):
            name = node.tag.rpartition("}")[2]
            if node.tag == _BOX:
                blocks.extend(child for child in list(node) if child.tag in (P, TABLE))
            elif node.tag == V + "textpath":
                blocks.extend(_paragraphs([node.get("string", "")]))
            elif node.tag == V + "textbox" and next(node.iter(P), None) is None:
                blocks.extend(_paragraphs(["".join(node.itertext())]))
            elif node.tag == A + "p":
                blocks.extend(_paragraphs(["".join(text.text or "" for text in node.iter(A + "t"))]))
                detach(node)  # docling reads some of them too
            elif name == "chart" and (part := self._target(node.get(R + "id"))):
                blocks.extend(chart_blocks(self._package, part))
            elif name == "relIds" and (part := self._target(node.get(R + "dm"))):
                blocks.extend(_paragraphs(diagram_texts(self._package.tree(part))))
        return blocks

    def _target(self, identifier: str | None) -> str | None:
        found = self._package.related(self._part).get(identifier or "")
        return found.target if found is not None and not found.external else None

    def _embedded(self, drawing: Element) -> list[str]:
        """What is embedded in the document as a file or a control of its own: it is named, and not read."""
        names = []
        for item in _own(drawing, "{*}OLEObject"):
            if item.get("ProgID", "").startswith("Equation"):
                self._package.warn("Equations of an old equation editor are read as pictures only.")
                continue
            part = self._target(item.get(R + "id"))
            name = self._name_of(part) if part is not None else "without a name"
            names.append(f"Embedded file: {name}")
            self._package.leave_unread(name)
        for item in _own(drawing, W + "control"):
            self._package.leave_unread(f"the control {item.get(W + 'name', 'without a name')}")
        return names

    def _name_of(self, part: str) -> str:
        """The name of an embedded file: in a packed one, the name that it had before."""
        name = posixpath.basename(part)
        if name.endswith(".bin"):
            found = _PACKED.search(self._package.data(part) or b"")
            return found[1].decode("utf-8", "replace") if found else name
        return name


def _own(drawing: Element, *tags: str) -> Iterator[Element]:
    """The elements of a drawing that are not in a drawing in its text box."""
    return (node for node in drawing.iter(*tags) if next(node.iterancestors(*_DRAWINGS)) is drawing)


def _beside(drawing: Element, run: Element) -> None:
    """Put a run behind the one that the drawing stands in."""
    own = parent_of(drawing, RUN)
    (drawing if own is None else own).addnext(run)


def _paragraphs(texts: list[str]) -> list[Element]:
    return [new_paragraph(xml_text(text)) for text in texts if text.strip()]


def _alternatives(drawing: Element) -> list[str]:
    """The alternative texts of a drawing: what it says for people who do not see it."""
    texts: list[str] = []
    for node in _own(drawing, "{*}docPr", "{*}cNvPr", *(V + name for name in ("shape", "rect", "oval", "group"))):
        said = [node.get("alt", "")] if node.tag.startswith(V) else [node.get("title", ""), node.get("descr", "")]
        texts.extend(f"Picture: {' '.join(text.split())}" for text in said if text.strip())
    return texts
