"""litellm, made silent and cheap: imported once, without its callbacks, its costs and its logs."""

import gc
import importlib
import logging
import warnings
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from aegis_dagster.environment import keep_litellm_offline

if TYPE_CHECKING:
    import httpx
    import openai

CONNECT_SECONDS = 10.0  # to reach a provider at all
KEEP_ALIVE_SECONDS = 15.0  # less than servers wait, so that a call seldom meets a connection that is being closed
SILENT = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
NO_DEBUG = ("openai", "httpx", "httpcore", "aiohttp")


@dataclass(slots=True)
class Seen:
    """What came over the wire for one call, whatever litellm makes of it."""

    status: int = 0  # 0: no answer
    body: bytes = b""
    on_sending: Callable[[], Awaitable[None]] | None = None  # when the request is ready; it waits for its slot here
    on_answer: Callable[[], None] | None = None  # when the last byte is there

    @property
    def answered(self) -> bool:
        """Whether an answer came in full."""
        return 200 <= self.status < 300


# Set around each call: the client's hook runs in the caller's context, so that calls side by side do not mix.
SEEN: ContextVar[Seen | None] = ContextVar("aegis_llm_seen", default=None)


@lru_cache(maxsize=1)
def quiet_litellm() -> Any:
    """The module, with everything off that logs, prints, reports or keeps what it sends. 2-12 s the first time."""
    keep_litellm_offline()
    _silence()
    litellm: Any = importlib.import_module("litellm")
    litellm.telemetry = False
    litellm.suppress_debug_info = True  # prints advice on stdout for each error
    litellm.turn_off_message_logging = True
    litellm.drop_params = False
    litellm.DEFAULT_MAX_RETRIES = 0  # its embeddings take a limit of 0 for "none given" and retry twice
    litellm.callbacks = []
    litellm.input_callback = []
    litellm.success_callback = []
    litellm.failure_callback = []
    _silence()  # once more: the import adds handlers
    # Its models warn about odd answers and quote them. An odd answer is read by `client.py` or refused there.
    warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)
    return litellm


async def load_the_rest() -> None:
    """Let litellm import what it imports at its first call only, on a busy machine for seconds.

    Sends nothing: with an answer given, litellm only goes the way of a call.
    """
    question = [{"role": "user", "content": "-"}]
    log = silent_log("none", "acompletion")
    model = "custom_openai/none"
    await quiet_litellm().acompletion(
        model=model, messages=question, mock_response="-", api_key="none", litellm_logging_obj=log
    )
    _leave_to_rest()


@lru_cache(maxsize=1)
def _leave_to_rest() -> None:
    """Let Python's cycle collector pass over what was imported: some hundred thousand objects that stay anyway.

    Looking at them again and again stops the event loop for so long that 32 calls side by side lose 2 % of their pace.
    """
    gc.collect()
    gc.freeze()


def _silence() -> None:
    for name in SILENT:
        # Even its warnings may quote a request or an answer. What goes wrong reaches us as an exception.
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.handlers.clear()
        logger.propagate = False
    for name in NO_DEBUG:  # these write whole requests at debug
        logging.getLogger(name).setLevel(logging.WARNING)


def new_client(base_url: str, api_key: str) -> "openai.AsyncOpenAI":
    """A client for one provider and one event loop. It never retries and remembers the raw answer in `SEEN`."""
    import httpx
    import openai
    from aiohttp import ClientSession, TCPConnector

    quiet_litellm()
    from litellm.llms.custom_httpx.aiohttp_transport import LiteLLMAiohttpTransport

    def session() -> ClientSession:
        # How many calls run at once is the gateway's business, not the pool's.
        return ClientSession(connector=TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS))

    # httpx's own pool looks at every connection for every call: 32 side by side cost a quarter more CPU.
    http = httpx.AsyncClient(
        transport=LiteLLMAiohttpTransport(session), event_hooks={"request": [_sending], "response": [_remember]}
    )
    client = openai.AsyncOpenAI(base_url=base_url, api_key=api_key or "none", http_client=http, max_retries=0)
    _ = client.chat.completions, client.embeddings  # imports them now, and not within the first call's time limit
    return client


def time_limits(seconds: float) -> "httpx.Timeout":
    """Of one call; a provider that cannot be reached is given up earlier."""
    import httpx

    return httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))


async def _sending(request: "httpx.Request") -> None:
    for name in ("OpenAI-Organization", "OpenAI-Project"):  # of the shell's environment, for whatever provider
        request.headers.pop(name, None)
    seen = SEEN.get()
    if seen is not None and seen.on_sending is not None:
        await seen.on_sending()


async def _remember(response: "httpx.Response") -> None:
    seen = SEEN.get()
    if seen is not None:
        seen.body = await response.aread()
        seen.status = response.status_code
        if seen.on_answer is not None:
            seen.on_answer()


@lru_cache(maxsize=1)
def _silent_logging() -> Any:
    """litellm's per-call log object without its work: no copies of prompts, no costs, no callbacks.

    It takes a third of the CPU of a call off, and nothing of what is asked or answered stays anywhere.
    """
    quiet_litellm()
    from litellm.litellm_core_utils.litellm_logging import Logging

    class SilentLogging(Logging):
        def pre_call(self, *args: Any, **kwargs: Any) -> None:
            return None

        def post_call(self, *args: Any, **kwargs: Any) -> None:
            return None

        def response_cost_calculator(self, *args: Any, **kwargs: Any) -> None:
            return None

        def claim_async_success_log(self) -> bool:
            return False

        def handle_sync_success_callbacks_for_async_calls(self, *args: Any, **kwargs: Any) -> None:
            return None

        def failure_handler(self, *args: Any, **kwargs: Any) -> None:
            return None

        async def async_failure_handler(self, *args: Any, **kwargs: Any) -> None:
            return None

    return SilentLogging


def silent_log(model: str, call_type: str) -> Any:
    """A fresh log object for one call; handed over as `litellm_logging_obj`."""
    import datetime

    return _silent_logging()(
        model=model,
        messages=[],
        stream=False,
        call_type=call_type,
        start_time=datetime.datetime.fromtimestamp(0, datetime.UTC),
        litellm_call_id="",
        function_id="",
    )
