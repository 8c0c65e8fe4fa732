"""One call to one model of one provider, over litellm."""

import asyncio
import base64
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from aegis_dagster.domain.llm import LLMTask
from aegis_dagster.llm.error_mapping import recognise
from aegis_dagster.llm.litellm_setup import (
    SEEN,
    Seen,
    load_the_rest,
    new_client,
    quiet_litellm,
    silent_log,
    time_limits,
)
from aegis_dagster.llm.providers import Model, Provider
from aegis_dagster.llm.retry_policy import CallFailed, ErrorType

if TYPE_CHECKING:
    import openai


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


class Slot(Protocol):
    """Leave to be one of the calls that a provider works on."""

    async def send(self) -> None:
        """Wait for it. A second time, while it is held, it does nothing."""
        ...

    def done(self) -> None:
        """Give it back, if it is held."""
        ...


class RefusedAnswer(CallFailed):
    """A 200 without content, because the provider filtered it. It may be billed: its usage is in `answer`."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(ErrorType.CONTENT_REFUSED, "The provider filtered the answer (finish_reason content_filter).")
        self.answer = answer


class Wire:
    """Makes calls, in one event loop at a time. Keeps connections open; close it at the end of each event loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clients: dict[tuple[str, str], openai.AsyncOpenAI] = {}
        self._preparing = asyncio.Lock()
        self._loaded = False  # whether litellm has imported all that a call needs

    async def call(self, provider: Provider, model: Model, task: LLMTask, slot: Slot | None = None) -> Answer:
        """Ask once; no retries. Raises CallFailed, at the latest after the provider's time-out.

        slot: waited for when the request is ready, given back when the answer is there. The time-out begins with it.
        """
        if not quiet_litellm.cache_info().currsize:
            await asyncio.to_thread(quiet_litellm)  # the import takes seconds, in which other tasks go on
        seen = Seen()
        token = SEEN.set(seen)
        try:
            await self._ask(seen, provider, model, task, slot)
        except TimeoutError:
            seconds = provider.timeout_seconds
            raise CallFailed(ErrorType.TIMEOUT, f"No full answer within {seconds:g} s.") from None
        except Exception as error:
            if not seen.answered:
                raise recognise(error) from None
            # litellm could not read an answer; whether we can is decided below.
        finally:
            SEEN.reset(token)
        if not seen.answered:  # litellm makes answers of some errors
            raise CallFailed(ErrorType.BAD_REQUEST, f"HTTP {seen.status} instead of an answer.")
        return _chat_answer(seen.body) if task.messages else _embedding_answer(seen.body, len(task.texts))

    async def _ask(self, seen: Seen, provider: Provider, model: Model, task: LLMTask, slot: Slot | None) -> None:
        """Let litellm make the call; what comes back is in `seen`.

        One request is prepared at a time, until it is sent. Else many that begin together are all sent at the end
        of the work of all, and are answered together: in waves, with nothing to do in between.
        """
        client = self._client(provider)
        if not self._loaded:
            self._loaded = True
            await load_the_rest()
        preparing = self._preparing
        await preparing.acquire()
        prepared = _Once(preparing.release)
        try:
            async with asyncio.timeout(None) as limit:

                async def sending() -> None:
                    prepared()
                    if slot is not None:
                        await slot.send()
                    limit.reschedule(asyncio.get_running_loop().time() + provider.timeout_seconds)

                seen.on_sending = sending
                seen.on_answer = slot.done if slot is not None else None
                ask = quiet_litellm().acompletion if task.messages else quiet_litellm().aembedding
                await ask(**_arguments(client, provider, model, task))
        finally:
            prepared()

    async def aclose(self) -> None:
        """Close all connections. The wire can be used again, in this event loop or in another."""
        if self._loop is asyncio.get_running_loop():
            for client in self._clients.values():
                await client.close()
        self._clients.clear()
        if quiet_litellm.cache_info().currsize:
            await quiet_litellm().close_litellm_async_clients()

    def _client(self, provider: Provider) -> "openai.AsyncOpenAI":
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # connections of another loop are of no use, and can be closed only there
            self._loop = loop
            self._clients = {}
            self._preparing = asyncio.Lock()
        key = (provider.base_url, provider.api_key)
        if key not in self._clients:
            self._clients[key] = new_client(provider.base_url, provider.api_key)
        return self._clients[key]


class _Once:
    """Calls a function the first time it is called itself."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function: Callable[[], None] | None = function

    def __call__(self) -> None:
        function, self._function = self._function, None
        if function is not None:
            function()


_NO_MESSAGES: list[dict[str, str]] = [{"role": "user", "content": ""}]  # in place of those in the body


def _arguments(client: "openai.AsyncOpenAI", provider: Provider, model: Model, task: LLMTask) -> dict[str, Any]:
    """For litellm.

    All but the content goes as `extra_body`, which is sent as it is: the arguments that litellm knows it maps and
    refuses by the name of a model, whoever serves a model of that name.
    """
    # `custom_openai` is the same API and the same code as `openai`, without the rules for names of OpenAI's models.
    chat = ("custom_openai", "acompletion", chat_body)
    api, call_type, content = chat if task.messages else ("openai", "aembedding", embedding_body)
    body = content(provider, model, task)
    given: dict[str, Any] = {name: body.pop(name) for name in ("input", "encoding_format") if name in body}
    if task.messages:
        given["messages"] = _NO_MESSAGES
    return {
        "model": f"{api}/{model.name}",
        **given,
        "extra_body": body,
        "api_base": provider.base_url,
        "api_key": provider.api_key or "none",
        "client": client,
        "timeout": time_limits(provider.timeout_seconds),
        "num_retries": 0,
        "max_retries": 0,
        "litellm_logging_obj": silent_log(model.name, call_type),
    }


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


def embedding_body(provider: Provider, model: Model, task: LLMTask) -> dict[str, Any]:
    """The request of an embedding, without the model.

    `dimensions` is sent only when the model's parameters say {"send_dimensions": True}: many models refuse it.
    """
    wanted = model.dimensions if model.parameters.get(SEND_DIMENSIONS) else None
    body = {"dimensions": wanted, **_own(model), "input": list(task.texts), "encoding_format": "float"}
    return {name: value for name, value in body.items() if value is not None}


def _own(model: Model) -> dict[str, Any]:
    return {name: value for name, value in model.parameters.items() if name not in NOT_OF_A_MODEL}


def _chat_answer(body: bytes) -> Answer:
    parsed = _parsed(body)
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


def _embedding_answer(body: bytes, texts: int) -> Answer:
    parsed = _parsed(body)
    try:
        data = sorted(parsed["data"], key=lambda each: each.get("index", 0))
        vectors = tuple(tuple(float(value) for value in each["embedding"]) for each in data)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise CallFailed(ErrorType.BAD_RESPONSE, "The answer has no vectors.") from None
    if len(vectors) != texts or not all(vectors):
        raise CallFailed(ErrorType.BAD_RESPONSE, f"{len(vectors)} vectors for {texts} texts.")
    if not all(math.isfinite(value) for each in vectors for value in each):
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
