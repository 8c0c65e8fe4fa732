"""A root that never answers: the look ends, a check says so, nothing is deleted, and all goes on when it is back."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.automation.watched_folder_sensor import list_root
from aegis_dagster.defs.ingestion.root_checks import ROOT_READABLE
from aegis_dagster.errors import RootUnreadable
from aegis_dagster.settings import load_settings
from aegis_dagster_tests.support.cli_process import Aegis
from aegis_dagster_tests.support.dagster_daemon import Daemon
from aegis_dagster_tests.support.projects import write_documents
from aegis_dagster_tests.support.servers.silence import dead_mount, web_server
from aegis_dagster_tests.support.waiting import until

PATIENCE = 1.0
NO_END = 10_000.0  # whoever waits this long does so until the test is given up


def look(daemon: Daemon) -> None:
    """What each tick does with the root, without loading the definitions for it."""
    list_root(daemon.instance, Project(load_settings()), print, read_seconds=20)


def fails(daemon: Daemon, asks: Callable[[Daemon], object]) -> None:
    """The look ends, with the error that people see."""
    with pytest.raises(RootUnreadable, match=r"has not answered for .* Nothing was deleted"):
        asks(daemon)
    assert daemon.check(ROOT_READABLE) is False


def refused_at_once(aegis: Aegis, *command: str | Path) -> None:
    """The command ends with the error, and does not wait for its thread."""
    process = aegis.start(*command, AEGIS_LISTING__PATIENCE_SECONDS=str(PATIENCE))
    try:
        _, said = process.communicate(timeout=200)
    finally:
        process.kill()
    assert (process.returncode, "has not answered for 1 s" in said) == (2, True), said


def threads() -> int:
    """Those that wait for a root."""
    return sum(1 for thread in threading.enumerate() if thread.name == "aegis-root")


def answers(daemon: Daemon) -> bool:
    try:
        look(daemon)
    except RootUnreadable:
        return False
    return True


def silent(daemon: Daemon, patch: pytest.MonkeyPatch) -> None:
    """The first look waits, those after it do not, and no thread is made for them."""
    before = threads()
    fails(daemon, Daemon.requests)
    assert threads() == before + 1
    with patch.context() as without_end:
        without_end.setenv("AEGIS_LISTING__PATIENCE_SECONDS", str(NO_END))
        for _ in range(3):
            fails(daemon, look)
    assert (threads(), daemon.evaluations(ROOT_READABLE)) == (before + 1, 2)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    import aiohttp
    import upath

    assert aiohttp and upath  # the first look would import them, which is silence, too
    monkeypatch.setenv("AEGIS_LISTING__PATIENCE_SECONDS", str(PATIENCE))


def test_a_mount_whose_server_is_gone(project: Project, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    write_documents(project.root, ["c/a.txt", "c/b.txt"], paragraphs=1)
    daemon.requests()
    known = project.documents.all()
    with dead_mount(project.root):
        silent(daemon, monkeypatch)
        for command in (("ingest", project.root / "c" / "a.txt"), ("ingest", "--dry-run")):
            refused_at_once(Aegis(project.settings.home, project.root), *command)
    until(lambda: answers(daemon))
    assert (daemon.check(ROOT_READABLE), project.documents.all()) == (True, known)
    assert len(known) == 2 and threads() == 0


def test_a_server_that_accepts_and_never_answers(
    project: Project, daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tmp_path / "served"
    write_documents(files, ["c/a.txt", "c/b.txt"], paragraphs=1)
    with web_server(files) as server:
        monkeypatch.setenv("AEGIS_ROOT", server.url)
        assert [request.partition_key for request in daemon.requests()] == ["c"]
        known = project.documents.all()
        server.silence()
        silent(daemon, monkeypatch)
        refused_at_once(Aegis(project.settings.home, server.url), "ingest")
        server.answers.set()
        until(lambda: answers(daemon))
        assert daemon.check(ROOT_READABLE) is True
        assert len(known) == 2 and project.documents.all() == known


def test_one_object_that_never_comes_is_passed_over_and_the_others_are_taken(
    project: Project, daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tmp_path / "served"
    write_documents(files, ["c/a.txt", "c/b.txt", "d/c.txt"], paragraphs=1)
    with web_server(files) as server:
        monkeypatch.setenv("AEGIS_ROOT", server.url)
        server.silence("b.txt")
        assert [request.partition_key for request in daemon.requests()] == ["c", "d"]
        assert daemon.check(ROOT_READABLE) is True
        assert [document.id for document in project.documents.all()] == ["c/a.txt", "d/c.txt"]
        assert [(item.path, item.reason) for item in project.documents.passed_over()] == [("c/b.txt", "unreadable")]
        waiting = threads()
        look(daemon)
        assert threads() == waiting  # it was not asked again
        server.answers.set()
        until(lambda: answers(daemon) and len(project.documents.all()) == 3)
        server.silence("b.txt")  # the same for one that is known
        look(daemon)
        assert len(project.documents.all()) == 3
