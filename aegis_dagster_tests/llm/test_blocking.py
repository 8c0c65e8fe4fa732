"""Callers without an event loop reach a model in one way."""

import asyncio
from pathlib import Path

import pytest

from aegis_dagster.llm.blocking import ask_blocking
from aegis_dagster_tests.support.asking import ANSWER_COST, TEXT, ask_for, desk, provider
from aegis_dagster_tests.support.llm_server import LLMServer


def test_synchronous_callers_have_one_way_and_may_take_it_again(tmp_path: Path, cloud: LLMServer) -> None:
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    assert ask_blocking(at.gateway, ask_for()).content == TEXT
    assert ask_blocking(at.gateway, ask_for()).content == TEXT
    assert at.endings() == [("cloud", "ok", "settled", ANSWER_COST)] * 2


async def test_the_way_for_synchronous_callers_is_closed_in_a_running_loop(tmp_path: Path, cloud: LLMServer) -> None:
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    with pytest.raises(RuntimeError, match=r"await gateway\.ask"):
        ask_blocking(at.gateway, ask_for())
    assert asyncio.get_running_loop().is_running()
