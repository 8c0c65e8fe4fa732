"""Fingerprints: one hash over everything that the result of a stage depends on.

A document is stale at a stage when the recorded fingerprint differs from the wanted one. Fingerprints of
parse, enrich and chunk do not depend on the document's name, so equal files share one artifact and a
moved file keeps its results; those of embed and graph do, because points and evidence contain its id.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from aegis_dagster.domain.collection_names import require_exact
from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.limits import NO_LIMITS, DocumentLimits
from aegis_dagster.domain.stages import Document, Stage, StageState, Status


@dataclass(frozen=True, slots=True)
class CollectionRules:
    """A collection's policy for the stages."""

    enrich: bool = True
    graph: bool = True
    local_only: bool = False


@dataclass(frozen=True, slots=True)
class Identities:
    """Code version, settings and model of each stage as strings, and how they differ by collection.

    local_only: the identities for stages that use other models if content must not leave the company.
    limits: of one document; no result depends on them, but whether it is made.
    answer_tokens: the most tokens of a model's answer, by stage; only results with cut answers depend on it.
    by_suffix: what parsing a file of that suffix depends on besides, e.g. another program.
    by_suffix_local_only: the same where content must not leave the company; None: as elsewhere.
    """

    by_stage: Mapping[Stage, str]
    rules: Mapping[CollectionName, CollectionRules]
    default_rules: CollectionRules = CollectionRules()
    local_only: Mapping[Stage, str] = field(default_factory=dict)
    limits: DocumentLimits = NO_LIMITS
    answer_tokens: Mapping[Stage, int] = field(default_factory=dict)
    by_suffix: Mapping[str, str] = field(default_factory=dict)
    by_suffix_local_only: Mapping[str, str] | None = None
    _framed: dict[CollectionName, tuple[bytes, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def of(self, stage: Stage, collection: CollectionName) -> str:
        """The identity of a stage for a collection."""
        confidential = self.rules_for(collection).local_only
        return self.local_only.get(stage, self.by_stage[stage]) if confidential else self.by_stage[stage]

    def suffixes_in(self, collection: CollectionName) -> Mapping[str, str]:
        """`by_suffix` for a collection."""
        if self.by_suffix_local_only is None or not self.rules_for(collection).local_only:
            return self.by_suffix
        return self.by_suffix_local_only

    def rules_for(self, collection: CollectionName) -> CollectionRules:
        """The rules of a collection. Raises ConfigurationError if rules are stated for nearly its name."""
        found = self.rules.get(collection)
        if found is None:
            require_exact(collection, self.rules, setting="collections")
        return found or self.default_rules

    def framed(self, collection: CollectionName) -> tuple[bytes, ...]:
        """What each stage of a collection depends on besides its input, encoded for hashing; "off" if it is skipped.

        Cached for each collection, because every document needs it.
        """
        found = self._framed.get(collection)
        if found is None:
            rules = self.rules_for(collection)
            left_out = {Stage.ENRICH: not rules.enrich, Stage.GRAPH: not rules.graph}
            parts = ["off" if left_out.get(stage) else self.of(stage, collection) for stage in Stage]
            found = self._framed[collection] = tuple(_framed(part) for part in parts)
        return found


def digest_of(*parts: str) -> str:
    """sha256 hex digest of the parts; their boundaries are part of it."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(_framed(part))
    return hasher.hexdigest()


def _framed(part: str) -> bytes:
    data = part.encode("utf-8", "surrogateescape")
    return len(data).to_bytes(8, "big") + data


# Computed once, not for each of a hundred thousand documents.
_STAGES = tuple(Stage)
_ENRICH, _WITHOUT = Stage.ENRICH, (Status.FAILED, Status.DEFERRED)
_PARSE = _framed(Stage.PARSE)
_ENRICHED, _CHUNKED, _EMBEDDED, _GRAPHED = (  # what follows is a fingerprint, framed
    _framed(stage) + (64).to_bytes(8, "big") for stage in (Stage.ENRICH, Stage.CHUNK, Stage.EMBED, Stage.GRAPH)
)
_DESCRIBED, _UNDESCRIBED = _framed(""), _framed("undescribed")


def wanted_fingerprints(
    document: Document, identities: Identities, states: Mapping[Stage, StageState]
) -> dict[Stage, str]:
    """The fingerprint that each stage of a document should have now, given its states.

    A failed or deferred enrichment does not stop a document: it is chunked without descriptions, under a separate
    fingerprint, so that an enrichment that succeeds later makes the chunks stale.
    """
    enriched = states.get(_ENRICH)
    without = enriched.fingerprint if enriched is not None and enriched.status in _WITHOUT else ""
    of = (document.id, document.collection, document.revision, document.suffix, document.context)
    return dict(zip(_STAGES, fingerprints_of(identities, *of, without=without), strict=True))


def fingerprints_of(
    identities: Identities,
    document_id: str,
    collection: CollectionName,
    revision: str,
    suffix: str,
    context: str,
    without: str = "",
) -> tuple[str, str, str, str, str]:
    """The same of the columns of a document, in the order of the stages.

    without: the fingerprint of an enrichment that failed or was deferred.
    """
    # `digest_of` of a stage's name, its input, and what else it depends on; inlined, because it runs for every
    # document whenever a million are read.
    sha256, (of_parse, of_enrich, of_chunk, of_embed, of_graph) = hashlib.sha256, identities.framed(collection)
    by_suffix = identities.suffixes_in(collection)
    of_suffix = _framed(by_suffix[suffix]) if suffix in by_suffix else b""
    parse = sha256(_PARSE + _framed(revision) + _framed(suffix) + of_parse + of_suffix).hexdigest()
    enrich = sha256(_ENRICHED + parse.encode() + of_enrich).hexdigest()
    described = _UNDESCRIBED if without == enrich else _DESCRIBED
    of_context = _framed(context) if context else b""
    chunk = sha256(_CHUNKED + enrich.encode() + of_chunk + described + of_context).hexdigest()
    named = chunk.encode() + _framed(document_id)
    embed, graph = sha256(_EMBEDDED + named + of_embed).hexdigest(), sha256(_GRAPHED + named + of_graph).hexdigest()
    return parse, enrich, chunk, embed, graph
