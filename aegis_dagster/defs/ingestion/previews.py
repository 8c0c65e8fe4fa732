"""A preview of a stage's results, as Markdown for the UI."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.ingestion.graph_picture import DrawnEntity, draw_graph
from aegis_dagster.defs.ingestion.metadata import embedded, markdown_table
from aegis_dagster.defs.ingestion.page_preview import first_page
from aegis_dagster.domain.chunks import Chunk
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.markdown import escaped, structure_only
from aegis_dagster.domain.stages import Document, Stage
from aegis_dagster.pictures.shrinking import shrunk
from aegis_dagster.stages.chunk import read_chunks
from aegis_dagster.stages.enrich import read_descriptions
from aegis_dagster.stages.reading import read_json

logger = logging.getLogger(__name__)

_TRIED = 20  # documents to try
_CHARACTERS = 1500  # of a page
_CHUNKS, _CHUNK_CHARACTERS = 3, 500
_POINTS, _POINT_CHARACTERS = 10, 80
_PICTURES, _PICTURE_PIXELS = 3, 320
_PICTURE_BYTES = 40_000  # a larger one is only described: the text stands in Dagster's event log for ever
_BIGGEST, _NEIGHBOURS = 8, 5


def preview_of(
    project: Project, stage: Stage, documents: Sequence[Document], facts: Mapping[DocumentId, Mapping[str, Any]]
) -> str:
    """A preview of the first document that has something to show; "" where none has. Raises nothing.

    facts: what was recorded of the documents that are done at the stage.
    """
    if stage is Stage.GRAPH:
        return _or_nothing(partial(_graph, project))
    shown = [one for one in documents if one.id in facts and facts[one.id].get("described") != 0]
    for document in shown[:_TRIED]:
        text = _or_nothing(partial(_document_preview, project, stage, document))
        if text:
            return f"From {escaped(document.id)}:\n\n{text}"
    return ""


def _or_nothing(look: Callable[[], str]) -> str:
    """A preview may fail (another run works on the document, it is damaged or unusual); the stage's work is done."""
    try:
        return look()
    except Exception:
        logger.warning("There is no preview.", exc_info=True)
        return ""


def _document_preview(project: Project, stage: Stage, document: Document) -> str:
    wanted = project.states.one(document).wanted
    if stage is Stage.PARSE:
        parsed = read_json(project.artifacts.path(stage, wanted[stage]) / "document.json")
        return first_page(parsed, _CHARACTERS)
    if stage is Stage.ENRICH:
        return _pictures(project, wanted[Stage.PARSE], wanted[stage])
    chunks = read_chunks(project.artifacts.path(Stage.CHUNK, wanted[Stage.CHUNK]))
    if stage is Stage.CHUNK:
        return "\n\n---\n\n".join(_chunk(chunk) for chunk in chunks[:_CHUNKS])
    lines = [(*_place(chunk), chunk.token_count, _shortened(chunk.text, _POINT_CHARACTERS)) for chunk in chunks]
    return markdown_table(("headings", "pages", "tokens", "passage"), lines[:_POINTS]) if lines else ""


def _place(chunk: Chunk) -> tuple[str, str]:
    return " › ".join(chunk.headings), ", ".join(str(page) for page in chunk.pages)


def _chunk(chunk: Chunk) -> str:
    """A chunk's place, then its text."""
    headings, pages = _place(chunk)
    parts = [
        f"**{escaped(headings)}**" if headings else "",
        f"page {pages}" if pages else "",
        f"{chunk.token_count} tokens",
    ]
    return (
        " · ".join(part for part in parts if part) + "\n\n" + structure_only(_shortened(chunk.text, _CHUNK_CHARACTERS))
    )


def _shortened(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[:characters].rstrip() + " …"


def _pictures(project: Project, parsed: str, enriched: str) -> str:
    """Pictures with their descriptions, where they have one."""
    entries = [entry for entry in read_descriptions(project.artifacts.path(Stage.ENRICH, enriched)) if entry["text"]]
    shown = []
    for entry in entries[:_PICTURES]:
        page = f"page {entry['page']}, " if entry["page"] else ""
        picture = shrunk(project.artifacts.path(Stage.PARSE, parsed) / entry["file"], _PICTURE_PIXELS)
        image = embedded(picture.data, picture.media_type, "picture") if len(picture.data) <= _PICTURE_BYTES else ""
        by, said = escaped(entry["described_by"]), structure_only(entry["text"])
        shown.append(f"{image}\n\n{page}described by {by}:\n\n{said}".strip())
    return "\n\n---\n\n".join(shown)


def _graph(project: Project) -> str:
    """The biggest entities of all collections with their nearest neighbours, drawn, and as a table."""
    biggest = project.graph.biggest_entities(_BIGGEST)
    if not biggest:
        return ""
    entities = {entity.key: entity for entity in biggest}
    weights: dict[tuple[str, str], int] = {}
    for entity in biggest:
        for near in project.graph.neighbours(entity, _NEIGHBOURS):
            entities.setdefault(near.entity.key, near.entity)
            pair = (min(entity.key, near.entity.key), max(entity.key, near.entity.key))
            weights[pair] = max(weights.get(pair, 0), near.relation.weight_milli)
    drawn = draw_graph(
        [DrawnEntity(one.key, one.name, one.type, one.chunk_count) for one in entities.values()],
        [(one, other, weight) for (one, other), weight in weights.items()],
    )
    lines = [(one.name, one.type, one.chunk_count, one.document_count) for one in biggest]
    return "\n\n".join(
        [
            "The biggest entities of all collections and their nearest neighbours:",
            embedded(drawn, "image/png", "neighbourhood of the biggest entities"),
            markdown_table(("entity", "type", "passages", "documents"), lines),
        ]
    )
