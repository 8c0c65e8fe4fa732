"""The catalog's metrics say what `aegis status` says, in few series however many documents there are."""

import json
import random
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.fingerprints import wanted_fingerprints
from aegis_dagster.domain.identifiers import DocumentId, Revision
from aegis_dagster.domain.listing import Listing, SeenFile, diff_listing
from aegis_dagster.domain.stages import Outcome, Stage, StageState, Status
from aegis_dagster.errors import FailureCode
from aegis_dagster.monitoring.metrics.samples import Samples
from aegis_dagster.settings.monitoring import MetricsSettings
from aegis_dagster.stores.catalog.counts import OTHERS, CatalogCounts
from aegis_dagster.stores.catalog.schema import documents, stage_states
from aegis_dagster.stores.database import open_database, write
from aegis_dagster_tests.support.bulk_rows import add_documents
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.monitored_homes import make_exporter, make_settings
from aegis_dagster_tests.support.projects import bring_up, make_project, scan, write_documents
from aegis_dagster_tests.support.scraping import Scrape, scrape, served
from aegis_dagster_tests.support.servers.postgres import PostgresServer

CODES = (FailureCode.NO_TEXT, FailureCode.TIMEOUT)
POLICIES = {"off": {"enrich": False, "graph": False}, "secret": {"local_only": True}}


def fill(project: Project, count: int, seed: int = 5) -> None:
    """Documents of four collections, each stage in any state: current or stale, missing, with and without facts."""
    chance = random.Random(seed)
    names = [DocumentId(f"{chance.choice(['off', 'secret', 'a', 'b'])}/{n}.txt") for n in range(count)]
    listing = Listing({name: SeenFile(Revision(f"r{name}"), "s", 1) for name in names})
    project.documents.apply(listing, diff_listing(listing, {}), delete=True)
    rows = []
    for document in project.documents.all():
        enriched: dict[Stage, StageState] = {}
        for stage in Stage:
            wanted = wanted_fingerprints(document, project.identities, enriched)
            status = chance.choice(list(Status))
            fingerprint = wanted[stage] if chance.random() < 0.8 else "stale"
            if stage is Stage.ENRICH:
                enriched = {stage: StageState(status, fingerprint)}
            if chance.random() < 0.9:
                rows.append(_row(document.id, stage, status, fingerprint, chance))
            elif stage is Stage.ENRICH:
                enriched = {}
    with write(project.engine) as connection:
        connection.execute(sa.insert(stage_states), rows)
        connection.execute(sa.update(documents).where(documents.c.id.in_(names[:9])).values(deleted=True))


def _row(document_id: str, stage: Stage, status: Status, fingerprint: str, chance: random.Random) -> dict[str, object]:
    facts: dict[Status, dict[str, object]] = {
        Status.DONE: {"points": chance.randint(0, 9), "chunks": 3},
        Status.DEFERRED: {"reason": chance.choice(["budget", "providers"]), "why": "w"},
    }
    return {
        "document_id": document_id,
        "stage": stage,
        "status": status,
        "fingerprint": fingerprint,
        "error_code": chance.choice(CODES) if status is Status.FAILED else None,
        "error_message": "m",
        "error_remedy": "r",
        "retryable": False,
        "facts": json.dumps(facts.get(status, {})),
    }


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_statuses_failures_deferred_and_points_are_those_of_the_reports(
    tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    url = None
    if database == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.new_database()
    project = make_project(tmp_path, collections=POLICIES, database=url)
    fill(project, 400)

    found = CatalogCounts(project.engine, project.identities, most_collections=100).count()

    reports = project.reports
    assert {
        (summary.name, stage, status): count
        for summary in reports.summaries()
        for stage, by_status in summary.by_stage.items()
        for status, count in by_status.items()
        if count
    } == {(name, *key): count for name, counted in found.statuses.items() for key, count in counted.items() if count}
    assert found.points == sum(facts["points"] for facts in reports.facts(Stage.EMBED).values())
    failed: Counter[tuple[Stage, str]] = Counter()
    deferred: Counter[str] = Counter()
    for document in project.documents.all():
        known = project.states.one(document)
        recorded = known.recorded.items()
        current = {stage: state for stage, state in recorded if state.fingerprint == known.wanted[stage]}
        failed.update((stage, state.failure.code) for stage, state in current.items() if state.failure)
        deferred.update({s.facts["reason"] for s in current.values() if s.status is Status.DEFERRED})
    assert found.failed == failed
    assert found.deferred == deferred
    assert min(len(failed), deferred["budget"], found.points) > 1
    project.engine.dispose()


async def test_a_real_ingestion_is_seen_by_its_scrape(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, ["a/1.txt", "a/2.txt", "b/3.txt"])
    (project.root / "a" / "empty.txt").write_text("")
    await bring_up(project)
    exporter = make_exporter(project.settings)
    exporter.refresh()
    with served(exporter) as url:
        found = scrape(url)
    for stage in Stage:
        assert found.value("aegis_documents", collection="b", stage=stage, status="running") == 0
        assert found.value("aegis_stage_seconds_total", stage=stage) is not None
    assert found.value("aegis_documents", collection="a", stage="parse", status="done") == 2
    assert found.value("aegis_documents", collection="a", stage="parse", status="failed") == 1
    assert found.value("aegis_documents_failed", stage="parse", reason="empty_file") == 1
    assert found.value("aegis_stage_failures_total", stage="parse", reason="empty_file") == 1
    assert found.value("aegis_stage_documents_total", stage="embed", status="done") == 3
    assert found.value("aegis_queue_age_seconds", collection="a") == 0
    points = found.value("aegis_points_expected")
    assert points is not None and points > 3
    assert (
        found.value("qdrant_points_count", collection=project.vectors.collection) == points == project.vectors.count()
    )
    size = project.graph.size()
    assert found.value("graph_entities_count") == size.entities > 3
    assert found.value("graph_relations_count") == size.relations > 0
    project.engine.dispose()


def test_the_queue_is_as_old_as_its_oldest_document(tmp_path: Path) -> None:
    clock = SetClock()
    project = make_project(tmp_path)
    project.clock = clock
    write_documents(project.root, ["a/1.txt"])
    scan(project)
    clock.move(600)
    write_documents(project.root, ["a/2.txt", "b/3.txt"])
    scan(project)
    clock.move(30)
    exporter = make_exporter(project.settings, clock)

    def ages() -> list[float | None]:
        exporter.refresh()
        with served(exporter) as url:
            found = scrape(url)
        return [found.value("aegis_queue_age_seconds", collection=name) for name in ("a", "b")]

    assert ages() == [630, 30]
    first, *_ = project.documents.all()
    wanted = project.states.one(first).wanted
    for stage in Stage:
        project.catalog.claim(stage, {first.id: (first.revision, wanted[stage])})
        project.catalog.finish(stage, {first.id: (wanted[stage], Outcome(Status.DONE))})
    assert ages() == [30, 30]
    project.engine.dispose()


def test_many_collections_share_one_label_and_the_oldest_keep_their_names(tmp_path: Path) -> None:
    clock = SetClock()
    project = make_project(tmp_path)
    project.clock = clock
    for name in ("z", "m", "a", "b"):
        write_documents(project.root, [f"{name}/1.txt", f"{name}/2.txt"])
        scan(project)
        clock.move(1)
    found = CatalogCounts(project.engine, project.identities, most_collections=2).count()
    assert {name: counted[Stage.PARSE, Status.PENDING] for name, counted in found.statuses.items()} == {
        "z": 2,
        "m": 2,
        OTHERS: 4,
    }
    project.engine.dispose()


def scraped_with(folder: Path, count: int) -> Scrape:
    settings = make_settings(folder, metrics=MetricsSettings(most_collections=5))
    open_database(settings.database_url).dispose()
    add_documents(folder / "aegis.db", count, collections=8)
    exporter = make_exporter(settings)
    exporter.refresh()
    with served(exporter) as url:
        return scrape(url)


def test_ten_thousand_documents_have_no_more_series_than_ten(tmp_path: Path) -> None:
    few, many = scraped_with(tmp_path / "few", 10), scraped_with(tmp_path / "many", 10_000)
    assert many.series() == few.series() < 700
    total = sum(value for labels, value in many.values("aegis_documents").items() if ("stage", "parse") in labels)
    assert total == 10_000
    assert {value for name, value in many.labels() if name == "collection"} == {"c0", "c1", "c2", "c3", "c4", OTHERS}
    # No document's id, path or hash, and no run's id is the value of any label.
    assert not [value for _, value in many.labels() if "/" in value or ".pdf" in value or len(value) > 40]


def test_no_name_of_a_folder_breaks_the_exposition(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    open_database(settings.database_url).dispose()
    name = 'x"y\\z\n'
    with sqlite3.connect(tmp_path / "aegis.db") as connection:
        connection.execute(
            "INSERT INTO documents (id, collection, revision, stamp, size_bytes, suffix, deleted, first_seen_ms, "
            "changed_ms) VALUES ('x/1.txt', ?, 'r', 's', 1, '.txt', 0, 0, 0)",
            [name],
        )
    exporter = make_exporter(settings)
    exporter.refresh()
    with served(exporter) as url:
        assert ("collection", name) in scrape(url).labels()
        assert ("collection", name) in scrape(url, openmetrics=True).labels()
    samples = Samples()
    samples.add("aegis_queue_age_seconds", "caf\udce9", value=1)  # a byte that is no UTF-8
    (family,) = samples.families()
    assert [sample.labels for sample in family.samples] == [{"collection": "caf?"}]
