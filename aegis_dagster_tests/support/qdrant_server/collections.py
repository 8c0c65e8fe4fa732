"""Collections and aliases in a folder, as a Qdrant server keeps and answers them."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import qdrant_edge as edge

VECTOR_DEFAULTS = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000, "max_indexing_threads": 0}
_OPTIMIZER = {
    "deleted_threshold": 0.2,
    "vacuum_min_vector_number": 1000,
    "default_segment_number": 0,
    "flush_interval_sec": 5,
    "indexing_threshold": 10_000,
}
_DISTANCES = {"Cosine": edge.Distance.Cosine, "Dot": edge.Distance.Dot}


class Refused(Exception):
    """An answer with another status than 200, and the server's words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Collections:
    """What a server holds; one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shards: dict[str, edge.EdgeShard] = {}

    def names(self) -> list[str]:
        return sorted(file.parent.name for file in self._folder.glob("*/config.json"))

    def aliases(self) -> dict[str, str]:
        file = self._folder / "aliases.json"
        found: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        return found

    def change_aliases(self, actions: list[dict[str, Any]]) -> bool:
        """All or none."""
        aliases = self.aliases()
        for action in actions:
            if "delete_alias" in action:
                aliases.pop(action["delete_alias"]["alias_name"], None)
                continue
            alias, collection = action["create_alias"]["alias_name"], action["create_alias"]["collection_name"]
            if collection not in self.names():
                raise _not_found(collection)
            if alias in self.names():
                raise Refused(409, f"Wrong input: Collection `{alias}` already exists!")
            aliases[alias] = collection
        _write(self._folder / "aliases.json", aliases)
        return True

    def create(self, name: str, asked: Mapping[str, Any]) -> bool:
        if name in self.names() or name in self.aliases():
            raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
        place = self._folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        vectors = {
            each: edge.EdgeVectorParams(size=params["size"], distance=_DISTANCES[params["distance"]])
            for each, params in asked["vectors"].items()
        }
        sparse = {each: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf) for each in asked["sparse_vectors"]}
        never = edge.EdgeOptimizersConfig(indexing_threshold=10**9)
        config = edge.EdgeConfig(vectors=vectors, sparse_vectors=sparse, optimizers=never)
        self._shards[name] = edge.EdgeShard.create(str(place / "shard"), config)
        self._shards[name].flush()
        kept = {key: asked.get(key) for key in ("vectors", "sparse_vectors", "quantization_config", "metadata")}
        kept["hnsw_config"] = VECTOR_DEFAULTS | _given(asked.get("hnsw_config"))
        kept["indexes"] = {}
        _write(place / "config.json", kept)
        return True

    def update(self, name: str, asked: Mapping[str, Any]) -> bool:
        name = self._real(name)
        config = self._config(name)
        config["hnsw_config"] |= _given(asked.get("hnsw_config"))
        if (quantization := asked.get("quantization_config")) is not None:
            config["quantization_config"] = None if quantization == "Disabled" else quantization
        if asked.get("metadata"):
            config["metadata"] = (config["metadata"] or {}) | asked["metadata"]
        _write(self._folder / name / "config.json", config)
        return True

    def delete(self, name: str) -> bool:
        if name not in self.names():
            return False
        if (shard := self._shards.pop(name, None)) is not None:
            shard.close()
        shutil.rmtree(self._folder / name)
        left = {alias: target for alias, target in self.aliases().items() if target != name}
        _write(self._folder / "aliases.json", left)
        return True

    def exists(self, name: str) -> bool:
        return name in self.names() or name in self.aliases()

    def info(self, name: str) -> dict[str, Any]:
        name = self._real(name)
        config, points = self._config(name), self.count(name, {"exact": True})["count"]
        schema = {field: {"data_type": kind, "points": points} for field, kind in config["indexes"].items()}
        params = {"vectors": config["vectors"], "sparse_vectors": config["sparse_vectors"], "shard_number": 1}
        kept = {key: config[key] for key in ("hnsw_config", "quantization_config", "metadata")}
        return {
            "status": "green",
            "optimizer_status": "ok",
            "indexed_vectors_count": 0,
            "points_count": points,
            "segments_count": 1,
            "config": {"params": params, "optimizer_config": _OPTIMIZER, **kept},
            "payload_schema": schema,
        }

    def create_index(self, name: str, asked: Mapping[str, Any]) -> None:
        name = self._real(name)
        config = self._config(name)
        config["indexes"][asked["field_name"]] = asked["field_schema"]
        field = edge.UpdateOperation.create_field_index(asked["field_name"], edge.PayloadSchemaType.Keyword)
        self._shard(name).update(field)
        _write(self._folder / name / "config.json", config)

    def upsert(self, name: str, points: list[dict[str, Any]]) -> None:
        name = self._real(name)
        sizes = {each: params["size"] for each, params in self._config(name)["vectors"].items()}
        for point in points:
            for vector, size in sizes.items():
                if len(point["vector"][vector]) != size:
                    got = len(point["vector"][vector])
                    raise Refused(400, f"Wrong input: Vector dimension error: expected dim: {size}, got {got}")
        made = [edge.Point(point["id"], _vectors(point["vector"]), point["payload"]) for point in points]
        self._shard(name).update(edge.UpdateOperation.upsert_points(made))

    def delete_points(self, name: str, asked: Mapping[str, Any]) -> None:
        if "points" in asked:
            gone = edge.UpdateOperation.delete_points(asked["points"])
        else:
            within = _filter(asked["filter"])
            assert within is not None
            gone = edge.UpdateOperation.delete_points_by_filter(within)
        self._shard(self._real(name)).update(gone)

    def scroll(self, name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        request = edge.ScrollRequest(
            offset=asked.get("offset"),
            limit=asked.get("limit") or 10,
            filter=_filter(asked["filter"]) if asked.get("filter") else None,
            with_payload=asked.get("with_payload", True),
            with_vector=asked.get("with_vector", False),
        )
        records, after = self._shard(self._real(name)).scroll(request)
        points = [{"id": str(one.id), "payload": one.payload, "vector": one.vector} for one in records]
        return {"points": points, "next_page_offset": None if after is None else str(after)}

    def query(self, name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        prefetch = [
            edge.Prefetch(query=_nearest(each), limit=each["limit"], filter=_filter(each.get("filter")))
            for each in asked.get("prefetch") or []
        ]
        dbsf: Any = edge.Fusion.Dbsf()  # its type stubs do not say that it is a Fusion
        request = edge.QueryRequest(
            limit=asked["limit"],
            query=dbsf if prefetch else _nearest(asked),
            prefetches=prefetch,
            filter=_filter(asked.get("filter")),
            with_payload=asked["with_payload"],
        )
        found = self._shard(self._real(name)).query(request)
        return {"points": [{"id": str(p.id), "version": 1, "score": p.score, "payload": p.payload} for p in found]}

    def count(self, name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        request = edge.CountRequest(exact=asked["exact"], filter=_filter(asked.get("filter")))
        return {"count": self._shard(self._real(name)).count(request)}

    def facet(self, name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        name = self._real(name)
        if asked["key"] not in self._config(name)["indexes"]:
            raise Refused(400, f'Bad request: Index required but not found for "{asked["key"]}" of type keyword')
        request = edge.FacetRequest(key=asked["key"], limit=asked["limit"], exact=asked["exact"])
        return {"hits": [{"value": hit.value, "count": hit.count} for hit in self._shard(name).facet(request).hits]}

    def close(self) -> None:
        for shard in self._shards.values():
            shard.close()

    def _real(self, name: str) -> str:
        name = self.aliases().get(name, name)
        if name not in self.names():
            raise _not_found(name)
        return name

    def _config(self, name: str) -> dict[str, Any]:
        config: dict[str, Any] = json.loads((self._folder / name / "config.json").read_text())
        return config

    def _shard(self, name: str) -> edge.EdgeShard:
        if name not in self._shards:
            self._shards[name] = edge.EdgeShard.load(str(self._folder / name / "shard"))
        return self._shards[name]


def _not_found(name: str) -> Refused:
    return Refused(404, f"Not found: Collection `{name}` doesn't exist!")


def _given(asked: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (asked or {}).items() if value is not None}


def _vectors(asked: Mapping[str, Any]) -> Any:
    return {name: _vector(value) for name, value in asked.items()}


def _vector(value: Any) -> Any:
    return edge.SparseVector(value["indices"], value["values"]) if isinstance(value, dict) else value


def _nearest(asked: Mapping[str, Any]) -> edge.Query:
    query = asked["query"]
    vector = query["nearest"] if isinstance(query, dict) and "nearest" in query else query
    return edge.Query.Nearest(_vector(vector), using=asked["using"])


def _filter(asked: Mapping[str, Any] | None) -> edge.Filter | None:
    if not asked:
        return None
    must: list[Any] = []
    for condition in asked["must"]:
        match = condition["match"]
        wanted = edge.MatchAny(match["any"]) if "any" in match else edge.MatchValue(match["value"])
        must.append(edge.FieldCondition(key=condition["key"], match=wanted))
    return edge.Filter(must=must)


def _write(file: Path, value: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.new")
    new.write_text(json.dumps(value))
    new.replace(file)
