"""Fixtures: a scripted server for the tests of a module, which each of them finds as it was at its start."""

from collections.abc import Iterator

import pytest

from aegis_dagster_tests.support.llm_server.running import LLMServer, scripted_server


@pytest.fixture(scope="module")
def running() -> Iterator[LLMServer]:
    """A server that all tests of a module share."""
    with scripted_server() as server:
        yield server


@pytest.fixture
def server(running: LLMServer) -> LLMServer:
    """The module's server, which answers everything and has seen nothing yet."""
    running.reset()
    return running
