"""The views of the commands: values for `--json`, tables and text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from rich.table import Table

from aegis_dagster.cli.output import out
from aegis_dagster.cli.terminal import escape, escape_lines
from aegis_dagster.domain.identifiers import ChunkId
from aegis_dagster.domain.stages import Document, Stage, Status

if TYPE_CHECKING:
    from aegis_dagster.composition.project import Project
    from aegis_dagster.domain.chunks import LocatedChunk
    from aegis_dagster.search import PassageHit
    from aegis_dagster.stores.evidence.queries import Sourced

_PASSAGE_CHARACTERS = 400
_SHOWN_STATUSES = (Status.DONE, Status.FAILED, Status.SKIPPED, Status.DEFERRED, Status.PENDING)


def status_values(project: Project, only: Collection[Document] | None = None) -> dict[str, Any]:
    """The JSON contract of `status`."""
    waiting: Counter[tuple[str, str]] = Counter()
    for one, count in project.reports.put_off().items():
        waiting[one.reason, one.why] += count
    return {
        "root": str(project.settings.root) if project.settings.root else None,
        "collections": [
            {
                "name": summary.name,
                "documents": summary.documents,
                "chunks": summary.chunks,
                **{str(status): summary.by_status[status] for status in _SHOWN_STATUSES},
                "stages": {
                    str(stage): {str(status): count for status, count in sorted(counts.items())}
                    for stage, counts in summary.by_stage.items()
                },
            }
            for summary in project.reports.summaries(only)
        ],
        "waiting": [
            {"reason": reason, "why": why, "documents": count} for (reason, why), count in sorted(waiting.items())
        ],
        "failures": [
            {
                "document": item.document_id,
                "stage": str(item.stage),
                "code": str(item.failure.code),
                "message": item.failure.message,
                "remedy": item.failure.remedy,
                "retryable": item.failure.retryable,
                "attempts": item.attempts,
            }
            for item in project.reports.failures(only)
        ],
        "marked": [
            {
                "document": item.document_id,
                "coverage": item.coverage,
                "losses": item.losses,
                "missing_sample": item.missing_sample,
                "missing": [{"place": place, "text": text} for place, text in item.missing],
            }
            for item in project.reports.marked(only)
        ],
        "left_out": project.reports.left_out(only),
        "incomplete": [
            {"document": item.document_id, "stage": str(item.stage), "unread": dict(item.unread)}
            | ({"why": dict(item.why)} if item.why else {})
            for item in project.reports.incomplete(only)
        ],
        "passed_over": [item.to_json() for item in project.documents.passed_over()],
    }


def print_status(project: Project, failed: bool) -> None:
    """Print collections and stages as a table, and failures as a list."""
    values = status_values(project)
    out.print(_status_table(values["collections"]))
    for item in values["waiting"]:
        out.print(f"[yellow]{item['documents']} documents wait:[/] {escape(item['why'])} Every run tries them again.")
    for item in values["passed_over"]:
        out.print(f"passed over: {escape(item['path'])} ({item['reason']}): {escape(item['remedy'])}")
    _print_marked(values["marked"])
    if values["left_out"]:
        out.print(f"left out on purpose: {by_reason(values['left_out'])}")
    _print_incomplete(values["incomplete"])
    if failed:
        _print_failures(values["failures"])
    elif values["failures"]:
        out.print(f"`aegis status --failed` lists what failed ({len(values['failures'])}), with remedies.")


def print_ingestion(project: Project, scope: Sequence[Document], summary: dict[str, Any]) -> None:
    """Print the result of an ingestion: a table, the work, and the failures."""
    values = status_values(project, scope)
    if values["collections"]:
        out.print(_status_table(values["collections"]))
    work = ", ".join(f"{count} {key.replace('_', ' ')}" for key, count in summary["work"].items() if count)
    open_ends = summary["failed"] or summary["deferred"] or summary["pending"]
    nothing = "none" if open_ends else "none, all up to date"
    out.print(f"{summary['documents']} documents in {summary['seconds']:.1f} s. Work: {work or nothing}.")
    if summary["ignored"]:
        out.print(f"{summary['ignored']} hidden or temporary files were ignored.")
    if summary["deleted"]:
        out.print(f"{summary['deleted']} deleted documents removed from every store.")
    for item in summary["waiting"]:
        out.print(f"[yellow]{item['documents']} documents wait at {item['stage']}:[/] {escape(item['why'])}")
    for warning in summary["warnings"]:
        out.print(f"[yellow]warning:[/] {escape(warning)}")
    for check in summary["failed_checks"]:
        out.print(f"[yellow]check failed:[/] {escape(check)}")
    _print_marked(values["marked"])
    _print_incomplete(values["incomplete"])
    _print_failures(values["failures"])


def print_hits(hits: Sequence[PassageHit]) -> None:
    """Print passages with their places."""
    if not hits:
        out.print("Nothing found. `aegis status` shows what has been ingested.")
    for number, hit in enumerate(hits, 1):
        pages = f", page {', '.join(map(str, hit.pages))}" if hit.pages else ""
        out.print(f"[bold]{number}. {escape(hit.document)}[/]{pages}  [dim]{hit.score:.4f}[/]")
        if hit.headings:
            out.print(f"   [cyan]{escape(' › '.join(hit.headings))}[/]")
        out.print(f"   {escape(_shortened(hit.text))}\n")


def graph_values(project: Project, name: str, limit: int) -> dict[str, Any]:
    """An entity, its neighbours, and the passages that mention it. Raises UnknownDocument with suggestions."""
    from aegis_dagster.search import passages_of

    entity = project.graph.find_entity(name)
    places = project.graph.passages(entity, limit)
    near = project.graph.neighbours(entity, limit)
    sources, of_relations = project.graph.sources(entity), project.graph.sources_of_relations(near)
    said = [each.passage for each in chain(sources, *of_relations.values())]
    texts = passages_of(project, {place.document_id for place in chain(places, said)})
    return {
        "entity": {
            "name": entity.name,
            "type": entity.type,
            "description": "\n".join(each.text for each in sources),
            "sources": _source_values(sources, texts),
        },
        "neighbours": [
            {
                "name": item.entity.name,
                "type": item.entity.type,
                "keywords": item.relation.keywords,
                "description": "\n".join(each.text for each in of_relations[item.relation.key]),
                "sources": _source_values(of_relations[item.relation.key], texts),
                "weight": item.relation.weight_milli / 1000,
                "outgoing": item.outgoing,
            }
            for item in near
        ],
        "passages": [
            {
                "document": place.document_id,
                "chunk": place.chunk_id,
                "pages": list(found.chunk.pages) if found else [],
                "text": found.chunk.text if found else "",
            }
            for place in places
            for found in [texts.get(place.chunk_id)]
        ],
    }


def _source_values(sources: Sequence[Sourced], texts: Mapping[ChunkId, LocatedChunk]) -> list[dict[str, Any]]:
    """Each text of a description with the passage it comes from; `documents` says how many documents say it."""
    return [
        {
            "text": each.text,
            "document": each.passage.document_id,
            "chunk": each.passage.chunk_id,
            "pages": list(found.chunk.pages) if (found := texts.get(each.passage.chunk_id)) else [],
            "documents": each.documents,
        }
        for each in sources
    ]


def biggest_values(project: Project, limit: int) -> dict[str, Any]:
    """The entities that most passages mention."""
    return {
        "entities": [
            {"name": entity.name, "type": entity.type, "chunks": entity.chunk_count}
            for entity in project.graph.biggest_entities(limit)
        ]
    }


def print_graph(values: dict[str, Any]) -> None:
    """Print an entity with its surroundings, or the biggest entities."""
    if "entities" in values:
        table = Table("entity", "type", "passages", title="Biggest entities")
        for item in values["entities"]:
            table.add_row(escape(item["name"]), escape(item["type"]), str(item["chunks"]))
        out.print(table)
        return
    entity = values["entity"]
    out.print(f"[bold]{escape(entity['name'])}[/] ({escape(entity['type'])})")
    for source in entity["sources"]:
        out.print(f"   {_with_source(source)}")
    table = Table("related to", "type", "how", "weight")
    for item in values["neighbours"]:
        how = "\n".join(_with_source(source) for source in item["sources"]) or escape(_shortened(item["keywords"]))
        table.add_row(escape(item["name"]), escape(item["type"]), how, f"{item['weight']:g}")
    out.print(table)
    for place in values["passages"]:
        out.print(f"[bold]{_place(place)}[/]\n   {escape(_shortened(place['text']))}\n")


def _with_source(source: dict[str, Any]) -> str:
    others = f" and {source['documents'] - 1} more" if source["documents"] > 1 else ""
    return f"{escape(_shortened(source['text']))} [dim]({_place(source)}{others})[/]"


def _place(values: dict[str, Any]) -> str:
    """The document of a passage, and its pages if they are known."""
    pages = f", page {', '.join(map(str, values['pages']))}" if values["pages"] else ""
    return f"{escape(values['document'])}{pages}"


def _status_table(collections: Sequence[dict[str, Any]]) -> Table:
    # Only statuses that occur: all columns together do not fit a terminal of 80 characters.
    shown = [status for status in _SHOWN_STATUSES if status is Status.DONE or any(item[status] for item in collections)]
    table = Table("collection", "documents", "chunks", *[str(status) for status in shown])
    for item in collections:
        table.add_row(
            escape(item["name"]),
            str(item["documents"]),
            str(item["chunks"]),
            *[str(item[status] or "") for status in shown],
        )
    return table


def _print_failures(failures: Sequence[dict[str, Any]]) -> None:
    for item in failures:
        out.print(f"[red]failed[/] {escape(item['document'])} at {item['stage']}: [bold]{item['code']}[/]")
        out.print(f"   {escape(item['message'])}\n   remedy: {escape_lines(item['remedy'])}")


def _print_marked(marked: Sequence[dict[str, Any]]) -> None:
    for item in marked:
        example = f", {missing_line(item['missing'][0])}" if item["missing"] else ""
        found = f"{_found(item['coverage'])} found{example}"
        out.print(
            f"[yellow]text missing in chunks:[/] {escape(item['document'])} ({found}). `aegis show DOCUMENT` lists it."
        )


def _print_incomplete(incomplete: Sequence[dict[str, Any]]) -> None:
    for item in incomplete:
        what = "pictures" if item["stage"] == Stage.ENRICH else "chunks"
        counts = ", ".join(f"{count} {code}" for code, count in item["unread"].items())
        out.print(
            f"[yellow]{what} not read to the end:[/] {escape(item['document'])} ({counts}). "
            "`aegis retry` asks for them again."
        )
        for code, reason in item.get("why", {}).items():
            out.print(f"   {code}: {escape(reason)}")


def _shortened(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _PASSAGE_CHARACTERS else flat[: _PASSAGE_CHARACTERS - 1] + "…"


def _found(coverage: float) -> str:
    """A share in percent, which says 100 only where it is all."""
    return f"{min(coverage, 0.999) if coverage < 1 else coverage:.1%}"


def missing_line(item: Mapping[str, str]) -> str:
    """A missing passage with its place."""
    return f"{escape(item['place'])}: “{escape(item['text'])}”"


def by_reason(left_out: Mapping[str, int]) -> str:
    """How many texts are left out for each reason."""
    return ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in left_out.items())
