"""Text that a file holds and its chunks leave out on purpose, and the text that a simple reader finds in a file."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Reason(StrEnum):
    """Why text of a file is in no chunk."""

    HIDDEN_SHEET = "hidden_sheet"
    HIDDEN_ROW = "hidden_row"
    HIDDEN_COLUMN = "hidden_column"
    HIDDEN_SLIDE = "hidden_slide"
    HIDDEN_TEXT = "hidden_text"  # `display: none`, Word's "hidden" font attribute
    DELETED_TEXT = "deleted_text"  # of tracked changes
    PAGE_NUMBER = "page_number"
    PRINT_DATE = "print_date"
    RUNNING_LINE = "running_line"  # the second and later copies of a running header or footer
    OTHER_BODY = "other_body"  # the same body of a mail, or the same comments, in another format
    OWN_DOCUMENT = "own_document"  # an attachment that is read as a document of its own


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A text that is left out."""

    reason: Reason
    place: str  # for people: "page 3", "sheet Prices", "footnote 2"
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A text that a file holds."""

    place: str  # for people: "page 3", "sheet Prices", "footnote 2"
    text: str


def count_by_reason(left_out: Iterable[LeftOut]) -> dict[str, int]:
    """How many texts are left out for each reason."""
    return dict(sorted(Counter(item.reason.value for item in left_out).items()))


def to_json(pieces: Iterable[Piece], left_out: Iterable[LeftOut]) -> dict[str, Any]:
    """The JSON values of `source_text.json`, from which the chunk task computes the coverage."""
    return {
        "pieces": [[piece.place, piece.text] for piece in pieces],
        "left_out": [[item.reason.value, item.place, item.text] for item in left_out],
    }


def from_json(values: dict[str, Any]) -> tuple[list[Piece], list[LeftOut]]:
    """The pieces and the texts left out from the values of `to_json`."""
    return (
        [Piece(place, text) for place, text in values["pieces"]],
        [LeftOut(Reason(reason), place, text) for reason, place, text in values["left_out"]],
    )
