"""Aggregation of the evidence of single chunks to entities and relations, independent of their order.

The rules: the most frequent name and type win, a tie goes to the smaller text. Descriptions are chosen by
`domain/descriptions.py`. Keywords are distinct, most frequent first. Weights are integers, so that no sum depends on
its order.
"""

import hashlib
import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any

from aegis_dagster.domain.descriptions import Said, description_of
from aegis_dagster.domain.evidence import ChunkEvidence

# Two keys fit into one B-tree entry of Postgres (2,704 bytes) even if every character takes four bytes.
MAX_NAME_CHARACTERS = 200
MAX_TYPE_CHARACTERS = 60
MAX_KEYWORDS_CHARACTERS = 300
MAX_EVIDENCE_DESCRIPTION_CHARACTERS = 1_000

MILLI = 1_000  # weights are stored in thousandths
_MAX_WEIGHT = 1_000_000.0
_UNKNOWN_TYPE = "unknown"
_PAIR_SEPARATOR = "\x1f"
_INVISIBLE = frozenset("\u00ad\u200b\u2060\ufeff")  # soft hyphen, zero-width space, word joiner, byte order mark


@dataclass(frozen=True, slots=True)
class MentionRecord:
    """One chunk mentions one entity: at most one record for each chunk and key."""

    key: str
    name: str
    type: str
    description: str


@dataclass(frozen=True, slots=True)
class RelationRecord:
    """One chunk relates two different entities: at most one record for each chunk and directed pair."""

    source_key: str
    target_key: str
    keywords: str  # comma-separated
    description: str
    weight_milli: int  # thousandths, at least 1

    @property
    def key(self) -> str:
        """See `relation_key`."""
        return relation_key(self.source_key, self.target_key)


@dataclass(frozen=True, slots=True)
class CanonicalEvidence:
    """A chunk's evidence in canonical form: records sorted by key. Equal content gives equal values."""

    mentions: tuple[MentionRecord, ...] = ()
    relations: tuple[RelationRecord, ...] = ()

    def content_hash(self) -> str:
        """sha256 hex digest of all records."""
        return hash_of([list(map(values_of, self.mentions)), list(map(values_of, self.relations))])


@dataclass(frozen=True, slots=True)
class MentionGroup:
    """Mentions of one entity by one name and type, counted."""

    name: str
    type: str
    count: int  # chunks
    marks: int  # sum of `chunk_mark` over the chunks


@dataclass(frozen=True, slots=True)
class RelationGroup:
    """Evidence of one relation with equal keywords, counted."""

    keywords: str
    count: int  # chunks
    marks: int
    weight_milli: int  # sum, thousandths


@dataclass(frozen=True, slots=True)
class Entity:
    """The aggregated evidence of all documents about one entity."""

    key: str
    name: str
    type: str
    description: str
    chunk_count: int
    document_count: int
    sources: int  # sum of `chunk_mark` over its chunks; changes when their set changes

    def content_hash(self) -> str:
        """sha256 hex digest of all fields."""
        return hash_of(values_of(self))


@dataclass(frozen=True, slots=True)
class Relation:
    """The aggregated evidence of all documents about one directed pair of entities."""

    source_key: str
    target_key: str
    keywords: str
    description: str
    weight_milli: int  # thousandths, summed over the evidence
    chunk_count: int
    document_count: int
    sources: int  # as in `Entity`

    @property
    def key(self) -> str:
        """See `relation_key`."""
        return relation_key(self.source_key, self.target_key)

    def content_hash(self) -> str:
        """sha256 hex digest of all fields."""
        return hash_of(values_of(self))


@lru_cache(maxsize=1 << 14)  # passages near each other name the same things
def entity_key(name: str) -> str:
    """The key shared by all spellings of a name: NFKC, case-folded, white space collapsed, at most 200 characters.

    Empty if no visible character is left.
    """
    if name.isascii() and name.isprintable():  # nothing to normalise: most names, and a tenth of the time
        return " ".join(name.lower().split())[:MAX_NAME_CHARACTERS].strip()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", _clean(name)).casefold())
    return " ".join(folded.split())[:MAX_NAME_CHARACTERS].strip()


def relation_key(source_key: str, target_key: str) -> str:
    """The key of a directed pair. Unambiguous, because no entity key contains a control character."""
    return f"{source_key}{_PAIR_SEPARATOR}{target_key}"


def split_relation_key(key: str) -> tuple[str, str]:
    """The keys of source and target."""
    source_key, target_key = key.split(_PAIR_SEPARATOR)
    return source_key, target_key


def chunk_mark(chunk_id: str) -> int:
    """A 40-bit number that represents a chunk in sums; a 64-bit integer holds the sum of eight million."""
    return int(hashlib.sha256(chunk_id.encode()).hexdigest()[:10], 16)


def canonical_evidence(evidence: ChunkEvidence) -> CanonicalEvidence:
    """The canonical form of a chunk's evidence.

    Mentions with the same key are merged: the first name and type, all distinct descriptions. Relations of the
    same directed pair are merged: distinct keywords and descriptions, weights summed. Relations of an entity
    with itself and names without a visible character are dropped. A relation's end that the chunk does not
    mention becomes a mention of type "unknown", so that every relation has both ends. A weight that is not a
    positive finite number counts as 1.
    """
    mentions: dict[str, list[MentionRecord]] = {}
    for mention in evidence.mentions:
        if key := entity_key(mention.name):
            name = _label(mention.name, MAX_NAME_CHARACTERS)
            kind = _label(mention.type, MAX_TYPE_CHARACTERS) or _UNKNOWN_TYPE
            mentions.setdefault(key, []).append(MentionRecord(key, name, kind, _evidence_text(mention.description)))
    relations: dict[tuple[str, str], list[RelationRecord]] = {}
    for relation in evidence.relations:
        source, target = entity_key(relation.source), entity_key(relation.target)
        if not source or not target or source == target:
            continue
        for key, end in ((source, relation.source), (target, relation.target)):
            if key not in mentions:
                mentions[key] = [MentionRecord(key, _label(end, MAX_NAME_CHARACTERS), _UNKNOWN_TYPE, "")]
        record = RelationRecord(
            source,
            target,
            _label(relation.keywords, MAX_KEYWORDS_CHARACTERS),
            _evidence_text(relation.description),
            _weight_milli(relation.weight),
        )
        relations.setdefault((source, target), []).append(record)
    return CanonicalEvidence(
        tuple(_merged_mention(mentions[key]) for key in sorted(mentions)),
        tuple(_merged_relation(relations[pair]) for pair in sorted(relations)),
    )


def aggregate_entity(key: str, groups: Iterable[MentionGroup], said: Iterable[Said], document_count: int) -> Entity:
    """Aggregate an entity from all its mentions. No order matters; at least one group is needed."""
    names: dict[str, int] = {}
    types: dict[str, int] = {}
    chunk_count = sources = 0
    for group in groups:
        names[group.name] = names.get(group.name, 0) + group.count
        types[group.type] = types.get(group.type, 0) + group.count
        chunk_count += group.count
        sources += group.marks
    return Entity(
        key=key,
        name=_most_frequent(names),
        type=_most_frequent(types),
        description=description_of(said),
        chunk_count=chunk_count,
        document_count=document_count,
        sources=sources,
    )


def aggregate_relation(
    key: str, groups: Iterable[RelationGroup], said: Iterable[Said], document_count: int
) -> Relation:
    """Aggregate a relation from all its evidence. No order matters; at least one group is needed."""
    source_key, target_key = split_relation_key(key)
    keywords: list[tuple[str, int]] = []
    weight_milli = chunk_count = sources = 0
    for group in groups:
        keywords.append((group.keywords, group.count))
        weight_milli += group.weight_milli
        chunk_count += group.count
        sources += group.marks
    return Relation(
        source_key=source_key,
        target_key=target_key,
        keywords=_ranked_keywords(tuple(keywords)),
        description=description_of(said),
        weight_milli=weight_milli,
        chunk_count=chunk_count,
        document_count=document_count,
        sources=sources,
    )


def _merged_mention(records: list[MentionRecord]) -> MentionRecord:
    first = records[0]
    if len(records) == 1:
        return first
    descriptions = dict.fromkeys(record.description for record in records if record.description)
    text = _capped(descriptions, "\n", MAX_EVIDENCE_DESCRIPTION_CHARACTERS)
    return MentionRecord(first.key, first.name, first.type, text)


def _merged_relation(records: list[RelationRecord]) -> RelationRecord:
    first = records[0]
    keywords = _distinct_keywords(tuple(record.keywords for record in records))
    if len(records) == 1 and keywords == first.keywords:
        return first
    descriptions = dict.fromkeys(record.description for record in records if record.description)
    return RelationRecord(
        first.source_key,
        first.target_key,
        keywords,
        _capped(descriptions, "\n", MAX_EVIDENCE_DESCRIPTION_CHARACTERS),
        sum(record.weight_milli for record in records),
    )


def _most_frequent(counts: dict[str, int]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return min(counts, key=lambda text: (-counts[text], text))


def _capped(texts: Iterable[str], separator: str, limit: int) -> str:
    """Join as many whole texts as fit; the first one is cut if it alone is too long."""
    joined = ""
    for text in texts:
        longer = f"{joined}{separator}{text}" if joined else text[:limit]
        if len(longer) > limit:
            break
        joined = longer
    return joined


@lru_cache(maxsize=1 << 10)  # what is found without a model has the same ones
def _distinct_keywords(texts: tuple[str, ...]) -> str:
    keywords = dict.fromkeys(keyword for text in texts for keyword in _keywords(text))
    return _capped(keywords, ", ", MAX_KEYWORDS_CHARACTERS)


@lru_cache(maxsize=1 << 10)
def _ranked_keywords(counted: tuple[tuple[str, int], ...]) -> str:
    """The distinct keywords of these texts, most frequent first. Each text counts so many times."""
    keywords: Counter[str] = Counter()
    for text, count in counted:
        for keyword in _keywords(text):
            keywords[keyword] += count
    ranked = sorted(keywords, key=lambda keyword: (-keywords[keyword], keyword))
    return _capped(ranked, ", ", MAX_KEYWORDS_CHARACTERS)


def _keywords(text: str) -> list[str]:
    return [keyword for part in text.split(",") if (keyword := part.strip())]


def _clean(text: str) -> str:
    """Remove control characters, lone surrogates and invisible characters, which databases or readers cannot use.

    White space becomes spaces; it includes some control characters, also the separator of pairs.
    """
    if text.isascii() and text.isprintable():
        return text
    spaced = " ".join(text.split())
    return "".join(
        character
        for character in spaced
        if character not in _INVISIBLE and unicodedata.category(character) not in ("Cc", "Cs")
    )


def _cut(text: str, limit: int) -> str:
    return " ".join(_clean(text).split())[:limit].strip() if text else ""


_label = lru_cache(maxsize=1 << 14)(_cut)  # of names, types and keywords, which many passages share


def _evidence_text(text: str) -> str:
    return _cut(text, MAX_EVIDENCE_DESCRIPTION_CHARACTERS)


def _weight_milli(weight: float) -> int:
    if not math.isfinite(weight) or weight <= 0:
        return MILLI
    return max(1, round(min(weight, _MAX_WEIGHT) * MILLI))


_Record = MentionRecord | RelationRecord | Entity | Relation
_FIELDS = {kind: attrgetter(*kind.__slots__) for kind in (MentionRecord, RelationRecord, Entity, Relation)}


def values_of(record: _Record) -> tuple[Any, ...]:
    """All fields in order; dataclasses.astuple copies deeply, which took a third of all writing time."""
    values: tuple[Any, ...] = _FIELDS[type(record)](record)
    return values


_ENCODER = json.JSONEncoder(separators=(",", ":"))


def hash_of(values: object) -> str:
    """sha256 hex digest of the values of records."""
    return hashlib.sha256(_ENCODER.encode(values).encode()).hexdigest()
