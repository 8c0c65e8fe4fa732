"""What a plan says is what a run then does, and planning itself changes nothing."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.stages import Stage, Status, from_stage_on
from aegis_dagster.planning.plan import Plan, look, plan
from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.projects import bring_up, make_project, write_documents


def planned(project: Project, force_from: Stage | None = None) -> Plan:
    """The plan for the whole root as it is now."""
    sight = look(project)
    return plan(project, sight.documents, sight, from_stage_on(force_from) if force_from else ())


def everything_in(home: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, and the path of every artifact."""
    with sqlite3.connect(home / "aegis.db") as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: sorted(connection.execute(f'SELECT * FROM "{name}"'), key=repr) for name in tables}
    return rows | {"artifacts": sorted((str(path),) for path in (home / "artifacts").rglob("*"))}


def edit(root: Path) -> None:
    (root / "c" / "a.txt").write_text("Other words about the tide gauge of Eastmere.\n", "utf-8")


def break_one(root: Path) -> None:
    (root / "c" / "b.txt").write_bytes(b"")


def rename(root: Path) -> None:
    (root / "c" / "a.txt").rename(root / "c" / "z.txt")


def delete(root: Path) -> None:
    (root / "c" / "z.txt").unlink()


def add(root: Path) -> None:
    write_documents(root, ["c/new.txt", "d/new.txt"])


def leave(root: Path) -> None:
    """Change nothing."""


# In this order, each on what the one before it left; with how many documents have work.
CHANGES: list[tuple[Callable[[Path], None], int]] = [
    (leave, 0),
    (edit, 1),
    (break_one, 1),
    (rename, 1),
    (delete, 0),
    (add, 2),
]


async def test_a_run_does_what_was_planned(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, ["c/a.txt", "c/b.txt", "c/c.txt"])
    await bring_up(project)
    for change, documents in CHANGES:
        change(project.root)
        before = everything_in(project.settings.home)
        said = planned(project)
        assert everything_in(project.settings.home) == before, change
        reports = await bring_up(project)
        assert {stage.stage: len(stage.work) for stage in said.stages} == {
            stage: report.outcomes.total() for stage, report in reports.items()
        }, change
        assert said.documents_to_do == documents, change
    assert planned(project).documents_to_do == 0


async def test_a_forced_run_does_again_what_the_plan_names(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, ["c/a.txt", "c/b.txt"])
    first = planned(project)
    assert {str(why) for stage in first.stages for _, why in stage.work} == {"new"}
    await bring_up(project)
    said = planned(project, Stage.CHUNK)
    assert {stage.stage: len(stage.work) for stage in said.stages} == dict.fromkeys(Stage, 2) | {
        Stage.PARSE: 0,
        Stage.ENRICH: 0,
    }
    assert {str(why) for stage in said.stages for _, why in stage.work} == {"forced"}


async def test_a_plan_tells_a_failure_for_good_from_work(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, ["c/a.txt"])
    break_one(project.root)
    reports = await bring_up(project)
    assert reports[Stage.PARSE].outcomes[Status.FAILED] == 1
    parse = planned(project).stages[0]
    assert (parse.documents, len(parse.work), parse.failed_for_good, parse.up_to_date) == (2, 0, 1, 1)


def test_the_command_shows_the_plan_and_forces_from_a_stage_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, ["c/a.txt", "c/b.txt"])
    asyncio.run(bring_up(project))
    edit(project.root)
    monkeypatch.setenv("AEGIS_ROOT", str(project.root))
    monkeypatch.setenv("AEGIS_LISTING__SETTLE_SECONDS", "0")
    aegis, before = InProcess(project.settings.home, monkeypatch), everything_in(project.settings.home)
    shown = aegis.json("ingest", "--dry-run")
    assert (shown["documents"], shown["documents_to_do"], shown["listing"]["changed"]["ids"]) == (2, 1, ["c/a.txt"])
    assert shown["stages"][0]["work"] == [{"document": "c/a.txt", "why": "bytes changed"}]
    assert shown["forecast"]["total_nanousd"] == 0
    told = aegis("ingest", "--dry-run", "--force-from", "graph").stdout
    assert "c/b.txt: forced (graph)\n" in told and told.rstrip().endswith("Nothing was changed: this was a dry run.")
    assert everything_in(project.settings.home) == before
    assert aegis.json("ingest", "--force-from", "graph")["done"] == 2
