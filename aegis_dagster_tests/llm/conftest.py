"""Scripted servers for a module's tests: one on the company's own machines, one outside."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from aegis_dagster.domain.llm import LLMTask, Message, TaskType
from aegis_dagster.llm.client import Wire
from aegis_dagster.llm.providers import Model, Provider
from aegis_dagster_tests.support.asking import PATIENCE
from aegis_dagster_tests.support.llm_server import LLMServer, scripted_server


@pytest.fixture(scope="session")
def _litellm_is_imported() -> None:
    """litellm imports the last of itself with its first call, which takes longer than the time-outs of the tests."""

    async def call() -> None:
        wire = Wire()
        task = LLMTask(TaskType.SUMMARY, (Message("user", "warm up"),), max_tokens=1)
        with scripted_server() as server:
            await wire.call(Provider("any", server.v1, ""), Model("any", frozenset(TaskType)), task)
            await wire.aclose()

    asyncio.run(call())


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """A client that waits for a server although the machine stands still for a minute."""
    wire = Wire(connect_seconds=PATIENCE)
    yield wire
    await wire.aclose()


@pytest.fixture(scope="module")
def _local(_litellm_is_imported: None) -> Iterator[LLMServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture(scope="module")
def _cloud(_litellm_is_imported: None) -> Iterator[LLMServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture
def local(_local: LLMServer) -> LLMServer:
    """A server that answers everything until it gets a script."""
    _local.reset()
    return _local


@pytest.fixture
def cloud(_cloud: LLMServer) -> LLMServer:
    """Another one."""
    _cloud.reset()
    return _cloud
