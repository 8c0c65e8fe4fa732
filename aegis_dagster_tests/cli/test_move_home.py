"""`aegis move-home`: the home is the same on the server, nothing is paid or made again, and no run is left behind."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from aegis_dagster.cli.moves import move_home
from aegis_dagster.digests import digests
from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.process_identity import new_owner
from aegis_dagster.progress import Silent
from aegis_dagster.stores.catalog.schema import stage_states
from aegis_dagster.stores.database import write
from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.projects import bring_up, make_project, write_documents
from aegis_dagster_tests.support.servers.postgres import PostgresServer

NAMES = ["a/1.txt", "b/2.txt"]


async def test_the_home_is_the_same_on_the_server_and_as_it_was_here(tmp_path: Path, postgres: PostgresServer) -> None:
    project, url = make_project(tmp_path), postgres.new_database()
    write_documents(project.root, NAMES)
    await bring_up(project)
    before = digests(project)
    elsewhere = {"url": f"file://{tmp_path}/share"}
    done = move_home(make_project(tmp_path, artifacts=elsewhere), url, Silent())
    assert (done.artifacts, done.left_out) == (2 * len(NAMES), 0)
    assert done.to_json()["tables"]["documents"]["rows"] == len(NAMES)
    assert digests(project) == before
    moved = make_project(tmp_path, database=url, artifacts=elsewhere)
    assert digests(moved) == before
    known = moved.documents.all()
    assert moved.reports.stale(moved.artifacts.listed(), known) == []
    assert done.to_json()["settings"]["AEGIS_DATABASE"] == url
    moved.close()


async def test_it_is_refused_while_somebody_works_on_a_document(tmp_path: Path, postgres: PostgresServer) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, NAMES)
    await bring_up(project)

    def lease(owner: str, expires_ms: int) -> None:
        with write(project.engine) as connection:
            held = sa.update(stage_states).where(stage_states.c.stage == Stage.PARSE)
            connection.execute(held.values(lease_owner=owner, lease_expires_ms=expires_ms))

    url = postgres.new_database()
    lease(new_owner(), 2**52)
    with pytest.raises(ConfigurationError, match=r"Somebody is at work in .*: 2 documents"):
        move_home(project, url, Silent())
    lease(new_owner(), 0)  # of one who was killed on another host
    move_home(project, url, Silent())


def test_what_cannot_be_moved_is_refused_with_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aegis = InProcess(tmp_path / "home", monkeypatch)
    assert "nothing to move" in aegis.refusal("move-home", "--to", "postgresql://127.0.0.1/x")["message"]
    make_project(tmp_path).engine.dispose()
    assert "PGPASSWORD" in aegis.refusal("move-home", "--to", "sqlite:////tmp/x.db")["remedy"]
    monkeypatch.setenv("AEGIS_DATABASE", "postgresql+psycopg2://me:s3cret@127.0.0.1:1/x")
    refusal = aegis.refusal("move-home", "--to", "postgresql://127.0.0.1/y")
    assert "pg_dump" in refusal["remedy"]
    assert "s3cret" not in str(refusal)
