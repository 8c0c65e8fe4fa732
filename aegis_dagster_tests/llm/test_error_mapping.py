"""Every way a call can fail, through the real litellm and a real server, is recognised for what it is."""

import contextlib
import logging
import socket
from collections.abc import Iterator

import httpx
import pytest

from aegis_dagster.domain.llm import LLMTask, Message, TaskType
from aegis_dagster.llm.client import Wire
from aegis_dagster.llm.error_mapping import broken, refused, retry_after
from aegis_dagster.llm.providers import Model, Provider
from aegis_dagster.llm.retry_policy import CallFailed, ErrorType
from aegis_dagster_tests.support.asking import PATIENCE
from aegis_dagster_tests.support.llm_server import Behaviour, Dialect, Kind, LLMServer, Rule, Tokens, scripted_server

SECRET = "Ms Quendolin Secretary earns 91,250"
KEY = "sk-very-secret-key"
MODEL = Model("scripted", frozenset())
CHAT = LLMTask(TaskType.SUMMARY, messages=(Message("user", SECRET),), max_tokens=20)
EMBEDDING = LLMTask(TaskType.EMBEDDING, texts=(SECRET,))
DATE = "Wed, 21 Oct 2099 07:28:00 GMT"


@pytest.fixture(scope="module")
def server() -> Iterator[LLMServer]:
    with scripted_server() as running:
        yield running


async def failure(wire: Wire, url: str, task: LLMTask = CHAT, *, seconds: float = PATIENCE) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        await wire.call(Provider("p", url, KEY, timeout_seconds=seconds), MODEL, task)
    return caught.value


OPENAI, DASHSCOPE, OLLAMA = Dialect
EVERY_FAILURE = [
    (Behaviour(Kind.RATE_LIMIT), ErrorType.RATE_LIMIT, None),
    (Behaviour(Kind.RATE_LIMIT, retry_after="7"), ErrorType.RATE_LIMIT, 7.0),
    (Behaviour(Kind.RATE_LIMIT, retry_after="0.25"), ErrorType.RATE_LIMIT, 0.25),
    (Behaviour(Kind.RATE_LIMIT, retry_after="soon"), ErrorType.RATE_LIMIT, None),
    (Behaviour(Kind.RATE_LIMIT, DASHSCOPE), ErrorType.RATE_LIMIT, None),
    (Behaviour(Kind.THROTTLE), ErrorType.RATE_LIMIT, None),
    (Behaviour(Kind.THROTTLE, retry_after="3"), ErrorType.RATE_LIMIT, 3.0),
    (Behaviour(Kind.INSUFFICIENT_QUOTA), ErrorType.QUOTA_EXHAUSTED, None),
    (Behaviour(Kind.ARREARAGE), ErrorType.QUOTA_EXHAUSTED, None),
    (Behaviour(Kind.SERVER_ERROR), ErrorType.SERVER_ERROR, None),
    (Behaviour(Kind.SERVER_ERROR, OLLAMA), ErrorType.SERVER_ERROR, None),
    (Behaviour(Kind.UNAVAILABLE), ErrorType.SERVER_ERROR, None),
    (Behaviour(Kind.UNAVAILABLE, retry_after="2"), ErrorType.SERVER_ERROR, 2.0),
    (Behaviour(Kind.UNAUTHORIZED), ErrorType.AUTH, None),
    (Behaviour(Kind.UNAUTHORIZED, DASHSCOPE), ErrorType.AUTH, None),
    (Behaviour(Kind.FORBIDDEN), ErrorType.AUTH, None),
    (Behaviour(Kind.MODEL_NOT_FOUND), ErrorType.NOT_FOUND, None),
    (Behaviour(Kind.MODEL_NOT_FOUND, OLLAMA), ErrorType.NOT_FOUND, None),
    (Behaviour(Kind.CONTEXT_LENGTH), ErrorType.CONTEXT_WINDOW, None),
    (Behaviour(Kind.CONTEXT_LENGTH, DASHSCOPE), ErrorType.CONTEXT_WINDOW, None),
    (Behaviour(Kind.CONTEXT_LENGTH, OLLAMA), ErrorType.CONTEXT_WINDOW, None),
    (Behaviour(Kind.REFUSED), ErrorType.CONTENT_REFUSED, None),
    (Behaviour(Kind.REFUSED, DASHSCOPE), ErrorType.CONTENT_REFUSED, None),
    (Behaviour(Kind.BAD_REQUEST), ErrorType.BAD_REQUEST, None),
    (Behaviour(Kind.MALFORMED_JSON), ErrorType.BAD_RESPONSE, None),
    (Behaviour(Kind.HTML), ErrorType.BAD_RESPONSE, None),
    (Behaviour(Kind.HTML_BAD_GATEWAY), ErrorType.SERVER_ERROR, None),
    (Behaviour(Kind.EMPTY_CHOICES), ErrorType.BAD_RESPONSE, None),
    (Behaviour(Kind.RESET_BEFORE), ErrorType.CONNECTION_LOST, None),
    (Behaviour(Kind.RESET_AFTER), ErrorType.CONNECTION_LOST, None),
    (Behaviour(Kind.RESET_MIDWAY), ErrorType.CONNECTION_LOST, None),
]


@pytest.mark.parametrize("task", [CHAT, EMBEDDING], ids=["chat", "embedding"])
@pytest.mark.parametrize(
    ("behaviour", "expected", "wait"), EVERY_FAILURE, ids=lambda value: getattr(value, "kind", None)
)
async def test_every_failure_of_a_server_is_recognised_after_one_request(
    wire: Wire, server: LLMServer, task: LLMTask, behaviour: Behaviour, expected: ErrorType, wait: float | None
) -> None:
    server.reset()
    server.script([behaviour])
    error = await failure(wire, server.v1, task)
    assert (error.error_type, error.retry_after_seconds) == (expected, wait)
    assert len(server.records()) == 1


@pytest.mark.parametrize("kind", [Kind.HANG, Kind.TRICKLE])
@pytest.mark.parametrize("task", [CHAT, EMBEDDING], ids=["chat", "embedding"])
async def test_what_never_ends_is_given_up_in_time(wire: Wire, server: LLMServer, kind: Kind, task: LLMTask) -> None:
    server.script([Behaviour(kind)])
    error = await failure(wire, server.v1, task, seconds=0.4)
    assert error.error_type is ErrorType.TIMEOUT
    assert str(error) == "No full answer within 0.4 s."


async def test_a_refused_connection_sent_nothing(wire: Wire) -> None:
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        error = await failure(wire, f"http://127.0.0.1:{closed.getsockname()[1]}/v1")
    assert error.error_type is ErrorType.CONNECTION


@pytest.mark.parametrize("task", [CHAT, EMBEDDING], ids=["chat", "embedding"])
async def test_a_server_that_takes_no_connection_is_given_up_early_and_got_nothing(task: LLMTask) -> None:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # nobody accepts them
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        wire = Wire(connect_seconds=0.2)
        error = await failure(wire, f"http://127.0.0.1:{full.getsockname()[1]}/v1", task)
        await wire.aclose()
    assert error.error_type is ErrorType.CONNECTION


@pytest.mark.parametrize("url", ["http://no-such-host.invalid/v1", "not-a-url", "ftp://127.0.0.1/v1"])
async def test_an_address_that_leads_nowhere_sent_nothing(wire: Wire, url: str) -> None:
    assert (await failure(wire, url)).error_type is ErrorType.CONNECTION


async def test_a_server_that_speaks_no_tls_got_nothing(wire: Wire, server: LLMServer) -> None:
    error = await failure(wire, server.v1.replace("http:", "https:"))
    assert error.error_type is ErrorType.CONNECTION


async def test_a_reset_of_a_connection_that_was_in_use_may_be_billed(wire: Wire, server: LLMServer) -> None:
    server.script([Behaviour(), Behaviour(Kind.RESET_AFTER)])
    await wire.call(Provider("p", server.v1, KEY), MODEL, CHAT)
    assert (await failure(wire, server.v1)).error_type is ErrorType.CONNECTION_LOST


async def test_a_filtered_answer_keeps_its_usage(wire: Wire, server: LLMServer) -> None:
    server.script([Behaviour(Kind.FILTERED)])
    error = await failure(wire, server.v1)
    assert error.answer is not None
    assert error.error_type is ErrorType.CONTENT_REFUSED
    assert error.answer.usage is not None
    assert error.answer.usage["prompt_tokens"] == len(SECRET.split())


async def test_retry_after_as_a_date_is_measured_against_the_answers_own_date(wire: Wire, server: LLMServer) -> None:
    server.script([Behaviour(Kind.RATE_LIMIT, retry_after=DATE)])
    wait = (await failure(wire, server.v1)).retry_after_seconds
    assert wait is not None
    assert wait > 3600 * 24 * 365


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": DATE}, None),  # no date to measure against
        ({"retry-after": DATE, "date": "Wed, 21 Oct 2099 07:27:30 GMT"}, 30.0),
        ({"retry-after": DATE, "date": "Wed, 21 Oct 2099 07:29:00 GMT"}, 0.0),
        ({"retry-after": DATE, "date": "yesterday"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_a_mistake_in_a_program_is_no_failure_of_a_provider() -> None:
    mistake = TypeError("unexpected keyword")
    assert broken(mistake) is mistake


async def test_no_message_log_or_output_holds_key_prompt_or_what_the_server_wrote(
    wire: Wire, server: LLMServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    server.script([Rule(behaviour, times=1) for behaviour, _, _ in EVERY_FAILURE])
    said = [str(await failure(wire, server.v1)) for _ in EVERY_FAILURE]
    printed = capfd.readouterr()
    everything = "\n".join([*said, caplog.text, printed.out, printed.err])
    assert [part for part in ("Quendolin", "91,250", KEY, "your prompt began", "proxy") if part in everything] == []
    assert said[0] == "HTTP 429 (rate_limit_exceeded)."
    assert max(len(message) for message in said) < 80


def test_a_hostile_code_is_cut_and_cleaned() -> None:
    response = httpx.Response(418, json={"error": {"code": f"oops\n{SECRET} " + "x" * 500}})
    message = str(refused(response))
    assert message == "HTTP 418 (oopsmsquendolinsecretaryearns91250xxxxxx)."


def test_the_servers_own_count_of_a_refusal_is_nothing(server: LLMServer) -> None:
    import urllib.error
    import urllib.request

    server.reset()
    server.script([Behaviour(Kind.RATE_LIMIT)])
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{server.v1}/chat/completions", data=b'{"model": "m", "messages": []}')
    (record,) = server.records()
    assert (record.answered, record.reported, record.billed) == (False, None, None)
    assert Tokens(**server.counts()["billed"]) == Tokens()
