"""A DoclingDocument from the tree of a Markdown text: the one that docling's reader of pages makes of its page.

The page costs more than the tree. What a text seldom holds is left to it: HTML, pictures, tables, fields above the
text. Imports docling_core: load it in a worker.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from docling.utils.code_language import detect_code_language, normalize_code_language
from docling_core.types.doc.common.formatting import Formatting
from docling_core.types.doc.common.origin import DocumentOrigin
from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.items.node import NodeItem
from docling_core.types.doc.labels import CodeLanguageLabel, DocItemLabel, GroupLabel

from aegis_dagster.parsing.web.markdown import MarkdownText
from aegis_dagster.parsing.web.markdown_runs import (
    BREAK,
    OnlyAPageShowsIt,
    Run,
    as_one,
    cleaned,
    joined,
    runs_of,
    with_lines,
)

_DEEPEST: Final = 20  # deeper blocks are left to the page, which bounds its own depth
_LEVELS: Final = 10
_LANGUAGE: Final = re.compile(r"[\w+#.-]*")
_AROUND_LINES: Final = re.compile(r" *\n *")
_UNSHOWN: Final = ("BlankLine", "LinkRefDef", "ThematicBreak")
# What docling's reader takes for the file, because the page comes as a tree.
_NOTHING: Final = {"mimetype": "text/html", "binary_hash": hashlib.sha256(b"<p>").hexdigest()}


def document_of(text: MarkdownText, name: str) -> DoclingDocument | None:
    """The document of the text; None where it holds what only its page shows."""
    if text.head:
        return None
    origin = DocumentOrigin.model_validate({**_NOTHING, "filename": name})
    document = DoclingDocument(name=Path(name).stem, origin=origin)
    try:
        with text.markdown.renderer:  # marko knows other entities than Python while it renders
            _Writer(document).write(text.root.children)
    except OnlyAPageShowsIt:
        return None
    return document


class _Writer:
    """Adds blocks to a document, under the headings and in the items that are open."""

    def __init__(self, document: DoclingDocument) -> None:
        self._document = document
        self._level = 0
        self._parents: dict[int, NodeItem | None] = dict.fromkeys(range(_LEVELS))

    def write(self, blocks: Sequence[Any], depth: int = 0) -> None:
        """Add the blocks in their order. Raises OnlyAPageShowsIt."""
        if depth > _DEEPEST:
            raise OnlyAPageShowsIt
        for block in blocks:
            match block.get_type():
                case "Paragraph":
                    self._paragraph(_runs_of_paragraph(block))
                case "Heading" | "SetextHeading":
                    self._heading(block)
                case "FencedCode" | "CodeBlock":
                    self._code(block)
                case "List":
                    self._list(block, depth)
                case "Quote":
                    self.write(block.children, depth + 1)
                case "FootnoteDef":
                    self._note(block, depth)
                case kind if kind not in _UNSHOWN:
                    raise OnlyAPageShowsIt

    def _note(self, block: Any, depth: int) -> None:
        """A note, of which the first paragraph begins with its label."""
        first, *rest = block.children or [None]
        if first is None or first.get_type() != "Paragraph":
            raise OnlyAPageShowsIt
        self._paragraph(_runs_of_paragraph(first, f"[{block.label}] "))
        self.write(rest, depth + 1)

    def _paragraph(self, runs: list[Run]) -> None:
        runs = joined(runs)
        self._inline(runs, [_AROUND_LINES.sub("\n", run.text.replace(BREAK, "\n")).strip() for run in runs])

    def _inline(self, runs: Sequence[Run], texts: Sequence[str]) -> None:
        """Add the texts in the formats of the runs: one to what is open, several to a group."""
        grouped = len(runs) > 1
        if grouped:
            self._open(self._document.add_group(label=GroupLabel.INLINE, parent=self._parent))
        for run, text in zip(runs, texts, strict=True):
            if text:
                self._text(run, text)
        if grouped:
            self._close()

    def _text(self, run: Run, text: str) -> None:
        form, parent = _formatting(run), self._parent
        if run.code:
            self._document.add_code(cleaned(text), orig=text, parent=parent, formatting=form, hyperlink=run.address)
        else:
            self._document.add_text(
                DocItemLabel.TEXT, cleaned(text), orig=text, parent=parent, formatting=form, hyperlink=run.address
            )

    def _heading(self, block: Any) -> None:
        run = as_one(runs_of(block.children))
        text, formatting = cleaned(run.text), _formatting(run)
        if block.level == 1:
            self._parents = dict.fromkeys(self._parents)
            self._level = 0
            self._open(self._document.add_title(text, formatting=formatting, hyperlink=run.address))
            return
        level = block.level - 1
        for above in range(self._level, level):
            self._parents[above + 1] = self._document.add_group(
                name=f"header-{above + 1}", label=GroupLabel.SECTION, parent=self._parents[above]
            )
        if level < self._level:
            self._parents.update((below, None) for below in self._parents if below > level + 1)
        self._level = level
        heading = self._document.add_heading(
            text, orig=run.text, level=level, parent=self._parent, formatting=formatting, hyperlink=run.address
        )
        self._open(heading)

    def _code(self, block: Any) -> None:
        if text := _text_of_code(block).strip():
            hint = f"language-{block.lang}" if block.lang else None
            known = normalize_code_language(hint) is not CodeLanguageLabel.UNKNOWN
            code = cleaned(text)
            language = detect_code_language(code, hint=hint if known else None)
            self._document.add_code(code, orig=text, code_language=language, parent=self._parent)

    def _list(self, block: Any, depth: int) -> None:
        start = block.start if block.ordered and block.start != 1 else None
        name = "list" if not block.ordered else "ordered list" if start is None else f"ordered list start {start}"
        group = self._document.add_list_group(name=name, parent=self._parent)
        self._open(group)
        count = 0
        for entry in block.children:
            marker = "" if start is None else f"{start + count}."
            item = self._item(joined(list(_runs_of_item(entry, depth))), group, marker, ordered=block.ordered)
            if item is not None:
                count += 1
                self._open(item)
            for inner in _lists_of(entry):
                self._list(inner, depth + 1)
                if item is not None:
                    self._parents[self._level + 1] = None
            if item is not None:
                self._parents[self._level + 1] = None
                self._level -= 1
        self._parents[self._level + 1] = None
        self._level -= 1

    def _item(self, runs: list[Run], group: NodeItem, marker: str, *, ordered: bool) -> NodeItem | None:
        texts = [with_lines(run.text) for run in runs]
        if not any(texts):
            return None
        alone = runs[0] if len(runs) == 1 else None
        item: NodeItem = self._document.add_list_item(
            cleaned(texts[0]) if alone else "",
            orig=texts[0] if alone else None,
            enumerated=ordered,
            marker=marker,
            parent=group,
            formatting=_formatting(alone) if alone else None,
            hyperlink=alone.address if alone else None,
        )
        if not alone:
            self._open(item)
            self._inline(runs, texts)
            self._close()
        return item

    @property
    def _parent(self) -> NodeItem | None:
        return self._parents[self._level]

    def _open(self, item: NodeItem) -> None:
        self._level += 1
        self._parents[self._level] = item

    def _close(self) -> None:
        self._parents[self._level] = None
        self._level -= 1


def _formatting(run: Run) -> Formatting | None:
    if not run.formats:
        return None
    return Formatting(
        bold="bold" in run.formats, italic="italic" in run.formats, strikethrough="strikethrough" in run.formats
    )


def _runs_of_paragraph(block: Any, before: str = "") -> list[Run]:
    if hasattr(block, "checked"):
        before += f"[{'x' if block.checked else ' '}] "
    return runs_of(block.children, before)


def _runs_of_item(block: Any, depth: int) -> Iterator[Run]:
    """The text of an item without that of the lists in it."""
    if depth > _DEEPEST:
        raise OnlyAPageShowsIt
    beside_text = False
    for child in block.children:
        kind = child.get_type()
        if kind in _UNSHOWN and kind != "ThematicBreak":
            continue
        in_item = kind == "Paragraph" and child._tight  # without an element of its own
        if in_item and beside_text:
            raise OnlyAPageShowsIt
        beside_text = in_item
        match kind:
            case "Paragraph":
                yield from _runs_of_paragraph(child)
            case "Heading" | "SetextHeading":
                yield from runs_of(child.children)
            case "FencedCode" | "CodeBlock":
                if text := " ".join(_text_of_code(child).split()):
                    yield Run(text, code=True)
            case "Quote":
                yield from _runs_of_item(child, depth + 1)
            case "List" | "ThematicBreak":
                pass
            case _:
                raise OnlyAPageShowsIt


def _text_of_code(block: Any) -> str:
    text: str = block.children[0].children
    if BREAK in text or not _LANGUAGE.fullmatch(block.lang):
        raise OnlyAPageShowsIt
    return text


def _lists_of(block: Any) -> Iterator[Any]:
    """The lists in an item that are in no other."""
    for child in block.children:
        if child.get_type() == "List":
            yield child
        elif child.get_type() == "Quote":
            yield from _lists_of(child)
