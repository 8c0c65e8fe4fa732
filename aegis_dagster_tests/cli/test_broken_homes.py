"""Every command over every kind of broken home: an exit code and a true remedy, never a traceback."""

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import Result

from aegis_dagster.cli.dagster_runs import open_partitions
from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.cli_process import Aegis
from aegis_dagster_tests.support.limits import no_file_above
from aegis_dagster_tests.support.projects import bring_up, make_project, write_documents

NAMES = ("harbour/ant.txt", "harbour/bee.txt", "survey/ant.txt")
COMMANDS = [
    ["ingest"],
    ["ingest", "--dry-run"],
    ["retry"],
    ["status"],
    ["search", "harbour"],
    ["show", "bee.txt"],
    ["graph"],
    ["graph", "priya raman"],
    ["costs"],
    ["budget"],
    ["budget", "set", "openai", "5"],
    ["forecast"],
    ["alerts"],
    ["digest"],
    ["audit"],
    ["backup", "copy"],
]
PARTS = {"settings", "watched root", "home", "database", "artifacts", "vector store", "Dagster storage", "memory"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a home with three documents and a Dagster instance."""
    folder = tmp_path_factory.mktemp("whole")
    project = make_project(folder)
    write_documents(project.root, NAMES)
    asyncio.run(bring_up(project))
    open_partitions(project)
    project.close()
    return folder


@pytest.fixture
def home(whole: Path, tmp_path: Path) -> Path:
    """A copy that may be broken."""
    shutil.copytree(whole / "home", tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def aegis(home: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    monkeypatch.setenv("AEGIS_ROOT", str(whole / "root"))
    monkeypatch.setenv("AEGIS_LISTING__SETTLE_SECONDS", "0")
    return InProcess(home, monkeypatch)


def told(result: Result, code: int) -> dict[str, str]:
    """The error of a command that must end with this code, and not by an exception."""
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code, result.stderr
    assert "Traceback" not in result.stderr
    error: dict[str, str] = json.loads(result.stdout)["error"]
    assert error["message"] and error["remedy"]
    assert "delete" not in error["remedy"] or "vector store" in error["message"], error["remedy"]
    return error


def broken_parts(aegis: InProcess) -> dict[str, str]:
    """The components that `doctor` marks, with its remedies. It has looked at every part."""
    done = aegis("doctor", "--json")
    assert isinstance(done.exception, SystemExit) and done.exit_code == 2, done.exception
    findings = json.loads(done.stdout)["findings"]
    assert {item["component"] for item in findings} >= PARTS
    assert all(item["move_up"] and "defect" not in item["move_up"] for item in findings if not item["ok"]), findings
    return {item["component"]: item["move_up"] for item in findings if not item["ok"]}


def garbage(name: str) -> Callable[[Path], None]:
    def fill(home: Path) -> None:
        for file in (home / name).parent.glob(f"{(home / name).name}*"):
            file.unlink()
        (home / name).write_bytes(b"garbage!" * 500)

    return fill


def folder_for_file(name: str) -> Callable[[Path], None]:
    def put(home: Path) -> None:
        garbage(name)(home)
        (home / name).unlink()
        (home / name).mkdir()

    return put


def file_for_folder(name: str) -> Callable[[Path], None]:
    def put(home: Path) -> None:
        shutil.rmtree(home / name)
        (home / name).write_text("x")

    return put


def sql(statement: str) -> Callable[[Path], None]:
    def run(home: Path) -> None:
        with closing(sqlite3.connect(home / "aegis.db")) as db:
            db.execute(statement)
            db.commit()

    return run


def damaged_pages(home: Path) -> None:
    content = (home / "aegis.db").read_bytes()
    (home / "aegis.db").write_bytes(content[:4096] + bytes(len(content) - 4096))


@pytest.mark.parametrize(
    ("breaking", "remedy", "tells_something_else"),
    [
        (garbage("aegis.db"), "backup", ()),
        (damaged_pages, "backup", ()),
        (folder_for_file("aegis.db"), "ls -ld", ()),
        (file_for_folder(""), "ls -ld", ()),
        # The others read no states of documents; a database that another version made can be copied.
        (sql("DROP TABLE stage_states"), "aegis restore", ("costs", "budget", "alerts", "graph", "audit")),
        (sql("UPDATE alembic_version SET version_num = '9999'"), "newer version", ("backup",)),
    ],
    ids=["garbage", "pages", "folder", "home is a file", "table gone", "newer version"],
)
def test_a_broken_database_is_told_by_every_command(
    aegis: InProcess, home: Path, breaking: Callable[[Path], None], remedy: str, tells_something_else: tuple[str, ...]
) -> None:
    breaking(home)
    for command in COMMANDS:
        if command[0] in tells_something_else:
            continue
        assert remedy in told(aegis(*command, "--json"), 3)["remedy"], command
    if not home.is_file():  # the exporter goes on and serves what it can read
        assert aegis("metrics", "--once").exit_code == 0
    if remedy != "aegis restore":
        assert remedy in broken_parts(aegis)["database"]


@pytest.mark.parametrize(
    ("breaking", "code", "remedy"),
    [
        (garbage("dagster/history/runs.db"), 3, "move it away"),
        (garbage("dagster/history/runs/index.db"), 3, "move it away"),
        (garbage("dagster/schedules/schedules.db"), 3, "move it away"),
        (folder_for_file("dagster/history/runs.db"), 3, "ls -ld"),
        (file_for_folder("dagster/history"), 3, "ls -ld"),
        (file_for_folder("dagster"), 3, "ls -ld"),
        (lambda home: (home / "dagster/dagster.yaml").write_text("a: [x"), 2, "correct the file"),
        (lambda home: (home / "dagster/dagster.yaml").write_text("nonsense: 3\n"), 2, "correct the file"),
        (lambda home: (home / "dagster/dagster.yaml").write_bytes(b"\xff\xfe\x00"), 2, "correct the file"),
    ],
)
def test_a_broken_storage_of_dagster_stops_runs_only(
    aegis: InProcess, home: Path, breaking: Callable[[Path], None], code: int, remedy: str
) -> None:
    breaking(home)
    for command in (["ingest", "--force-from", "embed"], ["dev"]):
        result = aegis(*command)
        assert result.exit_code == code, result.exception
        assert remedy in " ".join(result.stderr.split())
        assert "Traceback" not in result.stderr
    for command in (["status"], ["search", "harbour"], ["costs"], ["audit"], ["metrics", "--once"]):
        assert aegis(*command).exit_code == 0, command
    assert list(broken_parts(aegis)) == ["Dagster storage"]


def in_collection(break_file: Callable[[Path], object]) -> Callable[[Path], None]:
    def do(home: Path) -> None:
        (file,) = (home / "vectors" / "collection").rglob("segment.json")
        break_file(file)

    return do


def put_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    "breaking",
    [
        file_for_folder("vectors"),
        garbage("vectors/aliases.json"),
        in_collection(lambda file: file.write_bytes(b"garbage!" * 500)),
        in_collection(lambda file: file.write_bytes(file.read_bytes()[:80])),
        in_collection(put_folder),
    ],
    ids=["file", "list of collections", "garbage", "cut", "folder"],
)
def test_a_broken_vector_store_is_told_by_ingest_search_and_audit(
    aegis: InProcess, home: Path, breaking: Callable[[Path], None]
) -> None:
    breaking(home)
    for command in (["ingest"], ["search", "harbour"], ["digest"]):
        assert "vector store" in told(aegis(*command, "--json"), 3)["message"], command
    audited = aegis("audit", "--json")
    assert audited.exit_code == 3 and not json.loads(audited.stdout)["vectors"]["ok"]
    assert list(broken_parts(aegis)) == ["vector store"]
    for command in (["status"], ["show", "bee.txt"], ["costs"], ["graph", "priya raman"]):
        assert aegis(*command).exit_code == 0, command


def test_a_full_disk_is_told_by_every_command_that_writes(aegis: InProcess, whole: Path) -> None:
    for command in (["ingest", "--force-from", "embed"], ["budget", "set", "openai", "5"], ["backup", "copy"]):
        with no_file_above(2_000):
            error = told(aegis(*command, "--json"), 3)
        assert "ulimit -f" in error["remedy"], command
    assert aegis("status").exit_code == 0
    assert not (whole / "copy").exists()


def test_a_run_whose_disk_is_full_ends_without_a_traceback(tmp_path: Path) -> None:
    write_documents(tmp_path / "root", NAMES)
    aegis = Aegis(tmp_path / "home")
    with no_file_above(150_000):  # of the child: less than the schema of the catalog takes
        answer = aegis("ingest", tmp_path / "root")
    assert answer.code == 3, answer.stderr
    assert "Traceback" not in answer.stderr and "remedy:" in answer.stderr
    assert aegis("status").code == 0


def test_a_home_that_may_not_be_written_is_told(home: Path, whole: Path) -> None:
    aegis = Aegis(home, whole / "root")
    for path in (*home.rglob("*"), home):
        path.chmod(0o500 if path.is_dir() else 0o400)
    rights = "-dac_override,-dac_read_search"  # by which root writes everywhere
    as_others = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"] if os.geteuid() == 0 else []
    try:
        for arguments in (["status"], ["ingest"]):
            command = [*as_others, *aegis.command(*arguments)]
            done = subprocess.run(command, env=aegis.environment(), capture_output=True, text=True, check=False)
            assert done.returncode == 3, done.stderr
            assert "right to read and write" in done.stderr and "Traceback" not in done.stderr
    finally:
        for path in (home, *home.rglob("*")):
            path.chmod(0o700)


@pytest.mark.parametrize("name", ["with space", "with#hash", "100%25 [bold]", "Größe", "two\nlines"])
def test_a_home_may_have_any_other_name(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    shutil.copytree(whole / "home", tmp_path / name)
    monkeypatch.setenv("AEGIS_ROOT", str(whole / "root"))
    aegis = InProcess(tmp_path / name, monkeypatch)
    for command in (["ingest"], ["status"], ["search", "harbour"], ["audit"], ["backup", "copy"]):
        assert aegis(*command).exit_code == 0, command


def test_a_home_with_a_question_mark_is_refused(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aegis = InProcess(tmp_path / "what?", monkeypatch)
    for command in COMMANDS:
        assert "AEGIS_HOME" in told(aegis(*command, "--json"), 2)["remedy"]
    found = json.loads(aegis("doctor", "--json").stdout)["findings"]
    assert [(item["component"], item["ok"]) for item in found] == [("settings", False)]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"\xff\xfe\x00garbage", b"", b"\n"])
def test_a_remembered_root_that_is_no_path_is_named(
    aegis: InProcess, home: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.delenv("AEGIS_ROOT")
    (home / "root").write_bytes(content)
    assert "AEGIS_ROOT" in told(aegis("ingest", "--json"), 2)["remedy"]
