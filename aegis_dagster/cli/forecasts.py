"""`aegis forecast`: what the next run would ask of models.

Belongs here: which documents there are now, layout.
Does not belong here: the forecast itself (`forecasting.py`), typer options (`money.py`).
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from rich.markup import escape
from rich.table import Table

from aegis_dagster.cli.output import out
from aegis_dagster.composition import Project
from aegis_dagster.domain.identifiers import DocumentId, collection_of
from aegis_dagster.domain.money import shown_usd
from aegis_dagster.domain.stages import Document
from aegis_dagster.errors import UnknownDocument
from aegis_dagster.forecasting import ENOUGH_CALLS, Forecast, forecast
from aegis_dagster.settings import load_settings, normalized


def expected(paths: Sequence[Path]) -> Forecast:
    """The forecast for these parts of the watched root, as they are on the disk now.

    Raises ConfigurationError, OutsideRoot, UnknownDocument, RootUnreadable.
    """
    project = _project(paths)
    documents: dict[DocumentId, Document] = {}
    for scope in [project.scope_of(path) for path in paths] or [""]:
        found = documents_now(project, scope)
        if not found and scope:
            raise UnknownDocument(f"There is no document in {project.watched_root}/{scope}.", remedy="check the path.")
        documents.update((document.id, document) for document in found)
    return forecast(project, list(documents.values()))


def documents_now(project: Project, scope: str) -> list[Document]:
    """What a scan sees below a scope, without telling the catalog."""
    known = {document.id: document for document in project.documents.within(scope)}
    listing = project.source.scan(project.documents.known(scope), scope)
    kept = tuple(item.path for item in listing.passed_over if item.keeps_document)
    found = {
        name: one
        for name, one in known.items()
        if name in kept or any(path.endswith("/") and name.startswith(path) for path in kept)
    }
    for name, seen in listing.files.items():
        suffix = PurePosixPath(name).suffix.lower()
        found[name] = Document(name, collection_of(name), seen.revision, seen.size_bytes, suffix)
    return [found[name] for name in sorted(found)]


def print_forecast(shown: Forecast) -> None:
    """A table by stage and model, and what is to be known of it."""
    rows = shown.to_json()["rows"]
    if not rows:
        out.print("The next run asks no model anything: 0 calls, 0 USD.")
    else:
        out.print(_table(shown, rows))
    if any(row["basis"] == "guess" and row["cost_nanousd"] for row in rows):
        out.print(
            f"~ guessed by the length of texts and usual answers; after {ENOUGH_CALLS} calls to a model the forecast "
            "goes by them."
        )
    if shown.estimated_documents:
        out.print(
            f"{shown.estimated_documents} of {shown.documents} documents are not parsed or not chunked yet: how many "
            "calls they need is estimated from files like them."
        )
    for note in shown.notes:
        out.print(f"[yellow]note:[/] {escape(note)}")


def _table(shown: Forecast, rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="Expected of the next run", show_footer=True)
    table.add_column("stage", footer="all")
    table.add_column("model", no_wrap=True)
    totals = {"documents": shown.documents, "calls": shown.totals.calls}
    totals |= {"input": shown.totals.input_tokens, "output": shown.totals.output_tokens}
    for name, total in totals.items():
        table.add_column(name, justify="right", footer=f"{total:,}")
    table.add_column("USD", justify="right", no_wrap=True, footer=shown_usd(shown.totals.cost))
    for row in rows:
        guessed = "~" if row["basis"] == "guess" and row["cost_nanousd"] else ""
        table.add_row(
            str(row["stage"]),
            escape(f"{row['provider']}/{row['model']}"),
            *[f"{row[name]:,}" for name in ("documents", "calls", "input_tokens", "output_tokens")],
            guessed + shown_usd(row["cost_nanousd"]),
        )
    return table


def _project(paths: Sequence[Path]) -> Project:
    """The project. Where no root is set yet, the first folder given is taken for it, and is not remembered."""
    settings = load_settings()
    folder = next((path for path in paths if path.is_dir()), None)
    if settings.root is None and folder is not None:
        settings = settings.model_copy(update={"root": normalized(folder)})
    return Project(settings)
