"""What a spreadsheet opens computes nothing that a stranger named."""

import csv
import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from aegis_dagster.cli.output import print_csv
from aegis_dagster.composition.project import Project
from aegis_dagster.defs.costs.report import GROUPED_BY, cost_frame, write_parquet
from aegis_dagster.domain.accounts import Settlement
from aegis_dagster.domain.money import NanoUsd
from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.ledger_calls import USAGE, reservation

FORMULAS = [
    '=HYPERLINK("http://evil.example";"open")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "  =1+1",
    "\u00a0=1+1",
    "＝1+1",
    "－1",
    "a;=1+1",
    'a","=1+1',
    "a|+1",
]


def cells(printed: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(printed)))


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_cell_begins_with_what_a_spreadsheet_computes(formula: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_csv(["name"], [{"name": formula}])
    printed = capsys.readouterr().out
    (_, (cell,)) = cells(printed)
    assert "'" in cell
    for separator in (",", ";", "|", "\t"):  # whatever the spreadsheet takes for one
        for part in printed.splitlines()[1].split(separator):
            assert part.strip().strip('"').strip()[:1] not in ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r")


def test_numbers_stay_numbers_and_usual_texts_stay(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"name": "gpt-4.1-mini", "more": "legal/a, b.pdf", "cost": -12_345, "zero": 0, "share": -0.5, "none": None}
    print_csv(list(row), [row])
    assert cells(capsys.readouterr().out)[1] == ["gpt-4.1-mini", "legal/a, b.pdf", "-12345", "0", "-0.5", ""]


def test_what_acts_on_a_terminal_is_visible_in_csv(capsys: pytest.CaptureFixture[str]) -> None:
    print_csv(["name"], [{"name": "a\x1b[2J\u202eb\nc"}])
    assert cells(capsys.readouterr().out)[1] == ["a\\x1b[2J<U+202E>b\\nc"]


async def test_costs_of_a_hostile_collection_are_harmless_in_csv_and_faithful_in_parquet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aegis = InProcess(tmp_path / "home", monkeypatch)
    hostile = "=cmd|' /C calc'!A0"
    project = Project()
    await project.choices.ledger.reserve(reservation(500, "one", collection=hostile))
    await project.choices.ledger.settle(Settlement("one", "ok", USAGE, NanoUsd(480), latency_seconds=0.7))
    (row,) = csv.DictReader(io.StringIO(aegis("costs", "--csv", "--all").stdout))
    assert row["collection"] == "'=cmd|' /C calc'!A0" and row["cost_nanousd"] == "480"
    assert aegis.json("costs", "--all")["rows"][0]["collection"] == hostile
    write_parquet(cost_frame(project.ledger_reports.usage(GROUPED_BY)), tmp_path / "costs.parquet")
    (written,) = pq.read_table(tmp_path / "costs.parquet").to_pylist()
    assert written["collection"] == hostile and written["cost_nanousd"] == 480
