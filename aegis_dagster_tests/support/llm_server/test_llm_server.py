"""The scripted server does what its script says and counts what it did."""

import base64
import json
import math
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from aegis_dagster_tests.support.llm_server import (
    PICTURE_TOKENS,
    Behaviour,
    Dialect,
    Kind,
    LLMServer,
    Rule,
    Tokens,
    Unscripted,
    UsageShape,
    count_words,
    scripted_server,
    vector,
)

PASSAGE = "Ada Lovelace wrote to Charles Babbage about the Engine."


@pytest.fixture(scope="module")
def running() -> Iterator[LLMServer]:
    with scripted_server(models=("small", "large")) as running:
        yield running


@pytest.fixture
def server(running: LLMServer) -> LLMServer:
    running.reset()
    return running


def post(server: LLMServer, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    request = urllib.request.Request(server.url + path, data=json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def chat(server: LLMServer, text: str = "one two three", **more: Any) -> tuple[int, Any]:
    body = {"model": "small", "messages": [{"role": "user", "content": text}], **more}
    return post(server, "/v1/chat/completions", body)


def test_without_rules_it_echoes_and_counts_words(server: LLMServer) -> None:
    status, body = chat(server, max_tokens=2)
    assert (status, body["choices"][0]["message"]["content"]) == (200, "one two")
    assert body["choices"][0]["finish_reason"] == "length"
    assert {name: body["usage"][f"{name}_tokens"] for name in ("prompt", "completion", "total")} == {
        "prompt": 3,
        "completion": 2,
        "total": 5,
    }


def test_a_picture_is_described_and_counts(server: LLMServer) -> None:
    url = "data:image/png;base64," + base64.b64encode(b"picture").decode()
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    _, body = post(server, "/v1/chat/completions", {"model": "small", "messages": [{"role": "user", "content": parts}]})
    assert body["choices"][0]["message"]["content"] == "A picture that small describes in these nine words."
    assert body["usage"]["prompt_tokens"] == 3 + PICTURE_TOKENS


def test_json_mode_answers_with_the_capitalised_words_of_the_passage(server: LLMServer) -> None:
    prompt = f"Extract Entities.\n---Input Text---\n```\n{PASSAGE}\n```\n\n---Output---"
    _, body = chat(server, prompt, response_format={"type": "json_object"})
    found = json.loads(body["choices"][0]["message"]["content"])
    assert [each["name"] for each in found["entities"]] == ["Ada Lovelace", "Charles Babbage", "Engine"]
    assert [(each["source"], each["target"]) for each in found["relationships"]] == [
        ("Ada Lovelace", "Charles Babbage"),
        ("Charles Babbage", "Engine"),
    ]


def test_embeddings_are_unit_vectors_by_text_in_both_encodings(server: LLMServer) -> None:
    asked = {"model": "small", "input": ["b b", "a"], "dimensions": 16}
    _, floats = post(server, "/v1/embeddings", asked)
    _, packed = post(server, "/v1/embeddings", {**asked, "encoding_format": "base64"})
    first = floats["data"][0]["embedding"]
    assert tuple(first) == vector("b b", 16)
    assert math.isclose(math.hypot(*first), 1, rel_tol=1e-6)
    assert list(struct.unpack("<16f", base64.b64decode(packed["data"][0]["embedding"]))) == first
    assert floats["data"][1]["embedding"] != first
    assert floats["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


def test_ollama_speaks_its_own_language(server: LLMServer) -> None:
    messages = [{"role": "user", "content": "one two three"}]
    asked = {"model": "small", "messages": messages, "stream": False, "options": {"num_predict": 2}}
    _, told = post(server, "/api/chat", asked)
    assert (told["message"]["content"], told["done_reason"]) == ("one two", "length")
    assert (told["prompt_eval_count"], told["eval_count"]) == (3, 2)
    _, embedded = post(server, "/api/embed", {"model": "small", "input": "a"})
    assert (embedded["embeddings"], embedded["prompt_eval_count"]) == ([list(vector("a", 8))], 1)
    server.script([Behaviour(Kind.MODEL_NOT_FOUND, Dialect.OLLAMA), Behaviour(usage=UsageShape.ABSENT)])
    missing = {"error": 'model "small" not found, try pulling it first'}
    assert post(server, "/api/chat", asked) == (404, missing)
    assert "prompt_eval_count" not in post(server, "/api/chat", asked)[1]


@pytest.mark.parametrize(
    ("path", "names"),
    [("/v1/models", ["small", "large"]), ("/api/tags", ["small", "large"]), ("/api/version", ["0.13.0"])],
)
def test_it_tells_which_models_it_has(server: LLMServer, path: str, names: list[str]) -> None:
    with urllib.request.urlopen(server.url + path) as response:
        body = json.load(response)
    told = body.get("data") or body.get("models") or [{"id": body.get("version")}]
    assert [each.get("id") or each["name"] for each in told] == names


def test_the_first_rule_that_matches_and_is_not_used_up_is_taken(server: LLMServer) -> None:
    server.script(
        [
            Rule(Behaviour(text="twice"), contains="two", times=2),
            Rule(Behaviour(text="large"), model="large"),
            Rule(Behaviour(text="number"), matches=r"\d+"),
            Rule(Behaviour(text="elsewhere"), path="/api/chat"),
            Rule(Behaviour(text="rest")),
        ]
    )
    texts = ["two", "two", "two", "7", "x"]
    said = [chat(server, text)[1]["choices"][0]["message"]["content"] for text in texts]
    said += [chat(server, "two", model="large")[1]["choices"][0]["message"]["content"]]
    assert said == ["twice", "twice", "rest", "number", "rest", "large"]


def test_a_mixture_is_the_same_for_the_same_seed_and_keeps_its_weights(server: LLMServer) -> None:
    mixture = ((Behaviour(text="often"), 8.0), (Behaviour(Kind.RATE_LIMIT), 1.0), (Behaviour(Kind.UNAVAILABLE), 1.0))

    def drawn(seed: int) -> list[int]:
        server.script([Rule(mixture=mixture, seed=seed)])
        return [chat(server)[0] for _ in range(100)]

    first = drawn(1)
    assert first == drawn(1)
    assert first != drawn(2)
    counted = Counter(first)
    assert set(counted) == {200, 429, 503}
    assert counted[200] > 60


def test_what_is_billed_is_counted_apart_from_what_is_told(server: LLMServer) -> None:
    server.script(
        [
            Behaviour(cached_tokens=2, reasoning_tokens=4),
            Behaviour(usage=UsageShape.ABSENT),
            Behaviour(Kind.RATE_LIMIT),
            Behaviour(Kind.EMPTY_CHOICES),
            Behaviour(bills=False),
        ]
    )
    for _ in range(5):
        chat(server)
    counts = server.counts()
    assert (counts["calls"], counts["answered"]) == (5, 3)
    assert Tokens(**counts["reported"]) == Tokens(6, 2, 10, 4)  # the first and the last
    assert Tokens(**counts["answered_tokens"]) == Tokens(6, 2, 10, 4)  # the first two
    assert Tokens(**counts["billed"]) == Tokens(9, 2, 10, 4)  # and the third that ran
    assert {kind: of["calls"] for kind, of in counts["kinds"].items()} == {
        "answer": 3,
        "rate_limit": 1,
        "empty_choices": 1,
    }
    assert counts["models"]["small"]["calls"] == 5


def test_records_tell_what_was_asked_in_order(server: LLMServer) -> None:
    chat(server, "first")
    chat(server, "second", model="large")
    first, second = server.records()
    assert (first.number, second.number) == (1, 2)
    assert (first.model, second.model) == ("small", "large")
    assert second.body["messages"][0]["content"] == "second"
    assert first.path == "/v1/chat/completions"
    assert (first.answered, first.status, first.reported) == (True, 200, Tokens(input=1, output=1))


def test_a_caller_that_went_away_got_no_answer(server: LLMServer) -> None:
    server.script([Behaviour(latency_seconds=0.3)])
    request = urllib.request.Request(f"{server.v1}/chat/completions", data=b'{"model": "m", "messages": []}')
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(request, timeout=0.1)
    time.sleep(0.5)
    (record,) = server.records()
    assert (record.answered, record.status, record.billed) == (False, 0, Tokens(input=1))


def test_a_script_that_runs_out_fails_the_test_loudly() -> None:
    message = "1 calls found no rule, the first: /v1/chat/completions, model small"
    with pytest.raises(Unscripted, match=message), scripted_server([Behaviour()]) as server:
        assert chat(server)[0] == 200
        status, body = chat(server)
        assert status == 599
        assert body["error"]["message"].startswith("The script has no rule for call 2")


def test_a_failure_of_the_test_itself_is_not_hidden_by_the_script() -> None:
    with pytest.raises(ZeroDivisionError), scripted_server([]) as server:
        chat(server)
        raise ZeroDivisionError


def test_it_ends_when_whoever_started_it_is_killed() -> None:
    script = "from aegis_dagster_tests.support.llm_server import scripted_server\nimport os, signal\n"
    script += "with scripted_server() as s:\n print(s.url, flush=True)\n os.kill(os.getpid(), signal.SIGKILL)"
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    url = killed.stdout.strip()
    assert url.startswith("http://127.0.0.1:")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/api/version", timeout=5).close()
        except OSError:
            return
        time.sleep(0.05)
    pytest.fail("The server still answers.")


def test_words_are_counted_as_python_splits_them() -> None:
    assert [count_words(text) for text in ("", "  ", "a", "a b\nc")] == [0, 0, 1, 3]
