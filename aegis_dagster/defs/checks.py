"""Asset checks: whether what the assets hold is right.

Belongs here: comparing stores with the catalog and with each other, per collection.
Does not belong here: repairing, paging.
"""

import warnings

import dagster as dg

from aegis_dagster.defs.assets import chunks, embeddings, knowledge_graph, parsed_documents
from aegis_dagster.defs.config import collections
from aegis_dagster.defs.failures import dagster_errors
from aegis_dagster.defs.metadata import failure_table
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.domain.stages import Stage

# Partitioned checks are a preview of dagster, which is pinned; every `dagster` command would say so otherwise.
warnings.filterwarnings("ignore", category=dg.PreviewWarning, message=".*partitions_def on an AssetCheckSpec.*")

_SAMPLE = 20  # documents named in a check's metadata


@dg.asset_check(asset=parsed_documents, partitions_def=collections, description="Every document could be parsed.")
def documents_parsed(context: dg.AssetCheckExecutionContext, project: ProjectResource) -> dg.AssetCheckResult:
    """WARN with the list of failed documents and their remedies."""
    with dagster_errors(project.seconds_before_retry):
        opened = project.open()
        documents = opened.documents.all(CollectionName(context.partition_key))
        failed = [item for item in opened.reports.failures(documents) if item.stage is Stage.PARSE]
    return dg.AssetCheckResult(
        passed=not failed,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(failed)} of {len(documents)} documents could not be parsed." if failed else None,
        metadata={"failed": len(failed), "failures": dg.MetadataValue.md(failure_table(failed))},
    )


@dg.asset_check(asset=chunks, partitions_def=collections, description="No document lost text in its chunks.")
def text_coverage(context: dg.AssetCheckExecutionContext, project: ProjectResource) -> dg.AssetCheckResult:
    """WARN with the documents whose share of text found in chunks is too low."""
    with dagster_errors(project.seconds_before_retry):
        opened = project.open()
        documents = opened.documents.all(CollectionName(context.partition_key))
        marked = opened.reports.marked(documents)
        shares = [facts["coverage"] for facts in opened.reports.facts(Stage.CHUNK, documents).values()]
    lines = [f"- `{document}`: {share:.2%}, missing: {sample[:100]}" for document, share, sample in marked[:_SAMPLE]]
    return dg.AssetCheckResult(
        passed=not marked,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "marked": len(marked),
            "lowest_coverage": min(shares, default=1.0),
            "documents": dg.MetadataValue.md("\n".join(lines)),
        },
    )


@dg.asset_check(
    asset=embeddings, partitions_def=collections, description="The vector store holds one point for every chunk."
)
def vectors_match_chunks(context: dg.AssetCheckExecutionContext, project: ProjectResource) -> dg.AssetCheckResult:
    """ERROR with the documents whose points and chunks differ. Repair: materialize `embeddings` with force."""
    with dagster_errors(project.seconds_before_retry):
        opened = project.open()
        documents = opened.documents.all(CollectionName(context.partition_key))
        expected = {
            document: int(facts["points"]) for document, facts in opened.reports.facts(Stage.EMBED, documents).items()
        }
        mine = {document.id for document in documents}
        stored = {
            document: count for document, count in opened.vectors.counts_by_document().items() if document in mine
        }
    return _comparison(expected, stored, "points", "`embeddings`")


@dg.asset_check(
    asset=knowledge_graph,
    partitions_def=collections,
    description="The evidence covers every chunk, and entities and relations are what the evidence adds up to.",
)
def graph_matches_evidence(context: dg.AssetCheckExecutionContext, project: ProjectResource) -> dg.AssetCheckResult:
    """ERROR with what differs. Repair: materialize `knowledge_graph` with force."""
    with dagster_errors(project.seconds_before_retry):
        opened = project.open()
        documents = opened.documents.all(CollectionName(context.partition_key))
        expected = {
            document: int(facts["chunks"]) for document, facts in opened.reports.facts(Stage.GRAPH, documents).items()
        }
        mine = {document.id for document in documents}
        stored = {
            document: count
            for document, count in opened.evidence.chunk_counts_by_document().items()
            if document in mine
        }
        mismatches = opened.evidence.verify(deep=False)
    result = _comparison(expected, stored, "chunks", "`knowledge_graph`")
    if not mismatches:
        return result
    return dg.AssetCheckResult(
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description="Entities or relations are not what their evidence adds up to.",
        metadata={"mismatches": dg.MetadataValue.md("\n".join(f"- {line}" for line in mismatches[:_SAMPLE]))},
    )


def _comparison(
    expected: dict[DocumentId, int], stored: dict[DocumentId, int], what: str, asset: str
) -> dg.AssetCheckResult:
    wrong = sorted(
        document for document in expected.keys() | stored.keys() if expected.get(document, 0) != stored.get(document, 0)
    )
    lines = [f"- `{name}`: {stored.get(name, 0)} {what}, expected {expected.get(name, 0)}" for name in wrong[:_SAMPLE]]
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{len(wrong)} documents differ: materialize {asset} with `force`." if wrong else None,
        metadata={
            "expected": sum(expected.values()),
            "stored": sum(stored.values()),
            "documents": dg.MetadataValue.md("\n".join(lines)),
        },
    )


CHECKS = [documents_parsed, text_coverage, vectors_match_chunks, graph_matches_evidence]
