"""Builds the exporter of `aegis metrics` from the settings."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from aegis_dagster import __version__
from aegis_dagster.composition.models import configured_providers
from aegis_dagster.composition.project import Project
from aegis_dagster.composition.vectors import backend
from aegis_dagster.errors import ServiceError
from aegis_dagster.llm.retry_policy import ErrorType
from aegis_dagster.monitoring.metrics.catalog import CatalogMetrics
from aegis_dagster.monitoring.metrics.definitions import Source
from aegis_dagster.monitoring.metrics.exporter import Exporter, Reader
from aegis_dagster.monitoring.metrics.ledger import Configured, ConfiguredModel, LedgerMetrics
from aegis_dagster.monitoring.metrics.other_sources import (
    RunNumbers,
    alert_samples,
    graph_samples,
    point_samples,
    run_samples,
    seat_samples,
)
from aegis_dagster.monitoring.metrics.samples import Samples
from aegis_dagster.ports import Clock
from aegis_dagster.settings import Settings
from aegis_dagster.settings.keys import neo4j_password
from aegis_dagster.stores.catalog.counts import CatalogCounts
from aegis_dagster.stores.catalog.seats import SeatReports
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster.stores.database import open_to_read
from aegis_dagster.stores.ledger.schema import LOST
from aegis_dagster.stores.neo4j_view import Neo4jView
from aegis_dagster.stores.vectors.engines import points_by_collection

CATALOG_SECONDS = 300.0  # counting a million documents takes about two minutes
STATEMENT_SECONDS = 60.0  # limit for a statement on a server


def build_exporter(settings: Settings, read_runs: Callable[[Path], RunNumbers], clock: Clock | None = None) -> Exporter:
    """The exporter of one home. It reads nothing yet.

    read_runs: reads the run numbers of the Dagster instance in a folder. Raises ConfigurationError: wrong providers.
    """
    clock = clock or SystemClock()
    configured, alias = _configured(settings), settings.qdrant.collection

    def ledger(project: Project) -> Samples:
        return LedgerMetrics(project.ledger_reports, project.choices.ledger, configured, clock).read()

    def catalog(project: Project) -> Samples:
        most = settings.metrics.most_collections
        counts = CatalogCounts(project.engine, project.identities, most_collections=most)
        return CatalogMetrics(counts, configured.providers, clock).read()

    def seats(project: Project) -> Samples:
        return seat_samples(SeatReports(project.engine, clock).now())

    def of_database(samples: Callable[[Project], Samples]) -> Callable[[], Samples]:
        # One database object per source: no source waits for another one's connection.
        return partial(_Database(settings, clock).read, samples)

    readers = [
        Reader(Source.LEDGER, of_database(ledger), at_each_scrape=True),
        Reader(Source.CATALOG, of_database(catalog), deadline_seconds=CATALOG_SECONDS),
        Reader(Source.EVIDENCE, of_database(lambda project: graph_samples("graph", project.graph.size()))),
        Reader(Source.QDRANT, lambda: point_samples(points_by_collection(backend(settings), alias))),
        Reader(Source.ALERTS, of_database(lambda project: alert_samples(project.alerts))),
        Reader(Source.DAGSTER, lambda: run_samples(read_runs(settings.dagster_home))),
        *_neo4j(settings),
        *([Reader(Source.RAY, of_database(seats))] if settings.workers.engine == "ray" else []),
    ]
    return Exporter(readers, clock, refresh_seconds=settings.metrics.refresh_seconds, version=__version__)


class _Database:
    """The project on the present database, for one source. Reads must not overlap.

    It never creates the database: an empty one would report 0 while the disk is only not mounted yet. A file may be
    replaced while it is open, e.g. by a restored backup, and an open connection would keep reading the old file. So it
    is opened again when it is another file, and after any failure.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._project: Project | None = None
        self._opened: tuple[int, int] | None = None  # device and inode of the open file

    def read(self, samples: Callable[[Project], Samples]) -> Samples:
        """The samples of the database. Raises any error of reading it."""
        try:
            return samples(self._open())
        except Exception:
            self._close()
            raise

    def _open(self) -> Project:
        file = self._file()
        if self._opened is not None and file is None:
            raise ServiceError(
                f"The database {self._settings.database_url} is gone.", remedy="restore it, or mount its disk."
            )
        if file != self._opened:
            self._close()
        if self._project is None:
            # Not by the project: on Python 3.11 all projects wait while one of them opens its engine.
            engine = open_to_read(self._settings.database_url, statement_seconds=STATEMENT_SECONDS)
            self._project, self._opened = Project(self._settings, self._clock, engine), file
        return self._project

    def _close(self) -> None:
        if self._project is not None:
            self._project.engine.dispose()
        self._project = None

    def _file(self) -> tuple[int, int] | None:
        """Device and inode of the database file; None: it does not exist, or the database is on a server."""
        name = self._settings.database_url
        if not name.startswith("sqlite:///"):
            return None
        try:
            found = Path(name.removeprefix("sqlite:///")).stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino


def _configured(settings: Settings) -> Configured:
    models = tuple(
        ConfiguredModel(provider.name, model.name, tuple(sorted(model.tasks)))
        for provider in configured_providers(settings)
        for model in provider.models.values()
    )
    return Configured(models, (*ErrorType, LOST))


def _neo4j(settings: Settings) -> list[Reader]:
    neo4j = settings.neo4j
    if neo4j.uri is None:
        return []
    view = Neo4jView(neo4j.uri, neo4j.user, neo4j_password(), neo4j.database, neo4j.workspace)
    return [Reader(Source.NEO4J, lambda: graph_samples("neo4j", view.size()))]
