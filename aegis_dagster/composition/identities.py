"""What the results of each stage depend on besides their inputs: settings, models and versions, as strings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aegis_dagster.chunking import CHUNKER_VERSION
from aegis_dagster.domain.attachments import MAIL_SUFFIXES
from aegis_dagster.domain.fingerprints import CollectionRules, Identities
from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.limits import DocumentLimits
from aegis_dagster.domain.llm import Classification
from aegis_dagster.domain.money import nano_usd
from aegis_dagster.domain.stages import Stage
from aegis_dagster.embedding.minilm import MiniLmEmbedder
from aegis_dagster.parsing.identity import parse_identity
from aegis_dagster.pictures.ocr import OcrDescriber
from aegis_dagster.pins import pinned
from aegis_dagster.settings.stages import CollectionPolicy
from aegis_dagster.stores.vectors.bm25 import SPARSE_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_dagster.composition.models import Models
    from aegis_dagster.office import Office
    from aegis_dagster.settings import Settings

PARSE_VERSION = "1"
ENRICH_VERSION = "1"
EMBED_VERSION = "1"


class _NoWorkers:
    """Stands in for the workers of OCR, which is only named here. Implements `ports.TaskRunner`."""

    async def run(self, task: str, payload: dict[str, Any], *, timeout_seconds: float) -> dict[str, Any]:
        """Raises AssertionError."""
        raise AssertionError("Nothing is run to name it.")


def identities_of(
    settings: Settings, choices: Models, pdf_route: str, office: Office | None, server: Mapping[str, str]
) -> Identities:
    """The identities under these settings.

    choices: names the models; office: converts old office files. Where it is installed later, those files alone are
    parsed again; where the limits of attachments change, mails alone; where the server that parses changes, what it
    parses. server: what depends on that one, by suffix.
    """
    ocr = OcrDescriber(_NoWorkers(), timeout_seconds=0)

    def by_model(stage: Stage, classification: Classification) -> str:
        """The identity of a stage whose model depends on who may see the content."""
        if stage is Stage.GRAPH:
            return choices.extractor_of(classification).name
        limits = f"{enrich.min_side_pixels}/{enrich.max_aspect}/{enrich.min_colors}"
        return f"{ENRICH_VERSION}/{choices.describer_of(classification, ocr).name}/{limits}"

    enrich, chunk, graph = settings.enrich, settings.chunk, settings.graph
    embedding, _ = choices.embedding_shape
    parse = f"{PARSE_VERSION}/{parse_identity(pdf_route, settings.parse.ocr)}{settings.parse.other_limits}"
    chunker = f"{CHUNKER_VERSION}/docling-core {pinned('docling-core')}"
    return Identities(
        by_stage={
            Stage.PARSE: parse,
            Stage.ENRICH: by_model(Stage.ENRICH, Classification.INTERNAL),
            Stage.CHUNK: f"{chunker}/{MiniLmEmbedder.model}/{chunk.max_tokens}/{chunk.merge_peers}",
            Stage.EMBED: f"{EMBED_VERSION}/{embedding}/{SPARSE_VERSION}/{settings.qdrant.collection}",
            Stage.GRAPH: by_model(Stage.GRAPH, Classification.INTERNAL),
        },
        local_only={stage: by_model(stage, Classification.CONFIDENTIAL) for stage in _of_confidential(settings)},
        rules={
            CollectionName(name): CollectionRules(
                policy.enrich and enrich.enabled, policy.graph and graph.enabled, bool(policy.local_only)
            )
            for name, policy in settings.policies.items()
        },
        default_rules=CollectionRules(enrich.enabled, graph.enabled, settings.local_only_by_default),
        limits=DocumentLimits(settings.limits.max_chunks, settings.limits.max_calls, nano_usd(settings.limits.max_usd)),
        by_suffix={**_by_suffix(settings, office), **server},
        by_suffix_local_only=None if settings.parse.serve.is_local else _by_suffix(settings, office),
        answer_tokens={Stage.ENRICH: enrich.max_answer_tokens, Stage.GRAPH: graph.max_answer_tokens},
    )


def _by_suffix(settings: Settings, office: Office | None) -> dict[str, str]:
    found: dict[str, str] = {}
    if office is not None:
        from aegis_dagster.parsing.formats import SUPPORTED

        converted = [suffix for suffix, kind in SUPPORTED.items() if kind in office.formats]
        found = dict.fromkeys(converted, f"LibreOffice {office.version}")
    if limits := settings.mail.other_limits:  # only mails depend on them
        found |= dict.fromkeys(MAIL_SUFFIXES, limits)
    return found


def _of_confidential(settings: Settings) -> list[Stage]:
    """The stages that work with a model on a confidential collection."""
    everybody = [CollectionPolicy(local_only=True)] if settings.local_only_by_default else []
    confidential = [policy for policy in (*settings.policies.values(), *everybody) if policy.local_only]
    wanted = {
        Stage.ENRICH: any(policy.enrich for policy in confidential),
        Stage.GRAPH: any(policy.graph for policy in confidential),
    }
    return [stage for stage, is_wanted in wanted.items() if is_wanted]
