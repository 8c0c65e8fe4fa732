"""What a materialization shows an operator.

Belongs here: metadata of a stage's run. Keys are stable, so that the UI plots numbers over time.
Does not belong here: counting (`stages/report.py`), layout of the command line (`cli/`).
"""

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.stages.report import StageReport
from aegis_dagster.stores.standing import FailedDocument

_ROWS = 50  # of a table; the catalog has all: `aegis status --failed`
# What a stage may really compute, so that a run without work plots a 0.
_WORK: Mapping[Stage, Sequence[str]] = {
    Stage.PARSE: ("parsed",),
    Stage.ENRICH: ("pictures_described",),
    Stage.CHUNK: ("chunked",),
    Stage.EMBED: ("chunks_embedded", "chunks_from_cache"),
    Stage.GRAPH: ("chunks_extracted", "chunks_unread"),
}
_REASONS = 10  # the amounts in them differ, so that there may be as many as documents


def stage_metadata(
    report: StageReport, failed: Sequence[FailedDocument], held: Mapping[str, int], preview: str
) -> Mapping[str, dg.MetadataValue]:
    """Counts, seconds, work done, failures with remedies, a preview. held: what the asset holds, its rows first."""
    work = dict.fromkeys(_WORK[report.stage], 0) | report.work
    metadata: dict[str, dg.MetadataValue] = {
        "documents": dg.MetadataValue.int(report.documents),
        "documents_done": dg.MetadataValue.int(report.outcomes[Status.DONE]),
        "documents_up_to_date": dg.MetadataValue.int(report.up_to_date),
        "documents_skipped": dg.MetadataValue.int(report.outcomes[Status.SKIPPED]),
        "documents_failed": dg.MetadataValue.int(len(failed)),
        "documents_waiting": dg.MetadataValue.int(report.blocked),
        "documents_deferred": dg.MetadataValue.int(report.outcomes[Status.DEFERRED]),
        "seconds": dg.MetadataValue.float(round(report.seconds, 3)),
        "dagster/partition_row_count": dg.MetadataValue.int(next(iter(held.values()))),
    }
    metadata |= {name: dg.MetadataValue.int(count) for name, count in held.items()}
    metadata |= {f"work/{name}": dg.MetadataValue.int(count) for name, count in sorted(work.items())}
    if report.skipped:
        metadata["skipped_because"] = dg.MetadataValue.json(dict(report.skipped))
    if report.deferred:
        metadata["deferred_because"] = dg.MetadataValue.json(dict(report.deferred.most_common(_REASONS)))
    if failed:
        metadata["failures"] = dg.MetadataValue.md(failure_table(failed))
    if preview:
        metadata["preview"] = dg.MetadataValue.md(preview)
    return metadata


def failure_table(failed: Sequence[FailedDocument]) -> str:
    """Failed documents as a Markdown table with reasons and remedies."""
    # Two columns: the page of an asset gives a table so little room that it would cut the remedy off.
    rows = [
        (item.document_id, f"`{item.failure.code}` {item.failure.message} **Remedy:** {item.failure.remedy}")
        for item in failed[:_ROWS]
    ]
    table = markdown_table(("document", "reason and remedy"), rows)
    more = f"\n\n{len(failed) - _ROWS} more: `aegis status --failed`" if len(failed) > _ROWS else ""
    return table + more


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    escaped = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in (heads, *rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [escaped[0], ["---"] * len(heads), *escaped[1:]])


def only_text(text: str) -> str:
    """Markdown of a document without what a browser would fetch or obey: its pictures and HTML become text."""
    return text.replace("![", "!\\[").replace("<", "&lt;")
