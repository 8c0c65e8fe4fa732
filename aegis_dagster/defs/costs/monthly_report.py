"""The report of a month's costs, as an asset: a page to read and a table to work with."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.costs import report as cost_report
from aegis_dagster.defs.costs.assets import llm_costs
from aegis_dagster.defs.ingestion.assets import OWNERS
from aegis_dagster.defs.ingestion.cost_metadata import usd
from aegis_dagster.defs.ingestion.metadata import markdown_table
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster.domain.accounts import AccountKind, UsageRow
from aegis_dagster.domain.money import Month, is_month, month_of, shown_usd
from aegis_dagster.errors import ConfigurationError


class MonthConfig(dg.Config):
    """Which month."""

    month: str = Field(default="", description="E.g. 2026-10, UTC. Empty: the month before the current one.")


def month_before(time: datetime) -> Month:
    """The calendar month before the month of a time, in its time zone."""
    return Month((time.replace(day=1) - timedelta(days=1)).strftime("%Y-%m"))


def end_of_month_before(time: datetime) -> datetime:
    """When the UTC month of `month_before` ends, in the time's own zone; this may lie in the future."""
    return time.replace(day=1, hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC).astimezone(time.tzinfo)


@dg.asset(
    deps=[llm_costs],
    group_name="money",
    owners=OWNERS,
    kinds={"markdown", "pandas"},
    code_version="1",
    description="What one month's model calls cost: `costs-MONTH.md` to read and `costs-MONTH.parquet` to work with, "
    "in the home's `reports`. Asks no model. Materialize it again for a month whose calls were settled late.",
)
def monthly_cost_report(
    context: dg.AssetExecutionContext, config: MonthConfig, project: ProjectResource
) -> dg.MaterializeResult[None]:
    """Settle lost calls, then write the report of the month."""
    with project.dagster_errors():
        opened = project.open()
        opened.choices.ledger.expire()
        month = _month(opened, config.month)
        rows = opened.ledger_reports.usage(cost_report.GROUPED_BY, month=month)
        page = report_page(opened, month, rows)
        folder = opened.settings.home / "reports"
        cost_report.write_parquet(cost_report.cost_frame(rows), folder / f"costs-{month}.parquet")
        with cost_report.written_whole(folder / f"costs-{month}.md") as unfinished:
            unfinished.write_text(page, "utf-8")
    return dg.MaterializeResult(
        metadata={
            "month": dg.MetadataValue.text(month),
            "total_usd": usd(sum(row.cost for row in rows)),
            "calls": dg.MetadataValue.int(sum(row.calls for row in rows)),
            "report": dg.MetadataValue.md(page),
            "dagster/uri": dg.MetadataValue.text((folder / f"costs-{month}.md").as_uri()),
            "dagster/row_count": dg.MetadataValue.int(len(rows)),
        }
    )


def report_page(project: Project, month: Month, rows: Sequence[UsageRow]) -> str:
    """The page, in Markdown."""
    total, calls = sum(row.cost for row in rows), sum(row.calls for row in rows)
    before = month_before(datetime.fromisoformat(f"{month}-01"))
    total_before = sum(row.cost for row in project.ledger_reports.usage((), month=before))
    open_calls = project.ledger_reports.open_reservations(month)
    unknown = sum(row.unknown_calls for row in rows)
    notes = [
        *(["**The month is not over.**"] if month == month_of(project.clock.now()) else []),
        f"{calls:,} calls, {sum(row.failed_calls for row in rows):,} of them failed.",
        f"{sum(row.estimated_calls for row in rows):,} calls without usage from the provider: it was estimated.",
        *([f"{unknown:,} calls are lost or were perhaps billed: they count as reserved."] if unknown else []),
        *(
            [f"{open_calls.calls:,} calls are not settled yet: {shown_usd(open_calls.reserved)} USD are reserved."]
            if open_calls.calls
            else []
        ),
    ]
    parts = [
        f"# Costs of {month}",
        f"**{shown_usd(total)} USD**, {shown_usd(total_before)} USD in {before}. "
        f"Written {project.clock.now():%Y-%m-%d %H:%M} UTC.",
        "\n".join(f"- {note}" for note in notes),
        f"## By provider\n\n{_by_provider(project, month)}",
        f"## By collection\n\n{_by(project, month, 'collection')}",
        f"## By task\n\n{_by(project, month, 'task_type')}",
        f"## All\n\n{cost_report.cost_table(rows)}",
    ]
    return "\n\n".join(parts) + "\n"


def _by_provider(project: Project, month: Month) -> str:
    accounts = [each for each in project.choices.ledger.accounts(month) if each.key.kind is AccountKind.PROVIDER]
    lines = [
        (
            account.key.name,
            shown_usd(account.spent),
            "no limit" if account.limit is None else shown_usd(account.limit),
            f"{100 * account.spent / account.limit:.0f} %" if account.limit else "",
        )
        for account in accounts
    ]
    return markdown_table(("provider", "spent, USD", "limit, USD", "used"), lines)


def _by(project: Project, month: Month, group: str) -> str:
    rows = sorted(project.ledger_reports.usage((group,), month=month), key=lambda row: row.cost, reverse=True)
    if not rows:
        return "No model was called."
    lines = [
        (getattr(row, group) or "(none)", row.calls, row.input_tokens, row.output_tokens, shown_usd(row.cost))
        for row in rows
    ]
    return markdown_table((group.replace("_", " "), "calls", "input tokens", "output tokens", "USD"), lines)


def _month(project: Project, asked_for: str) -> Month:
    if not asked_for:
        return month_before(project.clock.now())
    if not is_month(asked_for) or asked_for > month_of(project.clock.now()):
        raise ConfigurationError(f"`{asked_for}` is no month so far.", remedy="write it as 2026-10.")
    return Month(asked_for)


report_month = dg.define_asset_job(
    "report_month",
    selection=dg.AssetSelection.assets(monthly_cost_report),
    executor_def=dg.in_process_executor,
    description="Write the report of a month's costs; the month before unless the run config names one.",
)
