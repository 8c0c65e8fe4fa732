"""A service is stopped in the middle of a run and started again: the same knowledge, a page, nothing paid twice."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from aegis_dagster.composition.project import Project
from aegis_dagster.digests import digests
from aegis_dagster.settings import load_settings
from aegis_dagster_tests.support.bad_files import one_page_pdf
from aegis_dagster_tests.support.dagster_runs import run
from aegis_dagster_tests.support.llm_server import Behaviour, Rule, scripted_server
from aegis_dagster_tests.support.projects import bring_up, write_documents
from aegis_dagster_tests.support.projects_with_models import llm_settings
from aegis_dagster_tests.support.servers.docling_serve import serve_stand_in
from aegis_dagster_tests.support.servers.postgres import PostgresServer
from aegis_dagster_tests.support.servers.relay import relay_to
from aegis_dagster_tests.support.servers.webhook import Webhook, webhook_receiver
from aegis_dagster_tests.support.tasks_in_process import TasksInProcess
from aegis_dagster_tests.support.watched_instance import Watched, watched

__all__ = ["watched"]

pytestmark = pytest.mark.slow


@pytest.fixture
def phone(watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """Where all pages go. The root is below the folder of the test, and aegis.yaml in it."""
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.setenv("AEGIS_ROOT", str(root))
    monkeypatch.setenv("AEGIS_LISTING__SETTLE_SECONDS", "0")
    with webhook_receiver() as receiver:
        monkeypatch.setenv("AEGIS_NOTIFY", receiver.url.replace("http://", "json://"))
        yield receiver


def configure(folder: Path, **values: object) -> None:
    (folder / "aegis.yaml").write_text(yaml.safe_dump(values), "utf-8")


@contextmanager
def stopped_at(moment: threading.Event, stop: Callable[[], None]) -> Iterator[None]:
    """Within the block, a service is stopped as soon as the moment has come."""

    def wait() -> None:
        if moment.wait(200):
            stop()

    moment.clear()
    operator = threading.Thread(target=wait)
    operator.start()
    try:
        yield
    finally:
        moment.set()
        operator.join()


def knowledge(home: Path | None = None) -> str:
    """The digest of all stores. home: ingest into this one first, undisturbed."""
    if home is not None:
        undisturbed = Project(load_settings(home), tasks=TasksInProcess())
        asyncio.run(_ingested(undisturbed))
        return digests(undisturbed)["all"]
    project = Project(load_settings())
    try:
        return digests(project)["all"]
    finally:
        project.close()


async def _ingested(project: Project) -> None:
    await bring_up(project)


def said(phone: Webhook) -> str:
    return json.dumps(phone.bodies)


def test_docling_serve(watched: Watched, phone: Webhook, tmp_path: Path) -> None:
    (tmp_path / "root" / "c").mkdir()
    for number in range(3):
        text = f"Report {number} of the harbour of Eastmere tells of its tide gauge."
        (tmp_path / "root" / "c" / f"{number}.pdf").write_bytes(one_page_pdf(text))
    with serve_stand_in() as served:
        serve = {"url": served.url, "patience_seconds": 1.0, "concurrency": 1}
        configure(tmp_path, parse={"route": "serve", "serve": serve})
        expected = knowledge(tmp_path / "undisturbed")
        watched.look()
        served.polls = 1_000
        with stopped_at(served.at_work, served.stop):
            failed = run(watched.instance)
        assert not failed.success
        watched.look()
        assert "docling-serve" in said(phone), said(phone)

        served.polls = 1
        served.start()
        assert run(watched.instance).success
        assert knowledge() == expected
        watched.look()
        assert "all clear" in phone.bodies[-1]["title"]


def test_the_server_of_models(watched: Watched, phone: Webhook, tmp_path: Path) -> None:
    write_documents(tmp_path / "root", [f"c/{number}.txt" for number in range(2)], paragraphs=3)
    with scripted_server() as server, relay_to(server.url) as relay:
        models = llm_settings(server)
        models["providers"]["openai"] |= {"base_url": f"{relay.url}/v1", "concurrency": 1, "attempts": 1}
        configure(tmp_path, llm=models)
        expected = knowledge(tmp_path / "undisturbed")
        server.reset()
        watched.look()
        server.script([Rule(Behaviour(latency_seconds=0.05))])
        with stopped_at(relay.asked, relay.stop):
            run(watched.instance)
        run(watched.instance, "check_budgets", None)  # as a schedule does every few minutes
        watched.look()
        assert "openai" in said(phone), said(phone)

        relay.start()
        assert run(watched.instance).success
        assert knowledge() == expected
        prompts = Counter(json.dumps(record.body) for record in server.records() if record.answered)
        assert max(prompts.values()) == 1


def test_postgres(
    watched: Watched,
    phone: Webhook,
    tmp_path: Path,
    own_postgres: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_documents(tmp_path / "root", [f"c/{number}.txt" for number in range(2)], paragraphs=3)
    with scripted_server() as server:
        # What the first run could not release is free after this time: its process, which is this one, lives on.
        models = llm_settings(server)
        models["providers"]["openai"]["concurrency"] = 1
        configure(tmp_path, llm=models, lease_seconds=5)
        expected = knowledge(tmp_path / "undisturbed")
        server.reset()
        monkeypatch.setenv("AEGIS_DATABASE", own_postgres.new_database())
        watched.look()
        asked = threading.Event()
        server.script([Rule(Behaviour(latency_seconds=0.1))])

        def notice() -> None:
            while not server.records() and not asked.wait(0.05):
                pass
            asked.set()

        watching = threading.Thread(target=notice)
        watching.start()
        with stopped_at(asked, own_postgres.stop):
            failed = run(watched.instance)
        watching.join()
        assert not failed.success
        own_postgres.start()
        watched.look()
        assert "The database postgresql" in said(phone) and "does not answer" in said(phone), said(phone)

        assert run(watched.instance).success
        assert knowledge() == expected
        prompts = Counter(json.dumps(record.body) for record in server.records() if record.answered)
        # Only calls that were under way, two at a time here: there was no database to keep their answers in.
        assert sum(prompts.values()) - len(prompts) <= 2
