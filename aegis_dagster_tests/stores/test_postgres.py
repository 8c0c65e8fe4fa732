"""The whole project on a real Postgres comes to what it comes to on SQLite."""

from pathlib import Path

from aegis_dagster.digests import digests
from aegis_dagster_tests.support.projects import bring_up, make_project, write_documents
from aegis_dagster_tests.support.servers.postgres import PostgresServer

NAMES = ["a/1.txt", "a/2.txt", "b/3.txt"]


async def test_the_same_documents_give_the_same_digests_also_after_an_edit_and_a_deletion(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    found = []
    for folder, database in (("sqlite", None), ("postgres", postgres.new_database())):
        project = make_project(tmp_path / folder, database=database)
        write_documents(project.root, NAMES)
        await bring_up(project)
        (project.root / NAMES[0]).unlink()
        (project.root / NAMES[1]).write_text("The tide gauge of Eastmere was read by Priya Raman.", "utf-8")
        await bring_up(project)
        assert {summary.name: summary.documents for summary in project.reports.summaries()} == {"a": 1, "b": 1}
        found.append(digests(project))
        project.engine.dispose()
    assert found[0] == found[1]
