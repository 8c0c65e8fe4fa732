"""Fingerprints: what the result of a stage depends on, as one hash.

Belongs here: the pure chain of hashes from a document's bytes to its points and evidence.
Does not belong here: the version strings of code and models (`composition.py` collects them).

A document is stale at a stage when the recorded fingerprint differs from the wanted one. Fingerprints of
parse, enrich and chunk do not depend on the document's name, so equal files share one artifact and a
moved file keeps what was computed; points and evidence carry the document's id, so theirs do.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.stages import Document, Stage, StageState, Status


@dataclass(frozen=True, slots=True)
class CollectionRules:
    """What a collection's policy says about the stages."""

    enrich: bool = True
    graph: bool = True
    local_only: bool = False


@dataclass(frozen=True, slots=True)
class Identities:
    """Code version, settings and model of each stage, as strings, and what differs by collection.

    local_only: those of stages that other models work on where content may not leave the company.
    """

    by_stage: Mapping[Stage, str]
    rules: Mapping[CollectionName, CollectionRules]
    default_rules: CollectionRules = CollectionRules()
    local_only: Mapping[Stage, str] = field(default_factory=dict)

    def of(self, stage: Stage, collection: CollectionName) -> str:
        """The identity of a stage for a collection."""
        confidential = self.rules_for(collection).local_only
        return self.local_only.get(stage, self.by_stage[stage]) if confidential else self.by_stage[stage]

    def rules_for(self, collection: CollectionName) -> CollectionRules:
        """The rules of a collection."""
        return self.rules.get(collection, self.default_rules)


def digest_of(*parts: str) -> str:
    """sha256 hex digest of the parts, unambiguous about where one ends."""
    hasher = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogateescape")
        hasher.update(len(data).to_bytes(8, "big"))
        hasher.update(data)
    return hasher.hexdigest()


def wanted_fingerprints(
    document: Document, identities: Identities, states: Mapping[Stage, StageState]
) -> dict[Stage, str]:
    """The fingerprint each stage of a document should have now, given its states.

    An enrichment that failed or was put off does not stop a document: it is chunked without descriptions, under a
    fingerprint of its own, so that an enrichment that succeeds later makes the chunks stale.
    """
    collection = document.collection
    rules = identities.rules_for(collection)
    parse = digest_of("parse", document.revision, document.suffix, identities.of(Stage.PARSE, collection))
    enrich = digest_of("enrich", parse, identities.of(Stage.ENRICH, collection) if rules.enrich else "off")
    enriched = states.get(Stage.ENRICH)
    missing = enriched is not None and enriched.status in (Status.FAILED, Status.DEFERRED)
    undescribed = enriched is not None and missing and enriched.fingerprint == enrich
    chunk = digest_of("chunk", enrich, identities.of(Stage.CHUNK, collection), "undescribed" if undescribed else "")
    embed = digest_of("embed", chunk, document.id, identities.of(Stage.EMBED, collection))
    graph = digest_of("graph", chunk, document.id, identities.of(Stage.GRAPH, collection) if rules.graph else "off")
    return {Stage.PARSE: parse, Stage.ENRICH: enrich, Stage.CHUNK: chunk, Stage.EMBED: embed, Stage.GRAPH: graph}
