"""`aegis budget`: this month's budgets."""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from rich.table import Table

from aegis_dagster.cli.costs import bar, share_of
from aegis_dagster.cli.output import out
from aegis_dagster.cli.terminal import escape
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.accounts import Account, AccountKey, AccountKind
from aegis_dagster.domain.money import Month, NanoUsd, as_usd, month_of, nano_usd, shown_usd
from aegis_dagster.domain.stages import Document, Status
from aegis_dagster.errors import BudgetExhausted, ConfigurationError

_MOST_USD = 1_000_000_000  # an account is a 64-bit integer of nano-USD


@dataclass(frozen=True, slots=True)
class Budgets:
    """The accounts of this month, and the documents that wait for money."""

    month: Month
    accounts: tuple[Account, ...]  # providers, then collections, by name
    deferred: int  # documents that wait for money

    def to_json(self) -> dict[str, Any]:
        """The JSON contract of `budget`."""
        return {
            "month": self.month,
            "accounts": [
                {
                    "kind": str(account.key.kind),
                    "name": account.key.name,
                    "limit_nanousd": account.limit,
                    "spent_nanousd": account.spent,
                    "reserved_nanousd": account.reserved,
                    "remaining_nanousd": account.remaining,
                    "set_by": _set_by(account),
                }
                for account in self.accounts
            ],
            "deferred": self.deferred,
        }


def budgets(project: Project) -> Budgets:
    """The accounts of this month. Calls whose time is over are settled first."""
    ledger = project.choices.ledger
    ledger.expire()
    month = month_of(project.clock.now())
    return Budgets(month, tuple(ledger.accounts(month)), len(documents_waiting_for_money(project)))


def set_budget(project: Project, name: str, usd: str, *, collection: bool) -> Budgets:
    """Set this month's limit in USD, whatever aegis.yaml says. Raises ConfigurationError."""
    project.choices.ledger.set_limit(_key(project, name, collection), amount(usd))
    return budgets(project)


def raise_budget(project: Project, name: str, usd: str, *, collection: bool) -> Budgets:
    """Add an amount in USD to this month's limit. Raises ConfigurationError."""
    key, more = _key(project, name, collection), amount(usd)
    ledger = project.choices.ledger
    limits = {account.key: account.limit for account in ledger.accounts(Month(key.period))}
    if limits.get(key) is None:
        raise ConfigurationError(
            f"{name} has no limit this month, so there is nothing to raise.",
            remedy=f"`aegis budget set {name} USD{' --collection' if collection else ''}` gives it one.",
        )
    ledger.raise_limit(key, more)
    return budgets(project)


def reset_budget(project: Project, name: str, *, collection: bool) -> Budgets:
    """Let the limit follow aegis.yaml again. Raises ConfigurationError."""
    project.choices.ledger.follow_settings(_key(project, name, collection))
    return budgets(project)


def amount(usd: str) -> NanoUsd:
    """The exact amount that a user wrote. Raises ConfigurationError: negative, no number, or not exact."""
    try:
        value = Decimal(usd)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise ConfigurationError(f"{usd!r} is no amount in USD.", remedy="write it as 25 or 12.50, without a currency.")
    if value < 0:
        raise ConfigurationError(f"{usd} USD is negative.", remedy="give 0 or more; `budget set` can lower a limit.")
    if value > _MOST_USD:
        raise ConfigurationError(f"{usd} USD is too much.", remedy=f"at most {_MOST_USD:,} USD can be accounted.")
    exact = nano_usd(value)
    if as_usd(exact) != value:
        raise ConfigurationError(f"{usd} USD cannot be accounted exactly.", remedy="give at most nine decimals.")
    return exact


def documents_waiting_for_money(project: Project) -> list[Document]:
    """The documents that a stage deferred because of a budget."""
    return [
        state.document
        for state in project.states.every()
        if any(
            one.status is Status.DEFERRED and one.facts.get("reason") == BudgetExhausted.reason
            for one in state.recorded.values()
        )
    ]


def print_budgets(shown: Budgets) -> None:
    """Print the accounts as a table, and what happens next."""
    table = Table(title=f"Budgets of {shown.month} (UTC), in USD")
    table.add_column("for", no_wrap=True)
    for name in ("limit", "spent", "reserved", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("used", no_wrap=True)
    table.add_column("set by")
    for account in shown.accounts:
        of_collection = account.key.kind is AccountKind.COLLECTION
        table.add_row(
            ("collection " if of_collection else "") + escape(account.key.name),
            _usd(account.limit),
            shown_usd(account.spent),
            shown_usd(account.reserved),
            _usd(account.remaining),
            bar(share_of(account)),
            _set_by(account),
        )
    out.print(table)
    out.print(_next(shown))


def _next(shown: Budgets) -> str:
    """One line that says what happens next."""
    if not shown.deferred:
        return "No document waits for money. Limits start anew each month (UTC)."
    waiting = "1 document is" if shown.deferred == 1 else f"{shown.deferred} documents are"
    spent = [account.key.name for account in shown.accounts if _used_up(account)]
    if not spent:
        return f"{waiting} deferred: run `aegis ingest`."
    return (
        f"{waiting} deferred, {escape(' and '.join(spent))} used up: `aegis budget raise {escape(spent[0])} USD`, then "
        "`aegis ingest`; or wait for next month."
    )


def _used_up(account: Account) -> bool:
    """Whether less than a hundredth of the limit is left: hardly any call fits."""
    taken = account.spent + account.reserved
    return account.limit is not None and taken > 0 and taken * 100 > account.limit * 99


def _key(project: Project, name: str, collection: bool) -> AccountKey:
    """This month's account. Raises ConfigurationError that lists the known names."""
    settings = project.settings
    known: Collection[str]
    if collection:
        known = {*project.documents.collections(), *settings.llm.budgets.collections, *settings.collections}
    else:
        known = set(settings.llm.providers)
    if name not in known:
        kind = "collection" if collection else "provider"
        listed = ", ".join(sorted(known)) or "none yet"
        other = "" if collection else "; --collection is for collections"
        raise ConfigurationError(f"There is no {kind} {name!r}.", remedy=f"known are: {listed}{other}.")
    kind_of = AccountKind.COLLECTION if collection else AccountKind.PROVIDER
    return AccountKey(kind_of, name, month_of(project.clock.now()))


def _set_by(account: Account) -> str:
    return "operator" if account.set_by_operator else "aegis.yaml"


def _usd(nano: int | None) -> str:
    return "-" if nano is None else shown_usd(nano)
