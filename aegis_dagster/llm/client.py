"""One call to one model of one provider: a chat over litellm, an embedding over HTTP of our own."""

import asyncio
import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from aegis_dagster.domain.llm import LLMTask
from aegis_dagster.llm.error_mapping import broken, refused
from aegis_dagster.llm.litellm_chat import chat, chat_client, hooks, litellm_is_loaded, load_litellm
from aegis_dagster.llm.providers import Model, Provider
from aegis_dagster.llm.retry_policy import CallFailed, ErrorType

if TYPE_CHECKING:
    import httpx
    import openai

CONNECT_SECONDS = 10.0  # to reach a provider at all
KEEP_ALIVE_SECONDS = 15.0  # less than servers wait, so that a call seldom meets a connection that is being closed


@dataclass(frozen=True, slots=True)
class Answer:
    """One successful HTTP answer."""

    content: str = field(repr=False)
    finish_reason: str  # "stop", "length", "content_filter", ...
    usage: Mapping[str, Any] | None  # as the provider sent it; None: the body had none
    vectors: tuple[tuple[float, ...], ...] = field(default=(), repr=False)


SEND_DIMENSIONS = "send_dimensions"  # ours, in a model's parameters: {"send_dimensions": True}
# Not for a model's parameters to say: they would change what is asked, or how much it can cost.
NOT_OF_A_MODEL = {SEND_DIMENSIONS, "model", "messages", "input", "stream", "n", "max_tokens", "max_completion_tokens"}


class RefusedAnswer(CallFailed):
    """A 200 without content, because the provider filtered it. It may be billed: its usage is in `answer`."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(ErrorType.CONTENT_REFUSED, "The provider filtered the answer (finish_reason content_filter).")
        self.answer = answer


class Wire:
    """Makes calls, in one event loop at a time. Keeps connections open; close it at the end of each event loop."""

    def __init__(self, *, connect_seconds: float = CONNECT_SECONDS) -> None:
        self._connect_seconds = connect_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connections: dict[str, httpx.AsyncClient] = {}  # by base_url
        self._clients: dict[tuple[str, str], openai.AsyncOpenAI] = {}  # over these connections, by base_url and key

    async def call(self, provider: Provider, model: Model, task: LLMTask) -> Answer:
        """Ask once; no retries. Raises CallFailed, at the latest after the provider's time-out."""
        if task.messages and not litellm_is_loaded():
            await asyncio.to_thread(load_litellm)  # takes seconds, in which other tasks go on
        connections = self._connections_to(provider.base_url)
        try:
            async with asyncio.timeout(provider.timeout_seconds):
                ask = self._chat if task.messages else self._embedding
                response = await ask(connections, provider, model, task)
        except TimeoutError:
            seconds = provider.timeout_seconds
            raise CallFailed(ErrorType.TIMEOUT, f"No full answer within {seconds:g} s.") from None
        except Exception as error:
            raise broken(error) from None
        if not response.is_success:
            raise refused(response)
        parsed = _parsed(response.content)
        return _chat_answer(parsed) if task.messages else _embedding_answer(parsed, len(task.texts))

    async def aclose(self) -> None:
        """Close all connections. The wire can be used again, in this event loop or in another."""
        if self._loop is asyncio.get_running_loop():
            for connections in self._connections.values():
                await connections.aclose()
        self._connections.clear()
        self._clients.clear()

    async def _chat(
        self, connections: "httpx.AsyncClient", provider: Provider, model: Model, task: LLMTask
    ) -> "httpx.Response":
        key = (provider.base_url, provider.api_key)
        if key not in self._clients:
            self._clients[key] = chat_client(provider, connections)
        return await chat(self._clients[key], provider, model.name, chat_body(provider, model, task))

    async def _embedding(
        self, connections: "httpx.AsyncClient", provider: Provider, model: Model, task: LLMTask
    ) -> "httpx.Response":
        # litellm imports for seconds, makes an object of every number and has it thrown away.
        url = f"{provider.base_url.rstrip('/')}/embeddings"
        key = {"Authorization": f"Bearer {provider.api_key}"} if provider.api_key else {}
        return await connections.post(url, headers=key, json=embedding_body(model, task))

    def _connections_to(self, base_url: str) -> "httpx.AsyncClient":
        import httpx

        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # connections of another loop are of no use, and can be closed only there
            self._loop = loop
            self._connections, self._clients = {}, {}
        if base_url not in self._connections:
            limits = httpx.Timeout(None, connect=self._connect_seconds)  # of the whole call: see `call`
            self._connections[base_url] = httpx.AsyncClient(
                timeout=limits,
                # How many calls run at once is the gateway's business, not the pool's.
                limits=httpx.Limits(keepalive_expiry=KEEP_ALIVE_SECONDS),
                event_hooks=hooks(limits),
            )
        return self._connections[base_url]


def chat_body(provider: Provider, model: Model, task: LLMTask) -> dict[str, Any]:
    """The request of a chat, without the model. A parameter of the model that is None is left out."""
    messages: list[dict[str, Any]] = [{"role": each.role, "content": each.text} for each in task.messages]
    if task.picture is not None:
        url = f"data:{task.picture.media_type};base64,{base64.b64encode(task.picture.data).decode()}"
        text = {"type": "text", "text": messages[-1]["content"]}
        messages[-1]["content"] = [text, {"type": "image_url", "image_url": {"url": url}}]
    body = {
        "temperature": 0,
        **({"response_format": {"type": "json_object"}} if task.json_mode else {}),
        **_own(model),
        "messages": messages,
        provider.max_tokens_field: task.max_tokens,
    }
    return {name: value for name, value in body.items() if value is not None}


def embedding_body(model: Model, task: LLMTask) -> dict[str, Any]:
    """The request of an embedding.

    `dimensions` is sent only when the model's parameters say {"send_dimensions": True}: many models refuse it.
    """
    wanted = model.dimensions if model.parameters.get(SEND_DIMENSIONS) else None
    body = {"encoding_format": "float", "dimensions": wanted, **_own(model)}
    given = {"model": model.name, "input": list(task.texts)}
    return {**{name: value for name, value in body.items() if value is not None}, **given}


def _own(model: Model) -> dict[str, Any]:
    return {name: value for name, value in model.parameters.items() if name not in NOT_OF_A_MODEL}


def _chat_answer(parsed: Mapping[str, Any]) -> Answer:
    choices = parsed.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise CallFailed(ErrorType.BAD_RESPONSE, "The answer has no choices.")
    message = choices[0].get("message")
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(message, Mapping) or not isinstance(content, str | None):
        raise CallFailed(ErrorType.BAD_RESPONSE, "The answer has no text.")
    answer = Answer(content or "", str(choices[0].get("finish_reason") or "stop"), _usage(parsed))
    if answer.finish_reason == "content_filter":
        raise RefusedAnswer(answer)
    return answer


def _embedding_answer(parsed: Mapping[str, Any], texts: int) -> Answer:
    try:
        data = sorted(parsed["data"], key=lambda each: each.get("index", 0))
        vectors = tuple(tuple(each["embedding"]) for each in data)
        finite = all(map(math.isfinite, chain.from_iterable(vectors)))  # TypeError: it is no number at all
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        raise CallFailed(ErrorType.BAD_RESPONSE, "The answer has no vectors.") from None
    if len(vectors) != texts or not all(vectors):
        raise CallFailed(ErrorType.BAD_RESPONSE, f"{len(vectors)} vectors for {texts} texts.")
    if not finite:
        raise CallFailed(ErrorType.BAD_RESPONSE, "A vector holds what is no number.")
    return Answer("", "stop", _usage(parsed), vectors)


def _parsed(body: bytes) -> Mapping[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        raise CallFailed(ErrorType.BAD_RESPONSE, "The answer is no JSON.") from None
    if not isinstance(parsed, Mapping):
        raise CallFailed(ErrorType.BAD_RESPONSE, "The answer is no JSON object.")
    return parsed


def _usage(parsed: Mapping[str, Any]) -> Mapping[str, Any] | None:
    usage = parsed.get("usage")
    return usage if isinstance(usage, Mapping) and usage else None
