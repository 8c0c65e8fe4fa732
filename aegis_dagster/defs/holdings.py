"""What the assets hold: where, how much, in which columns.

Belongs here: what an operator reads of an asset's store beside its description.
Does not belong here: what a run did (`metadata.py`), looks at contents (`previews.py`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from aegis_dagster.composition import Project
from aegis_dagster.domain.stages import ARTIFACT_STAGES, Stage

# Views can be dropped: they are published again from the truth, without one paid call.
_HOLDS: Mapping[Stage, str] = dict.fromkeys(Stage, "truth") | {Stage.EMBED: "view"}

_COLUMNS: Mapping[Stage, Sequence[tuple[str, str, str]]] = {
    Stage.PARSE: (
        ("format", "string", "what the bytes are, e.g. `pdf`"),
        ("route", "string", "who parsed it: `docling`, `docling-models`, `rules`, `plain-text`"),
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


def tags_of(stage: Stage) -> dict[str, str]:
    """The asset's tags: what the graph can be filtered by."""
    return {"aegis/stage": stage.value, "aegis/holds": _HOLDS[stage]}


def columns_of(stage: Stage) -> dict[str, dg.MetadataValue]:
    """The columns of what the asset holds, one row a document, picture, chunk or point."""
    columns = [dg.TableColumn(name, kind, description or None) for name, kind, description in _COLUMNS[stage]]
    return {"dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(columns))}


def holdings(stage: Stage, facts: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How much the asset holds, by what was recorded of each document; the first number counts its rows."""
    recorded = list(facts)
    return {name: sum(count(found) for found in recorded) for name, count in _COUNTED[stage].items()}


def uri_of(project: Project, stage: Stage) -> str:
    """Where the asset's store is; without a password."""
    if stage in ARTIFACT_STAGES:
        return (project.artifacts.root / stage).absolute().as_uri()
    if stage is Stage.EMBED:
        return project.settings.qdrant_dir.absolute().as_uri()
    return project.engine.url.render_as_string(hide_password=True)
