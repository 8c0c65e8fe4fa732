"""Reads a model's answer about a chunk with LightRAG's own parser, and turns the records into evidence."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aegis_dagster.domain.aggregation import entity_key
from aegis_dagster.domain.answers import is_reasoning_without_end, without_thinking
from aegis_dagster.domain.evidence import ChunkEvidence, Mention, RelationEvidence
from aegis_dagster.extraction.lightrag_library import lightrag

MAX_NAME_CHARACTERS = 256
_MAX_ANSWER_CHARACTERS = 200_000  # limits a model that ignores its own limit; repairing more takes too long
_LISTS = ("entities", "relationships")
_UNKNOWN = "unknown"  # LightRAG's type of an entity that only a relation names
# The end of an object of lists, followed by no further bracket: a fence or prose.
_ENDS = re.compile(r"\]\s*\}[^\[\]{]*$")


@dataclass(frozen=True, slots=True)
class Read:
    """The content of an answer."""

    evidence: ChunkEvidence
    unusable: int  # records without a name, type or description
    cut: bool  # records are missing at its end


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An answer without usable content."""

    why: str  # quotes nothing of the answer
    cut: bool


async def read_answer(answer: str, *, cut: bool) -> Read | Unreadable:
    """The evidence in an answer. cut: whether its provider says that it was cut.

    JSON that ends early and reasoning without an end are cut as well. Repairs broken JSON. Drops the last record of an
    answer that was cut, because it may be incomplete. {"entities": [], "relationships": []} is valid and empty.
    Unreadable: no JSON object, no such lists, or no complete record.
    """
    library = lightrag()
    said = without_thinking(answer)[:_MAX_ANSWER_CHARACTERS]
    if not said:
        return Unreadable("empty", cut or is_reasoning_without_end(answer))
    parsed: dict[str, Any] = library.utils.tolerant_load_json_dict(said)
    if not parsed:
        return Unreadable("no JSON object", cut)
    lists = [parsed[name] for name in _LISTS if name in parsed]
    if not lists or not all(isinstance(one, list) for one in lists):
        return Unreadable("JSON of another shape", cut)
    if not _is_whole(said):
        cut = True
        parsed = _without_last_record(parsed)
    given = sum(len(parsed.get(name, [])) for name in _LISTS)
    # The name of the chunk is for LightRAG's log, which is silent here.
    nodes, edges = await library.operate._process_json_extraction_result(said, "chunk", 0, parsed=parsed)
    evidence = _evidence(nodes, edges)
    if not evidence.mentions and (given or cut):
        return Unreadable("cut off" if cut else "no whole record", cut)
    kept = sum(map(len, nodes.values())) + len(evidence.relations)
    return Read(evidence, max(0, given - kept), cut)


def _is_whole(said: str) -> bool:
    """Whether the JSON object in an answer reaches its end, even if it is broken otherwise."""
    try:
        json.JSONDecoder().raw_decode(said, max(said.find("{"), 0))
    except (ValueError, RecursionError):
        return _ENDS.search(said) is not None
    return True


def _without_last_record(parsed: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the record that was written last: JSON keeps the order of the lists."""
    rest = dict(parsed)
    for name in reversed([name for name in parsed if name in _LISTS]):
        if rest[name]:
            rest[name] = rest[name][:-1]
            break
    return rest


def _evidence(
    nodes: Mapping[str, list[dict[str, Any]]], edges: Mapping[tuple[str, str], list[dict[str, Any]]]
) -> ChunkEvidence:
    """LightRAG's records as evidence, in their order.

    As when LightRAG writes a graph, an entity that only a relation names is included as "unknown" with the relation's
    description.
    """
    mentions = [
        Mention(name, node["entity_type"].lower(), node["description"])
        for found in nodes.values()
        for node in found
        if entity_key(name := _name(node["entity_name"]))
    ]
    known = {entity_key(mention.name) for mention in mentions}
    relations = []
    for edge in (edge for found in edges.values() for edge in found):
        source, target = _name(edge["src_id"]), _name(edge["tgt_id"])
        keys = entity_key(source), entity_key(target)
        if not all(keys) or keys[0] == keys[1] or _is_placeholder(source) or _is_placeholder(target):
            continue
        for key, name in zip(keys, (source, target), strict=True):
            if key not in known:
                known.add(key)
                mentions.append(Mention(name, _UNKNOWN, edge["description"]))
        relations.append(RelationEvidence(source, target, edge["keywords"], edge["description"], edge["weight"]))
    return ChunkEvidence(tuple(mentions), tuple(relations))


def _name(name: str) -> str:
    return " ".join(name.split())[:MAX_NAME_CHARACTERS].strip()


def _is_placeholder(name: str) -> bool:
    """Whether the name is copied from the prompt's template, like "<entity_name>"."""
    return name.startswith("<") and name.endswith(">")
