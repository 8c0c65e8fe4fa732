"""A chat through litellm, without its logging and retries; the request is sent by us and read as it came.

litellm takes the place of its client (`client=`) from its caller. Ours sends what litellm gives it over the connection
of the call, and hands an empty answer back: openai's own client types each request and answer for more CPU than all
the rest of the call, and what it makes of an answer nobody reads.
"""

import importlib
import logging
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aegis_dagster.llm.providers import Provider
from aegis_dagster.llm.retry_policy import CallFailed, ErrorType

if TYPE_CHECKING:
    import httpx

_SILENT = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
_NO_DEBUG = ("openai", "httpx", "httpcore")


async def chat(
    connection: "httpx.AsyncClient", provider: Provider, model: str, body: Mapping[str, Any]
) -> "httpx.Response":
    """The provider's response, also an error response. Raises httpx's exceptions; CallFailed if litellm refuses."""
    litellm = load_litellm()
    given = {name: value for name, value in body.items() if name != "messages"}
    client = _Client(connection, provider)
    try:
        # `custom_openai` is the same API and code as `openai`, without the rules for the names of OpenAI's models.
        # Everything but the messages goes into `extra_body`, which is sent unchanged: litellm rejects some arguments
        # by a model's name, whoever serves the model. `acompletion=True` gives the coroutine that `litellm.acompletion`
        # makes in a thread, and awaits between work of its caches, callbacks and budgets.
        await litellm.completion(
            acompletion=True,
            model=f"custom_openai/{model}",
            messages=body["messages"],
            extra_body=given,
            api_base=provider.base_url,
            api_key=provider.api_key or "none",
            client=client,
            num_retries=0,
            max_retries=0,
            litellm_logging_obj=_no_log(model),
        )
    except Exception as error:
        if client.came is None:
            what = f"litellm refused the request ({type(error).__name__})."
            raise CallFailed(ErrorType.BAD_REQUEST, what) from None
    if client.came is None:
        raise CallFailed(ErrorType.BAD_REQUEST, "litellm did not send the request.")
    if isinstance(client.came, Exception):
        raise client.came
    return client.came


async def post(
    connection: "httpx.AsyncClient", provider: Provider, path: str, body: Mapping[str, Any]
) -> "httpx.Response":
    """The provider's response to a request of ours."""
    key = {"Authorization": f"Bearer {provider.api_key}"} if provider.api_key else {}
    return await connection.post(f"{provider.base_url.rstrip('/')}/{path}", headers=key, json=body)


class _Client:
    """What litellm uses of openai's client, for one call."""

    def __init__(self, connection: "httpx.AsyncClient", provider: Provider) -> None:
        self.came: httpx.Response | Exception | None = None
        self.api_key = ""  # these two are for litellm's log
        self._base_url = SimpleNamespace(_uri_reference="")
        self.chat = SimpleNamespace(completions=SimpleNamespace(with_raw_response=self))
        self._connection = connection
        self._provider = provider

    async def create(
        self, *, model: str, messages: list[Any], extra_body: Mapping[str, Any], **_: object
    ) -> SimpleNamespace:
        """Send the request. An error is kept, too: litellm would make another one of it."""
        body = {"model": model, "messages": messages, **extra_body}
        try:
            self.came = await post(self._connection, self._provider, "chat/completions", body)
        except Exception as error:
            self.came = error
        return SimpleNamespace(headers={}, parse=lambda: SimpleNamespace(model_dump=_no_answer))


def _no_answer() -> dict[str, Any]:
    message = {"role": "assistant", "content": ""}
    return {"object": "chat.completion", "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}


def litellm_is_loaded() -> bool:
    """Whether a chat can be sent without importing litellm first."""
    return bool(load_litellm.cache_info().currsize)


@cache
def begin_loading() -> None:
    """Import litellm in a thread, while other work goes on."""
    Thread(target=load_litellm, name="litellm", daemon=True).start()


@cache
def load_litellm() -> Any:
    """The litellm module, with its logging silenced. The first call takes seconds."""
    _silence()
    litellm: Any = importlib.import_module("litellm")
    litellm.suppress_debug_info = True  # otherwise it prints advice on stdout for each error
    _silence()  # again: the import adds handlers
    # Its models warn about unusual answers and quote them; `client.py` reads or rejects such answers.
    warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)
    _no_logging()  # imports the rest of it now, and not within the first call's time limit
    return litellm


def _no_log(model: str) -> Any:
    """Replaces litellm's log of a chat, which copies and prices the chat and takes twice the CPU of all the rest."""
    time = datetime.fromtimestamp(0, UTC)
    return _no_logging()(model, [], False, "acompletion", time, "", "")


@cache
def _no_logging() -> Any:
    from litellm.litellm_core_utils.litellm_logging import Logging

    class NoLogging(Logging):
        def _nothing(self, *args: Any, **kwargs: Any) -> None:
            return None

        def claim_async_success_log(self) -> bool:
            return False

        async def _nothing_later(self, *args: Any, **kwargs: Any) -> None:
            return None

        pre_call = post_call = failure_handler = response_cost_calculator = _nothing
        handle_sync_success_callbacks_for_async_calls = _nothing
        async_failure_handler = _nothing_later

    return NoLogging


def _silence() -> None:
    for name in _SILENT:
        # Even its warnings may quote a request or an answer. Errors reach us as exceptions.
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.handlers.clear()
        logger.propagate = False
    for name in _NO_DEBUG:  # these log whole requests at DEBUG
        logging.getLogger(name).setLevel(logging.WARNING)
