"""Chooses what an entity's or a relation's description says: a fair share of each document that says something.

Independent of the order in which documents came: only ids and texts count. Where all texts fit, all are chosen.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

MAX_DESCRIPTION_CHARACTERS = 2_000  # however many chunks say something
_LEAST_SHARE = 100  # characters for a document; where they do not suffice for all, the first by their ids have it
_SEPARATOR = "\n"
_CUT = "…"


@dataclass(frozen=True, slots=True)
class Said:
    """A text about an entity or a relation in one document."""

    document_id: str
    text: str  # not empty


@dataclass(frozen=True, slots=True)
class Statement:
    """A text of a description, and who said it."""

    text: str  # perhaps cut
    whole: str
    document_id: str  # of several, the smallest id
    documents: int  # how many say it


def description_of(said: Iterable[Said]) -> str:
    """The chosen texts, one below the other."""
    said = list(said)
    if not said:  # as of everything that was found without a model
        return ""
    return _SEPARATOR.join(statement.text for statement in statements_of(said))


def statements_of(said: Iterable[Said]) -> list[Statement]:
    """The chosen texts, each once, in the order of the first document that says it, and of the text.

    If not all fit, each document in turn has one of its texts chosen, and then the next. A text that several
    documents say is a text of the one that says least, so that nobody takes another's share by repeating it.
    """
    speakers: defaultdict[str, set[str]] = defaultdict(set)
    for each in said:
        speakers[each.text].add(each.document_id)
    chosen = _fitting(speakers)
    found = [Statement(text, whole, min(speakers[whole]), len(speakers[whole])) for whole, text in chosen.items()]
    return sorted(found, key=lambda statement: (statement.document_id, statement.whole))


def _fitting(speakers: dict[str, set[str]]) -> dict[str, str]:
    """The texts that fit, as they are shown; a document's first one is cut if it is longer than a fair share."""
    if sum(len(text) + 1 for text in speakers) - 1 <= MAX_DESCRIPTION_CHARACTERS:
        return {text: text for text in speakers}
    turns = _turns(speakers)
    first = [texts[0] for texts in turns]
    share = _share([len(text) + 1 for text in first], MAX_DESCRIPTION_CHARACTERS + 1) - 1
    chosen = {text: text if len(text) <= share else f"{text[: share - 1]}{_CUT}" for text in first}
    left = MAX_DESCRIPTION_CHARACTERS - len(_SEPARATOR.join(chosen.values()))
    for round_ in zip_longest(*(texts[1:] for texts in turns)):
        for text in round_:
            if text is not None and len(text) + 1 <= left:
                chosen[text] = text
                left -= len(text) + 1
    return chosen


def _turns(speakers: dict[str, set[str]]) -> list[list[str]]:
    """The texts of each document, sorted, in the order of the documents; not more documents than have a share."""
    says = Counter(document for documents in speakers.values() for document in documents)
    own: defaultdict[str, list[str]] = defaultdict(list)
    for text, documents in speakers.items():
        own[min(documents, key=lambda document: (says[document], document))].append(text)
    return [sorted(own[document]) for document in sorted(own)[: MAX_DESCRIPTION_CHARACTERS // (_LEAST_SHARE + 1)]]


def _share(wanted: Sequence[int], room: int) -> int:
    """The most that anybody may have, so that all have the same or all they want."""
    for number, length in enumerate(sorted(wanted)):
        others = len(wanted) - number
        if length * others > room:
            return room // others
        room -= length
    return max(wanted)
