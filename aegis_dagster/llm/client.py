"""One call to one model of one provider: chats go through litellm, embeddings through our own HTTP request."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from aegis_dagster.domain.llm import LLMTask
from aegis_dagster.llm.answer import Answer
from aegis_dagster.llm.answer_bodies import read_response
from aegis_dagster.llm.error_mapping import broken
from aegis_dagster.llm.litellm_chat import chat, litellm_is_loaded, load_litellm, post
from aegis_dagster.llm.provider_words import fit_to_tell
from aegis_dagster.llm.providers import Model, Provider
from aegis_dagster.llm.retry_policy import CallFailed, ErrorType

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 10.0  # time limit for connecting to a provider
KEEP_ALIVE_SECONDS = 15.0  # shorter than servers use, so that a call rarely gets a connection that is being closed


SEND_DIMENSIONS = "send_dimensions"  # ours, in a model's parameters: {"send_dimensions": True}
# A model's parameters must not set these: they would change the request or its highest possible cost.
NOT_OF_A_MODEL = {SEND_DIMENSIONS, "model", "messages", "input", "stream", "n", "max_tokens", "max_completion_tokens"}


class Wire:
    """Makes calls in one event loop at a time. It keeps connections open; close it before its event loop ends."""

    def __init__(self, *, connect_seconds: float = CONNECT_SECONDS) -> None:
        self._connect_seconds = connect_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: dict[tuple[str, str, bool], list[httpx.AsyncClient]] = {}  # of one connection each, by provider

    async def prepare(self, task: LLMTask) -> None:
        """Import what a call of the task needs. Takes seconds, in which other tasks continue."""
        if task.messages and not litellm_is_loaded():
            await asyncio.to_thread(load_litellm)

    async def call(self, provider: Provider, model: Model, task: LLMTask) -> Answer:
        """Send one request without retries. Raises CallFailed, at the latest after the provider's timeout."""
        ask = _chat if task.messages else _embedding
        try:
            async with asyncio.timeout(provider.timeout_seconds), self._connection(provider) as connection:
                response = await ask(connection, provider, model, task)
        except TimeoutError:
            seconds = provider.timeout_seconds
            raise CallFailed(ErrorType.TIMEOUT, f"No full answer within {seconds:g} s.") from None
        except Exception as error:
            raise broken(error) from None
        try:
            return read_response(response, task)
        except CallFailed as failure:
            failure.said = fit_to_tell(failure.said, task, key=provider.api_key, model=model.name)
            raise

    async def aclose(self) -> None:
        """Close all connections. The wire can be used again afterwards, in this event loop or another."""
        idle, self._idle = self._idle, {}
        if self._loop is asyncio.get_running_loop():
            for connection in chain.from_iterable(idle.values()):
                await connection.aclose()

    @asynccontextmanager
    async def _connection(self, provider: Provider) -> AsyncIterator["httpx.AsyncClient"]:
        """A connection for this call alone; there are as many connections as concurrent calls.

        httpx's pool compares all its connections with each other for every request: with 32 of them that took more
        CPU than the rest of the call.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # connections of another loop cannot be used or closed in this one
            self._loop, self._idle = loop, {}
        key = (provider.base_url, provider.api_key, provider.local)
        idle = self._idle.setdefault(key, [])
        connection = idle.pop() if idle else new_connection(self._connect_seconds, direct=provider.local)
        try:
            yield connection
        except BaseException:  # it may have half a request or half an answer in it, and would never answer again
            await connection.aclose()
            raise
        if self._idle.get(key) is idle:
            idle.append(connection)
        else:  # the wire was closed meanwhile
            await connection.aclose()


def new_connection(connect_seconds: float, *, direct: bool = False) -> "httpx.AsyncClient":
    """A client with one connection. The first request opens it; it is reopened when it is lost.

    direct: past the proxy that the environment names, which must not read what only a local model may see.
    """
    import httpx

    limits = httpx.Timeout(None, connect=connect_seconds)  # `Wire.call` limits the whole call
    return httpx.AsyncClient(
        verify=_tls(),
        timeout=limits,
        limits=httpx.Limits(max_connections=1, keepalive_expiry=KEEP_ALIVE_SECONDS),
        trust_env=not direct,
    )


@cache
def _tls() -> ssl.SSLContext:
    """The trusted certificates; loading them takes 20 ms."""
    import httpx

    return httpx.create_ssl_context()


async def _chat(connection: "httpx.AsyncClient", provider: Provider, model: Model, task: LLMTask) -> "httpx.Response":
    return await chat(connection, provider, model.name, chat_body(provider, model, task))


async def _embedding(
    connection: "httpx.AsyncClient", provider: Provider, model: Model, task: LLMTask
) -> "httpx.Response":
    # Not through litellm: it takes seconds to import and makes an object of every number, only to discard it.
    return await post(connection, provider, "embeddings", embedding_body(model, task))


def chat_body(provider: Provider, model: Model, task: LLMTask) -> dict[str, Any]:
    """The request body of a chat, without the model's name. Model parameters that are None are omitted."""
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
    """The request body of an embedding.

    `dimensions` is sent only if the model's parameters contain {"send_dimensions": True}: many models reject it.
    """
    wanted = (task.dimensions or model.dimensions) if model.parameters.get(SEND_DIMENSIONS) else None
    body = {"dimensions": wanted, "encoding_format": "float", **_own(model)}  # both encodings are read
    given = {"model": model.name, "input": list(task.texts)}
    return {**{name: value for name, value in body.items() if value is not None}, **given}


def _own(model: Model) -> dict[str, Any]:
    return {name: value for name, value in model.parameters.items() if name not in NOT_OF_A_MODEL}
