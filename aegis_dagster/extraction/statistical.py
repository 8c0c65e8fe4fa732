"""Extracts entities and relations without a language model: names and phrases that occur together are related.

Nothing here looks beyond the chunk: a weight that depended on the corpus would change the evidence of every
document with each new one.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

from aegis_dagster.domain.aggregation import entity_key
from aegis_dagster.domain.evidence import ChunkEvidence, Mention, RelationEvidence
from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.extraction.candidates import Candidate, NameKind, candidates
from aegis_dagster.extraction.segments import SegmentKind, segments
from aegis_dagster.ports import Extraction

_ALGORITHM = "statistical-1"  # raise it with any change of the results
_KEYWORDS = "mentioned together"

# The weight of one occurrence by kind; each further one adds half as much. Chosen by eye on PEPs and Re-DocRED.
_WEIGHT = {NameKind.NAME: 3.0, NameKind.ACRONYM: 2.6, NameKind.IDENTIFIER: 2.4, NameKind.PHRASE: 2.0}
_SINGLE_WORD_WEIGHT = 0.8  # of a phrase of one word, which must occur twice
_CODE_SHARE = 0.5  # share of the weight for names that occur only in code
_MAX_OCCURRENCES = 5  # further occurrences add nothing

_SAME_SEGMENT = 1.0
_NEXT_SEGMENT = 0.5


@dataclass(slots=True)
class _Found:
    """All occurrences of one name in a chunk."""

    key: str
    candidate: Candidate  # the first one
    segments: list[int] = field(default_factory=list)  # one entry per occurrence
    in_prose: bool = False
    score: float = 0.0  # how relevant it is to the chunk; 0: not at all

    def weigh(self) -> float:
        """Set the score from all occurrences."""
        occurrences = min(len(self.segments), _MAX_OCCURRENCES)
        weight = _WEIGHT[self.candidate.kind]
        if self.candidate.kind is NameKind.PHRASE and self.candidate.words == 1:
            weight = _SINGLE_WORD_WEIGHT if occurrences > 1 else 0.0
        self.score = weight * (1.0 if self.in_prose else _CODE_SHARE) * (1 + (occurrences - 1) / 2)
        return self.score


class StatisticalExtractor:
    """Finds names, and names that occur together. Deterministic; needs no model and no corpus."""

    def __init__(self, max_entities: int = 10, max_relations: int = 15) -> None:
        self.name = f"{_ALGORITHM}/{max_entities}-{max_relations}"
        self.accepted: tuple[str, ...] = (self.name,)
        self._max_entities = max_entities
        self._max_relations = max_relations

    async def extract(self, text: str, asked_for: AskedFor) -> Extraction:
        """The same as `find`. It is free, so no account is charged."""
        return Extraction(self.find(text), self.name, free=True)

    def find(self, text: str) -> ChunkEvidence:
        """At most `max_entities` mentions and `max_relations` relations, the strongest first.

        Two entities are related when they stand in one sentence, heading or table row (weight 1 for each) or
        in two that follow each other (0.5). Relations have no direction: the source is the entity with the smaller key.
        """
        chosen = self._chosen(text)
        mentions = tuple(Mention(one.candidate.name, one.candidate.kind) for one in chosen)
        return ChunkEvidence(mentions, tuple(_relations(chosen, self._max_relations)))

    def _chosen(self, text: str) -> list[_Found]:
        chunk = list(segments(text))
        found: dict[str, _Found] = {}
        for number, names in enumerate(candidates(chunk)):
            in_prose = chunk[number].kind is not SegmentKind.CODE
            for candidate in names:
                key = entity_key(candidate.name)
                one = found.get(key)
                if one is None:
                    one = found[key] = _Found(key, candidate)
                one.segments.append(number)
                one.in_prose = one.in_prose or in_prose
        relevant = [one for one in found.values() if one.weigh() > 0]
        ranked = sorted(relevant, key=lambda one: -one.score)  # equal ones stay in the order of their first occurrence
        chosen: list[_Found] = []
        for one in ranked:
            if len(chosen) == self._max_entities:
                break
            if not _is_part(one, chosen):
                chosen.append(one)
        return chosen


def _is_part(one: _Found, chosen: Sequence[_Found]) -> bool:
    """Whether it is part of a phrase that was taken already, or contains one."""
    if one.candidate.kind is not NameKind.PHRASE:
        return False
    mine = f" {one.candidate.name} "
    phrases = (f" {other.candidate.name} " for other in chosen if other.candidate.kind is NameKind.PHRASE)
    return any(mine in other or other in mine for other in phrases)


def _relations(chosen: Sequence[_Found], most: int) -> list[RelationEvidence]:
    """Pairs that occur together, by descending weight, then by the rank of their entities; not more than `most`."""
    where: defaultdict[int, set[int]] = defaultdict(set)
    for rank, one in enumerate(chosen):
        for segment in one.segments:
            where[segment].add(rank)
    together: dict[tuple[int, int], float] = defaultdict(float)
    for segment, ranks in sorted(where.items()):
        for pair in combinations(sorted(ranks), 2):
            together[pair] += _SAME_SEGMENT
        for rank in ranks:
            for other in where.get(segment + 1, ()):
                if other != rank:
                    together[min(rank, other), max(rank, other)] += _NEXT_SEGMENT
    ordered = sorted(together, key=lambda pair: (-together[pair], pair))[:most]
    return [_relation(chosen[first], chosen[second], together[first, second]) for first, second in ordered]


def _relation(one: _Found, other: _Found, weight: float) -> RelationEvidence:
    source, target = (one, other) if one.key <= other.key else (other, one)
    return RelationEvidence(source.candidate.name, target.candidate.name, _KEYWORDS, "", weight)
