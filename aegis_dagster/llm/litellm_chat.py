"""A chat through litellm, without its logging and retries; the provider's response is returned unchanged."""

import importlib
import logging
import warnings
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from aegis_dagster.llm.providers import Provider
from aegis_dagster.llm.retry_policy import CallFailed, ErrorType

if TYPE_CHECKING:
    import httpx

_SILENT = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
_NO_DEBUG = ("openai", "httpx", "httpcore")

# Set around each chat. The hook runs in the caller's context, so concurrent chats do not mix.
_came: ContextVar["list[httpx.Response]"] = ContextVar("aegis_llm_came")


async def chat(
    connection: "httpx.AsyncClient", provider: Provider, model: str, body: Mapping[str, Any]
) -> "httpx.Response":
    """The provider's response, also an error response. Raises httpx's exceptions; CallFailed if litellm itself refuses.

    connection: a client made with `hooks`.
    """
    import openai

    litellm, key = load_litellm(), provider.api_key or "none"
    given = {name: value for name, value in body.items() if name != "messages"}
    came: list[httpx.Response] = []
    token = _came.set(came)
    try:
        # `custom_openai` is the same API and code as `openai`, without the rules for the names of OpenAI's models.
        # Everything but the messages goes into `extra_body`, which is sent unchanged: litellm rejects some arguments
        # by a model's name, whoever serves the model.
        await litellm.acompletion(
            model=f"custom_openai/{model}",
            messages=body["messages"],
            extra_body=given,
            api_base=provider.base_url,
            api_key=key,
            client=openai.AsyncOpenAI(base_url=provider.base_url, api_key=key, http_client=connection, max_retries=0),
            num_retries=0,
            max_retries=0,
            litellm_logging_obj=_no_log(model),
        )
    except Exception as error:  # whatever litellm makes of an answer: we read it as it came
        if not came:
            raise (_cause(error) if isinstance(error, openai.OpenAIError) else error) from None
    finally:
        _came.reset(token)
    return came[0]


def hooks(limits: "httpx.Timeout") -> dict[str, list[Any]]:
    """Hooks for the connections: they undo what litellm adds to a request, and keep the response as received.

    limits: our timeouts, instead of litellm's.
    """

    async def of_request(request: "httpx.Request") -> None:
        request.extensions["timeout"] = limits.as_dict()
        for name in ("OpenAI-Organization", "OpenAI-Project"):  # from the environment, for any provider
            request.headers.pop(name, None)

    async def of_response(response: "httpx.Response") -> None:
        came = _came.get(None)
        if came is not None:
            await response.aread()
            came.append(response)

    return {"request": [of_request], "response": [of_response]}


def litellm_is_loaded() -> bool:
    """Whether a chat can be sent without importing litellm first."""
    return bool(load_litellm.cache_info().currsize)


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


def _cause(error: Exception) -> Exception:
    """The original error: litellm reports any connection failure as a 500 that wraps httpx's exception."""
    import httpx
    import openai

    within: BaseException | None = error
    while within is not None:
        if isinstance(within, httpx.HTTPError | httpx.InvalidURL):
            return within
        within = within.__cause__ or within.__context__
    kind = ErrorType.BAD_REQUEST if isinstance(error, openai.BadRequestError) else ErrorType.BAD_RESPONSE
    return CallFailed(kind, f"litellm refused the request ({type(error).__name__}).")
