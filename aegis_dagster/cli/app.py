"""The commands of `aegis` and their options."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aegis_dagster.cli import alerts, caches, money, monitoring, upkeep
from aegis_dagster.cli.options import Json, Paths
from aegis_dagster.cli.output import (
    EXIT_FAILED_DOCUMENTS,
    EXIT_INTERRUPTED,
    EXIT_OPERATOR,
    EXIT_SERVICE,
    err,
    errors_shown,
    print_json,
    progress_shown,
)
from aegis_dagster.cli.terminal import VisibleGroup, escape, guard_streams
from aegis_dagster.domain.stages import Stage
from aegis_dagster.environment import keep_files_private

if TYPE_CHECKING:
    from aegis_dagster.cli.ingestion import Ingestion
    from aegis_dagster.composition.project import Project

_INTERRUPTED_SECONDS = 60.0  # how long answers are waited for after Ctrl-C

app = typer.Typer(
    cls=VisibleGroup,
    help="Turns folders of documents into searchable knowledge, and keeps it up to date.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line. Ctrl-C ends it as soon as the calls under way are answered, a second one at once."""
    guard_streams()
    keep_files_private()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    threading.Thread(target=_end_at_interrupt, daemon=True).start()
    app()


def _end_at_interrupt() -> None:
    """Exit when the user presses Ctrl-C.

    Every stage can be killed at any point, so nothing needs to be unwound; dagster and asyncio would turn an interrupt
    into errors anywhere. Worker processes end with their parent. Only what models are computing now would be lost, and
    paid again: it is waited for.
    """
    signal.sigwait({signal.SIGINT})
    from aegis_dagster.stages.concurrency import UNDER_WAY

    UNDER_WAY.close()
    if UNDER_WAY.items:
        err.print("\nFinishing what models are computing; nothing new is begun. Ctrl-C again ends at once.")
    waiting_ends = time.monotonic() + _INTERRUPTED_SECONDS
    while UNDER_WAY.items and time.monotonic() < waiting_ends:
        if signal.sigtimedwait({signal.SIGINT}, 0.1):
            break
    err.print("\nInterrupted. The same command goes on where this one stopped.")
    os._exit(EXIT_INTERRUPTED)


@app.command()
def ingest(
    paths: Paths = None,
    confirm_deletions: Annotated[
        bool, typer.Option("--confirm-deletions", help="Delete the missing documents, however many they are.")
    ] = False,
    force_from: Annotated[
        Stage | None, typer.Option("--force-from", help="Repeat from this stage on; what is cached is not paid again.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what a run would do and cost.")] = False,
    as_json: Json = False,
) -> None:
    """Bring documents up to date: parse, describe pictures, chunk, embed, extract; remove what was deleted.

    The first folder you give becomes the home's watched root. The Dagster job `ingest` runs for each collection.
    """
    from aegis_dagster.cli import ingestion as ingesting

    with errors_shown(as_json):
        if dry_run:
            _show_plan(paths or [], confirm_deletions, force_from, as_json)
            return
        project = ingesting.open_project(paths or [])
        with progress_shown() as progress:
            done = ingesting.ingest(
                project, paths or [], progress, confirm_deletions=confirm_deletions, force_from=force_from
            )
        _finish(project, done, as_json)


def _show_plan(paths: list[Path], confirm_deletions: bool, force_from: Stage | None, as_json: bool) -> None:
    from aegis_dagster.cli import plans

    planned = plans.planned(paths, confirm_deletions=confirm_deletions, force_from=force_from)
    if as_json:
        print_json(planned.to_json())
    else:
        plans.print_plan(planned)


@app.command()
def retry(
    documents: Annotated[
        list[str] | None, typer.Argument(help="Document ids; default: all that failed or were not read to the end.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Try failed documents again, also after permanent failures or too many attempts, and what no model read."""
    from aegis_dagster.cli import ingestion as ingesting

    with errors_shown(as_json):
        project = ingesting.open_project([])
        if documents:
            chosen = [project.reports.find(name) for name in documents]
        else:
            failed = {item.document_id for item in project.reports.failures()}
            chosen = project.documents.get(failed | {item.document_id for item in project.reports.incomplete()})
        ingesting.forget_damaged(project, chosen)
        project.catalog.reset_failures([document.id for document in chosen])
        with progress_shown() as progress:
            done = ingesting.retry(project, chosen, progress)
        _finish(project, done, as_json)


def _finish(project: "Project", done: "Ingestion", as_json: bool) -> None:
    """Print the summary of an ingestion and exit with the code of its worst result."""
    from aegis_dagster.cli import views

    summary = done.summary(project)
    if as_json:
        print_json(summary)
    else:
        views.print_ingestion(project, done.scope, summary)
    for failure in done.failed_runs:
        err.print(f"[bold red]error:[/] {escape(failure)}")
    if done.failed_runs:
        err.print(
            f"The runs are recorded in {escape(str(project.settings.dagster_home))}; run again when the cause is fixed."
        )
        raise typer.Exit(EXIT_SERVICE)
    if done.held:
        raise typer.Exit(EXIT_OPERATOR)
    if summary["failed"]:
        raise typer.Exit(EXIT_FAILED_DOCUMENTS)


@app.command()
def status(
    failed: Annotated[bool, typer.Option("--failed", help="List failed documents with reasons and remedies.")] = False,
    as_json: Json = False,
) -> None:
    """Show how many documents have which status, by collection and stage."""
    from aegis_dagster.cli import views
    from aegis_dagster.composition.project import open_project

    with errors_shown(as_json):
        project = open_project()
        if as_json:
            print_json(views.status_values(project))
        else:
            views.print_status(project, failed)


@app.command()
def search(
    question: Annotated[str, typer.Argument(help="Your question, in your own words.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Number of passages.")] = 5,
    mode: Annotated[str, typer.Option(help="fused, dense or sparse.")] = "fused",
    collection: Annotated[str | None, typer.Option(help="Search only this collection.")] = None,
    as_json: Json = False,
) -> None:
    """Find the passages that answer a question."""
    import asyncio

    from aegis_dagster.cli import views
    from aegis_dagster.composition.project import open_project
    from aegis_dagster.search import find_passages

    with errors_shown(as_json):
        told: list[str] = []
        found = find_passages(open_project(), question, limit=limit, mode=mode, collection=collection, tell=told.append)
        hits = asyncio.run(found)
        for line in told:
            err.print(f"[yellow]warning:[/] {escape(line)}", soft_wrap=True)
        if as_json:
            print_json({"hits": [hit.to_json() for hit in hits], "words_only": told[0] if told else None})
        else:
            views.print_hits(hits)


@app.command()
def show(
    document: Annotated[str, typer.Argument(help="A document's id, or an unambiguous part of it.")],
    markdown: Annotated[bool, typer.Option("--markdown", help="Show only its text as Markdown.")] = False,
    chunks: Annotated[bool, typer.Option("--chunks", help="Show only its chunks.")] = False,
    pictures: Annotated[bool, typer.Option("--pictures", help="Show only its pictures.")] = False,
    as_json: Json = False,
) -> None:
    """Show what was extracted from a document: text, chunks, pictures."""
    from aegis_dagster.cli import document_view
    from aegis_dagster.composition.project import open_project

    with errors_shown(as_json):
        values = document_view.document_values(open_project(), document)
        if as_json:
            print_json(values)
        else:
            everything = not (markdown or chunks or pictures)
            document_view.print_document(
                values, markdown=markdown or everything, chunks=chunks or everything, pictures=pictures or everything
            )


@app.command()
def graph(
    entity: Annotated[str | None, typer.Argument(help="An entity's name; default: the biggest entities.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Number of neighbours and passages.")] = 10,
    as_json: Json = False,
) -> None:
    """Show an entity, its neighbours, and the passages they come from."""
    from aegis_dagster.cli import views
    from aegis_dagster.composition.project import open_project

    with errors_shown(as_json):
        project = open_project()
        values = views.graph_values(project, entity, limit) if entity else views.biggest_values(project, limit)
        if as_json:
            print_json(values)
        else:
            views.print_graph(values)


@app.command()
def digest(as_json: Json = False) -> None:
    """Print one hash per store: equal digests mean equal knowledge."""
    from aegis_dagster.composition.project import open_project
    from aegis_dagster.digests import digests

    with errors_shown(as_json):
        values = digests(open_project())
        if as_json:
            print_json(dict(values))
        else:
            for name, value in values.items():
                print(f"{name:<10} {value}")


money.add_to(app)
monitoring.add_to(app)
alerts.add_to(app)
upkeep.add_to(app)
caches.add_to(app)


@app.command()
def doctor(
    call: Annotated[bool, typer.Option("--call", help="Ask each provider for one token; costs a little.")] = False,
    as_json: Json = False,
) -> None:
    """Show what is configured and reachable, which defaults are in use, and how to upgrade."""
    from aegis_dagster.cli.doctor import examine, print_findings

    with errors_shown(as_json):
        findings = examine(call=call)
        if as_json:
            print_json({"findings": [finding.to_json() for finding in findings]})
        else:
            print_findings(findings)
    if any(not finding.ok for finding in findings):
        err.print("Something needs attention.")
        raise typer.Exit(EXIT_OPERATOR)
