"""`aegis costs --failed`: the calls that brought no answer, and why, in the providers' words."""

from typing import Any

from aegis_dagster.cli.output import out, print_csv
from aegis_dagster.cli.terminal import escape
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.money import Month, shown_usd
from aegis_dagster.stores.ledger.audit import FailedCalls, LedgerAudit

_COLUMNS = ("provider", "model", "task_type", "outcome", "reason", "calls", "cost_nanousd", "last", "document")


def failed_values(project: Project, month: Month | None) -> dict[str, Any]:
    """The JSON contract of `costs --failed`: the latest first. Expired calls are settled first."""
    project.choices.ledger.expire()
    return {"failed": [_values(one) for one in LedgerAudit(project.engine).failed(month)]}


def print_failed_rows(values: dict[str, Any]) -> None:
    """Print the rows as CSV on stdout, with a header."""
    print_csv(_COLUMNS, values["failed"])


def print_failed(project: Project, month: Month | None) -> None:
    """Print what failed, with its reason and cost."""
    failed = failed_values(project, month)["failed"]
    when = month or "any month"
    if not failed:
        out.print(f"No model call failed in {when}.")
        return
    for one in failed:
        name = escape(f"{one['provider']}/{one['model']}")
        cost = f", {shown_usd(one['cost_nanousd'])} USD" if one["cost_nanousd"] else ""
        out.print(f"[bold]{name}[/] {one['task_type']}: [red]{one['outcome']}[/], {one['calls']:,} calls{cost}")
        out.print(f"   {escape(one['reason'] or 'no reason is known')}")
        last = f"last {one['last']}" + (f", for {one['document']}" if one["document"] else "")
        out.print(f"   {escape(last)}")


def _values(one: FailedCalls) -> dict[str, Any]:
    return {
        "provider": one.provider,
        "model": one.model,
        "task_type": one.task_type,
        "outcome": one.outcome,
        "reason": one.reason,
        "calls": one.calls,
        "cost_nanousd": one.cost,
        "last": one.last.isoformat(timespec="seconds"),
        "document": one.document_id,
    }
