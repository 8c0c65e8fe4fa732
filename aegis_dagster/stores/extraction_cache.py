"""The extraction cache: equal text is read by one extractor once, ever.

Belongs here: evidence by extractor and text, which outlives documents and views.
Does not belong here: which documents say it (`evidence.py`).
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from aegis_dagster.domain.evidence import ChunkEvidence, Mention, RelationEvidence
from aegis_dagster.stores.database import read, upsert, write
from aegis_dagster.stores.evidence_aggregates import slices
from aegis_dagster.stores.evidence_schema import extraction_cache


class ExtractionCache:
    """Evidence by (extractor name, hash of the text)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, extractors: Sequence[str], hashes: Collection[str]) -> dict[str, ChunkEvidence]:
        """What is known, by text hash, from the first of these extractors that has seen the text.

        Texts that none of them has seen are absent. Raises ServiceError.
        """
        found: dict[str, ChunkEvidence] = {}
        with read(self._engine) as connection:
            for extractor in extractors:
                wanted = {_key(extractor, text_hash): text_hash for text_hash in hashes if text_hash not in found}
                for part in slices(list(wanted)):
                    query = sa.select(extraction_cache).where(extraction_cache.c.key.in_(part))
                    for row in connection.execute(query):
                        found[wanted[row.key]] = _from_json(row.evidence)
        return found

    def put(self, extractor: str, evidence: Mapping[str, ChunkEvidence]) -> None:
        """Remember evidence by text hash. What is already there stays. Raises ServiceError."""
        rows = [
            {"key": _key(extractor, text_hash), "evidence": _to_json(value)} for text_hash, value in evidence.items()
        ]
        if not rows:
            return
        with write(self._engine) as connection:
            connection.execute(upsert(connection, extraction_cache).on_conflict_do_nothing(), rows)


def _key(extractor: str, text_hash: str) -> str:
    return hashlib.sha256(json.dumps([extractor, text_hash]).encode()).hexdigest()


def _to_json(evidence: ChunkEvidence) -> str:
    return json.dumps(
        {
            "mentions": [astuple(mention) for mention in evidence.mentions],
            "relations": [astuple(relation) for relation in evidence.relations],
        },
        separators=(",", ":"),
    )


def _from_json(text: str) -> ChunkEvidence:
    values = json.loads(text)
    return ChunkEvidence(
        tuple(Mention(*mention) for mention in values["mentions"]),
        tuple(RelationEvidence(*relation) for relation in values["relations"]),
    )
