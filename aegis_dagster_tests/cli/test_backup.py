"""`aegis backup` and `aegis restore`: the same answers and the same ledger, to the nano-dollar, without a paid call."""

import asyncio
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from aegis_dagster.cli import backups
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.stages import Stage
from aegis_dagster.settings import load_settings, remember_root
from aegis_dagster.stores.artifacts import FolderArtifacts
from aegis_dagster.stores.backup import copy_sqlite, sqlite_problems
from aegis_dagster.stores.catalog.schema import passed_over_files
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster.stores.database import open_database, write
from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.limits import no_file_above
from aegis_dagster_tests.support.llm_server import LLMServer, scripted_server
from aegis_dagster_tests.support.projects import bring_up, write_documents
from aegis_dagster_tests.support.projects_with_models import EMBEDDING, llm_settings
from aegis_dagster_tests.support.tasks_in_process import TasksInProcess

NAMES = ("harbour/ant.txt", "harbour/bee.txt", "survey/ant.txt")


@pytest.fixture(scope="module")
def server() -> Iterator[LLMServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture
def aegis(server: LLMServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    """A home whose vectors were paid for."""
    aegis = InProcess(tmp_path / "home", monkeypatch)
    write_documents(tmp_path / "root", NAMES)
    remember_root(tmp_path / "home", tmp_path / "root")
    values = {"llm": llm_settings(server), "embed": {"model": f"openai/{EMBEDDING}"}, "listing": {"settle_seconds": 0}}
    (tmp_path / "aegis.yaml").write_text(yaml.safe_dump(values), "utf-8")
    project = Project(load_settings(), tasks=TasksInProcess())
    asyncio.run(bring_up(project))
    project.close()
    return aegis


def knowledge(aegis: InProcess) -> list[object]:
    """What a home answers, and what it has paid."""
    found = aegis("search", "Who repaired the harbour?", "--mode", "sparse", "--json")
    return [
        json.loads(found.stdout),
        aegis.json("digest"),
        aegis.json("costs", "--by", "document"),
        aegis.json("graph", "Priya Raman"),
    ]


def test_a_restored_home_answers_and_accounts_as_the_old_one_without_a_paid_call(
    aegis: InProcess, server: LLMServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, calls = knowledge(aegis), server.counts()["calls"]
    assert aegis.json("costs")["total_nanousd"] > 0
    copied = aegis.json("backup", str(tmp_path / "copy"))
    assert copied == {"target": str(tmp_path / "copy"), "artifacts": 6, "left_out": 0, "documents_published": 0}
    for gone in (tmp_path / "home", tmp_path / "root"):  # neither the old home nor the documents are needed
        shutil.rmtree(gone)
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "new"))
    assert aegis.json("restore", str(tmp_path / "copy"))["documents_published"] == len(NAMES)
    assert knowledge(aegis) == before
    assert server.counts()["calls"] == calls
    assert aegis.json("audit")["ok"]
    assert load_settings().root == tmp_path / "root"


def test_artifacts_are_links_on_one_disk(aegis: InProcess, tmp_path: Path) -> None:
    aegis.json("backup", str(tmp_path / "copy"))
    for file in (tmp_path / "copy" / "artifacts").rglob("*.*"):
        assert file.samefile(tmp_path / "home" / file.relative_to(tmp_path / "copy"))


def test_nothing_is_overwritten(aegis: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aegis.json("backup", str(tmp_path / "copy"))
    for taken in ("copy", "root", "aegis.yaml"):
        assert "does not exist yet" in aegis.refusal("backup", str(tmp_path / taken))["remedy"]
    assert "AEGIS_HOME" in aegis.refusal("restore", str(tmp_path / "copy"))["remedy"]
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "none"))
    assert "aegis ingest" in aegis.refusal("backup", str(tmp_path / "other"))["remedy"]
    assert not (tmp_path / "other").exists() and not (tmp_path / "none").exists()


def test_only_a_complete_and_unchanged_backup_is_restored(
    aegis: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    aegis.json("backup", str(copy))
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "new"))
    assert "not a complete backup" in aegis.refusal("restore", str(tmp_path / "root"))["message"]
    assert "not a complete backup" in aegis.refusal("restore", str(tmp_path / "nowhere"))["message"]
    database = (copy / "aegis.db").read_bytes()
    (copy / "aegis.db").write_bytes(database[:-1] + b"?")
    changed = aegis("restore", str(copy), "--json")
    assert changed.exit_code == 3 and "another backup" in json.loads(changed.stdout)["error"]["remedy"]
    assert not (tmp_path / "new").exists()
    (copy / "aegis.db").write_bytes(database)
    with no_file_above(20_000):  # a disk that is full halfway leaves a home that can be restored again
        assert aegis("restore", str(copy), "--json").exit_code == 3
    assert aegis("restore", str(copy), "--json").exit_code == 0


def test_damaged_artifacts_are_left_out_and_told(aegis: InProcess, tmp_path: Path) -> None:
    file = next((tmp_path / "home" / "artifacts" / "chunk").rglob("chunks.json"))
    file.write_text("[]")
    assert aegis.json("backup", str(tmp_path / "copy"))["left_out"] == 1
    assert not (tmp_path / "copy" / file.relative_to(tmp_path / "home")).exists()
    assert "damaged or gone" in aegis("backup", str(tmp_path / "again")).stderr


@pytest.mark.parametrize(
    ("damaged", "begin", "written"),
    [("ix_documents_collection", 3, bytes(2)), ("embedding_cache", 0, b"\xff" * 4096)],
    ids=["an index without its rows", "a page that cannot be read"],
)
def test_a_damaged_database_is_not_backed_up(
    aegis: InProcess, tmp_path: Path, damaged: str, begin: int, written: bytes
) -> None:
    file = tmp_path / "home" / "aegis.db"
    with closing(sqlite3.connect(file)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [damaged]).fetchone()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(file.read_bytes())
    start = (page - 1) * 4096 + begin
    content[start : start + len(written)] = written
    file.write_bytes(content)
    refused = aegis("backup", str(tmp_path / "copy"), "--json")
    assert refused.exit_code == 3
    assert f"{tmp_path / 'home' / 'aegis.db'} is damaged" in json.loads(refused.stdout)["error"]["message"]
    assert [path.name for path in tmp_path.iterdir() if "copy" in path.name] == []


def test_a_copy_made_while_others_write_is_one_moment_of_the_database(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'aegis.db'}")
    stop, wrote = threading.Event(), threading.Event()

    def write_pairs() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            rows = [{"path": f"{side}{number}", "reason": "x" * 2000, "remedy": ""} for side in "ab"]
            with write(engine) as connection:
                connection.execute(sa.insert(passed_over_files), rows)
            wrote.set()

    writer = threading.Thread(target=write_pairs)
    writer.start()
    steps: list[int] = []
    try:
        for number in range(5):
            wrote.clear()
            assert wrote.wait(60)
            copy_sqlite(tmp_path / "aegis.db", tmp_path / f"copy{number}", lambda left, total: steps.append(total))
    finally:
        stop.set()
        writer.join()
    counts = []
    for number in range(5):
        copy = tmp_path / f"copy{number}"
        assert sqlite_problems(copy) == []
        with closing(sqlite3.connect(copy)) as db:
            counts.append(
                db.execute("SELECT total(path LIKE 'a%'), total(path LIKE 'b%') FROM passed_over_files").fetchone()
            )
    assert all(a == b for a, b in counts)
    assert counts == sorted(set(counts)) and steps
    engine.dispose()


def test_a_database_on_a_server_is_left_to_its_own_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aegis = InProcess(tmp_path / "home", monkeypatch)
    monkeypatch.setenv("AEGIS_DATABASE", "postgresql+psycopg2://me:secret@127.0.0.1:9/name")
    for command in ("backup", "restore"):
        error = aegis.refusal(command, str(tmp_path / "copy"))
        assert "pg_dump" in error["remedy"] and str(tmp_path / "home" / "artifacts") in error["remedy"]
        assert "secret" not in str(error)


@pytest.mark.parametrize("copy", [shutil.copyfile, os.link])
def test_equal_pictures_are_copied_once(tmp_path: Path, copy: Callable[[Path, Path], object]) -> None:
    store, picture, copied = FolderArtifacts(tmp_path / "store", SystemClock()), os.urandom(100_000), tmp_path / "copy"
    by_inode: dict[int, Path] = {}
    for fingerprint in ("aa11", "bb22"):
        with store.staging(Stage.PARSE, fingerprint, replace=False) as folder:
            (folder / "pictures").mkdir()
            for number in range(20):
                (folder / "pictures" / f"{number}.png").write_bytes(picture)
        backups._copy_files(store.path(Stage.PARSE, fingerprint), copied / fingerprint, copy, by_inode)
    files = [file.stat() for file in copied.rglob("*.png")]
    assert len(files) == 40 and len({file.st_ino for file in files}) == 1
    shutil.rmtree(copied / "aa11")  # as an artifact that is left out
    backups._copy_files(store.path(Stage.PARSE, "aa11"), copied / "aa11", copy, {files[0].st_ino: copied / "gone"})
    assert len(list(copied.rglob("*.png"))) == 40


def test_a_home_is_restored_without_the_provider_that_embedded_and_ingest_does_the_rest(
    aegis: InProcess, server: LLMServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, configured = knowledge(aegis), (tmp_path / "aegis.yaml").read_text("utf-8")
    aegis.json("backup", str(tmp_path / "copy"))
    (tmp_path / "aegis.yaml").write_text(yaml.safe_dump({"embed": {"model": f"openai/{EMBEDDING}"}}), "utf-8")
    for home in ("new", "other"):
        monkeypatch.setenv("AEGIS_HOME", str(tmp_path / home))
        done = aegis("restore", str(tmp_path / "copy"), *(["--json"] if home == "new" else []))
        assert done.exit_code == 0, done.output
        if home == "other":
            assert "vectors of 3 documents are missing" in done.stderr and "aegis ingest" in done.stderr
            continue
        values = json.loads(done.stdout)
        assert (values["documents_published"], values["documents_without_vectors"]) == (0, len(NAMES))
        assert "openai" in values["why"] and "aegis ingest" in values["next"]
    (tmp_path / "aegis.yaml").write_text(configured, "utf-8")
    calls = server.counts()["calls"]
    assert [one["embed"] for one in stages(aegis)] == [{"pending": 2}, {"pending": 1}]
    project = Project(load_settings(), tasks=TasksInProcess())
    asyncio.run(bring_up(project))
    project.close()
    assert knowledge(aegis) == before and server.counts()["calls"] == calls


def stages(aegis: InProcess) -> list[dict[str, dict[str, int]]]:
    """How many documents of each collection are in each status, by stage."""
    return [one["stages"] for one in aegis.json("status")["collections"]]


def test_restoring_does_not_pay_for_vectors_that_the_cache_no_longer_holds(
    aegis: InProcess, server: LLMServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aegis("cache", "forget", "--stage", "embed", "--document", NAMES[0])
    aegis.json("backup", str(tmp_path / "copy"))
    calls = server.counts()["calls"]
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "new"))
    values = aegis.json("restore", str(tmp_path / "copy"))
    assert server.counts()["calls"] == calls
    without = values["documents_without_vectors"]
    assert without and values["documents_published"] == len(NAMES) - without
    assert "cache" in values["why"] and "aegis ingest" in values["next"]
    assert sum(one["embed"].get("pending", 0) for one in stages(aegis)) == without
    project = Project(load_settings(), tasks=TasksInProcess())
    asyncio.run(bring_up(project))
    project.close()
    assert server.counts()["calls"] > calls and aegis.json("audit")["ok"]
