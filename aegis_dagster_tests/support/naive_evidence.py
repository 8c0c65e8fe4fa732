"""The graph of some documents, computed in the plainest way."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from aegis_dagster.domain.evidence import DocumentEvidence

Rows = dict[str, tuple[Any, ...]]


def expected_graph(documents: Iterable[DocumentEvidence]) -> tuple[Rows, Rows]:
    """Entities: name, type, description, chunks, documents. Relations: keywords, description, weight and these two.

    Holds for evidence whose texts are short enough never to be cut but in the aggregates.
    """
    said: defaultdict[str, list[tuple[str, str, str, list[str]]]] = defaultdict(list)
    related: defaultdict[str, list[tuple[str, list[str], list[str], int]]] = defaultdict(list)
    for document in documents:
        for _, chunk in document.chunks:
            mentions: dict[str, tuple[str, str, list[str]]] = {}
            for mention in chunk.mentions:
                key = _key(mention.name)
                mentions.setdefault(key, (_line(mention.name), mention.type, []))[2].append(_line(mention.description))
            for key, (name, kind, texts) in mentions.items():
                said[key].append(
                    (document.document_id, name, kind, ["\n".join(dict.fromkeys(text for text in texts if text))])
                )
            relations: defaultdict[str, list[tuple[str, str, int]]] = defaultdict(list)
            for one in chunk.relations:
                if _key(one.source) != _key(one.target):
                    pair = f"{_key(one.source)}\x1f{_key(one.target)}"
                    relations[pair].append((one.keywords, _line(one.description), round(one.weight * 1000)))
            for pair, triples in relations.items():
                words = list(dict.fromkeys(keyword for keyword, _, _ in triples if keyword))
                texts = ["\n".join(dict.fromkeys(text for _, text, _ in triples if text))]
                related[pair].append((document.document_id, words, texts, sum(weight for _, _, weight in triples)))
    entities = {
        key: (
            _majority(name for _, name, _, _ in found),
            _majority(kind for _, _, kind, _ in found),
            _described((document, texts) for document, _, _, texts in found),
            len(found),
            len({document for document, *_ in found}),
        )
        for key, found in said.items()
    }
    pairs = {
        pair: (
            _ranked(keyword for _, keywords, _, _ in found for keyword in keywords),
            _described((document, texts) for document, _, texts, _ in found),
            sum(weight for *_, weight in found),
            len(found),
            len({document for document, *_ in found}),
        )
        for pair, found in related.items()
    }
    return entities, pairs


def stored_graph(engine: Engine) -> tuple[Rows, Rows]:
    """The same of a database, read in plain SQL."""
    with engine.connect() as connection:
        entities = connection.execute(
            sa.text("SELECT key, name, type, description, chunk_count, document_count FROM entities WHERE hash <> ''")
        )
        relations = connection.execute(
            sa.text(
                "SELECT key, keywords, description, weight_milli, chunk_count, document_count"
                " FROM relations WHERE hash <> ''"
            )
        )
        return {row[0]: tuple(row[1:]) for row in entities}, {row[0]: tuple(row[1:]) for row in relations}


def _key(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())


def _line(text: str) -> str:
    return " ".join(text.split())


def _majority(texts: Iterable[str]) -> str:
    counts = Counter(texts)
    most = max(counts.values())
    return min(text for text, count in counts.items() if count == most)


def _described(descriptions: Iterable[tuple[str, list[str]]]) -> str:
    """All texts by document; where they have more than 2,000 characters, each document in turn adds one of its own.

    A document's first text is cut so far that the first texts of all fit; of more than 19 documents the others have
    none. A text of several documents belongs to the one with the fewest.
    """
    pairs = {(document, text) for document, texts in descriptions for text in texts if text}
    place = {text: min(document for document, said in pairs if said == text) for _, text in pairs}
    if len("\n".join(place)) <= 2000:
        return "\n".join(sorted(place, key=lambda text: (place[text], text)))
    count = Counter(document for document, _ in pairs)
    own: defaultdict[str, list[str]] = defaultdict(list)
    for text in sorted(place):
        own[min((count[document], document) for document, said in pairs if said == text)[1]].append(text)
    rows = [own[document] for document in sorted(own)][:19]
    longest = max(len(texts[0]) for texts in rows)
    while sum(min(len(texts[0]), longest) + 1 for texts in rows) > 2001:
        longest -= 1
    shown = {texts[0]: _cut_at(texts[0], longest) for texts in rows}
    for turn in range(1, max(map(len, rows))):
        for texts in rows:
            if turn < len(texts) and len("\n".join([*shown.values(), texts[turn]])) <= 2000:
                shown[texts[turn]] = texts[turn]
    return "\n".join(shown[text] for text in sorted(shown, key=lambda text: (place[text], text)))


def _cut_at(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _ranked(keywords: Iterable[str]) -> str:
    counts = Counter(keyword for keyword in keywords if keyword)
    return _fitting(
        [keyword for _, keyword in sorted((-count, keyword) for keyword, count in counts.items())], ", ", 300
    )


def _fitting(texts: list[str], separator: str, limit: int) -> str:
    while len(separator.join(texts)) > limit:
        texts = texts[:-1]
    return separator.join(texts)
