"""Asset checks of a collection: whether the assets hold its documents correctly."""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.ingestion.config import collections
from aegis_dagster.defs.ingestion.metadata import failure_table
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.domain.markdown import escaped
from aegis_dagster.domain.stages import UNREAD, UNREAD_WHY, Document, Stage
from aegis_dagster.errors import FailureCode
from aegis_dagster.stores.catalog.reports import FailedDocument, MarkedDocument

# Partitioned checks are a preview of dagster, which is pinned; every `dagster` command would print the warning.
warnings.filterwarnings("ignore", category=dg.PreviewWarning, message=".*partitions_def on an AssetCheckSpec.*")

_SAMPLE = 20  # documents named in a check's metadata
_MORE_ROOM = (
    " Answers about the chunks under `cut` reached a limit: raise graph.max_answer_tokens, or the context length of a "
    "local model, which Ollama takes from OLLAMA_CONTEXT_LENGTH."
)
_NAMED = 3  # documents named in a check's description, which is also sent in a page

Evaluate = Callable[[Project, Sequence[Document]], dg.AssetCheckResult]


@dataclass(frozen=True, slots=True)
class CollectionCheck:
    """A check of one asset that is evaluated for each collection."""

    asset: str
    description: str
    evaluate: Evaluate  # of all documents that the collection has now

    @property
    def key(self) -> dg.AssetCheckKey:
        """The check's key in Dagster."""
        return dg.AssetCheckKey(dg.AssetKey(self.asset), self.evaluate.__name__)

    def definition(self) -> dg.AssetChecksDefinition:
        """The check for Dagster: a run evaluates it after it has materialized the asset."""

        @dg.asset_check(
            asset=dg.AssetKey(self.asset),
            name=self.evaluate.__name__,
            partitions_def=collections,
            description=self.description,
        )
        def evaluated(context: dg.AssetCheckExecutionContext, project: ProjectResource) -> dg.AssetCheckResult:
            with project.dagster_errors():
                opened = project.open()
                return self.evaluate(opened, opened.documents.all(CollectionName(context.partition_key)))

        return evaluated


def documents_parsed(project: Project, documents: Sequence[Document]) -> dg.AssetCheckResult:
    """WARN with the list of failed documents and their remedies."""
    failed = [item for item in project.reports.failures(documents) if item.stage is Stage.PARSE]
    return dg.AssetCheckResult(
        passed=not failed,
        severity=dg.AssetCheckSeverity.WARN,
        description=_not_parsed(failed, len(documents)) if failed else None,
        metadata={"failed": len(failed), "failures": dg.MetadataValue.md(failure_table(failed))},
    )


def _not_parsed(failed: Sequence[FailedDocument], documents: int) -> str:
    named = "; ".join(
        escaped(f"{item.document_id}: {item.failure.message} Remedy: {item.failure.remedy}") for item in failed[:_NAMED]
    )
    more = f"; {len(failed) - _NAMED} more in `failures`" if len(failed) > _NAMED else ""
    return f"{len(failed)} of {documents} documents could not be parsed. {named}{more}"


def text_coverage(project: Project, documents: Sequence[Document]) -> dg.AssetCheckResult:
    """WARN with the documents of which text is in no chunk, with examples and their places."""
    marked = project.reports.marked(documents)
    shares = [facts["coverage"] for facts in project.reports.facts(Stage.CHUNK, documents).values()]
    lines = [
        f"- {escaped(item.document_id)}: {item.coverage:.2%}, {item.losses} passages: {_examples(item, _SAMPLE)}"
        for item in marked[:_SAMPLE]
    ]
    named = "; ".join(f"{escaped(item.document_id)} ({_examples(item, 1)})" for item in marked[:_NAMED])
    left_out = project.reports.left_out(documents)
    return dg.AssetCheckResult(
        passed=not marked,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(marked)} documents have text that is in no chunk: {named}"
        f"{'; ...' if len(marked) > _NAMED else ''}. Remedy: compare `aegis show DOCUMENT --chunks` with the file."
        if marked
        else None,
        metadata={
            "marked": len(marked),
            "lowest_coverage": min(shares, default=1.0),
            "documents": dg.MetadataValue.md("\n".join(lines)),
            "left_out_on_purpose": sum(left_out.values()),
            "left_out_by_reason": dg.MetadataValue.json(left_out),
        },
    )


def _examples(item: MarkedDocument, most: int) -> str:
    """The first passages that are missing, each with its place; a document chunked long ago has only a sample."""
    said = [f"{place}: {text[:100]}" for place, text in item.missing[:most]] or [item.missing_sample[:100]]
    return escaped("; ".join(said))


def vectors_match_chunks(project: Project, documents: Sequence[Document]) -> dg.AssetCheckResult:
    """ERROR with the documents whose points and chunks differ. Repair: materialize with `force_from: embed`."""
    expected = {
        document: int(facts["points"]) for document, facts in project.reports.facts(Stage.EMBED, documents).items()
    }
    return _comparison(expected, project.vectors.counts_by_document(), documents, "points", Stage.EMBED)


def graph_matches_evidence(project: Project, documents: Sequence[Document]) -> dg.AssetCheckResult:
    """ERROR with the differences. Repair: materialize with `force_from: graph`."""
    expected = {
        document: int(facts["chunks"]) for document, facts in project.reports.facts(Stage.GRAPH, documents).items()
    }
    result = _comparison(expected, project.evidence.chunk_counts_by_document(), documents, "chunks", Stage.GRAPH)
    mismatches = project.evidence.verify(deep=False)
    if not mismatches:
        return result
    return dg.AssetCheckResult(
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description="Entities or relations are not what their evidence adds up to.",
        metadata={"mismatches": dg.MetadataValue.md("\n".join(f"- {escaped(line)}" for line in mismatches[:_SAMPLE]))},
    )


def pictures_described_by_model(project: Project, documents: Sequence[Document]) -> dg.AssetCheckResult:
    """WARN with the documents whose pictures no model would describe, or not to the end."""
    facts = project.reports.facts(Stage.ENRICH, documents)
    fallback = Counter({document: int(found.get("fallback", 0)) for document, found in facts.items()})
    with_text = sum(int(found.get("described", 0)) for found in facts.values())
    unread = Counter({document: sum(found.get(UNREAD, {}).values()) for document, found in facts.items()})
    affected = [(document, count) for document, count in (fallback + unread).most_common() if count]
    return dg.AssetCheckResult(
        passed=not affected,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"OCR stands in for the model in {fallback.total()} pictures, and {unread.total()} were not read "
        f"to the end, of {len(affected)} documents: materialize with `force_from: enrich`, raise "
        "enrich.max_answer_tokens, or choose another vision model."
        if affected
        else None,
        metadata={
            "pictures_with_text": with_text,
            "pictures_fallback": fallback.total(),
            "pictures_unread": unread.total(),
            "documents": dg.MetadataValue.md(
                "\n".join(f"- {escaped(document)}: {count} pictures" for document, count in affected[:_SAMPLE])
            ),
        },
    )


def chunks_read(project: Project, documents: Sequence[Document]) -> dg.AssetCheckResult:
    """WARN with the chunks that no model read to the end, by error code, and the documents that failed of them."""
    facts = project.reports.facts(Stage.GRAPH, documents)
    failed = [item for item in project.reports.failures(documents) if item.stage is Stage.GRAPH]
    unread: dict[str, dict[str, int]] = {
        str(document): found[UNREAD] for document, found in facts.items() if found.get(UNREAD)
    }
    by_code: Counter[str] = Counter()
    for codes in unread.values():
        by_code.update(codes)
    why = Counter(f"{code}: {reason}" for found in facts.values() for code, reason in found.get(UNREAD_WHY, {}).items())
    lines = [
        escaped(f"{name}: " + ", ".join(f"{n} {code}" for code, n in codes.items())) for name, codes in unread.items()
    ]
    return dg.AssetCheckResult(
        passed=not unread and not failed,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{by_code.total()} chunks of {len(unread)} documents were not read to the end, {len(failed)} "
        "documents failed: materialize with `force_from: graph`, which asks only for what is missing."
        + (_MORE_ROOM if by_code[FailureCode.CUT] else "")
        if unread or failed
        else None,
        metadata={
            "chunks": sum(int(found.get("chunks", 0)) for found in facts.values()),
            "chunks_unread": by_code.total(),
            "documents_failed": len(failed),
            **{f"unread/{code}": count for code, count in sorted(by_code.items())},
            "documents": dg.MetadataValue.md("\n".join(f"- {line}" for line in lines[:_SAMPLE])),
            "failures": dg.MetadataValue.md(failure_table(failed)),
            "reasons": dg.MetadataValue.text("\n".join(f"{n} documents: {reason}" for reason, n in why.most_common(5))),
        },
    )


def _comparison(
    expected: Mapping[DocumentId, int],
    everywhere: Mapping[DocumentId, int],
    documents: Sequence[Document],
    what: str,
    stage: Stage,
) -> dg.AssetCheckResult:
    mine = {document.id for document in documents}
    stored = {document: count for document, count in everywhere.items() if document in mine}
    wrong = sorted(
        document for document in expected.keys() | stored.keys() if expected.get(document, 0) != stored.get(document, 0)
    )
    lines = [
        f"- {escaped(name)}: {stored.get(name, 0)} {what}, expected {expected.get(name, 0)}" for name in wrong[:_SAMPLE]
    ]
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{len(wrong)} documents differ: materialize with `force_from: {stage}`." if wrong else None,
        metadata={
            "expected": sum(expected.values()),
            "stored": sum(stored.values()),
            "documents": dg.MetadataValue.md("\n".join(lines)),
        },
    )


COLLECTION_CHECKS = [
    CollectionCheck(
        "parsed_documents",
        "Every document could be parsed. Otherwise `failures` names each with its reason and remedy; the others went "
        "on.",
        documents_parsed,
    ),
    CollectionCheck(
        "enriched_images",
        "Where a model describes the pictures, the text in the picture stands in for no description. Otherwise "
        "materialize with `force_from: enrich`, which asks again, or choose another vision model.",
        pictures_described_by_model,
    ),
    CollectionCheck(
        "chunks",
        "The chunks of each document hold the text of its file, as a second, simple reader finds it. Otherwise compare "
        "`aegis show DOCUMENT --chunks` with the file.",
        text_coverage,
    ),
    CollectionCheck(
        "embeddings",
        "The vector store holds one point for every chunk. Repair: materialize with `force_from: embed`.",
        vectors_match_chunks,
    ),
    CollectionCheck(
        "knowledge_graph",
        "The evidence covers every chunk, and entities and relations are what the evidence adds up to. Repair: "
        "materialize with `force_from: graph`.",
        graph_matches_evidence,
    ),
    CollectionCheck(
        "knowledge_graph",
        "Every chunk could be read to the end. Otherwise materialize with `force_from: graph`: it asks only for what "
        "is missing.",
        chunks_read,
    ),
]

CHECKS = [check.definition() for check in COLLECTION_CHECKS]
