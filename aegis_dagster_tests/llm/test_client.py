"""One call goes out exactly as asked and comes back exactly as answered, over the real litellm and real HTTP."""

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aegis_dagster.domain.llm import LLMTask, Message, Picture, TaskType
from aegis_dagster.llm.client import Wire
from aegis_dagster.llm.providers import Model, Provider
from aegis_dagster_tests.support.asking import PATIENCE
from aegis_dagster_tests.support.llm_server import (
    Behaviour,
    Kind,
    LLMServer,
    Rule,
    UsageShape,
    scripted_server,
    vector,
)
from aegis_dagster_tests.support.places import REPOSITORY

MODEL = Model("scripted", frozenset())
SYSTEM = Message("system", "Answer briefly.")
CHAT = LLMTask(TaskType.SUMMARY, messages=(SYSTEM, Message("user", "one two three")), max_tokens=20)
EMBEDDING = LLMTask(TaskType.EMBEDDING, texts=("b b", "a", "c c c"))


@pytest.fixture(scope="module")
def running() -> Iterator[LLMServer]:
    with scripted_server() as running:
        yield running


@pytest.fixture
def server(running: LLMServer) -> LLMServer:
    running.reset()
    return running


def provider(server: LLMServer, **more: Any) -> Provider:
    return Provider("p", server.v1, "sk-the-key", timeout_seconds=PATIENCE, **more)


async def sent(wire: Wire, server: LLMServer, task: LLMTask, model: Model = MODEL, **more: Any) -> dict[str, Any]:
    await wire.call(provider(server, **more), model, task)
    (record,) = server.records()
    return record.body


async def test_a_chat_is_sent_as_asked(wire: Wire, server: LLMServer) -> None:
    assert await sent(wire, server, CHAT) == {
        "model": "scripted",
        "messages": [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": "one two three"}],
        "temperature": 0,
        "max_tokens": 20,
    }
    (record,) = server.records()
    assert record.path == "/v1/chat/completions"
    assert record.headers["Authorization"] == "Bearer sk-the-key"


async def test_json_mode_and_the_field_for_max_tokens(wire: Wire, server: LLMServer) -> None:
    task = LLMTask(TaskType.SUMMARY, messages=CHAT.messages, max_tokens=20, json_mode=True)
    body = await sent(wire, server, task, max_tokens_field="max_completion_tokens")
    assert body["response_format"] == {"type": "json_object"}
    assert (body["max_completion_tokens"], "max_tokens" in body) == (20, False)


@pytest.mark.parametrize(
    ("parameters", "added", "missing"),
    [
        ({"enable_thinking": False}, {"enable_thinking": False, "temperature": 0}, set()),
        ({"temperature": 0.7, "top_p": 0.8}, {"temperature": 0.7, "top_p": 0.8}, set()),
        ({"temperature": None}, {}, {"temperature"}),
        ({"seed": 7, "chat_template_kwargs": {"a": 1}}, {"seed": 7, "chat_template_kwargs": {"a": 1}}, set()),
        ({"max_tokens": 9999}, {"max_tokens": 20}, set()),  # the reservation counts on the task's
        ({"max_completion_tokens": 9999, "n": 5, "stream": True}, {}, {"max_completion_tokens", "n", "stream"}),
        ({"model": "other", "messages": []}, {"model": "scripted"}, set()),
    ],
)
async def test_a_models_parameters_are_sent_along(
    wire: Wire, server: LLMServer, parameters: dict[str, Any], added: dict[str, Any], missing: set[str]
) -> None:
    body = await sent(wire, server, CHAT, Model("scripted", frozenset(), parameters=parameters))
    assert {name: body[name] for name in added} == added
    assert not missing & body.keys()
    assert len(body["messages"]) == 2


@pytest.mark.parametrize(
    "name",
    [
        "gpt-4",
        "gpt-5-mini",
        "gpt-5-codex",
        "o1-pro",
        "o3-mini",
        "gpt-3.5-turbo-instruct",
        "ft:gpt-4o-mini:acme",
        "qwen3:8b",
        "qwen/qwen3-30b",
        "azure/gpt-4o",
    ],
)
async def test_no_name_of_a_model_changes_what_is_sent(wire: Wire, server: LLMServer, name: str) -> None:
    task = LLMTask(TaskType.SUMMARY, messages=CHAT.messages, max_tokens=20, json_mode=True)
    body = await sent(wire, server, task, Model(name, frozenset()))
    assert body == {
        "model": name,
        "messages": [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": "one two three"}],
        "temperature": 0,
        "max_tokens": 20,
        "response_format": {"type": "json_object"},
    }


async def test_a_picture_goes_with_the_last_message(wire: Wire, server: LLMServer) -> None:
    picture = Picture(bytes(range(256)), "image/png", width=16, height=16)
    task = LLMTask(TaskType.IMAGE_DESCRIPTION, messages=CHAT.messages, picture=picture, max_tokens=20)
    system, user = (await sent(wire, server, task))["messages"]
    assert system["content"] == "Answer briefly."
    url = "data:image/png;base64," + base64.b64encode(picture.data).decode()
    assert user["content"] == [
        {"type": "text", "text": "one two three"},
        {"type": "image_url", "image_url": {"url": url}},
    ]


async def test_texts_come_back_as_vectors_in_their_order(wire: Wire, server: LLMServer) -> None:
    answer = await wire.call(provider(server), Model("scripted", frozenset(), dimensions=8), EMBEDDING)
    assert answer.vectors == tuple(vector(text, 8) for text in EMBEDDING.texts)
    assert answer.usage == {"prompt_tokens": 6, "total_tokens": 6}
    (record,) = server.records()
    assert record.path == "/v1/embeddings"
    assert record.body == {"model": "scripted", "input": ["b b", "a", "c c c"], "encoding_format": "float"}


async def test_a_model_may_be_asked_for_vectors_as_base64(wire: Wire, server: LLMServer) -> None:
    model = Model("scripted", frozenset(), dimensions=8, parameters={"encoding_format": "base64"})
    answer = await wire.call(provider(server), model, EMBEDDING)
    expected = [vector(text, 8) for text in EMBEDDING.texts]
    assert [pytest.approx(each, abs=1e-7) for each in expected] == list(answer.vectors)
    assert server.records()[0].body["encoding_format"] == "base64"


async def test_dimensions_are_sent_to_models_that_take_them(wire: Wire, server: LLMServer) -> None:
    model = Model("scripted", frozenset(), dimensions=32, parameters={"send_dimensions": True})
    answer = await wire.call(provider(server), model, EMBEDDING)
    assert {len(each) for each in answer.vectors} == {32}
    (record,) = server.records()
    assert (record.body["dimensions"], "send_dimensions" in record.body) == (32, False)


async def test_a_provider_without_a_key_is_asked_all_the_same(wire: Wire, server: LLMServer) -> None:
    answer = await wire.call(Provider("ollama", server.v1, "", timeout_seconds=PATIENCE), MODEL, CHAT)
    assert answer.content == "one two three"


async def test_the_shells_openai_organisation_is_told_to_nobody(
    wire: Wire, server: LLMServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_ORG_ID", "OPENAI_ORGANIZATION", "OPENAI_PROJECT_ID", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "of-the-shell")
    await wire.call(provider(server), MODEL, CHAT)
    await wire.call(provider(server), MODEL, EMBEDDING)
    assert len(server.records()) == 2
    assert "of-the-shell" not in str([record.headers for record in server.records()])


@pytest.mark.parametrize(
    ("behaviour", "words", "finish_reason"),
    [
        (Behaviour(words=20), 20, "stop"),
        (Behaviour(words=21), 20, "length"),
        (Behaviour(words=70, ignore_max_tokens=True), 70, "stop"),
        (Behaviour(words=0), 0, "stop"),
    ],
)
async def test_the_answer_and_why_it_ended(
    wire: Wire, server: LLMServer, behaviour: Behaviour, words: int, finish_reason: str
) -> None:
    server.script([behaviour])
    answer = await wire.call(provider(server), MODEL, CHAT)
    assert answer.content == " ".join(f"word{number}" for number in range(words))
    assert answer.finish_reason == finish_reason


async def test_each_of_many_calls_at_once_gets_its_own_usage(wire: Wire, server: LLMServer) -> None:
    shapes = list(UsageShape)
    server.script([Rule(Behaviour(usage=s, latency_seconds=0.05), contains=f"<{s}>") for s in shapes])
    expected: dict[UsageShape, dict[str, int] | None] = {
        UsageShape.ABSENT: None,
        UsageShape.NULL: None,
        UsageShape.EMPTY: None,
        UsageShape.TOTAL_ONLY: {"total_tokens": 4},
        UsageShape.INPUT_ONLY: {"prompt_tokens": 2},
        UsageShape.OUTPUT_ONLY: {"completion_tokens": 2},
        UsageShape.ZEROS: {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }

    async def ask(number: int) -> None:
        shape = shapes[number % len(shapes)]
        text = f"<{shape}> {number}"
        task = LLMTask(TaskType.SUMMARY, messages=(Message("user", text),), max_tokens=20)
        answer = await wire.call(provider(server), MODEL, task)
        assert answer.content == text
        if shape is UsageShape.FULL:
            assert answer.usage is not None
            assert (answer.usage["prompt_tokens"], answer.usage["completion_tokens"]) == (2, 2)
        else:
            assert answer.usage == expected[shape]

    await asyncio.gather(*(ask(number) for number in range(80)))
    assert server.counts()["answered"] == 80


async def test_calls_that_hang_hold_up_no_other_and_leave_the_wire_usable_when_cancelled(
    wire: Wire, server: LLMServer
) -> None:
    server.script([Rule(Behaviour(Kind.HANG), times=4), Rule()])
    waiting = [asyncio.create_task(wire.call(provider(server), MODEL, task)) for task in (CHAT, EMBEDDING) * 2]
    while len(await asyncio.to_thread(server.records)) < 4:
        continue
    assert (await wire.call(provider(server), MODEL, CHAT)).content == "one two three"
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in ended] == [asyncio.CancelledError] * 4
    assert (await wire.call(provider(server), MODEL, CHAT)).content == "one two three"


def sockets() -> int:
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(str(link.readlink()).startswith("socket:") for link in links)


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_a_wire_works_in_one_event_loop_after_the_other_and_leaves_nothing_open(server: LLMServer) -> None:
    wire = Wire()

    async def run() -> None:
        await asyncio.gather(*(wire.call(provider(server), MODEL, CHAT) for _ in range(5)))
        await wire.call(provider(server), MODEL, EMBEDDING)
        await wire.aclose()
        await wire.aclose()

    asyncio.run(run())
    before = sockets()
    for _ in range(3):
        asyncio.run(run())
    assert sockets() == before
    assert server.counts()["answered"] == 24


def test_a_wire_that_nobody_closed_works_in_the_next_event_loop(server: LLMServer) -> None:
    wire = Wire()
    for _ in range(2):
        assert asyncio.run(wire.call(provider(server), MODEL, CHAT)).content == "one two three"
    asyncio.run(wire.aclose())


FRESH = """
import sys
connected = []
sys.addaudithook(lambda event, args: connected.append(args) if event in ("socket.connect", "socket.getaddrinfo") else 0)
import asyncio, logging, os
logging.basicConfig(level=logging.DEBUG)
from aegis_dagster.domain.llm import LLMTask, Message, TaskType
from aegis_dagster.llm.providers import Model, Provider
from aegis_dagster.llm.client import Wire
from aegis_dagster.llm.litellm_chat import load_litellm
from aegis_dagster.llm.prices import PriceList
assert PriceList().price("openai", "gpt-4o") is not None
task = LLMTask(TaskType.SUMMARY, messages=(Message("user", "Quendolin earns much"),), max_tokens=20)
texts = LLMTask(TaskType.EMBEDDING, texts=("Quendolin earns much",))
async def call(each):
    wire = Wire()
    for _ in range(2):
        try:
            await wire.call(Provider("p", sys.argv[1], "sk-the-key"), Model("scripted", frozenset()), each)
        except Exception as error:
            print(type(error).__name__)
    await wire.aclose()
asyncio.run(call(texts))
assert not {"litellm", "openai"} & set(sys.modules)
connected.clear()
load_litellm()
assert connected == [], connected
assert "FROM_DOTENV" not in os.environ
asyncio.run(call(task))
hosts = {args[1][0] if isinstance(args[0], object) and isinstance(args[1], tuple) else args[0] for args in connected}
assert hosts == {"127.0.0.1"}, connected
print("done")
"""


def test_a_fresh_process_asks_only_the_provider_and_writes_nothing_of_what_is_said(
    server: LLMServer, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("FROM_DOTENV=1\n")
    refused = Behaviour(Kind.SERVER_ERROR)
    odd = Behaviour(usage_fields={"prompt_tokens": "Quendolin"})  # litellm's models would quote it in a warning
    server.script([odd, refused, odd, refused])
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "LITELLM_LOG": "DEBUG"}
    done = subprocess.run(
        [sys.executable, "-c", FRESH, server.v1],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("CallFailed\nCallFailed\ndone\n", 0), done.stderr
    assert [part for part in ("Quendolin", "sk-the-key") if part in done.stderr] == []
    assert [record.kind for record in server.records()] == ["answer", "server_error"] * 2


async def _answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    body = json.dumps({"data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 1}}).encode()
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            lengths = [line.split(b":")[1] for line in head.lower().splitlines() if line.startswith(b"content-length")]
            await reader.readexactly(int(lengths[0]))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    writer.close()


@pytest.mark.parametrize("warm", [False, True], ids=["first call", "later call"])
async def test_a_call_cancelled_at_any_step_leaves_no_connection_that_never_answers(warm: bool) -> None:
    """In one event loop with the server, so that every step is met."""
    task, cancelled = LLMTask(TaskType.EMBEDDING, texts=("a",)), 0
    async with await asyncio.start_server(_answer_all, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        own = Provider("p", address, "", timeout_seconds=PATIENCE)
        for steps in range(1, 200):
            wire = Wire()
            if warm:
                await wire.call(own, MODEL, task)
            call = asyncio.create_task(wire.call(own, MODEL, task))
            for _ in range(steps):
                await asyncio.sleep(0)
            cancelled += call.cancel()
            await asyncio.wait({call})
            assert (await wire.call(own, MODEL, task)).vectors == ((1.0,),)
            await wire.aclose()
            if not call.cancelled():
                break
    assert cancelled > 5
