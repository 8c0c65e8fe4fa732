"""The metadata that a materialization shows an operator.

Keys are stable, so that the UI can plot numbers over time.
"""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.markdown import escaped
from aegis_dagster.domain.seats import SeatPeaks
from aegis_dagster.domain.stages import ARTIFACT_STAGES, Stage, Status
from aegis_dagster.stages.context import StageReport
from aegis_dagster.stores.catalog.reports import FailedDocument
from aegis_dagster.stores.database import shown_database

# Views can be deleted: they are published again from the source of truth without any paid call.
_HOLDS: Mapping[Stage, str] = dict.fromkeys(Stage, "truth") | {Stage.EMBED: "view"}

_COLUMNS: Mapping[Stage, Sequence[tuple[str, str, str]]] = {
    Stage.PARSE: (
        ("format", "string", "what the bytes are, e.g. `pdf`"),
        ("route", "string", "who parsed it: `docling`, `docling-models`, `rules`, `office`, `plain-text`"),
        ("pages", "int", "0 where the format has none"),
        ("tables", "int", ""),
        ("pictures", "int", ""),
        ("characters", "int", "of text, table cells included"),
        ("ocr_pages", "int", "pages that were read by OCR"),
        ("warnings", "list[string]", ""),
        ("seconds", "float", "that parsing took"),
    ),
    Stage.ENRICH: (
        ("picture", "string", "JSON pointer into the document"),
        ("page", "int", "1-based; empty where the format has no pages"),
        ("file", "string", "the picture, relative to the parsed document"),
        ("text", "string", "the description"),
        ("described_by", "string", "model, or OCR"),
        ("skipped", "string", "why nobody looked at it"),
        ("fallback", "string", "why the text in the picture stands in for a description"),
    ),
    Stage.CHUNK: (
        ("ordinal", "int", "0-based position in the document"),
        ("text", "string", "the passage as a reader sees it, tables as Markdown"),
        ("embedded_text", "string", "what is embedded and extracted from: headings, then the passage"),
        ("headings", "list[string]", "outermost first"),
        ("pages", "list[int]", "1-based"),
        ("boxes", "list[box]", "in PDF points, origin at the page's top left"),
        ("pictures", "list[string]", "JSON pointers into the document"),
        ("token_count", "int", "of embedded_text, by the embedding model's tokenizer"),
    ),
    Stage.EMBED: (
        ("id", "uuid", "the chunk's id, the same as in the evidence"),
        ("dense", "list[float]", "by the embedding model"),
        ("sparse", "map[int, float]", "BM25"),
        ("document", "string", "path below the watched root"),
        ("collection", "string", ""),
        ("chunk", "uuid", "the same as the id"),
        ("ordinal", "int", "0-based position in the document"),
        ("pages", "list[int]", "1-based"),
        ("boxes", "list[list[float]]", "page, left, top, right, bottom in PDF points"),
        ("headings", "list[string]", "outermost first"),
        ("text_hash", "string", "of the text, which is in the artifact of `chunks`"),
        ("model", "string", "that embedded it"),
        ("fingerprint", "string", "of inputs, settings, code and model"),
    ),
    Stage.GRAPH: (
        ("chunk", "uuid", "what says it"),
        ("entity", "string", "name, type and description, as this chunk has them"),
        ("relation", "string", "two entities, keywords, description and weight"),
    ),
}

_COUNTED: Mapping[Stage, Mapping[str, Callable[[Mapping[str, int]], int]]] = {
    Stage.PARSE: {
        "documents_parsed": lambda facts: 1,
        "pages": lambda facts: facts.get("pages", 0),
        "tables": lambda facts: facts.get("tables", 0),
        "pictures": lambda facts: facts.get("pictures", 0),
    },
    Stage.ENRICH: {
        "pictures_with_description": lambda facts: facts.get("described", 0),
        "pictures": lambda facts: facts.get("pictures", 0),
    },
    Stage.CHUNK: {"chunks": lambda facts: facts.get("chunks", 0)},
    Stage.EMBED: {"chunks": lambda facts: facts.get("points", 0)},
    Stage.GRAPH: {
        "mentions": lambda facts: facts.get("mentions", 0),
        "relations": lambda facts: facts.get("relations", 0),
        "chunks": lambda facts: facts.get("chunks", 0),
    },
}


def seat_metadata(seats: SeatPeaks) -> dict[str, Any]:
    """What a stage had of a Ray cluster; all 0 where it had nothing to do there."""
    return {
        "ray/nodes": seats.nodes,
        "ray/lost_nodes": seats.lost_nodes,
        "ray/seats": seats.ready,
        "ray/longest_queue": seats.queue,
        "ray/lost_workers": seats.lost,
    }


def tags_of(stage: Stage) -> dict[str, str]:
    """The asset's tags, by which the asset graph can be filtered."""
    return {"aegis/stage": stage.value, "aegis/holds": _HOLDS[stage]}


def columns_of(stage: Stage) -> dict[str, dg.MetadataValue]:
    """The columns of the asset's content, with one row per document, picture, chunk or point."""
    columns = [dg.TableColumn(name, kind, description or None) for name, kind, description in _COLUMNS[stage]]
    return {"dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(columns))}


def holdings(stage: Stage, facts: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How much the asset holds, according to the recorded facts of each document; the first number counts its rows."""
    recorded = list(facts)
    return {name: sum(count(found) for found in recorded) for name, count in _COUNTED[stage].items()}


def uri_of(project: Project, stage: Stage) -> str:
    """The address of the asset's store, without a password."""
    if stage in ARTIFACT_STAGES:
        return project.artifacts.address(stage)
    if stage is Stage.EMBED:
        return project.settings.vectors_address
    return shown_database(project.engine.url)


_ROWS = 50  # of a table; the catalog has all: `aegis status --failed`
# What a stage can compute, so that a run without work plots a 0.
_WORK: Mapping[Stage, Sequence[str]] = {
    Stage.PARSE: ("parsed",),
    Stage.ENRICH: ("pictures_described",),
    Stage.CHUNK: ("chunked",),
    Stage.EMBED: ("chunks_embedded", "chunks_from_cache"),
    Stage.GRAPH: ("chunks_extracted", "chunks_unread"),
}
_REASONS = 10  # the amounts in them differ: there may be as many reasons as documents


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
        (item.document_id, f"{item.failure.code}: {item.failure.message} Remedy: {item.failure.remedy}")
        for item in failed[:_ROWS]
    ]
    table = markdown_table(("document", "reason and remedy"), rows)
    more = f"\n\n{len(failed) - _ROWS} more: `aegis status --failed`" if len(failed) > _ROWS else ""
    return table + more


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table. Its cells are shown as they are: what a document named or said does nothing in them."""
    lines = [[escaped(str(cell)) for cell in row] for row in (heads, *rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], ["---"] * len(heads), *lines[1:]])


def embedded(data: bytes, media_type: str, title: str) -> str:
    """A picture in Markdown itself: Dagster's UI shows `data:` and fetches nothing from anywhere."""
    return f"![{title}](data:{media_type};base64,{base64.b64encode(data).decode('ascii')})"
