"""Footnotes, endnotes and comments, written behind the paragraph that they belong to."""

from dataclasses import dataclass, field
from typing import Final

from aegis_dagster.parsing.word.names import (
    ID,
    R_PR,
    RUN,
    W14,
    W15,
    AfterParagraphs,
    Element,
    P,
    W,
    detach,
    new_paragraph,
    new_run,
    new_text,
    parent_of,
    text_of,
)
from aegis_dagster.parsing.word.numbers import format_number
from aegis_dagster.parsing.word.revisions import Revisions
from aegis_dagster.parsing.word.styles import Styles

_SEPARATORS: Final = frozenset({"separator", "continuationSeparator", "continuationNotice"})
# Tag of the reference -> what the note is called, and the format of its number as Word sets it by itself.
_KINDS: Final = {W + "footnoteReference": ("Footnote", "decimal"), W + "endnoteReference": ("Endnote", "lowerRoman")}
_REFERENCE: Final = W + "commentReference"
_ANCHORS: Final = (_REFERENCE, W + "commentRangeEnd", W + "commentRangeStart")


class Apparatus:
    """Writes notes and comments into a document's main part.

    They become part of the text of their paragraph, so that they share its passage; those of a heading get a paragraph
    of their own behind it, and those that nothing refers to stand at the end.
    """

    def __init__(self, body: Element, styles: Styles, after: AfterParagraphs) -> None:
        self._body = body
        self._styles = styles
        self._after = after

    def write_notes(self, notes: dict[str, Element], reference: str, revisions: Revisions) -> None:
        """Write the notes of a kind, given by their ids, where the references of that tag stand."""
        called, form = _KINDS[reference]
        texts = {identifier: text_of(note) for identifier, note in notes.items()}
        written: dict[str, str] = {}
        count = 0
        for mark in list(self._body.iter(reference)):
            identifier = mark.get(ID, "")
            run, paragraph = mark.getparent(), parent_of(mark, P)
            has_own = mark.get(W + "customMarkFollows") in ("1", "true", "on")
            if identifier not in written:
                count += not has_own
                written[identifier] = text_of(run) if has_own else format_number(count, form) or str(count)
                if text := texts.pop(identifier, ""):
                    self._write(paragraph, f"[{called} {written[identifier]}: {text}]")
            if run.tag == RUN and not has_own:
                mark.addprevious(new_text(f"[{written[identifier]}]"))
                for properties in run.findall(R_PR):
                    run.remove(properties)
            detach(mark)
        for identifier, text in texts.items():
            reason = revisions.notes_left_out.get((reference, identifier))
            if reason is not None:
                revisions.leave_out(reason, f"{called.lower()} {identifier}", text)
            elif text:
                self._write(None, f"[{called}: {text}]")

    def write_comments(self, threads: "list[Comment]") -> None:
        """Write each comment with its replies where it is anchored."""
        places: dict[str, Element] = {}
        for tag in reversed(_ANCHORS):
            for mark in list(self._body.iter(tag)):
                paragraph = parent_of(mark, P)
                if paragraph is None and mark.getparent() is not None:  # between paragraphs
                    paragraph = next(mark.itersiblings(P, preceding=tag != W + "commentRangeStart"), None)
                if paragraph is not None:
                    places[mark.get(ID, "")] = paragraph
                detach(mark)
        for comment in threads:
            self._write(places.get(comment.identifier), f"[{comment.whole()}]")

    def _write(self, paragraph: Element | None, text: str) -> None:
        if paragraph is None:
            end = self._body[-1] if len(self._body) and self._body[-1].tag == W + "sectPr" else None
            (self._body.append if end is None else end.addprevious)(new_paragraph(text))
        elif self._styles.is_heading(paragraph):
            self._after.add(paragraph, new_paragraph(text))
        else:
            paragraph.append(new_run(f" {text}"))


def notes_of(root: Element | None) -> dict[str, Element]:
    """The notes of a part by their ids, without the lines that separate them from the text."""
    notes = root.iterchildren(W + "footnote", W + "endnote") if root is not None else ()
    return {note.get(ID, ""): note for note in notes if note.get(W + "type") not in _SEPARATORS}


@dataclass(slots=True)
class Comment:
    """A comment and the replies to it."""

    identifier: str
    author: str
    day: str
    text: str
    replies: "list[Comment]" = field(default_factory=list)

    def whole(self, called: str = "Comment") -> str:
        """The comment in words, with its author, and its replies."""
        by = ", ".join(part for part in (f"by {self.author}" if self.author else "", self.day) if part)
        own = f"{called} {by}: {self.text}" if by else f"{called}: {self.text}"
        return " | ".join([own, *(reply.whole("Reply") for reply in self.replies)])


def comments_of(root: Element | None, extended: Element | None) -> list[Comment]:
    """The comments of a part, the replies under the comments that they answer."""
    parents = {
        item.get(W15 + "paraId"): item.get(W15 + "paraIdParent")
        for item in (extended.iter(W15 + "commentEx") if extended is not None else ())
    }
    by_paragraph: dict[str, Comment] = {}
    threads: list[Comment] = []
    for node in root.iterchildren(W + "comment") if root is not None else ():
        author, day = " ".join(node.get(W + "author", "").split()), node.get(W + "date", "")[:10]
        comment = Comment(node.get(ID, ""), author, day, text_of(node))
        names = [paragraph.get(W14 + "paraId", "") for paragraph in node.iter(P)]
        parent = next((by_paragraph[parents[name]] for name in names if parents.get(name) in by_paragraph), None)
        by_paragraph.update(dict.fromkeys([name for name in names if name], parent or comment))
        (threads if parent is None else parent.replies).append(comment)
    return [thread for thread in threads if thread.text or thread.replies]
