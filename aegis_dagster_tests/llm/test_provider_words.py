"""What a provider says about a failure reaches a person: short, and without the key, ids and content that it quotes."""

import json
from pathlib import Path

import pytest

from aegis_dagster.domain.llm import LLMTask, Message, TaskType
from aegis_dagster.errors import AegisError
from aegis_dagster.llm.provider_words import HIDDEN, MOST_CHARACTERS, fit_to_tell, page_words
from aegis_dagster_tests.support.asking import KEY, TEXT, ask_for, desk, provider
from aegis_dagster_tests.support.llm_server import Behaviour, Kind, LLMServer, Rule

DOCUMENT = "Ms Quendolin Secretary earns 91,250 a year; her password is tulip-garden-blue. 机密文件属于财务部门。"
TASK = LLMTask(TaskType.SUMMARY, (Message("system", "Answer briefly."), Message("user", DOCUMENT)), max_tokens=5)


def told(said: str) -> str:
    return fit_to_tell(said, TASK, key="the-key-of-the-house", model="qwen3-30b-a3b-instruct-2507")


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
        "You exceeded your current quota, please check your plan and billing details.",
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "The model `qwen3-30b-a3b-instruct-2507` does not exist or you do not have access to it.",
        "Country, region, or territory not supported (unsupported_country_region_territory)",
        "Read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
    ],
)
def test_a_providers_own_words_stay(said: str) -> None:
    assert told(said) == said


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Incorrect API key provided: sk-wrong*****key.", f"Incorrect API key provided: {HIDDEN}"),
        ("Key the-key-of-the-house is blocked.", f"Key {HIDDEN} is blocked."),
        ("Authorization: Bearer abc.def", f"Authorization: {HIDDEN}"),
        ("Request req_011CSHoEeqs5C35K2UUqR7Fy failed.", f"Request {HIDDEN} failed."),
        ("id 6f1c2b9e-0a55-4c7e-9d3e-1f2a3b4c5d6e", f"id {HIDDEN}"),
        ("See https://me:secret@proxy.example.com/x?token=abc", f"See https://{HIDDEN}proxy.example.com/x?{HIDDEN}"),
        (
            "Image data:image/png;base64,iVBORw0KGgoAAAANSUhEUg== broke",
            f"Image data:image/png;base64,{HIDDEN} broke",
        ),
    ],
)
def test_keys_ids_and_pictures_are_hidden(said: str, expected: str) -> None:
    assert told(said) == expected


@pytest.mark.parametrize(
    "said",
    [
        f"Invalid content: {DOCUMENT}",
        "Invalid content: 'Ms Quendolin Secretary earns 91,250'",
        json.dumps({"input": DOCUMENT}),
        json.dumps(json.dumps({"input": "\n" + DOCUMENT})),
        "Invalid: \\nQuendolin",
        "Content that begins with Quendol...",
        "Content about Quendolin is not allowed.",
        "QUENDOLIN SECRETARY was refused",
        "The word 'password' is not allowed.",
        "earns 91,250 a year",
        "her password is tulip-garden-blue",
        "内容违规：机密文件属于财务部门",
    ],
)
def test_what_the_request_said_is_hidden(said: str) -> None:
    shown = told(said)
    assert HIDDEN in shown
    for part in ("quendol", "secretary", "91", "tulip", "'password'", "password is", "机密", "earns"):
        assert part not in shown.casefold()


def test_words_are_short_on_one_line_and_can_be_stored() -> None:
    assert told("a\n\n b\t c") == "a b c"
    assert len(told("word " * 5000)) == MOST_CHARACTERS
    assert told("half \ud83d, none \x00") == "half \ufffd, none \ufffd"
    assert told("\x1b[31mred") == "\ufffd[31mred"
    assert told("a \\ud83d\\ude00") == "a \U0001f600"  # the halves of an escaped emoji


def test_a_page_is_told_by_its_title() -> None:
    assert page_words("<html><title>502 Bad Gateway</title><body>nginx</body></html>") == "502 Bad Gateway"
    assert page_words("<h1>Sorry</h1><script>alert(1)</script>").split() == ["Sorry"]
    assert page_words("upstream connect error") == "upstream connect error"


async def test_the_reason_stands_in_the_error_and_in_the_ledger_without_key_and_content(
    tmp_path: Path, cloud: LLMServer
) -> None:
    said = {"error": {"message": f"Key {KEY} may not read “{TEXT}” today.", "code": "invalid_api_key"}}
    cloud.script([Rule(Behaviour(raw=json.dumps(said), status=401))])
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    with pytest.raises(AegisError) as raised:
        await at.gateway.ask(ask_for())
    words = f"Key {HIDDEN} may not read “{HIDDEN}” today."
    assert raised.value.message == f"No model could answer: cloud/cloud-model (auth). cloud said: “{words}”"
    assert [row["reason"] for row in at.rows()] == [f"HTTP 401 (invalid_api_key). {words}"]
    await at.aclose()


async def test_documents_that_wait_for_the_same_reason_are_told_alike(tmp_path: Path, cloud: LLMServer) -> None:
    limits = ["Limit 30000, used 29,123, try again in 1.2 s.", "Limit 30000, used 12, try again in 20 s."]
    cloud.script(
        [Behaviour(raw=json.dumps({"error": {"message": limit, "code": 404}}), status=404) for limit in limits]
    )
    at = desk(tmp_path, [provider("cloud", cloud.v1, attempts=1)])
    messages = []
    for _ in limits:
        with pytest.raises(AegisError) as raised:
            await at.gateway.ask(ask_for())
        messages.append(raised.value.message)
    assert len(set(messages)) == 1
    assert [row["reason"] for row in at.rows()] == [f"HTTP 404. {limit}" for limit in limits]
    await at.aclose()


async def test_a_failure_without_words_tells_ours(tmp_path: Path, cloud: LLMServer) -> None:
    cloud.script([Behaviour(Kind.EMPTY_CHOICES), Behaviour(Kind.HTML_BAD_GATEWAY)])
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    with pytest.raises(AegisError):
        await at.gateway.ask(ask_for())
    assert [row["reason"] for row in at.rows()] == ["The answer has no choices.", "HTTP 502. Sign in"]
    await at.aclose()


async def test_a_provider_that_rests_is_told_with_its_last_words_until_it_answers(
    tmp_path: Path, cloud: LLMServer
) -> None:
    refused = Behaviour(raw='{"error": {"message": "no such account"}}', status=401)
    cloud.script([refused, Behaviour(), refused])
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    for state in ("auth", "resting"):
        with pytest.raises(AegisError) as raised:
            await at.gateway.ask(ask_for())
        assert (
            raised.value.message == f"No model could answer: cloud/cloud-model ({state}). cloud said: “no such account”"
        )
    at.clock.move(60)
    await at.gateway.ask(ask_for())
    await at.aclose()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"error": "model overloaded"}, "HTTP 422. model overloaded"),
        ({"message": "no such region"}, "HTTP 422. no such region"),
        ({"detail": "not here"}, "HTTP 422. not here"),
        ({"detail": [{"msg": "too long", "input": TEXT}, {"msg": "no number"}]}, "HTTP 422. too long; no number"),
        ({"errors": [{"code": 10000, "message": "who are you?"}]}, "HTTP 422. who are you?"),
        ({"error": {"code": "x"}}, "HTTP 422 (x)."),
        ({"error": {"message": ["odd"]}}, "HTTP 422."),
        ([], "HTTP 422."),
    ],
)
async def test_words_are_found_where_servers_put_them(
    tmp_path: Path, cloud: LLMServer, body: object, reason: str
) -> None:
    cloud.script([Behaviour(raw=json.dumps(body), status=422)])
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    with pytest.raises(AegisError):
        await at.gateway.ask(ask_for())
    assert [row["reason"] for row in at.rows()] == [reason]
    await at.aclose()
