"""Every kind of failure, from a real server, does what the table of decisions says; and who answers instead."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aegis_dagster.domain.llm import Attempt, LLMTask, Message, Quality, TaskType
from aegis_dagster.errors import ConfigurationError, Deferred, DocumentError, FailureCode, ModelsUnavailable
from aegis_dagster.llm.gateway import GatewayOptions
from aegis_dagster.llm.providers import Model
from aegis_dagster.llm.retry_policy import DECISIONS, ErrorType, Then
from aegis_dagster_tests.support.asking import (
    ANSWER_COST,
    CONFIDENTIAL,
    INPUT,
    PATIENCE,
    TEXT,
    ask_for,
    desk,
    most,
    provider,
)
from aegis_dagster_tests.support.llm_server import Behaviour, Kind, LLMServer, Rule

# What a server does, and the failure it must be taken for.
FAILURES = [
    (Kind.RATE_LIMIT, ErrorType.RATE_LIMIT),
    (Kind.THROTTLE, ErrorType.RATE_LIMIT),
    (Kind.INSUFFICIENT_QUOTA, ErrorType.QUOTA_EXHAUSTED),
    (Kind.ARREARAGE, ErrorType.QUOTA_EXHAUSTED),
    (Kind.HANG, ErrorType.TIMEOUT),
    (Kind.TRICKLE, ErrorType.TIMEOUT),
    (Kind.RESET_BEFORE, ErrorType.CONNECTION_LOST),
    (Kind.RESET_AFTER, ErrorType.CONNECTION_LOST),
    (Kind.RESET_MIDWAY, ErrorType.CONNECTION_LOST),
    (Kind.MALFORMED_JSON, ErrorType.BAD_RESPONSE),
    (Kind.HTML, ErrorType.BAD_RESPONSE),
    (Kind.EMPTY_CHOICES, ErrorType.BAD_RESPONSE),
    (Kind.SERVER_ERROR, ErrorType.SERVER_ERROR),
    (Kind.UNAVAILABLE, ErrorType.SERVER_ERROR),
    (Kind.HTML_BAD_GATEWAY, ErrorType.SERVER_ERROR),
    (Kind.CONTEXT_LENGTH, ErrorType.CONTEXT_WINDOW),
    (Kind.REFUSED, ErrorType.CONTENT_REFUSED),
    (Kind.BAD_REQUEST, ErrorType.BAD_REQUEST),
    (Kind.UNAUTHORIZED, ErrorType.AUTH),
    (Kind.FORBIDDEN, ErrorType.AUTH),
    (Kind.MODEL_NOT_FOUND, ErrorType.NOT_FOUND),
]


@contextmanager
def nobody_listens() -> Iterator[str]:
    """A base URL on a port that is taken and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def patience(error: ErrorType) -> float:
    """A short time-out where it has to run out, and nowhere else."""
    return 0.3 if error is ErrorType.TIMEOUT else PATIENCE


def test_the_failures_below_cover_the_whole_table() -> None:
    assert {error for _, error in FAILURES} | {ErrorType.CONNECTION} == set(DECISIONS)


@pytest.mark.parametrize(("kind", "error"), FAILURES, ids=[kind for kind, _ in FAILURES])
async def test_a_failure_is_retried_paid_and_passed_on_as_the_table_says(
    tmp_path: Path, local: LLMServer, cloud: LLMServer, kind: Kind, error: ErrorType
) -> None:
    cloud.script([Rule(Behaviour(kind))])
    first, second = provider("first", cloud.v1, timeout_seconds=patience(error)), provider("second", local.v1)
    at = desk(tmp_path, [first, second])
    response = await at.gateway.ask(ask_for())
    decision = DECISIONS[error]
    calls = 2 if decision.retry else 1
    stated = 7 * INPUT if kind is Kind.EMPTY_CHOICES else 0  # such an answer says what it used
    unknown = decision.billed and not stated
    kept = most(first, ask_for()) if unknown else stated
    status = "unknown" if unknown else "settled"
    arrived = [record.kind for record in cloud.records()]
    too_late = error is ErrorType.TIMEOUT and set(arrived) <= {kind}  # when the machine stands still
    assert arrived == [kind] * calls or too_late
    assert at.endings() == [("first", error, status, kept)] * calls + [("second", "ok", "settled", ANSWER_COST)]
    assert [row["attempt"] for row in at.rows()] == list(range(1, calls + 2))
    assert response.content == TEXT
    assert [(one.provider, one.outcome) for one in response.attempts] == [("first", error)] * calls + [("second", "ok")]
    times = " x2" if calls == 2 else ""
    assert response.route == f"standard summary: first/first-model {error}{times}, then second/second-model"
    await at.aclose()


@pytest.mark.parametrize(("kind", "error"), FAILURES, ids=[kind for kind, _ in FAILURES])
async def test_a_failure_of_the_only_model_fails_the_document_or_defers_it(
    tmp_path: Path, cloud: LLMServer, kind: Kind, error: ErrorType
) -> None:
    cloud.script([Rule(Behaviour(kind))])
    at = desk(tmp_path, [provider("only", cloud.v1, attempts=1, timeout_seconds=patience(error))])
    content = DECISIONS[error].then is Then.NEXT_TIER_OR_FAIL
    with pytest.raises(DocumentError if content else ModelsUnavailable) as raised:
        await at.gateway.ask(ask_for())
    assert f"only/only-model ({error})" in str(raised.value)
    if isinstance(raised.value, DocumentError):
        codes = {
            ErrorType.CONTENT_REFUSED: FailureCode.CONTENT_REFUSED,
            ErrorType.CONTEXT_WINDOW: FailureCode.CONTEXT_TOO_LONG,
            ErrorType.BAD_REQUEST: FailureCode.BAD_ANSWER,
        }
        assert raised.value.code is codes[error]
        assert not raised.value.retryable
    await at.aclose()


async def test_a_provider_that_cannot_be_reached_costs_nothing_and_names_what_to_check(tmp_path: Path) -> None:
    with nobody_listens() as url:
        at = desk(tmp_path, [provider("down", url)])
        with pytest.raises(ModelsUnavailable, match="base_url"):
            await at.gateway.ask(ask_for())
    assert at.endings() == [("down", ErrorType.CONNECTION, "settled", 0)] * 2
    await at.aclose()


async def test_an_answer_that_was_filtered_after_it_was_made_costs_what_it_used(
    tmp_path: Path, cloud: LLMServer
) -> None:
    cloud.script([Rule(Behaviour(Kind.FILTERED))])
    at = desk(tmp_path, [provider("only", cloud.v1)])
    with pytest.raises(DocumentError) as raised:
        await at.gateway.ask(ask_for())
    assert raised.value.code is FailureCode.CONTENT_REFUSED
    assert cloud.counts()["billed"]["input"] == 7
    assert at.endings() == [("only", ErrorType.CONTENT_REFUSED, "settled", 7 * INPUT)]
    await at.aclose()


@pytest.mark.parametrize(
    ("one", "other", "error"),
    [
        (Kind.BAD_REQUEST, Kind.REFUSED, FailureCode.CONTENT_REFUSED),
        (Kind.CONTEXT_LENGTH, Kind.BAD_REQUEST, FailureCode.CONTEXT_TOO_LONG),
        (Kind.REFUSED, Kind.SERVER_ERROR, None),
        (Kind.MODEL_NOT_FOUND, Kind.REFUSED, None),
    ],
)
async def test_a_document_fails_only_when_every_model_turned_it_down(
    tmp_path: Path, local: LLMServer, cloud: LLMServer, one: Kind, other: Kind, error: FailureCode | None
) -> None:
    local.script([Rule(Behaviour(one))])
    cloud.script([Rule(Behaviour(other))])
    at = desk(tmp_path, [provider("a", local.v1), provider("b", cloud.v1)])
    with pytest.raises(DocumentError if error else Deferred) as raised:
        await at.gateway.ask(ask_for())
    assert getattr(raised.value, "code", None) == error
    await at.aclose()


async def test_a_document_does_not_fail_while_a_provider_rests_that_might_take_it(
    tmp_path: Path, local: LLMServer, cloud: LLMServer
) -> None:
    local.script([Rule(Behaviour(Kind.UNAUTHORIZED))])
    cloud.script([Rule(Behaviour(Kind.REFUSED))])
    at = desk(tmp_path, [provider("a", local.v1), provider("b", cloud.v1)])
    for state in ("auth", "resting"):
        with pytest.raises(ModelsUnavailable, match=rf"a/a-model \({state}\)"):
            await at.gateway.ask(ask_for())
    await at.aclose()


async def test_a_task_takes_one_provider_up_on_so_many_calls_whatever_its_models(
    tmp_path: Path, cloud: LLMServer
) -> None:
    cloud.script([Rule(Behaviour(Kind.SERVER_ERROR))])
    models = {name: Model(name, frozenset(TaskType), quality) for name, quality in zip("ab", Quality, strict=True)}
    at = desk(tmp_path, [provider("cloud", cloud.v1, attempts=3, models=models)])
    with pytest.raises(ModelsUnavailable):
        await at.gateway.ask(ask_for())
    assert [record.model for record in cloud.records()] == ["a"] * 3 + ["b"]
    await at.aclose()


async def test_retry_after_is_waited_for_exactly(tmp_path: Path, cloud: LLMServer) -> None:
    cloud.script([Behaviour(Kind.RATE_LIMIT, retry_after="17"), Rule()])
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    response = await at.gateway.ask(ask_for())
    assert at.sleep.slept == [17.0]
    assert response.attempts == (
        Attempt("cloud", "cloud-model", ErrorType.RATE_LIMIT),
        Attempt("cloud", "cloud-model", "ok"),
    )
    await at.aclose()


async def test_retry_after_of_one_call_holds_the_others_back_too(tmp_path: Path, cloud: LLMServer) -> None:
    cloud.script([Behaviour(Kind.RATE_LIMIT, retry_after="30"), Rule()])
    at = desk(tmp_path, [provider("cloud", cloud.v1, attempts=1)])
    with pytest.raises(ModelsUnavailable):
        await at.gateway.ask(ask_for())
    await at.gateway.ask(ask_for())
    assert at.sleep.slept == [30.0]
    await at.aclose()


async def test_a_retry_after_longer_than_anybody_waits_lets_the_provider_rest_so_long(
    tmp_path: Path, local: LLMServer, cloud: LLMServer
) -> None:
    cloud.script([Behaviour(Kind.RATE_LIMIT, retry_after="600"), Rule()])
    at = desk(tmp_path, [provider("first", cloud.v1, attempts=5), provider("second", local.v1)])
    assert (await at.gateway.ask(ask_for())).provider == "second"
    at.clock.move(599)
    rested = await at.gateway.ask(ask_for())
    assert rested.route == "standard summary: first/first-model resting, then second/second-model"
    assert len(cloud.records()) == 1
    at.clock.move(1)
    assert (await at.gateway.ask(ask_for())).provider == "first"
    assert at.sleep.slept == []
    await at.aclose()


async def test_without_retry_after_the_waits_are_drawn_below_a_bound_that_doubles(
    tmp_path: Path, cloud: LLMServer
) -> None:
    cloud.script([Rule(Behaviour(Kind.SERVER_ERROR))])
    options = GatewayOptions(max_wait_seconds=5.0, rest_after_failures=1000)
    at = desk(tmp_path, [provider("cloud", cloud.v1, attempts=6)], options=options)
    for _ in range(10):
        with pytest.raises(ModelsUnavailable):
            await at.gateway.ask(ask_for())
    waits = [at.sleep.slept[index::5] for index in range(5)]
    for bound, drawn in zip((1, 2, 4, 5, 5), waits, strict=True):
        assert 0 <= min(drawn) < max(drawn) <= bound
        assert len(set(drawn)) == 10
    await at.aclose()


async def test_a_provider_that_keeps_failing_rests_and_is_taken_again_when_it_recovers(
    tmp_path: Path, local: LLMServer, cloud: LLMServer
) -> None:
    cloud.script([Rule(Behaviour(Kind.UNAVAILABLE), times=4), Rule()])
    options = GatewayOptions(rest_after_failures=3, rest_seconds=60)
    providers = [provider("first", cloud.v1, attempts=1), provider("second", local.v1)]
    at = desk(tmp_path, providers, options=options)
    served = [(await at.gateway.ask(ask_for())).provider for _ in range(5)]
    assert served == ["second"] * 5
    assert len(cloud.records()) == 3, "it rests after the third failure"
    at.clock.move(60)
    assert (await at.gateway.ask(ask_for())).provider == "second", "the probe fails"
    at.clock.move(119)
    await at.gateway.ask(ask_for())
    assert len(cloud.records()) == 4, "it rests twice as long"
    at.clock.move(1)
    assert (await at.gateway.ask(ask_for())).provider == "first"
    assert (await at.gateway.ask(ask_for())).provider == "first"
    await at.aclose()


async def test_a_refused_key_lets_the_provider_rest_at_once(tmp_path: Path, cloud: LLMServer) -> None:
    cloud.script([Rule(Behaviour(Kind.UNAUTHORIZED))])
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    for _ in range(3):
        with pytest.raises(ModelsUnavailable):
            await at.gateway.ask(ask_for())
    assert len(cloud.records()) == 1
    await at.aclose()


async def test_confidential_content_reaches_no_other_than_local_models(
    tmp_path: Path, local: LLMServer, cloud: LLMServer
) -> None:
    local.script([Behaviour(Kind.SERVER_ERROR)] * 2 + [Rule()])
    at = desk(tmp_path, [provider("cloud", cloud.v1, quality=Quality.HIGH), provider("own", local.v1, local=True)])
    with pytest.raises(ModelsUnavailable):
        await at.gateway.ask(CONFIDENTIAL)
    response = await at.gateway.ask(ask_for(classification=CONFIDENTIAL.classification, quality=Quality.HIGH))
    assert response.provider == "own"
    assert response.route == "confidential high summary: own/own-model"
    assert cloud.records() == []
    await at.aclose()


async def test_without_a_local_model_confidential_content_is_a_matter_of_configuration(
    tmp_path: Path, cloud: LLMServer
) -> None:
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    with pytest.raises(ConfigurationError, match="local_only") as raised:
        await at.gateway.ask(CONFIDENTIAL)
    assert "collection reports" in str(raised.value)
    assert "local: true" in str(raised.value)
    assert cloud.records() == []
    assert at.rows() == []


async def test_a_task_that_nobody_offers_says_so(tmp_path: Path, cloud: LLMServer) -> None:
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    with pytest.raises(ConfigurationError, match="model nothing of cloud"):
        await at.gateway.ask(ask_for(only=("cloud", "nothing")))
    empty = desk(tmp_path, [])
    with pytest.raises(ConfigurationError, match="No configured model answers embedding"):
        await empty.gateway.ask(LLMTask(TaskType.EMBEDDING, texts=("a",)))


async def test_a_task_without_a_limit_of_its_answer_is_a_mistake(tmp_path: Path, cloud: LLMServer) -> None:
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    with pytest.raises(ValueError, match="max_tokens"):
        await at.gateway.ask(LLMTask(TaskType.SUMMARY, (Message("user", "x"),)))


async def test_an_embedding_brings_one_vector_a_text(tmp_path: Path, cloud: LLMServer) -> None:
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    response = await at.gateway.ask(LLMTask(TaskType.EMBEDDING, texts=("one two", "three")))
    assert len(response.vectors) == 2
    assert response.cost == 3 * INPUT
    await at.aclose()
