"""Caches of model results. They outlive the views, so that no result is paid for twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from aegis_dagster.domain.evidence import ChunkEvidence, Mention, RelationEvidence
from aegis_dagster.domain.stages import CUT_AT, Stage
from aegis_dagster.ports import PictureDescription, Vectors
from aegis_dagster.stores.catalog.schema import embedding_cache, picture_descriptions
from aegis_dagster.stores.database import read, write
from aegis_dagster.stores.evidence.aggregates import slices
from aegis_dagster.stores.evidence.schema import extraction_cache
from aegis_dagster.stores.merging import merging

_SLICE = 500
_CUT = "!cut"  # follows the extractor's name: what it said was cut


class EmbeddingCache:
    """Vectors of texts that a model has embedded before."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def get(self, model: str, hashes: Collection[str]) -> dict[str, Vectors]:
        """Text hash to vector, shape (dimensions,), for the cached texts."""
        import numpy as np

        found: dict[str, Vectors] = {}
        table = embedding_cache
        wanted = list(hashes)
        with read(self.engine) as connection:
            for start in range(0, len(wanted), _SLICE):
                query = sa.select(table.c.text_hash, table.c.vector).where(
                    table.c.model == model, table.c.text_hash.in_(wanted[start : start + _SLICE])
                )
                for row in connection.execute(query):
                    found[row.text_hash] = np.frombuffer(row.vector, dtype="<f4")
        return found

    def put(self, model: str, vectors: Mapping[str, Vectors]) -> None:
        """Store vectors by text hash. A hash that is already cached keeps its vector."""
        import numpy as np

        if not vectors:
            return
        rows = [
            {"model": model, "text_hash": key, "vector": np.asarray(vector, dtype="<f4").tobytes()}
            for key, vector in vectors.items()
        ]
        with write(self.engine) as connection:
            connection.execute(merging(embedding_cache, tuple(rows[0]), keeping=True), rows)


class PictureCache:
    """Descriptions of pictures that a describer has described before."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def get(self, describers: Sequence[str], picture_hash: str) -> PictureDescription | None:
        """The description by the first of these describers that has one; None if none has."""
        table = picture_descriptions
        query = sa.select(table).where(table.c.describer.in_(describers), table.c.picture_hash == picture_hash)
        with read(self.engine) as connection:
            rows = {row.describer: row for row in connection.execute(query)}
        known = [rows[name] for name in describers if name in rows]
        return PictureDescription(known[0].text, known[0].described_by) if known else None

    def put(self, describer: str, picture_hash: str, description: PictureDescription) -> None:
        """Store a description under its describer. A picture that is already cached keeps its description."""
        with write(self.engine) as connection:
            row = {"text": description.text, "described_by": description.described_by}
            row |= {"describer": describer, "picture_hash": picture_hash}
            connection.execute(merging(picture_descriptions, tuple(row), keeping=True), row)


class ExtractionCache:
    """Evidence by (extractor name, hash of the text); that of answers that were cut stands apart."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, extractors: Sequence[str], hashes: Collection[str]) -> dict[str, ChunkEvidence]:
        """Cached evidence by text hash, each from the first of these extractors that has read the text.

        Texts that none of them has read are absent. Raises ServiceError.
        """
        found: dict[str, ChunkEvidence] = {}
        for extractor in extractors:
            missing = [text_hash for text_hash in hashes if text_hash not in found]
            found |= {key: _from_json(values) for key, values in self._stored(extractor, missing).items()}
        return found

    def put(self, extractor: str, evidence: Mapping[str, ChunkEvidence]) -> None:
        """Store evidence by text hash. Existing entries stay, but for those of answers that were cut.

        Raises ServiceError.
        """
        rows = [
            {"key": _key(extractor, text_hash), "evidence": _to_json(value)} for text_hash, value in evidence.items()
        ]
        if not rows:
            return
        with write(self._engine) as connection:
            connection.execute(merging(extraction_cache, ("key", "evidence"), keeping=True), rows)
            for part in slices([_key(f"{extractor}{_CUT}", text_hash) for text_hash in evidence]):
                connection.execute(sa.delete(extraction_cache).where(extraction_cache.c.key.in_(part)))

    def get_cut(self, extractor: str, hashes: Collection[str], most_tokens: int) -> dict[str, ChunkEvidence]:
        """What answers say that were cut although they were allowed at least so many tokens, by text hash.

        Empty evidence: they were cut before the first complete record. Raises ServiceError.
        """
        stored = self._stored(f"{extractor}{_CUT}", hashes)
        return {key: _from_json(values) for key, values in stored.items() if values[CUT_AT] >= most_tokens}

    def put_cut(self, extractor: str, text_hash: str, evidence: ChunkEvidence, most_tokens: int) -> None:
        """Store what is known of a text whose answers were cut at so many tokens; it replaces what was known before.

        Raises ServiceError.
        """
        row = {"key": _key(f"{extractor}{_CUT}", text_hash), "evidence": _to_json(evidence, **{CUT_AT: most_tokens})}
        with write(self._engine) as connection:
            connection.execute(merging(extraction_cache, ("key", "evidence")), row)

    def _stored(self, extractor: str, hashes: Collection[str]) -> dict[str, dict[str, Any]]:
        """The stored values by text hash."""
        wanted = {_key(extractor, text_hash): text_hash for text_hash in hashes}
        found: dict[str, dict[str, Any]] = {}
        with read(self._engine) as connection:
            for part in slices(list(wanted)):
                query = sa.select(extraction_cache).where(extraction_cache.c.key.in_(part))
                for row in connection.execute(query):
                    found[wanted[row.key]] = json.loads(row.evidence)
        return found


def _key(extractor: str, text_hash: str) -> str:
    return hashlib.sha256(json.dumps([extractor, text_hash]).encode()).hexdigest()


def _to_json(evidence: ChunkEvidence, **more: int) -> str:
    return json.dumps(
        {
            "mentions": [(each.name, each.type, each.description) for each in evidence.mentions],
            "relations": [
                (each.source, each.target, each.keywords, each.description, each.weight) for each in evidence.relations
            ],
            **more,
        },
        separators=(",", ":"),
    )


def _from_json(values: Mapping[str, Any]) -> ChunkEvidence:
    return ChunkEvidence(
        tuple(Mention(*mention) for mention in values["mentions"]),
        tuple(RelationEvidence(*relation) for relation in values["relations"]),
    )


class CachedResults:
    """What models said, of all caches, for somebody who wants to have it said anew."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def models(self, stage: Stage) -> list[str]:
        """The names under which embed and enrich keep results. The graph's cache holds hashes of names only."""
        name, _ = _NAMED[stage]
        with read(self._engine) as connection:
            return list(connection.execute(sa.select(name).distinct().order_by(name)).scalars())

    def forget(
        self,
        stage: Stage,
        *,
        models: Collection[str] | None = None,
        hashes: Collection[str] | None = None,
        dry_run: bool = False,
    ) -> int:
        """Delete the results of these models about these texts or pictures; returns how many.

        None: of all. For the graph both are given, or neither. dry_run: only count.
        """
        table, conditions = _chosen(stage, models, hashes)
        forgotten = 0
        with write(self._engine) as connection:
            for condition in conditions:
                if dry_run:
                    query = sa.select(sa.func.count()).select_from(table).where(condition)
                    forgotten += int(connection.execute(query).scalar_one())
                else:
                    forgotten += connection.execute(sa.delete(table).where(condition)).rowcount
        return forgotten


_NAMED = {  # the columns of the model's name and of the content's hash
    Stage.EMBED: (embedding_cache.c.model, embedding_cache.c.text_hash),
    Stage.ENRICH: (picture_descriptions.c.describer, picture_descriptions.c.picture_hash),
}


def _chosen(
    stage: Stage, models: Collection[str] | None, hashes: Collection[str] | None
) -> tuple[sa.Table, list[sa.ColumnElement[bool]]]:
    """The table of a stage's cache, and conditions that choose each of the rows once."""
    if stage is Stage.GRAPH:
        if models is None or hashes is None:
            return extraction_cache, [sa.true()]
        names = [name for model in models for name in (model, f"{model}{_CUT}")]
        keys = [_key(name, text_hash) for name in names for text_hash in hashes]
        return extraction_cache, [extraction_cache.c.key.in_(part) for part in slices(keys)]
    name, content = _NAMED[stage]
    table = embedding_cache if stage is Stage.EMBED else picture_descriptions
    of_models = sa.true() if models is None else name.in_(models)
    if hashes is None:
        return table, [of_models]
    return table, [sa.and_(of_models, content.in_(part)) for part in slices(list(hashes))]
