"""A look at what a stage made, as Markdown for the UI.

Belongs here: one small preview a stage. Does not belong here: counts and failures (`metadata.py`).
"""

import json
from collections.abc import Sequence

from aegis_dagster.composition import Project
from aegis_dagster.domain.stages import Document, Stage
from aegis_dagster.errors import DocumentError
from aegis_dagster.stages.chunk import read_chunks
from aegis_dagster.stages.enrich import read_descriptions

_CHARACTERS = 1500


def preview_of(project: Project, stage: Stage, documents: Sequence[Document]) -> str:
    """A preview of the first document that has something to show; "" where none has."""
    if stage is Stage.GRAPH:
        names = [f"- **{entity.name}** ({entity.type})" for entity in project.graph.biggest_entities(15)]
        return "\n".join(["Biggest entities of all collections:", "", *names]) if names else ""
    facts = project.reports.facts(stage, documents)
    for document in documents:
        if document.id not in facts:
            continue
        try:
            text = _document_preview(project, stage, document)
        except (
            DocumentError,
            OSError,
            ValueError,
            KeyError,
        ):  # another run works on it now, or it was damaged: no preview
            continue
        if text:
            return f"From `{document.id}`:\n\n{text[:_CHARACTERS]}"
    return ""


def _document_preview(project: Project, stage: Stage, document: Document) -> str:
    _, wanted = project.reports.wanted(document)
    if stage is Stage.PARSE:
        parsed = json.loads((project.artifacts.path(stage, wanted[stage]) / "document.json").read_text("utf-8"))
        return "\n\n".join(item["text"] for item in parsed.get("texts", [])[:20] if item.get("text"))
    if stage is Stage.ENRICH:
        entries = read_descriptions(project.artifacts.path(stage, wanted[stage]))
        return "\n".join(f"- page {entry['page']}: {entry['text']}" for entry in entries[:10] if entry["text"])
    chunks = read_chunks(project.artifacts.path(Stage.CHUNK, wanted[Stage.CHUNK]))
    return chunks[0].text if chunks else ""
