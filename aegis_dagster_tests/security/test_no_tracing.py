"""The state of a pipeline holds the whole document: it is not traced, whatever the shell says for other programs."""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.tracers.langchain import wait_for_all_tracers
from langsmith.utils import get_env_var

from aegis_dagster.pipeline import IngestionPipeline
from aegis_dagster_tests.support.projects import make_project, write_documents
from aegis_dagster_tests.support.servers.webhook import webhook_receiver


def forget_variables() -> None:
    """LangSmith keeps what it has read of the environment."""
    cached: Any = get_env_var
    cached.cache_clear()


async def test_langsmith_gets_nothing_of_a_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, ["c/a.txt"], paragraphs=1)
    with webhook_receiver() as langsmith:
        for name, value in (("TRACING", "true"), ("API_KEY", "key"), ("ENDPOINT", langsmith.url)):
            monkeypatch.setenv(f"LANGSMITH_{name}", value)
        forget_variables()
        try:
            state = await IngestionPipeline(project).run(project.root / "c/a.txt")
        finally:
            forget_variables()
        wait_for_all_tracers()
        assert state["docling_status"] == "completed"
        assert langsmith.bodies == []
