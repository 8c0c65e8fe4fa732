"""The cost checks: whether each provider is within its budget, and whether the ledger can be trusted."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import dagster as dg

from aegis_dagster.defs.ingestion.cost_metadata import usd
from aegis_dagster.defs.ingestion.metadata import markdown_table
from aegis_dagster.domain.accounts import Account, LedgerTotals, PutOff, UsageRow
from aegis_dagster.domain.markdown import escaped
from aegis_dagster.domain.money import Month, shown_usd
from aegis_dagster.stores.ledger.audit import Unpriced

SOFT, HARD = "under_soft_threshold", "under_limit"
MAX_ESTIMATED_SHARE = Decimal("0.05")  # of a provider's calls

_WARN, _ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
_SAMPLE = 5  # reasons shown


@dataclass(frozen=True, slots=True)
class MoneyNow:
    """One reading of the ledger and of the documents that wait for money."""

    month: Month
    soft_share: Decimal  # of a limit
    accounts: Mapping[str, Account]  # of the month, by provider
    usage: Sequence[UsageRow]  # of the month, by provider and model
    unpriced: Sequence[Unpriced]  # of the month, of paid providers
    totals: Sequence[LedgerTotals]  # of this month and the one before
    waiting: Mapping[PutOff, int]  # documents that wait for money
    unanswered: Mapping[PutOff, int]  # documents that wait for a provider


def safe_names(providers: Iterable[str]) -> dict[str, str]:
    """Each provider's name in the form that a check's name allows: letters, digits and underscores, no two alike."""
    found: dict[str, str] = {}
    for provider in providers:
        plain = name = re.sub(r"[^A-Za-z0-9_]", "_", provider)
        number = 1
        while name in found.values():
            number += 1
            name = f"{plain}_{number}"
        found[provider] = name
    return found


def check_specs(asset: dg.AssetKey, providers: Iterable[str]) -> list[dg.AssetCheckSpec]:
    """The specs of all checks: two for each provider, four for all."""
    described: dict[str, str] = {}
    for provider, name in safe_names(providers).items():
        described[f"{name}_{SOFT}"] = f"Spent and reserved of {provider} are below the soft share of its budget."
        described[f"{name}_{HARD}"] = f"Spent of {provider} is below its budget, and no document waits for its money."
    described |= {
        "no_unpriced_call": "Every call of a paid provider that used tokens has a price and a cost.",
        "estimated_usage_share": f"Every provider tells what it used: at most {MAX_ESTIMATED_SHARE:.0%} is estimated.",
        "providers_answer": "No document waits for a provider that is down or refuses its key.",
        "no_cost_above_reservation": "No call cost more than was reserved for it; otherwise a limit may not hold.",
        "ledger_adds_up": "Calls, accounts and roll-ups of the ledger are equal to the nano-dollar.",
    }
    return [dg.AssetCheckSpec(name, asset=asset, description=text) for name, text in described.items()]


def check_results(money: MoneyNow, providers: Iterable[str]) -> Iterator[dg.AssetCheckResult]:
    """A result for every spec of `check_specs`."""
    for provider, name in safe_names(providers).items():
        yield _under_soft_threshold(f"{name}_{SOFT}", provider, money)
        yield _under_limit(f"{name}_{HARD}", provider, money)
    yield _no_unpriced_call(money)
    yield _estimated_usage_share(money)
    yield _providers_answer(money)
    yield _no_cost_above_reservation(money)
    yield _ledger_adds_up(money)


def _under_soft_threshold(name: str, provider: str, money: MoneyNow) -> dg.AssetCheckResult:
    account = money.accounts.get(provider)
    return dg.AssetCheckResult(
        check_name=name,
        passed=account is None or not _beyond_soft_share(account, money),
        severity=_WARN,
        description=_figures(provider, money),
        metadata=_account_metadata(account) | {"soft_share": float(money.soft_share)},
    )


def _under_limit(name: str, provider: str, money: MoneyNow) -> dg.AssetCheckResult:
    account = money.accounts.get(provider)
    waiting = _waiting_for(provider, money)
    figures = _figures(provider, money)
    if waiting:
        figures += f" {waiting} documents wait for money: `aegis budget raise {provider} USD`, or wait for next month."
    reasons = [f"- {count} documents: {escaped(one.why)}" for one, count in list(money.waiting.items())[:_SAMPLE]]
    return dg.AssetCheckResult(
        check_name=name,
        passed=not waiting and not _used_up(account),
        severity=_ERROR,
        description=figures,
        metadata=_account_metadata(account)
        | {"documents_waiting": waiting, "reasons": dg.MetadataValue.md("\n".join(reasons) if waiting else "")},
    )


def _providers_answer(money: MoneyNow) -> dg.AssetCheckResult:
    waiting = sum(money.unanswered.values())
    reasons = [f"- {count} documents: {escaped(one.why)}" for one, count in list(money.unanswered.items())[:_SAMPLE]]
    return dg.AssetCheckResult(
        check_name="providers_answer",
        passed=not waiting,
        severity=_WARN,
        description=f"{waiting} documents wait for a provider. {escaped(next(iter(money.unanswered)).why)}"
        if waiting
        else None,
        metadata={"documents_waiting": waiting, "reasons": dg.MetadataValue.md("\n".join(reasons))},
    )


def _used_up(account: Account | None) -> bool:
    """Whether all of a limit is spent. A limit of 0 with nothing spent is not used up."""
    if account is None or account.limit is None:
        return False
    return account.spent > account.limit or (account.spent == account.limit and account.limit > 0)


def _beyond_soft_share(account: Account, money: MoneyNow) -> bool:
    return account.limit is not None and account.spent + account.reserved > money.soft_share * account.limit


def _waiting_for(provider: str, money: MoneyNow) -> int:
    """How many documents wait because of this provider's budget.

    A document names the first account that refused it (`llm/attempts.py`). The later tiers refused it too, so any of
    them whose budget is nearly used up counts as well.
    """
    account = money.accounts.get(provider)
    if account is None or account.limit is None:
        return 0
    refused = [(one.refused_by, count) for one, count in money.waiting.items() if one.refused_by is not None]
    of_providers = [(name, count) for (name, month), count in refused if month == money.month]  # of this month only
    mine = sum(count for name, count in of_providers if name == provider)
    return mine or (sum(count for _, count in of_providers) if _beyond_soft_share(account, money) else 0)


def _no_unpriced_call(money: MoneyNow) -> dg.AssetCheckResult:
    counts = [(one.provider, one.model, one.calls) for one in money.unpriced]
    return _no_calls(
        "no_unpriced_call",
        counts,
        "calls of paid models used tokens and have no price or no cost: add the price to aegis.yaml under llm.prices, "
        "or `free: true` to the provider.",
    )


def _estimated_usage_share(money: MoneyNow) -> dg.AssetCheckResult:
    by_provider: dict[str, tuple[int, int]] = {}
    for row in money.usage:
        estimated, calls = by_provider.get(row.provider, (0, 0))
        by_provider[row.provider] = (estimated + row.estimated_calls, calls + row.calls)
    beyond = {name: pair for name, pair in by_provider.items() if pair[0] > MAX_ESTIMATED_SHARE * pair[1]}
    told = [f"{name}: {estimated} of {calls} calls" for name, (estimated, calls) in beyond.items()]
    return dg.AssetCheckResult(
        check_name="estimated_usage_share",
        passed=not beyond,
        severity=_WARN,
        description=f"What was used is estimated for {'; '.join(told)}. Let the provider report usage, or compare "
        "with its bill."
        if beyond
        else None,
        metadata={
            "estimated_calls": sum(estimated for estimated, _ in by_provider.values()),
            "calls": sum(calls for _, calls in by_provider.values()),
            **{
                f"share/{name}": round(estimated / calls, 6) if calls else 0.0
                for name, (estimated, calls) in by_provider.items()
            },
        },
    )


def _no_cost_above_reservation(money: MoneyNow) -> dg.AssetCheckResult:
    counts = [(one.provider, one.model, one.over_reservation_calls) for one in money.usage]
    return _no_calls(
        "no_cost_above_reservation",
        [one for one in counts if one[2]],
        "calls cost more than was reserved, so a limit can be passed: raise the model's `picture_tokens`, and "
        "correct its price in aegis.yaml.",
    )


def _ledger_adds_up(money: MoneyNow) -> dg.AssetCheckResult:
    wrong = [one for one in money.totals if not one.rows == one.accounts == one.rollups]
    lines = [(one.month, *(f"{nano:,}" for nano in (one.rows, one.accounts, one.rollups))) for one in money.totals]
    return dg.AssetCheckResult(
        check_name="ledger_adds_up",
        passed=not wrong,
        severity=_ERROR,
        description=f"The ledger of {', '.join(one.month for one in wrong)} does not add up: somebody changed its "
        "tables, or this is a defect; the calls are what counts."
        if wrong
        else None,
        metadata={
            "nanousd": dg.MetadataValue.md(markdown_table(("month", "calls", "accounts", "roll-ups"), lines)),
            "difference_nanousd": sum(abs(one.rows - one.accounts) + abs(one.rows - one.rollups) for one in wrong),
        },
    )


def _no_calls(name: str, counts: Sequence[tuple[str, str, int]], told: str) -> dg.AssetCheckResult:
    """ERROR when there are such calls; counts: (provider, model, calls)."""
    calls = sum(count for _, _, count in counts)
    return dg.AssetCheckResult(
        check_name=name,
        passed=not counts,
        severity=_ERROR,
        description=f"{calls} {told}" if counts else None,
        metadata={
            "calls": calls,
            "models": dg.MetadataValue.md(markdown_table(("provider", "model", "calls"), counts)),
        },
    )


def _figures(provider: str, money: MoneyNow) -> str:
    account = money.accounts.get(provider)
    if account is None:
        return f"{provider}: nothing was spent in {money.month}."
    spent = f"{shown_usd(account.spent)} USD spent and {shown_usd(account.reserved)} reserved in {money.month}"
    if account.limit is None:
        return f"{provider}: {spent}, no limit."
    used = account.spent + account.reserved
    share = f" ({used / account.limit:.1%})" if account.limit else ""
    return (
        f"{provider}: {spent} of {shown_usd(account.limit)}{share}, "
        f"{shown_usd(max(account.limit - used, 0))} left; soft threshold {money.soft_share:.0%}."
    )


def _account_metadata(account: Account | None) -> dict[str, dg.MetadataValue]:
    if account is None:
        return {"spent_usd": usd(0), "reserved_usd": usd(0)}
    limit = {} if account.limit is None else {"limit_usd": usd(account.limit)}
    return {"spent_usd": usd(account.spent), "reserved_usd": usd(account.reserved), **limit}
