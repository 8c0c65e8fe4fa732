"""Ends of documents at stages are counted once, and a document knows since when it has its bytes."""

from pathlib import Path

import sqlalchemy as sa

from aegis_dagster.domain.stages import Failure, Outcome, Stage, Status
from aegis_dagster.errors import FailureCode
from aegis_dagster.stores.catalog.schema import documents, stage_totals
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.projects import make_project, scan, write_documents


def test_only_an_end_that_was_recorded_is_counted(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, ["a.txt", "b.txt"])
    scan(project)
    a, b = project.documents.all()
    failed = Outcome(Status.FAILED, failure=Failure(FailureCode.NO_TEXT, "m", "r", False), seconds=0.25)
    project.catalog.claim(Stage.PARSE, {a.id: (a.revision, "f")})
    # b was never claimed: as a lost lease it records nothing.
    project.catalog.finish(Stage.PARSE, {a.id: ("f", failed), b.id: ("f", failed)})
    project.catalog.claim(Stage.PARSE, {a.id: (a.revision, "g"), b.id: (b.revision, "g")})
    done = Outcome(Status.DONE, seconds=1.5)
    project.catalog.finish(Stage.PARSE, {a.id: ("g", done), b.id: ("g", done)})
    with project.engine.connect() as connection:
        rows = connection.execute(sa.select(stage_totals).order_by(stage_totals.c.status)).all()
    assert [tuple(row) for row in rows] == [("parse", "done", "", 2, 3000), ("parse", "failed", "no_text", 1, 250)]


def test_a_document_knows_when_its_bytes_were_recorded(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    clock = SetClock()
    project.clock = clock
    write_documents(project.root, ["a.txt"])
    file = project.root / "a.txt"

    def changed_ms() -> int:
        scan(project)
        with project.engine.connect() as connection:
            return int(connection.execute(sa.select(documents.c.changed_ms)).scalar_one())

    first = changed_ms()
    assert first == int(clock.time.timestamp() * 1000)
    clock.move(60)
    file.touch()
    assert changed_ms() == first
    file.write_text("other words", "utf-8")
    assert changed_ms() == first + 60_000
