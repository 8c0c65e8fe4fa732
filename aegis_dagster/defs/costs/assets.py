"""The asset of what model calls cost, its checks, and the sensor that runs them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.costs import report as cost_report
from aegis_dagster.defs.costs.asset_checks import MoneyNow, check_results, check_specs
from aegis_dagster.defs.ingestion.assets import OWNERS, embeddings, enriched_images, knowledge_graph
from aegis_dagster.defs.ingestion.cost_metadata import usd
from aegis_dagster.defs.ingestion.metadata import markdown_table
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster.domain.accounts import Account, AccountKind, PutOff, UsageRow
from aegis_dagster.domain.money import Month, as_usd, month_of, shown_usd
from aegis_dagster.errors import BudgetExhausted, ModelsUnavailable
from aegis_dagster.stores.ledger.audit import LedgerAudit

_CHECK_AT_LEAST_EVERY = timedelta(hours=1)  # while models are asked or reservations are open


@dg.asset(
    deps=[enriched_images, embeddings, knowledge_graph],  # all partitions of each
    group_name="money",
    owners=OWNERS,
    kinds={"pandas"},
    code_version="1",
    description="What model calls used and cost, by month, provider, model, task type and collection, read from the "
    "ledger: a parquet file in the home's `reports`, a table, and USD by day. Materializing it asks no model. Calls "
    "that nobody settled in time are counted first, with what was reserved for them.",
)
def llm_costs(project: ProjectResource) -> dg.MaterializeResult[None]:
    """Settle lost calls, then write the report."""
    with project.dagster_errors():
        opened = project.open()
        opened.choices.ledger.expire()
        rows = opened.ledger_reports.usage(cost_report.GROUPED_BY)
        path = opened.settings.home / "reports" / "llm_costs.parquet"
        cost_report.write_parquet(cost_report.cost_frame(rows), path)
        return dg.MaterializeResult(metadata=_metadata(opened, rows, path))


def _metadata(project: Project, rows: Sequence[UsageRow], path: Path) -> Mapping[str, dg.MetadataValue]:
    now = project.clock.now()
    month, days = month_of(now), cost_report.plotted_days(now.date())
    months = dict.fromkeys(Month(day[:7]) for day in days)
    by_day = [row for each in months for row in project.ledger_reports.usage(("day", "provider"), month=each)]
    accounts = project.choices.ledger.accounts(month)
    this_month = [row for row in rows if row.month == month]
    columns = [
        dg.TableColumn(name, _column_type(name), cost_report.MEANING.get(name))
        for name in (*cost_report.GROUPED_BY, *cost_report.COUNTED, "cost_usd")
    ]
    return {
        "total_usd": usd(sum(row.cost for row in this_month)),
        "calls": dg.MetadataValue.int(sum(row.calls for row in this_month)),
        "documents_waiting_for_money": dg.MetadataValue.int(sum(waiting_for_money(project).values())),
        **_figures(accounts),
        "accounts": dg.MetadataValue.md(_account_table(accounts)),
        "costs": dg.MetadataValue.md(cost_report.cost_table(rows)),
        "usd_by_day": dg.MetadataValue.md(cost_report.plot_by_day(by_day, days)),
        "dagster/uri": dg.MetadataValue.text(path.as_uri()),
        "dagster/row_count": dg.MetadataValue.int(len(rows)),
        "dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(columns)),
    }


def _column_type(name: str) -> str:
    return "decimal(38,9)" if name == "cost_usd" else "int64" if name in cost_report.COUNTED else "string"


def _figures(accounts: Sequence[Account]) -> dict[str, dg.MetadataValue]:
    """What each provider has spent, and what is left of its limit."""
    figures: dict[str, dg.MetadataValue] = {}
    for account in accounts:
        if account.key.kind is AccountKind.PROVIDER:
            figures[f"spent_usd/{account.key.name}"] = usd(account.spent)
            if account.remaining is not None:
                figures[f"remaining_usd/{account.key.name}"] = usd(account.remaining)
    return figures


def _account_table(accounts: Sequence[Account]) -> str:
    heads = ("account", "name", "limit, USD", "spent", "reserved", "remaining", "limit set by")
    lines = [
        (
            *(account.key.kind, account.key.name, _shown(account.limit), shown_usd(account.spent)),
            *(shown_usd(account.reserved), _shown(account.remaining)),
            "`aegis budget`" if account.set_by_operator else "aegis.yaml",
        )
        for account in accounts
    ]
    return markdown_table(heads, lines)


def _shown(nano: int | None) -> str:
    return "no limit" if nano is None else shown_usd(nano)


def waiting_for_money(project: Project) -> dict[PutOff, int]:
    """How many documents wait for money, by reason."""
    return _waiting(project, BudgetExhausted.reason)


def _waiting(project: Project, for_reason: str) -> dict[PutOff, int]:
    return {why: count for why, count in project.reports.put_off().items() if why.reason == for_reason}


def read_money(project: Project) -> MoneyNow:
    """The figures for the checks, read once, after settling lost calls. Raises ServiceError, ConfigurationError."""
    project.choices.ledger.expire()
    llm = project.settings.llm
    now = project.clock.now()
    month, before = month_of(now), month_of(now.replace(day=1) - timedelta(days=1))
    free = [name for name, provider in llm.providers.items() if provider.free]
    return MoneyNow(
        month=month,
        soft_share=Decimal(str(llm.budgets.soft_share)),
        accounts={
            account.key.name: account
            for account in project.choices.ledger.accounts(month)
            if account.key.kind is AccountKind.PROVIDER
        },
        usage=project.ledger_reports.usage(("provider", "model"), month=month),
        unpriced=LedgerAudit(project.engine).unpriced(month, free),
        totals=[project.ledger_reports.totals(each) for each in (before, month)],
        waiting=waiting_for_money(project),
        unanswered=_waiting(project, ModelsUnavailable.reason),
    )


def cost_checks(providers: Sequence[str]) -> dg.AssetChecksDefinition:
    """The checks on `llm_costs`, for these providers: one step, one reading of the ledger."""

    @dg.multi_asset_check(
        name="llm_cost_checks",
        specs=check_specs(llm_costs.key, providers),
        can_subset=True,
        description="Whether every provider is within its budget, and the ledger is right.",
    )
    def llm_cost_checks(
        context: dg.AssetCheckExecutionContext, project: ProjectResource
    ) -> Iterator[dg.AssetCheckResult]:
        with project.dagster_errors():
            money = read_money(project.open())
        wanted = {key.name for key in context.selected_asset_check_keys}
        yield from (result for result in check_results(money, providers) if result.check_name in wanted)

    return llm_cost_checks


check_costs = dg.define_asset_job(
    "check_costs",
    selection=dg.AssetSelection.assets(llm_costs),  # with its checks
    executor_def=dg.in_process_executor,
    description="Report what models cost and check the budgets and the ledger. Asks no model.",
)

check_budgets = dg.define_asset_job(
    "check_budgets",
    selection=dg.AssetSelection.checks_for_assets(llm_costs),
    executor_def=dg.in_process_executor,
    description="Only the checks of `check_costs`: half a second instead of two. `aegis ingest` ends with it.",
)


@dataclass(frozen=True, slots=True)
class Watch:
    """The sensor's cursor; the first two are marks of the ledger, see `ledger_mark`."""

    seen: str = ""  # at the previous tick
    checked: str = ""  # when the checks were last requested
    checked_at: str = ""  # ISO 8601

    def due(self, mark: str, now: datetime, *, reserved: bool) -> bool:
        """Whether to check: the ledger changed and is quiet again, or was busy or held a reservation for an hour."""
        if not mark:
            return False
        if mark != self.checked and mark == self.seen:
            return True
        long_ago = not self.checked_at or now - datetime.fromisoformat(self.checked_at) >= _CHECK_AT_LEAST_EVERY
        return bool(self.seen) and long_ago and (mark != self.checked or reserved)


@dg.sensor(
    job=check_costs,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=60,
    description="Checks the costs when models were asked, as soon as they are not any more, and hourly meanwhile: "
    "after every ingestion, however it ended and whoever started it.",
)
def check_costs_after_calls(
    context: dg.SensorEvaluationContext, project: ProjectResource
) -> dg.SensorResult | dg.SkipReason:
    """Request `check_costs` when the ledger has changed."""
    with project.opened() as opened:
        if opened.settings.database is None and not (opened.settings.home / "aegis.db").exists():
            return dg.SkipReason(f"Nothing was ever ingested into {opened.settings.home}.")
        now = opened.clock.now()
        mark = ledger_mark(opened)
        watch = Watch(**json.loads(context.cursor)) if context.cursor else Watch()
        due = watch.due(mark, now, reserved=any(account.reserved for account in opened.choices.ledger.accounts()))
    after = replace(watch, seen=mark, **({"checked": mark, "checked_at": now.isoformat()} if due else {}))
    return dg.SensorResult(
        run_requests=[dg.RunRequest()] if due else [],
        skip_reason=None if due else dg.SkipReason("No model was asked since the last check, or one is asked now."),
        cursor=json.dumps(asdict(after)),
    )


def ledger_mark(project: Project) -> str:
    """A mark that changes whenever a call ends or documents begin to wait for money; "" before the first time."""
    usage, waiting = project.ledger_reports.usage(("provider",)), sum(waiting_for_money(project).values())
    if not usage and not waiting:
        return ""
    calls, cost = sum(row.calls for row in usage), sum(row.cost for row in usage)
    return f"{calls} calls, {as_usd(cost)} USD, {waiting} waiting"
