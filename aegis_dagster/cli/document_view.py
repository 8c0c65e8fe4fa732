"""The view of one document: its stages, chunks and pictures, what is missing in its chunks, what is left out of it."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aegis_dagster.cli.output import out
from aegis_dagster.cli.terminal import escape, escape_lines
from aegis_dagster.cli.views import by_reason, missing_line
from aegis_dagster.composition.damage import folder_to_read
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.chunks import locate
from aegis_dagster.domain.stages import ARTIFACT_STAGES, CUT_AT, LEFT_OUT, Stage
from aegis_dagster.stages.chunk import read_chunks
from aegis_dagster.stages.enrich import read_descriptions

_ON_LINES_OF_THEIR_OWN = ("missing", "missing_sample", "losses", LEFT_OUT)


def document_values(project: Project, name: str) -> dict[str, Any]:
    """The JSON contract of `show`. Raises UnknownDocument."""
    document = project.reports.find(name)
    state = project.states.one(document)
    parsed, enriched, chunked = (_folder(project, stage, state.wanted[stage]) for stage in ARTIFACT_STAGES)
    chunks = locate(document.id, read_chunks(chunked)) if chunked.is_dir() else []
    markdown = (chunked / "document.md").read_text("utf-8") if chunked.is_dir() else ""
    return {
        "document": document.id,
        "status": str(state.status),
        "markdown": markdown,
        "chunks": [
            {
                "chunk": item.id,
                "pages": list(item.chunk.pages),
                "boxes": [asdict(box) for box in item.chunk.boxes],
                "headings": list(item.chunk.headings),
                "text": item.chunk.text,
            }
            for item in chunks
        ],
        "pictures": [
            {
                "page": entry["page"],
                "description": entry["text"],
                "described_by": entry["described_by"],
                "skipped": entry["skipped"],
                "cut": CUT_AT in entry,
                "file": str(parsed / entry["file"]),
            }
            for entry in read_descriptions(enriched)
        ],
        "stages": {
            str(stage): {
                "status": str(one.status),
                "facts": one.facts,
                "code": one.failure.code if one.failure else None,
            }
            for stage in Stage
            if (one := state.recorded.get(stage)) is not None
        },
    }


def _folder(project: Project, stage: Stage, fingerprint: str) -> Path:
    """The folder of a result, which need not exist yet. Raises DocumentError ARTIFACT_DAMAGED, and resets it."""
    if project.artifacts.exists(stage, fingerprint):
        return folder_to_read(project, stage, fingerprint)
    return project.artifacts.path(stage, fingerprint)


def print_document(values: dict[str, Any], *, markdown: bool, chunks: bool, pictures: bool) -> None:
    """Print the chosen parts of a document."""
    out.print(f"[bold]{escape(values['document'])}[/] ({values['status']})")
    for stage, state in values["stages"].items():
        facts = ", ".join(
            f"{key}: {value}"
            for key, value in state["facts"].items()
            if value not in ("", [], None) and key not in _ON_LINES_OF_THEIR_OWN
        )
        out.print(f"  {stage}: {state['status']}  [dim]{escape(facts)}[/]")
        _print_missing(state["facts"])
    if markdown:
        out.print("\n" + values["markdown"], markup=False)
    if chunks:
        for number, chunk in enumerate(values["chunks"], 1):
            out.print(
                f"\n[bold]chunk {number}[/] pages {chunk['pages']} [cyan]{escape(' › '.join(chunk['headings']))}[/]"
            )
            out.print(chunk["text"], markup=False)
    if pictures:
        for picture in values["pictures"]:
            said = picture["description"] or f"({picture['skipped'] or 'no text found'})"
            cut = " [yellow](cut)[/]" if picture["cut"] else ""
            out.print(f"\n[bold]picture[/] page {picture['page']} {escape(picture['file'])}{cut}\n{escape_lines(said)}")


def _print_missing(facts: Mapping[str, Any]) -> None:
    """What is in no chunk of a document, and what is left out of it on purpose."""
    if missing := facts.get("missing"):
        out.print("    [yellow]in no chunk, though it is in the file:[/]")
        for item in missing:
            out.print(f"      {missing_line(item)}")
        if (more := facts["losses"] - len(missing)) > 0:
            out.print(f"      and {more} more")
    if facts.get(LEFT_OUT):
        out.print(f"    left out on purpose: {by_reason(facts[LEFT_OUT])}")
