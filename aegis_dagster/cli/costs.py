"""`aegis costs`: the amounts spent, and what they were spent on."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.table import Table

from aegis_dagster.cli.output import out, print_csv
from aegis_dagster.cli.terminal import escape
from aegis_dagster.composition.models import own_prices
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.accounts import Account, AccountKind, UsageRow
from aegis_dagster.domain.money import Month, is_month, month_of, shown_usd
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.llm.prices import PriceList

# What `--by` knows, and the field of a row. Rows for programs always have the first five.
GROUPS = {
    "provider": "provider",
    "model": "model",
    "task_type": "task_type",
    "stage": "stage",
    "collection": "collection",
    "document": "document_id",
    "day": "day",
}
_FOR_PROGRAMS = ("provider", "model", "task_type", "stage", "collection")
_FOR_PEOPLE = ("provider", "model", "task_type")
_NUMBERS = (
    "calls",
    "failed_calls",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cache_write_tokens",
    "estimated_calls",
)
_BAR = 8  # characters
_ENOUGH_CALLS = 20
_CACHED_FROM = 1024  # tokens: no provider caches a shorter input


def chosen_groups(by: Sequence[str]) -> tuple[str, ...]:
    """The groups of `--by provider,model --by day`, each once. Raises ConfigurationError for an unknown one."""
    names = [name.strip() for part in by for name in part.split(",") if name.strip()]
    for name in names:
        if name not in GROUPS:
            raise ConfigurationError(f"Costs have no group {name!r}.", remedy=f"use some of {', '.join(GROUPS)}.")
    return tuple(dict.fromkeys(names))


def chosen_month(project: Project, month: str | None, *, every: bool) -> Month | None:
    """The chosen month; None: all. Raises ConfigurationError for anything that is not a month."""
    if every and month is not None:
        raise ConfigurationError("--month and --all exclude each other.", remedy="give one of them.")
    if month is not None and not is_month(month):
        raise ConfigurationError(f"{month!r} is not a month.", remedy="write it as 2026-11.")
    return None if every else Month(month) if month else month_of(project.clock.now())


def cost_values(project: Project, by: Sequence[str], month: Month | None) -> dict[str, Any]:
    """The JSON contract of `costs`. Expired calls are settled first, so that nothing is missing."""
    project.choices.ledger.expire()
    groups = tuple(name for name in GROUPS if name in (*_FOR_PROGRAMS, *by))
    rows = project.ledger_reports.usage(_fields(groups), month=month)
    return {
        "rows": [_row_values(row, groups) for row in rows],
        "total_nanousd": sum(row.cost for row in rows),
        "accounts": [_account_values(account) for account in provider_accounts(project, month)],
    }


def provider_accounts(project: Project, month: Month | None) -> list[Account]:
    """The accounts of all providers that are configured or were ever paid, by month and name."""
    accounts = project.choices.ledger.accounts(month)
    return sorted(
        (account for account in accounts if account.key.kind is AccountKind.PROVIDER),
        key=lambda account: (account.key.period, account.key.name),
    )


def print_rows(values: dict[str, Any], by: Sequence[str]) -> None:
    """Print the rows as CSV."""
    groups = [name for name in GROUPS if name in (*_FOR_PROGRAMS, *by)]
    print_csv([*groups, *_NUMBERS, "cost_nanousd"], values["rows"])


def print_costs(project: Project, by: Sequence[str], month: Month | None) -> None:
    """Print a table of usage, one of the accounts, and notes on suspicious figures."""
    project.choices.ledger.expire()
    groups = tuple(by) or _FOR_PEOPLE
    rows = project.ledger_reports.usage(_fields(groups), month=month)
    when = month or "all months"
    if not rows:
        out.print(f"No model was called in {when}.")
        out.print(
            "Configure a provider with OLLAMA_HOST, DASHSCOPE_API_KEY or OPENAI_API_KEY, or in aegis.yaml "
            "(docs/guides/COSTS.md); `aegis doctor` shows them."
        )
        return
    out.print(_usage_table(rows, groups, f"Model calls and their tokens, {when} (UTC)"))
    out.print(_account_table(provider_accounts(project, month)))
    for note in [*_notes(rows), *_silent_about_caches(project, month)]:
        out.print(f"[yellow]note:[/] {note}")


def share_of(account: Account) -> float | None:
    """How much of its limit an account has spent or reserved, 1.0 is all; None: it has no limit."""
    taken = account.spent + account.reserved
    if account.limit is None:
        return None
    return taken / account.limit if account.limit else float(bool(taken))


def bar(share: float | None) -> str:
    """A share as a bar with a number."""
    if share is None:
        return "no limit"
    full = min(_BAR, int(share * _BAR + 0.5))
    color = "green" if share < 0.8 else "yellow" if share < 1 else "red"
    return f"[{color}]{'█' * full}[/]{'░' * (_BAR - full)} {share:.0%}"


def _fields(groups: Sequence[str]) -> tuple[str, ...]:
    return tuple(GROUPS[name] for name in groups)


def _row_values(row: UsageRow, groups: Sequence[str]) -> dict[str, Any]:
    keys = {name: getattr(row, GROUPS[name]) for name in groups}
    return {**keys, **{name: getattr(row, name) for name in _NUMBERS}, "cost_nanousd": row.cost}


def _account_values(account: Account) -> dict[str, Any]:
    return {
        "provider": account.key.name,
        "month": account.key.period,
        "limit_nanousd": account.limit,
        "reserved_nanousd": account.reserved,
        "spent_nanousd": account.spent,
    }


def _usage_table(rows: Sequence[UsageRow], groups: Sequence[str], title: str) -> Table:
    """The rows by cost, without empty columns."""
    table = Table(*[name.replace("_", " ") for name in groups], title=title, show_footer=True)
    table.columns[0].footer = "all"
    shown: list[tuple[str, Callable[[UsageRow], int], bool]] = [
        ("calls", lambda row: row.calls, True),
        ("failed", lambda row: row.failed_calls, False),
        ("unknown", lambda row: row.unknown_calls, False),
        ("input", lambda row: row.input_tokens, True),
        ("output", lambda row: row.output_tokens, True),
    ]
    numbers = [(name, of) for name, of, always in shown if always or any(of(row) for row in rows)]
    for name, of in numbers:
        table.add_column(name, justify="right", footer=f"{sum(map(of, rows)):,}")
    estimated = any(row.estimated_calls for row in rows)
    if estimated:
        table.add_column("estimated", justify="right")
    table.add_column("USD", justify="right", footer=shown_usd(sum(row.cost for row in rows)))
    for row in sorted(rows, key=lambda row: row.cost, reverse=True):
        table.add_row(
            *[escape(str(getattr(row, GROUPS[name]))) or "-" for name in groups],
            *[f"{of(row):,}" if of(row) else "" for _, of in numbers],
            *([f"{row.estimated_calls / row.calls:.0%}" if row.estimated_calls else ""] if estimated else []),
            shown_usd(row.cost),
        )
    return table


def _account_table(accounts: Sequence[Account]) -> Table:
    table = Table("provider", "month", title="Budgets in USD (`aegis budget` changes them)")
    for name in ("limit", "spent", "reserved"):
        table.add_column(name, justify="right")
    table.add_column("used", no_wrap=True)
    for account in accounts:
        table.add_row(
            escape(account.key.name),
            account.key.period,
            "-" if account.limit is None else shown_usd(account.limit),
            shown_usd(account.spent),
            shown_usd(account.reserved),
            bar(share_of(account)),
        )
    return table


def _notes(rows: Sequence[UsageRow]) -> list[str]:
    """Notes on figures that somebody should check."""
    notes = []
    unknown = sum(row.unknown_calls for row in rows)
    if unknown:
        notes.append(f"{unknown:,} calls ended without an answer and may have been billed; each cost its reservation.")
    if failed := sum(row.failed_calls for row in rows):
        notes.append(f"{failed:,} calls brought no answer; `aegis costs --failed` says why.")
    estimated = sum(row.estimated_calls for row in rows)
    if estimated:
        notes.append(
            f"{estimated:,} calls have estimated tokens, because the provider did not report them all; compare with "
            "its bill."
        )
    over = sum(row.over_reservation_calls for row in rows)
    if over:
        notes.append(f"{over:,} calls cost more than was reserved; set a higher price or picture_tokens in aegis.yaml.")
    return notes


def _silent_about_caches(project: Project, month: Month | None) -> list[str]:
    """Models with a rate for cached input that never reported any, though their inputs are long enough for a cache."""
    prices = PriceList(own_prices(project.settings))
    silent = [
        f"{row.provider}/{row.model}"
        for row in project.ledger_reports.usage(("provider", "model"), month=month)
        if row.calls >= _ENOUGH_CALLS and row.input_tokens >= row.calls * _CACHED_FROM and not row.cached_tokens
        if row.cost and (price := prices.price(row.provider, row.model)) and price.cache_reads_priced
    ]
    return [
        f"{name} has a rate of its own for cached input, and no call reported any; compare with its bill."
        for name in silent
    ]
