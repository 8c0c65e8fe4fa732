"""`aegis audit`: finds what is damaged, says what to run, and resets what can be made again."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.stages import Stage
from aegis_dagster.stores.backup import database_problems, structure_problems
from aegis_dagster.stores.database import open_database
from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.projects import bring_up, make_project, work_of, write_documents

NAMES = ("harbour/ant.txt", "harbour/bee.txt", "survey/ant.txt")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path)
    write_documents(made.root, NAMES)
    asyncio.run(bring_up(made))
    return made


@pytest.fixture
def aegis(project: Project, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    monkeypatch.setenv("AEGIS_ROOT", str(project.root))
    return InProcess(project.settings.home, monkeypatch)


def found(aegis: InProcess, code: int, *arguments: str) -> dict[str, Any]:
    done = aegis("audit", "--json", *arguments)
    assert done.exit_code == code, done.stderr
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def chunks_of(project: Project, document: str) -> Path:
    (one,) = project.documents.get([DocumentId(document)])
    return project.artifacts.path(Stage.CHUNK, project.states.one(one).wanted[Stage.CHUNK])


def test_a_whole_home_is_fine(aegis: InProcess) -> None:
    values = found(aegis, 0)
    assert values["ok"] and values["next"] == "" and not values["repaired"]
    assert values["database"] == {"ok": True, "problems": []}
    assert values["artifacts"] == {"ok": True, "checked": 6, "without_checksums": 0, "damaged": []}
    counts = {item["name"]: (item["points"], item["expected"]) for item in values["vectors"]["collections"]}
    assert counts == {"harbour": (8, 8), "survey": (4, 4)}
    assert "every page is readable" in aegis("audit").stdout


def test_a_damaged_artifact_is_named_reset_and_made_again(aegis: InProcess, project: Project) -> None:
    before = project.artifacts.digest()
    file = chunks_of(project, NAMES[1]) / "document.md"
    file.write_text(file.read_text().replace("harbour", "garbage"))
    for _ in range(2):  # an audit without --repair changes nothing
        values = found(aegis, 1)
        assert values["artifacts"]["damaged"] == [
            {"documents": [NAMES[1]], "stage": "chunk", "what": "document.md has changed since it was written"}
        ]
        assert "aegis audit --repair" in values["next"] and "aegis ingest" in values["next"]
        assert aegis.json("status")["failures"] == []
    repaired = found(aegis, 0, "--repair")
    assert repaired["repaired"] and not repaired["ok"]
    assert "--repair" not in repaired["next"] and "aegis ingest" in repaired["next"]
    (failure,) = aegis.json("status")["failures"]
    assert (failure["document"], failure["stage"], failure["code"]) == (NAMES[1], "chunk", "artifact_damaged")
    assert work_of(asyncio.run(bring_up(project))).keys() == {"chunked", "chunks_from_cache"}
    assert found(aegis, 0)["ok"]
    assert project.artifacts.digest() == before
    assert aegis.json("status")["failures"] == []


def test_an_artifact_that_is_gone_is_named(aegis: InProcess, project: Project) -> None:
    project.artifacts.delete(Stage.CHUNK, chunks_of(project, NAMES[2]).name)
    (one,) = found(aegis, 1)["artifacts"]["damaged"]
    assert one == {"documents": [NAMES[2]], "stage": "chunk", "what": "it is gone"}


def test_checksums_of_an_older_version_are_written_once(aegis: InProcess, project: Project) -> None:
    (chunks_of(project, NAMES[0]) / "checksums.json").unlink()
    assert found(aegis, 0)["artifacts"]["without_checksums"] == 1
    assert "`--repair` writes them" in aegis("audit").stdout
    assert found(aegis, 0, "--repair")["ok"]
    assert found(aegis, 0)["artifacts"]["without_checksums"] == 0
    (chunks_of(project, NAMES[0]) / "chunks.json").write_text("[]")
    assert found(aegis, 1)["artifacts"]["damaged"][0]["documents"] == [NAMES[0]]


def test_points_are_counted_and_published_again_from_the_cache(aegis: InProcess, project: Project) -> None:
    store, before = project.vectors, sorted(point.id for point in project.vectors.scan())
    store.replace_documents([], {DocumentId(NAMES[0]): "lost"})
    with project.engine.begin() as connection:  # a document that the catalog has never seen
        connection.exec_driver_sql("DELETE FROM documents WHERE id = ?", (NAMES[2],))
    values = found(aegis, 1)["vectors"]
    assert values["wrong_documents"] == [NAMES[0]] and values["unknown_documents"] == [NAMES[2]]
    assert values["collections"] == [{"name": "harbour", "points": 4, "expected": 8}]
    shown = aegis("audit").stdout
    assert "harbour: 4 points instead of 8" in shown and NAMES[2] in shown
    assert found(aegis, 0, "--repair")["repaired"]
    work = work_of(asyncio.run(bring_up(project)))
    assert "chunks_embedded" not in work and work["chunks_from_cache"]
    assert sorted(point.id for point in store.scan()) == before
    assert found(aegis, 0)["ok"]


def test_ingest_publishes_missing_points_again(aegis: InProcess, project: Project) -> None:
    before = sorted(point.id for point in project.vectors.scan())
    project.vectors.replace_documents([], {DocumentId(NAMES[0]): "lost"})
    done = aegis("ingest", "--json")
    assert done.exit_code == 0, done.stderr
    assert "vectors of 1 documents are missing" in done.stderr
    work = json.loads(done.stdout)["work"]
    assert work["chunks_from_cache"] == 4 and work["chunks_embedded"] == 0
    assert sorted(point.id for point in project.vectors.scan()) == before


def test_damaged_pages_of_the_database_are_told_and_nobody_is_told_to_delete_it(
    aegis: InProcess, project: Project
) -> None:
    project.close()
    file = project.settings.home / "aegis.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA writable_schema = ON")  # an index that lacks its rows
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ix_documents_collection'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(file.read_bytes())
    begin = (page - 1) * size
    content[begin + 3 : begin + 5] = (0).to_bytes(2, "big")  # number of cells
    file.write_bytes(content)
    values = found(aegis, 3)
    assert values["database"]["problems"] and not values["ok"]
    assert "backup" in values["next"] and "ledger" in values["next"] and "delete" not in values["next"]


def test_a_large_database_is_not_read_quickly(project: Project) -> None:
    assert structure_problems(project.engine, most_megabytes=0) is None
    assert structure_problems(project.engine, most_megabytes=100) == []


def test_a_server_checks_its_own_pages(empty_url: str) -> None:
    engine = open_database(empty_url)
    assert database_problems(engine) == []
    if engine.dialect.name != "sqlite":
        assert structure_problems(engine, most_megabytes=100) is None
    engine.dispose()


def page_of(file: Path, name: str) -> int:
    """Where the first page of a table or index begins in a database whose pages are all in its file."""
    with closing(sqlite3.connect(file)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [name]).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return int((page - 1) * size)


def test_an_unreadable_page_does_not_hide_the_other_parts_and_nothing_is_reset(
    aegis: InProcess, project: Project
) -> None:
    damaged = chunks_of(project, NAMES[1])
    (damaged / "document.md").write_text("garbage")
    project.close()
    file = project.settings.home / "aegis.db"
    begin = page_of(file, "embedding_cache")
    content = bytearray(file.read_bytes())
    content[begin : begin + 4096] = b"\xff" * 4096
    file.write_bytes(content)
    values = found(aegis, 3, "--repair")
    assert not values["database"]["ok"] and not values["repaired"]
    assert "keep the damaged database" in values["next"]
    assert [one["documents"] for one in values["artifacts"]["damaged"]] == [[NAMES[1]]]
    assert values["vectors"]["ok"] and values["vectors"]["collections"]
    assert damaged.is_dir() and file.read_bytes() == content
    findings = json.loads(aegis("doctor", "--json").stdout)["findings"]
    (examined,) = [one for one in findings if one["component"] == "database"]
    assert not examined["ok"] and "is damaged" in examined["state"]
    shown = aegis("audit", "--repair").stdout
    assert "every page is readable" not in shown and "Nothing is reset" in shown


@pytest.mark.parametrize("facts", ["[1", "[1]", '"x"'])
def test_facts_that_are_none_are_a_damaged_database(aegis: InProcess, project: Project, facts: str) -> None:
    with project.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE stage_states SET facts = ?", (facts,))
    project.close()
    for command in (["status"], ["show", NAMES[0]], ["ingest"]):
        done = aegis(*command, "--json")
        assert done.exit_code == 3, done.output
        error = json.loads(done.stdout)["error"]
        assert "database is damaged" in error["message"] and "keep the damaged database" in error["remedy"]
    (error,) = found(aegis, 3)["errors"]
    assert error["part"] == "vectors" and "database is damaged" in error["message"]


def test_a_repair_frees_the_space_of_pictures_that_nothing_uses(aegis: InProcess, project: Project) -> None:
    unused = project.artifacts.root / "shared" / "aa" / "aa11"
    unused.parent.mkdir(parents=True)
    unused.write_bytes(b"a picture that a deleted backup had, too")
    found(aegis, 0)
    assert unused.is_file()
    found(aegis, 0, "--repair")
    assert not unused.exists()
