"""Builds the project from its settings: chooses the adapter of each port.

The layers above (`defs/`, `cli/`, `pipeline/`) take what they need from here and name no adapter.
"""

from __future__ import annotations

import logging
import shlex
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_dagster.domain.identifiers import DEFAULT_COLLECTION, DocumentId
from aegis_dagster.errors import ConfigurationError, ServiceError, UnknownDocument
from aegis_dagster.process_identity import new_owner
from aegis_dagster.settings import Settings, load_settings
from aegis_dagster.stores.clock import SystemClock

if TYPE_CHECKING:  # each adapter is imported when it is first used: most commands need few of them
    from collections.abc import Mapping

    from sqlalchemy.engine import Engine

    from aegis_dagster.composition.artifacts import ArtifactStore
    from aegis_dagster.composition.models import Models
    from aegis_dagster.domain.fingerprints import Identities
    from aegis_dagster.domain.stages import Document
    from aegis_dagster.office import Office
    from aegis_dagster.ports import Clock, DocumentSource, Progress, TaskRunner
    from aegis_dagster.remote.hang_guard import Patience
    from aegis_dagster.stages.context import Workbench
    from aegis_dagster.stages.sync import DeletionGuard
    from aegis_dagster.stores.alerts.alerts import Alerts
    from aegis_dagster.stores.catalog.claims import Catalog
    from aegis_dagster.stores.catalog.documents import DocumentList
    from aegis_dagster.stores.catalog.reports import CatalogReports
    from aegis_dagster.stores.catalog.states import DocumentStates
    from aegis_dagster.stores.evidence.queries import EvidenceQueries
    from aegis_dagster.stores.evidence.store import EvidenceStore
    from aegis_dagster.stores.ledger.reports import LedgerReports
    from aegis_dagster.stores.vectors.qdrant import QdrantStore

logger = logging.getLogger(__name__)


class Project:
    """One home with one watched root. Everything is built when first used."""

    def __init__(
        self,
        settings: Settings | None = None,
        clock: Clock | None = None,
        engine: Engine | None = None,
        tasks: TaskRunner | None = None,
    ) -> None:
        """engine: an open engine on the settings' database. tasks: used instead of worker processes."""
        self.settings = settings or load_settings()
        _warn_if_open(self.settings.home)
        self.clock = clock or SystemClock()
        self._engine, self._tasks = engine, tasks

    @cached_property
    def engine(self) -> Engine:
        """The SQL database, migrated."""
        from aegis_dagster.stores.database import open_database

        return self._engine or open_database(self.settings.database_url)

    def close(self) -> None:
        """Close the database's connections; for processes that open a project repeatedly."""
        if "engine" in self.__dict__:
            self.engine.dispose()

    @cached_property
    def documents(self) -> DocumentList:
        """The catalog's list of documents."""
        from aegis_dagster.stores.catalog.documents import DocumentList

        return DocumentList(self.engine, self.clock)

    @cached_property
    def catalog(self) -> Catalog:
        """The stage states; this object owns the claims that it makes."""
        from aegis_dagster.stores.catalog.claims import Catalog

        return Catalog(self.engine, self.clock, lease_seconds=self.settings.lease_seconds)

    @cached_property
    def states(self) -> DocumentStates:
        """Documents with their states and wanted fingerprints."""
        from aegis_dagster.stores.catalog.states import DocumentStates

        return DocumentStates(self.engine, self.identities)

    @cached_property
    def reports(self) -> CatalogReports:
        """The catalog's reports for people."""
        from aegis_dagster.stores.catalog.reports import CatalogReports

        return CatalogReports(self.engine, self.states, self.documents)

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """The results of parse, enrich and chunk, in a folder or behind a URL."""
        from aegis_dagster.composition.artifacts import artifact_store

        return artifact_store(self.settings, self.clock)

    @cached_property
    def evidence(self) -> EvidenceStore:
        """The evidence of all chunks."""
        from aegis_dagster.stores.evidence.store import EvidenceStore

        return EvidenceStore(self.engine)

    @cached_property
    def alerts(self) -> Alerts:
        """The alerts and their notifications."""
        from aegis_dagster.stores.alerts.alerts import Alerts

        return Alerts(self.engine, self.clock)

    @cached_property
    def graph(self) -> EvidenceQueries:
        """Read access to the graph."""
        from aegis_dagster.stores.evidence.queries import EvidenceQueries

        return EvidenceQueries(self.engine)

    def models(self, run_id: str = "", *, patience_seconds: float | None = None) -> Models:
        """Everything that calls models, for one run. The caller closes it.

        patience_seconds: try each provider once and no longer than this, for somebody who waits.
        """
        from aegis_dagster.composition.models import Models

        return Models(self.settings, self.engine, self.clock, run_id, patience_seconds=patience_seconds)

    @cached_property
    def office(self) -> Office | None:
        """LibreOffice, where it is installed."""
        from aegis_dagster.office import find_office

        return find_office()

    @cached_property
    def choices(self) -> Models:
        """The models that would be called; used only for names and prices, never for calls."""
        from aegis_dagster.composition.models import Models

        return Models(self.settings, self.engine, self.clock, "", only_named=True)

    @cached_property
    def ledger_reports(self) -> LedgerReports:
        """The ledger's reports."""
        from aegis_dagster.stores.ledger.reports import LedgerReports

        return LedgerReports(self.engine)

    @cached_property
    def vectors(self) -> QdrantStore:
        """The vector store, for who waits: a server that does not answer is told at once."""
        from aegis_dagster.composition.vectors import vector_store

        return vector_store(self.settings, *self.choices.embedding_shape, self.engine)

    @cached_property
    def vectors_of_runs(self) -> QdrantStore:
        """The vector store, for runs: they wait while a server starts again."""
        from aegis_dagster.composition.vectors import vector_store

        return vector_store(self.settings, *self.choices.embedding_shape, self.engine, patient=True)

    @property
    def vectors_to_search(self) -> QdrantStore | None:
        """The vectors that readers use; None: nothing is stored.

        After a change of the embedding model, of the length of its vectors or of the engine, these are the previous
        ones until every document is there again. Raises ConfigurationError, ServiceError: a server refuses or is down.
        """
        from aegis_dagster.composition.vectors import active_store

        return active_store(self.settings, self.engine)

    def switch_vectors(self) -> bool:
        """Switch readers to the vectors of the settings' model once every document has them, and drop the others.

        Others stay also when a change of the model was taken back before it was complete. Returns whether it did.
        """
        from aegis_dagster.composition.vectors import drop_replaced_engines, has_replaced_engine

        vectors = self.vectors_of_runs
        try:
            replaced = has_replaced_engine(self.settings, self.engine)
            if vectors.active_collection() is None or (vectors.is_alone() and not replaced):
                return False
            points = self.reports.embedded_points()
            if points is None:
                return False
            vectors.activate(expected_points=points)
            if replaced:
                drop_replaced_engines(self.settings, self.engine)
        except (ServiceError, ConfigurationError) as error:  # of a store that is published to, or left; the next run
            logger.warning("%s", error)  # tries again
            return False
        return True

    @cached_property
    def pdf_route(self) -> str:
        """How the layout of PDFs is analysed here: "models" or "rules"."""
        from aegis_dagster.parsing.identity import choose_pdf_route

        return choose_pdf_route(self.settings.parse.pdf_route, self.settings.docling_models_dir)

    @cached_property
    def identities(self) -> Identities:
        """What the results of each stage depend on besides its input."""
        from aegis_dagster.composition.identities import identities_of

        return identities_of(self.settings, self.choices, self.pdf_route, self.office, self.served)

    @cached_property
    def served(self) -> Mapping[str, str]:
        """What parsing by a docling-serve depends on, by suffix of what it parses; {}: all is parsed here."""
        from aegis_dagster.composition.parse_server import served_identities

        return served_identities(self.settings, self.engine)

    def look_at_parse_server(self) -> None:
        """Ask the docling-serve, if one parses, for its versions: when they changed, what it parsed becomes stale.

        One that does not answer changes nothing. Raises ConfigurationError: there is no docling-serve.
        """
        from aegis_dagster.composition.parse_server import look

        if look(self.settings, self.engine):
            for name in ("served", "identities", "states", "reports"):
                self.__dict__.pop(name, None)

    def require_exact_names(self) -> None:
        """Raises ConfigurationError if the settings nearly name a collection: no policy may miss its folder."""
        self.settings.require_exact_names(self.documents.collections())

    def names_without_folder(self) -> list[str]:
        """The collections that the settings name and the root does not have. Raises RootUnreadable."""
        named = {*self.settings.collections, *self.settings.llm.budgets.collections}
        absent = named - {DEFAULT_COLLECTION, *self.documents.collections()}  # that of files at the root has no folder
        return sorted(name for name in absent if "/" in name or not self.source.holds(name))

    @property
    def watched_root(self) -> str | Path:
        """The watched root: a URL or an absolute path. Raises ConfigurationError when none is set yet."""
        if self.settings.root is None:
            raise ConfigurationError(
                "No watched root is set.", remedy="run `aegis ingest FOLDER` once, or set AEGIS_ROOT."
            )
        return self.settings.root

    @property
    def root(self) -> Path:
        """The watched root as a local folder. Raises ConfigurationError when there is none, or it is a URL."""
        root = self.watched_root
        if isinstance(root, str):
            raise ConfigurationError(
                f"The watched root {root} is not a local folder.",
                remedy="name documents by their ids, or by URLs below the root.",
            )
        return root

    def scope_of(self, path: Path) -> str:
        """A path or URL relative to the watched root, "" for the root itself; the file need not exist.

        Raises OutsideRoot with the command that would accept it.
        """
        from aegis_dagster.composition.watched_root import scope_of

        return scope_of(path, self.watched_root, self._patience)

    def not_a_document(self, document_id: DocumentId) -> UnknownDocument:
        """The error for a file below the root that the catalog does not list after a scan."""
        for item in self.documents.passed_over():
            if item.path == document_id:
                return UnknownDocument(f"{document_id} was passed over: {item.reason}.", remedy=item.remedy)
        return UnknownDocument(
            f"There is no document {self.watched_root}/{document_id}.",
            remedy="check the path; hidden and temporary names are never documents.",
        )

    @cached_property
    def source(self) -> DocumentSource:
        """The watched root: a local folder or a URL."""
        from aegis_dagster.composition.watched_root import source_of

        return source_of(self.settings, self.watched_root, self.clock, self._patience, self._document)

    def _document(self, document_id: DocumentId) -> Document | None:
        return next(iter(self.documents.get([document_id])), None)

    @cached_property
    def _patience(self) -> Patience:
        """The time limits for reading the root."""
        from aegis_dagster.remote.hang_guard import Patience

        return Patience(str(self.watched_root), seconds=self.settings.listing.patience_seconds)

    def guard(self, *, confirmed: bool = False) -> DeletionGuard:
        """The guard against mass deletion."""
        from aegis_dagster.stages.sync import DeletionGuard

        listing = self.settings.listing
        return DeletionGuard(listing.max_deleted_share, listing.max_deleted_count, confirmed)

    def workbench(self, progress: Progress | None = None, run_id: str = "") -> AbstractAsyncContextManager[Workbench]:
        """The stages' ports, with worker processes and connections that are closed at the end of the block.

        run_id: written to the ledger rows of the calls.
        """
        from aegis_dagster.composition.workbench import open_workbench

        return open_workbench(self, self._tasks, progress, run_id or new_owner())

    def workers_kept(self, *, load_now: bool = False) -> AbstractContextManager[None]:
        """Within the block, what workers load is loaded once in this process, for each workbench of every project.

        load_now: in the background, before the first task.
        """
        from aegis_dagster.workers.processes import template_kept

        if not load_now or self.settings.workers.engine != "local":
            return template_kept()
        from aegis_dagster.composition.workbench import loads

        return template_kept(loads(self.settings))


def open_to_others(home: Path) -> str:
    """What to do about a home that other users of the machine can read; "" if they cannot, or there is none yet."""
    try:
        mode = home.stat().st_mode
    except OSError:
        return ""
    command = f"chmod -R go-rwx {shlex.quote(str(home))}"
    return f"Other users of this machine can read {home}: run `{command}`." if mode & 0o077 else ""


@cache
def _warn_if_open(home: Path) -> None:
    """Say it once a process."""
    if told := open_to_others(home):
        logger.warning(told)


def open_project(settings: Settings | None = None) -> Project:
    """The project, for a command that shows or works on documents. Raises as `load_settings`, `require_exact_names`."""
    project = Project(settings)
    project.require_exact_names()
    return project
