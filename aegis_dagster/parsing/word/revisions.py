"""One reading of a Word part: changes accepted, wrappers opened, hidden text taken out.

A part may hold a text in several forms (for new and for old programs) and in several states (before and after tracked
changes). What a reader of the finished document sees stays; deleted and hidden text is handed back.
"""

from collections.abc import Iterator
from typing import Final

from aegis_dagster.domain.left_out import LeftOut, Reason
from aegis_dagster.parsing.word.names import (
    CELL,
    MC,
    P_PR,
    R_PR,
    ROW,
    RUN,
    TABLE,
    VAL,
    W14,
    Element,
    P,
    W,
    detach,
    is_on,
    new_paragraph,
    new_run,
    parent_of,
    text_of,
)
from aegis_dagster.parsing.word.styles import Styles

_ROW_PR: Final = W + "trPr"
_VANISH: Final = W + "vanish"
_DELETED: Final = (W + "del", W + "moveFrom")
_WRAPPERS: Final = tuple(
    W + name for name in ("ins", "moveTo", "sdt", "sdtContent", "smartTag", "customXml", "fldSimple", "dir", "bdo")
)
_PROPERTIES_OF_WRAPPERS: Final = tuple(
    W + name
    for name in (
        *("sdtPr", "sdtEndPr", "smartTagPr", "customXmlPr", "fldData", "pPrChange", "rPrChange", "sectPrChange"),
        *("tblPrChange", "tblPrExChange", "tblGridChange", "trPrChange", "tcPrChange", "numberingChange", "cellIns"),
    )
)
_COMMENT_MARKS: Final = tuple(W + name for name in ("commentReference", "commentRangeStart", "commentRangeEnd"))
_NOTE_MARKS: Final = (W + "footnoteReference", W + "endnoteReference")
# What makes a branch of alternatives worth reading, in any namespace.
_CONTENT: Final = tuple(
    f"{{*}}{name}" for name in ("t", "sym", "symEx", "blip", "imagedata", "chart", "relIds", "oMath")
)


class Revisions:
    """Prepares the parts of one document, and collects what it takes out of them."""

    def __init__(self, styles: Styles) -> None:
        self._styles = styles
        self.left_out: list[LeftOut] = []
        self.notes_left_out: dict[tuple[str, str], Reason] = {}  # (tag of the reference, id) -> why

    def settle(self, root: Element, place: str) -> None:
        """Bring a part into the form in which a reader sees it. `place` names it for people."""
        _choose_alternates(root)
        self._drop_deleted(root, place)
        _tick_boxes(root)
        _unwrap(root)
        self._drop_hidden(root, place)
        _join_paragraphs(root)

    def leave_out(self, reason: Reason, place: str, text: str) -> None:
        """Note a text that is left out."""
        if text:
            self.left_out.append(LeftOut(reason, place, text))

    def _drop_deleted(self, root: Element, place: str) -> None:
        for element in list(root.iter(*_DELETED)):
            is_mark = element.getparent().tag in (R_PR, _ROW_PR)
            if not is_mark and next(element.iterancestors(*_DELETED), None) is None:
                self._drop(element, Reason.DELETED_TEXT, place)
        for mark in list(root.iter(_ROW_PR)):
            row = mark.getparent()
            if row.tag == ROW and any(mark.find(tag) is not None for tag in _DELETED):
                self._drop(row, Reason.DELETED_TEXT, place)
        for mark in list(root.iter(W + "cellDel")):
            cell = parent_of(mark, CELL)
            if cell is not None:
                for block in [child for child in cell if child.tag != W + "tcPr"]:
                    self._drop(block, Reason.DELETED_TEXT, place)
                cell.append(new_paragraph(""))

    def _drop(self, element: Element, reason: Reason, place: str) -> None:
        """Take an element out. The comments on it stay, the notes that it cites go with it."""
        self.leave_out(reason, place, text_of(element))
        self._keep_marks(element, reason)
        detach(element)

    def _keep_marks(self, element: Element, reason: Reason) -> None:
        for mark in element.iter(*_NOTE_MARKS):
            self.notes_left_out[(mark.tag, mark.get(W + "id", ""))] = reason
        if parent_of(element, P) is not None:
            for mark in list(element.iter(*_COMMENT_MARKS)):
                detach(mark)
                element.addprevious(mark)

    def _drop_hidden(self, root: Element, place: str) -> None:
        hidden: dict[Element, list[Element]] = {}
        for run in self._hidden_runs(root):
            paragraph = parent_of(run, P)
            hidden.setdefault(paragraph if paragraph is not None else run, []).append(run)
        for paragraph, runs in hidden.items():
            texts = []
            for run in runs:
                attached = parent_of(run, root.tag) is not None  # not in a text box of a hidden run
                if attached and (text := text_of(run)):
                    texts.append(text)
                    self._keep_marks(run, Reason.HIDDEN_TEXT)
                    detach(run)
            self.leave_out(Reason.HIDDEN_TEXT, place, " ".join(texts))
            mark = paragraph.find(f"{P_PR}/{R_PR}/{_VANISH}")
            siblings = paragraph.getparent()
            if texts and is_on(mark) and not text_of(paragraph) and siblings is not None and len(siblings) > 2:
                detach(paragraph)

    def _hidden_runs(self, root: Element) -> Iterator[Element]:
        if self._styles.any_hidden:
            for run in list(root.iter(RUN)):
                paragraph = parent_of(run, P)
                style = paragraph.find(f"{P_PR}/{W}pStyle") if paragraph is not None else None
                if self._is_hidden(run, style.get(VAL) if style is not None else None):
                    yield run
            return
        for switch in list(root.iter(_VANISH)):
            run = switch.getparent().getparent()
            if switch.getparent().tag == R_PR and run.tag == RUN and is_on(switch):
                yield run

    def _is_hidden(self, run: Element, paragraph_style: str | None) -> bool:
        properties = run.find(R_PR)
        if properties is not None:
            switch = properties.find(_VANISH)
            if switch is not None:
                return is_on(switch)
            style = properties.find(W + "rStyle")
            said = self._styles.hides(style.get(VAL)) if style is not None else None
            if said is not None:
                return said
        return bool(self._styles.hides(paragraph_style))


def _choose_alternates(root: Element) -> None:
    """Keep the first branch of each set of alternatives that holds something to read."""
    for alternatives in list(root.iter(MC + "AlternateContent")):
        branches = [child for child in alternatives if child.tag in (MC + "Choice", MC + "Fallback")]
        full = (branch for branch in branches if next(branch.iter(*_CONTENT), None) is not None)
        branch = next(full, branches[0] if branches else None)
        for child in list(branch) if branch is not None else ():
            alternatives.addprevious(child)
        detach(alternatives)


def _tick_boxes(root: Element) -> None:
    """Give a check box without a character of its own the one of its state."""
    for box in list(root.iter(W14 + "checkbox")):
        control = parent_of(box, W + "sdt")
        content = control.find(W + "sdtContent") if control is not None else None
        if content is not None and not text_of(content) and next(content.iter(W + "sym"), None) is None:
            state = box.find(W14 + "checked")
            checked = state is not None and state.get(W14 + "val") in ("1", "true", "on")
            run = new_run("\u2612" if checked else "\u2610")
            paragraph = next(content.iter(P), None)
            (content if paragraph is None else paragraph).append(run)


def _unwrap(root: Element) -> None:
    for element in list(root.iter(*_PROPERTIES_OF_WRAPPERS)):
        detach(element)
    for element in list(root.iter(*_WRAPPERS)):
        if element.getparent() is not None:
            for child in list(element):
                element.addprevious(child)
            detach(element)


def _join_paragraphs(root: Element) -> None:
    """Put the content of a paragraph whose end is deleted in front of the next one's. From the end, each moves once."""
    deleted = [f"{P_PR}/{R_PR}/{tag}" for tag in _DELETED]
    if next(root.iter(*_DELETED), None) is None:
        return
    for paragraph in reversed(list(root.iter(P))):
        if all(paragraph.find(path) is None for path in deleted):
            continue
        content = [child for child in paragraph if child.tag != P_PR]
        following = next(paragraph.itersiblings(P, TABLE, W + "sectPr"), None)
        if following is not None and following.tag == P:
            properties = following.find(P_PR)
            for child in reversed(content):
                if properties is not None:
                    properties.addnext(child)
                else:
                    following.insert(0, child)
            detach(paragraph)
        elif not text_of(paragraph) and paragraph.getparent().tag != CELL:
            detach(paragraph)
