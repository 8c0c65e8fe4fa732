"""The rules of the money checks, over real ledgers."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

import dagster as dg
import pytest
import sqlalchemy as sa

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.costs.asset_checks import MoneyNow, check_results
from aegis_dagster.defs.costs.assets import read_money
from aegis_dagster.domain.accounts import Account, AccountKey, AccountKind, PutOff
from aegis_dagster.domain.money import Month, NanoUsd, month_of
from aegis_dagster.domain.prices import Usage
from aegis_dagster.stores.database import write
from aegis_dagster.stores.ledger.schema import llm_accounts
from aegis_dagster_tests.support.ledger_of_project import SEVERITIES, USD, pay, set_limit

Verdicts = Mapping[str, dg.AssetCheckResult]


def judged(project: Project) -> Verdicts:
    """What the checks say, without a run around them; there is one for each that the definitions have."""
    providers = project.settings.llm.tiers
    verdicts = {str(result.check_name): result for result in check_results(read_money(project), providers)}
    assert {name: verdict.severity for name, verdict in verdicts.items()} == SEVERITIES
    return verdicts


def fallen(verdicts: Verdicts) -> set[str]:
    return {name for name, verdict in verdicts.items() if not verdict.passed}


def value(verdict: dg.AssetCheckResult, key: str) -> object:
    found = verdict.metadata[key]
    return found.value if isinstance(found, dg.MetadataValue) else found


def test_money_that_nears_the_limit_warns_and_money_that_is_gone_is_an_error(project: Project) -> None:
    pay(project, usd="16")  # of 20: exactly the soft threshold
    assert fallen(judged(project)) == set()
    pay(project, usd="0.000000001")
    result = judged(project)
    assert fallen(result) == {"openai_under_soft_threshold"}
    warning = result["openai_under_soft_threshold"]
    assert "16.00 USD spent" in str(warning.description) and "of 20.00 (80.0%)" in str(warning.description)
    assert value(warning, "spent_usd") == 16.000000001
    pay(project, usd="3.999999998")  # one nano-dollar is left
    assert fallen(judged(project)) == {"openai_under_soft_threshold"}
    pay(project, usd="0.000000001")
    result = judged(project)
    assert fallen(result) == {"openai_under_soft_threshold", "openai_under_limit"}
    assert "0 left" in str(result["openai_under_limit"].description).replace("0.00 left", "0 left")
    set_limit(project, "openai", "100")
    assert fallen(judged(project)) == set()


def test_a_reservation_counts_for_the_soft_threshold_and_not_for_the_limit(project: Project) -> None:
    pay(project, usd="20", settled=False)
    assert fallen(judged(project)) == {"openai_under_soft_threshold"}


def test_a_lowered_limit_is_passed_and_a_limit_of_nothing_is_not(project: Project) -> None:
    set_limit(project, "dashscope", "0")
    pay(project, usd="5")
    set_limit(project, "openai", "4.999999999")
    assert fallen(judged(project)) == {"openai_under_soft_threshold", "openai_under_limit"}


def test_what_was_spent_last_month_is_not_checked(project: Project) -> None:
    last_month = project.clock.now().replace(day=1) - timedelta(days=3)
    pay(project, usd="19.5", at=last_month)
    assert fallen(judged(project)) == set()


@pytest.mark.parametrize(
    ("refused_by", "blamed"),
    [
        # Both tiers refused: the later one had nothing left either.
        (("dashscope", Month("2026-11")), {"dashscope", "openai"}),
        (("openai", Month("2026-11")), {"openai"}),
        (("dashscope", Month("2026-10")), set()),  # it is tried again this month
        (None, set()),  # a collection's account, or a run's
    ],
)
def test_documents_wait_for_the_provider_that_refused_and_for_those_nearly_used_up(
    refused_by: tuple[str, Month] | None, blamed: set[str]
) -> None:
    month = Month("2026-11")

    def account(name: str, limit: int | None, spent: int) -> Account:
        key = AccountKey(AccountKind.PROVIDER, name, month)
        return Account(key, None if limit is None else NanoUsd(limit * USD), NanoUsd(0), NanoUsd(spent * USD))

    accounts = [account("local", None, 0), account("dashscope", 10, 1), account("openai", 20, 19)]
    waiting = {PutOff("budget", "No money.", refused_by): 3}
    money = MoneyNow(month, Decimal("0.8"), {one.key.name: one for one in accounts}, [], [], [], waiting, {})
    results = {result.check_name: result for result in check_results(money, ["local", "dashscope", "openai"])}
    assert {name for name in ("local", "dashscope", "openai") if not results[f"{name}_under_limit"].passed} == blamed
    for name in blamed:
        assert "3 documents wait for money" in str(results[f"{name}_under_limit"].description)


def test_documents_that_wait_for_a_provider_are_told_with_its_reason() -> None:
    why = "No model could answer: openai/gpt-4.1-mini (auth)."
    money = MoneyNow(Month("2026-11"), Decimal("0.8"), {}, [], [], [], {}, {PutOff("providers", why): 2})
    (result,) = [each for each in check_results(money, []) if each.check_name == "providers_answer"]
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert result.description == f"2 documents wait for a provider. {why}"


def test_a_call_of_a_paid_provider_without_a_cost_or_price_is_an_error(project: Project) -> None:
    pay(project, provider="local", model="qwen3:8b", usd="0", price_version="free")
    pay(project, usd="0", usage=Usage(), outcome="server_error")  # it used nothing
    assert fallen(judged(project)) == set()
    pay(project, usd="0", reserved_usd="0.01", calls=2)
    pay(project, usd="0.001", price_version="", model="nameless")
    result = judged(project)
    assert fallen(result) == {"no_unpriced_call"}
    check = result["no_unpriced_call"]
    assert value(check, "calls") == 3
    assert "| openai | gpt-4.1-mini | 2 |" in str(value(check, "models"))
    assert "| openai | nameless | 1 |" in str(value(check, "models"))


def test_more_than_a_twentieth_of_a_providers_usage_estimated_warns(project: Project) -> None:
    guessed = Usage(input_tokens=100, output_tokens=10, estimated=True)
    pay(project, calls=60)
    pay(project, calls=19, provider="dashscope", model="qwen-flash")
    pay(project, calls=1, provider="dashscope", model="qwen-plus", usage=guessed)  # 5 % of this provider
    assert fallen(judged(project)) == set()
    pay(project, calls=1, provider="dashscope", model="qwen-plus", usage=guessed)  # 2 of 21, 2 of 81 of all
    result = judged(project)
    assert fallen(result) == {"estimated_usage_share"}
    check = result["estimated_usage_share"]
    assert value(check, "share/dashscope") == round(2 / 21, 6) and value(check, "share/openai") == 0.0
    assert "dashscope: 2 of 21 calls" in str(check.description)


def test_a_call_dearer_than_its_reservation_is_an_error(project: Project) -> None:
    pay(project, usd="0.01", reserved_usd="0.01")
    assert fallen(judged(project)) == set()
    pay(project, usd="0.010000001", reserved_usd="0.01")
    result = judged(project)
    assert fallen(result) == {"no_cost_above_reservation"}
    assert value(result["no_cost_above_reservation"], "calls") == 1


@pytest.mark.parametrize("days_ago", [0, 40])
def test_a_ledger_that_does_not_add_up_is_an_error_for_two_months(project: Project, days_ago: int) -> None:
    now = project.clock.now()
    at = now if not days_ago else now.replace(day=1) - timedelta(days=3)
    pay(project, usd="0.01", at=at)
    assert fallen(judged(project)) == set()
    with write(project.engine) as connection:
        connection.execute(
            sa.update(llm_accounts)
            .where(llm_accounts.c.kind == "provider")
            .values(spent_nanousd=llm_accounts.c.spent_nanousd - 1)
        )
    result = judged(project)
    assert fallen(result) == {"ledger_adds_up"}
    check = result["ledger_adds_up"]
    assert month_of(at) in str(check.description)
    assert value(check, "difference_nanousd") == 1
    assert "| 10,000,000 | 9,999,999 | 10,000,000 |" in str(value(check, "nanousd"))
