"""The asset `llm_costs`, when its checks run, and the resources for assets of one's own, over real ledgers."""

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml

from aegis_dagster.cli.ingestion import failed_cost_checks
from aegis_dagster.composition.models import account_limits
from aegis_dagster.composition.project import Project
from aegis_dagster.definitions import build_definitions
from aegis_dagster.defs.costs.asset_checks import safe_names
from aegis_dagster.defs.costs.assets import Watch, check_costs_after_calls
from aegis_dagster.defs.costs.report import cost_frame, plotted_days
from aegis_dagster.defs.resources import LedgerResource, LlmResource, ProjectResource
from aegis_dagster.domain.llm import TaskType
from aegis_dagster.domain.money import Month, month_of
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.stores.ledger.schema import llm_calls
from aegis_dagster_tests.support.ledger_of_project import ERROR, SEVERITIES, USD, pay


def check_costs(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """The job, as schedule, sensor and command line run it."""
    job = build_definitions(ProjectResource(seconds_before_retry=0)).resolve_job_def("check_costs")
    return job.execute_in_process(instance=instance, raise_on_error=False)


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    (event,) = result.get_asset_materialization_events()
    return {key: value.value for key, value in event.materialization.metadata.items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}


def failed(result: dg.ExecuteInProcessResult) -> set[str]:
    assert result.success
    return {name for name, check in checks(result).items() if not check.passed}


def test_an_empty_ledger_passes_every_check_and_gives_an_empty_report(
    project: Project, instance: dg.DagsterInstance
) -> None:
    import pyarrow.parquet as pq

    result = check_costs(instance)
    assert {name: check.severity for name, check in checks(result).items()} == SEVERITIES
    assert failed(result) == set()
    said = metadata(result)
    assert (said["total_usd"], said["calls"], said["dagster/row_count"]) == (0.0, 0, 0)
    assert (said["remaining_usd/openai"], said["remaining_usd/dashscope"]) == (20.0, 10.0)
    assert "remaining_usd/local" not in said and said["spent_usd/local"] == 0.0
    assert "Nothing was spent" in str(said["usd_by_day"]) and said["costs"] == "No model was called yet."
    table = pq.read_table(project.settings.home / "reports" / "llm_costs.parquet")
    assert table.num_rows == 0
    assert str(table.schema.field("cost_nanousd").type) == "int64"
    assert str(table.schema.field("cost_usd").type) == "decimal128(38, 9)"


def test_the_parquet_file_is_the_ledger_to_the_nano_dollar(project: Project, instance: dg.DagsterInstance) -> None:
    import pandas as pd

    now = project.clock.now()
    last_month = now.replace(day=1) - timedelta(days=3)
    pay(project, calls=3, usd="0.333333333")
    pay(project, provider="dashscope", model="qwen-flash", usd="0.000000001", collection="d")
    pay(project, provider="local", model="qwen3:8b", usd="0", price_version="free", calls=2)
    pay(project, calls=2, usd="0.000000007", at=last_month, task_type=TaskType.IMAGE_DESCRIPTION)
    said = metadata(check_costs(instance))
    path = project.settings.home / "reports" / "llm_costs.parquet"
    assert said["dagster/uri"] == path.as_uri()
    frame = pd.read_parquet(path)
    rows = project.ledger_reports.usage(("month", "provider", "model", "task_type", "collection"))
    assert len(rows) == said["dagster/row_count"] == 4
    expected = cost_frame(rows)
    pd.testing.assert_frame_equal(
        frame.drop(columns="cost_usd"), expected.drop(columns="cost_usd"), check_dtype=False, check_exact=True
    )
    assert list(frame["cost_usd"]) == [Decimal(nano) / USD for nano in frame["cost_nanousd"]]
    assert frame["cost_nanousd"].dtype == "int64"
    with project.engine.connect() as connection:
        paid = connection.execute(sa.select(sa.func.sum(llm_calls.c.cost_nanousd))).scalar()
    assert int(frame["cost_nanousd"].sum()) == paid == 999_999_999 + 1 + 14
    of_now = frame[frame["month"] == month_of(now)]
    assert int(of_now["cost_nanousd"].sum()) == 1_000_000_000
    assert said["total_usd"] == 1.0 and said["calls"] == 6
    assert said["spent_usd/openai"] == 0.999999999
    assert said["remaining_usd/openai"] == pytest.approx(19.000000001, abs=1e-12)
    assert list(path.parent.iterdir()) == [path]  # nothing unfinished is left


def test_the_plot_is_a_picture_of_the_last_days(project: Project, instance: dg.DagsterInstance) -> None:
    pay(project, usd="0.5")
    pay(project, provider="dashscope", model="qwen-flash", usd="0.25")
    pay(project, usd="0.5", at=project.clock.now() - timedelta(days=20))
    shown = str(metadata(check_costs(instance))["usd_by_day"])
    head, encoded = shown.removesuffix(")").split("(data:image/png;base64,")
    assert head == "![USD by day and provider]"
    picture = base64.b64decode(encoded)
    assert picture.startswith(b"\x89PNG") and len(picture) < 30_000


def test_a_run_records_what_failed_and_how_bad_it_is(project: Project, instance: dg.DagsterInstance) -> None:
    pay(project, usd="20")
    result = check_costs(instance)
    assert failed(result) == {"openai_under_soft_threshold", "openai_under_limit"}
    bad = checks(result)["openai_under_limit"]
    assert bad.severity is ERROR and "20.00 USD spent" in str(bad.description)
    assert bad.metadata["spent_usd"].value == bad.metadata["limit_usd"].value == 20.0


def test_days_are_plotted_over_the_end_of_a_month() -> None:
    days = plotted_days(datetime(2026, 3, 2, tzinfo=UTC).date())
    assert (days[0], days[-1], len(days)) == ("2026-01-31", "2026-03-02", 31)


def test_calls_that_nobody_settled_are_counted_first(project: Project, instance: dg.DagsterInstance) -> None:
    pay(project, usd="0.25", settled=False, at=project.clock.now() - timedelta(minutes=2))  # they live a minute
    said = metadata(check_costs(instance))
    assert (said["total_usd"], said["spent_usd/openai"], said["calls"]) == (0.25, 0.25, 1)


def test_one_check_can_be_run_alone(project: Project, instance: dg.DagsterInstance) -> None:
    pay(project, usd="20")
    job = dg.define_asset_job(
        "alone",
        selection=dg.AssetSelection.checks(
            dg.AssetCheckKey(dg.AssetKey("llm_costs"), "openai_under_limit"),
        ),
    )
    definitions = dg.Definitions.merge(build_definitions(), dg.Definitions(jobs=[job]))
    result = definitions.resolve_job_def("alone").execute_in_process(instance=instance)
    assert {name: check.passed for name, check in checks(result).items()} == {"openai_under_limit": False}


def test_the_providers_of_the_settings_have_the_checks(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "aegis.yaml").write_text(
        yaml.safe_dump({"llm": {"tiers": ["my-vllm.1", "openai"], "providers": {"my-vllm.1": {"free": True}}}})
    )
    names = {key.name for key in money_checks()}
    assert {name for name in names if "under" in name} == {
        *("my_vllm_1_under_soft_threshold", "my_vllm_1_under_limit"),
        *("openai_under_soft_threshold", "openai_under_limit"),
    }
    (tmp_path / "aegis.yaml").write_text(yaml.safe_dump({"llm": {"tiers": []}}))
    assert not any("under" in key.name for key in money_checks())


@pytest.mark.parametrize("broken", [b"llm: [", b"llm: {tiers: [nobody]}", b"\xff\xfe\x00", b"- a\n- list", b"parse: 3"])
def test_broken_settings_leave_the_definitions_loadable(
    project: Project, tmp_path: Path, broken: bytes, instance: dg.DagsterInstance
) -> None:
    (tmp_path / "aegis.yaml").write_bytes(broken)
    assert {key.name for key in money_checks()} == set(SEVERITIES)


def test_a_run_with_broken_settings_says_what_to_mend(
    project: Project, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    (tmp_path / "aegis.yaml").write_text("llm: {tiers: [nobody]}")
    result = check_costs(instance)
    assert not result.success
    assert "nobody" in str([event.step_failure_data for event in result.all_events if event.is_step_failure])


def money_checks() -> set[dg.AssetCheckKey]:
    graph = build_definitions().resolve_asset_graph()
    return {key for key in graph.asset_check_keys if key.asset_key == dg.AssetKey("llm_costs")}


def test_names_of_checks_are_never_alike() -> None:
    assert safe_names(["a-b", "a.b", "a_b", "c"]) == {"a-b": "a_b", "a.b": "a_b_2", "a_b": "a_b_3", "c": "c"}


def test_the_sensor_checks_once_the_ledger_is_quiet_and_hourly_meanwhile() -> None:
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    fresh = Watch()
    assert not fresh.due("", noon, reserved=False)
    assert not fresh.due("1 call", noon, reserved=False)  # perhaps there are more to come
    assert Watch(seen="1 call").due("1 call", noon, reserved=False)
    checked = Watch("1 call", "1 call", noon.isoformat())
    assert not checked.due("1 call", noon + timedelta(days=9), reserved=False)
    assert not checked.due("1 call", noon + timedelta(minutes=59), reserved=True)
    assert checked.due("1 call", noon + timedelta(minutes=60), reserved=True)  # it may have expired
    assert not checked.due("2 calls", noon + timedelta(minutes=59), reserved=True)
    assert checked.due("2 calls", noon + timedelta(minutes=60), reserved=True)  # a long run


def tick(instance: dg.DagsterInstance, cursor: str | None) -> tuple[bool, str | None]:
    """Whether the sensor requests a run, and its cursor."""
    definitions = build_definitions()
    with dg.build_sensor_context(
        instance=instance, cursor=cursor, resources=definitions.resources, definitions=definitions
    ) as context:
        result = check_costs_after_calls.evaluate_tick(context)
    return bool(result.run_requests), result.cursor


def test_the_sensor_asks_for_one_run_after_calls_and_makes_no_home(
    project: Project, instance: dg.DagsterInstance
) -> None:
    assert tick(instance, None) == (False, None)
    assert not project.settings.home.exists()
    pay(project)
    asked, cursor = tick(instance, None)
    assert not asked
    asked, cursor = tick(instance, cursor)
    assert asked
    assert json.loads(str(cursor))["checked"] == "1 calls, 0.001 USD, 0 waiting"
    asked, cursor = tick(instance, cursor)
    assert not asked
    pay(project)
    asked, cursor = tick(instance, cursor)
    assert not asked
    assert tick(instance, cursor)[0]


def test_sensor_and_schedule_start_as_they_should() -> None:
    repository = build_definitions().get_repository_def()
    assert repository.get_sensor_def("check_costs_after_calls").default_status is dg.DefaultSensorStatus.RUNNING
    assert repository.get_schedule_def("check_costs_hourly").default_status is dg.DefaultScheduleStatus.RUNNING


def test_the_command_line_checks_after_calls_and_only_then(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-test")  # without any provider nothing can have been asked
    before = project.clock.now()
    assert failed_cost_checks(project, before) == []
    assert not project.settings.dagster_home.exists()  # nothing was run
    pay(project, usd="0.01")
    assert failed_cost_checks(project, before) == []
    assert project.settings.dagster_home.exists()
    pay(project, usd="19.99")
    told = failed_cost_checks(project, before)
    assert [line.split(": ")[:2] for line in told] == [
        ["error", "openai_under_limit"],
        ["warning", "openai_under_soft_threshold"],
    ]
    assert failed_cost_checks(project, project.clock.now() + timedelta(seconds=1)) == []


def test_the_ledger_resource_reads_the_home_it_is_given(project: Project, tmp_path: Path) -> None:
    pay(project, usd="0.5")
    month = month_of(project.clock.now())
    assert LedgerResource().open().totals(month).rows == USD // 2
    assert LedgerResource(home=str(tmp_path / "other")).open().totals(Month(month)).rows == 0


def test_the_llm_resource_takes_the_settings_and_what_narrows_them(project: Project) -> None:
    assert LlmResource().settings().llm.tiers == ("local", "dashscope", "openai")
    narrowed = LlmResource(tiers=["local"], per_run_usd=0.1).settings()
    assert narrowed.llm.tiers == ("local",)
    assert account_limits(narrowed).per_run == 100_000_000
    with pytest.raises(ConfigurationError, match="'nobody', which is no provider"):
        LlmResource(tiers=["nobody"]).settings()


def test_reading_of_a_report_loads_nothing_heavy_with_the_definitions() -> None:
    heavy = "pandas pyarrow matplotlib litellm lightrag numpy.ma"
    script = f"import sys, aegis_dagster.definitions; print(*[n for n in {heavy.split()!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == ""
