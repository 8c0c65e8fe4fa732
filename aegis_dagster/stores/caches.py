"""Caches that outlive every view: what was embedded or looked at once is never paid for again.

Belongs here: embeddings by (model, text hash), picture descriptions by (describer, picture hash).
Does not belong here: extraction results (`extraction_cache.py`), deciding what to compute (`stages/`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from aegis_dagster.ports import PictureDescription, Vectors
from aegis_dagster.stores.catalog_schema import embedding_cache, picture_descriptions
from aegis_dagster.stores.database import read, upsert, write

_SLICE = 500


class EmbeddingCache:
    """Vectors of texts that a model has embedded before."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def get(self, model: str, hashes: Collection[str]) -> dict[str, Vectors]:
        """Text hash to vector, shape (dimensions,), for those that are known."""
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
        """Remember vectors by text hash. A hash that is known already keeps its vector."""
        import numpy as np

        if not vectors:
            return
        rows = [
            {"model": model, "text_hash": key, "vector": np.asarray(vector, dtype="<f4").tobytes()}
            for key, vector in vectors.items()
        ]
        with write(self.engine) as connection:
            connection.execute(upsert(connection, embedding_cache).on_conflict_do_nothing(), rows)


class PictureCache:
    """Descriptions of pictures that a describer has looked at before."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def get(self, describers: Sequence[str], picture_hash: str) -> PictureDescription | None:
        """What the first of these describers that has seen the picture said; None: none of them has."""
        table = picture_descriptions
        query = sa.select(table).where(table.c.describer.in_(describers), table.c.picture_hash == picture_hash)
        with read(self.engine) as connection:
            rows = {row.describer: row for row in connection.execute(query)}
        known = [rows[name] for name in describers if name in rows]
        return PictureDescription(known[0].text, known[0].described_by) if known else None

    def put(self, describer: str, picture_hash: str, description: PictureDescription) -> None:
        """Remember what was said, under this describer. A picture that is known already keeps its description."""
        with write(self.engine) as connection:
            connection.execute(
                upsert(connection, picture_descriptions)
                .values(
                    describer=describer,
                    picture_hash=picture_hash,
                    text=description.text,
                    described_by=description.described_by,
                )
                .on_conflict_do_nothing()
            )
