"""After many calls of every kind the books agree with the provider's, and nobody wrote down what was said."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from aegis_dagster.domain.llm import Message, TaskType
from aegis_dagster.domain.money import Month
from aegis_dagster.errors import AegisError
from aegis_dagster.llm.gateway import GatewayOptions
from aegis_dagster.llm.providers import Model
from aegis_dagster.llm.retry_policy import DECISIONS
from aegis_dagster_tests.llm.test_gateway import FAILURES
from aegis_dagster_tests.support.asking import (
    CACHED,
    INPUT,
    KEY,
    OUTPUT,
    REASONING,
    SYSTEM,
    TEXT,
    ask_for,
    desk,
    provider,
)
from aegis_dagster_tests.support.llm_server import Behaviour, Kind, LLMServer, Rule, Tokens, UsageShape

TASKS = 300
NEVER_REST = GatewayOptions(rest_after_failures=10**9)
MIXTURE = (
    (Behaviour(), 50.0),
    (Behaviour(cached_tokens=3), 10.0),
    (Behaviour(reasoning_tokens=4), 10.0),
    (Behaviour(Kind.RATE_LIMIT, retry_after="1"), 5.0),
    *((Behaviour(kind), 3.0) for kind in (Kind.SERVER_ERROR, Kind.UNAVAILABLE, Kind.REFUSED, Kind.CONTEXT_LENGTH)),
    *((Behaviour(kind), 3.0) for kind in (Kind.RESET_BEFORE, Kind.RESET_AFTER, Kind.RESET_MIDWAY)),
    *((Behaviour(kind), 3.0) for kind in (Kind.MALFORMED_JSON, Kind.HTML, Kind.FILTERED, Kind.BAD_REQUEST)),
)


def paid(tokens: Tokens) -> int:
    """What a provider with our price writes on the bill."""
    return (
        (tokens.input - tokens.cached) * INPUT
        + tokens.cached * CACHED
        + (tokens.output - tokens.reasoning) * OUTPUT
        + tokens.reasoning * REASONING
    )


async def test_rows_accounts_rollups_and_the_providers_own_count_are_equal_to_the_nano_usd(
    tmp_path: Path, local: LLMServer, cloud: LLMServer
) -> None:
    cloud.script([Rule(Behaviour(Kind.HANG), model="slow-model"), Rule(mixture=MIXTURE, seed=4)])
    local.script([Rule(mixture=MIXTURE, seed=5)])
    of_its_own = {"slow-model": Model("slow-model", frozenset({TaskType.ENTITY_EXTRACTION}))}
    slow = provider("slow", cloud.v1, timeout_seconds=0.5, models=of_its_own)
    providers = [provider("a", cloud.v1, concurrency=16), provider("b", local.v1, attempts=3), slow]
    at = desk(tmp_path, providers, options=NEVER_REST)
    tasks = [ask_for(messages=(Message("user", " ".join(["word"] * (1 + n % 15))),)) for n in range(TASKS)]
    tasks += [ask_for(TaskType.ENTITY_EXTRACTION, only=("slow", "slow-model"))] * 2
    ended = await asyncio.gather(*(at.gateway.ask(task) for task in tasks), return_exceptions=True)
    await at.aclose()
    assert all(isinstance(one, AegisError) for one in ended if isinstance(one, BaseException))

    rows = at.rows()
    timed_out = [row for row in rows if row["provider"] == "slow"]  # perhaps before the server was reached
    assert [(row["outcome"], row["status"]) for row in timed_out] == [("timeout", "unknown")] * 4
    records = [one for one in (*cloud.records(), *local.records()) if one.model != "slow-model"]
    assert len(rows) == len(records) + 4 > TASKS, "one row a request"
    assert at.left_over() == []
    unknown = [row for row in rows if row["status"] == "unknown"]
    billed = {kind for kind, error in FAILURES if DECISIONS[error].billed}
    assert len(unknown) == 4 + sum(record.kind in billed for record in records)
    assert all(row["cost_nanousd"] == row["reserved_nanousd"] > 0 for row in unknown)
    answered = [record.billed for record in records if record.kind in (Kind.ANSWER, Kind.FILTERED) and record.billed]
    settled = [row for row in rows if row["status"] == "settled"]
    assert sum(row["cost_nanousd"] for row in settled) == paid(sum(answered, Tokens()))
    answers = sum(not isinstance(one, BaseException) for one in ended)
    assert sum(row["outcome"] == "ok" for row in rows) == answers > TASKS / 2
    accounts = at.ledger.accounts(Month("2026-01"))
    assert sum(account.spent for account in accounts) == sum(row["cost_nanousd"] for row in rows)
    assert at.rolled_up() == sum(row["cost_nanousd"] for row in rows)
    assert [account.reserved for account in accounts] == [0, 0, 0]


async def test_no_key_prompt_or_text_is_logged_raised_or_kept_whatever_goes_wrong(
    tmp_path: Path, cloud: LLMServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    kinds = [kind for kind, _ in FAILURES] + [Kind.FILTERED, Kind.ANSWER]
    behaviours = [Behaviour(kind) for kind in kinds] + [Behaviour(usage=shape) for shape in UsageShape]
    at = desk(tmp_path, [provider("cloud", cloud.v1, attempts=1, timeout_seconds=0.5)], options=NEVER_REST)
    said: list[str] = []
    for behaviour in behaviours:
        cloud.script([Rule(behaviour)])
        at.clock.move(10_000)  # beyond every rest
        try:
            await at.gateway.ask(ask_for())
        except AegisError as error:
            said.append(everything(error))
    await at.aclose()
    assert len(at.rows()) == len(behaviours)
    said += [f"{record.getMessage()} {record.exc_text} {record.args}" for record in caplog.records]
    said += await asyncio.to_thread(stored_texts, at.engine)
    assert any("cloud-model" in text for text in said)
    for secret in (KEY, TEXT, "Marker", SYSTEM):
        assert [text for text in said if secret in text] == []


def everything(error: BaseException | None) -> str:
    """An error with all that led to it."""
    return "" if error is None else f"{error!r} {everything(error.__cause__)} {everything(error.__context__)}"


def stored_texts(engine: sa.Engine) -> list[str]:
    """Every value of every table."""
    found: list[Any] = []
    with engine.connect() as connection:
        for table in sa.inspect(engine).get_table_names():
            found += [value for row in connection.execute(sa.text(f'SELECT * FROM "{table}"')) for value in row]
    return [str(value) for value in found]
