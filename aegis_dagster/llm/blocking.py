"""The one way from synchronous code to a model."""

import asyncio

from aegis_dagster.domain.llm import LLMResponse, LLMTask
from aegis_dagster.llm.gateway import Gateway


def ask_blocking(gateway: Gateway, task: LLMTask) -> LLMResponse:
    """`gateway.ask` for callers without an event loop. Raises what it raises, RuntimeError inside a running loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_ask_and_close(gateway, task))
    raise RuntimeError("ask_blocking was called in a running event loop. Remedy: `await gateway.ask(task)` there.")


async def _ask_and_close(gateway: Gateway, task: LLMTask) -> LLMResponse:
    try:
        return await gateway.ask(task)
    finally:
        await gateway.aclose()
