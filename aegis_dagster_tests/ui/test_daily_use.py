"""Dagster's UI in a real Chromium over a real `aegis dev`."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, expect

from aegis_dagster_tests.commands.running import Aegis
from aegis_dagster_tests.projects import write_documents
from aegis_dagster_tests.servers.browser import new_page
from aegis_dagster_tests.servers.dagster_dev import DagsterDev
from aegis_dagster_tests.ui.dagster_ui import DagsterUI


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterDev]:
    folder = tmp_path_factory.mktemp("dev")
    write_documents(folder / "root", ["notes/a.txt", "notes/b.txt", "letters/c.txt"])
    (folder / "root" / "notes" / "broken.pdf").write_bytes(b"%PDF-1.4 and nothing else")
    server = DagsterDev(folder / "home", folder / "root", {"AEGIS_LISTING__SETTLE_SECONDS": "0"})
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def ui(browser: Browser, dev: DagsterDev) -> Iterator[DagsterUI]:
    with new_page(browser) as page:
        yield DagsterUI(page, dev)


def test_one_collection_is_materialized_and_the_file_that_failed_is_found_in_three_clicks(
    ui: DagsterUI, dev: DagsterDev
) -> None:
    run_id = ui.materialize("ingest", "notes")
    ui.wait_for_success(run_id)
    page = ui.page
    page.goto(dev.url)
    page.get_by_role("link", name="Catalog").click()
    page.get_by_text("ingestion", exact=True).first.wait_for()
    page.goto(f"{dev.url}/assets/parsed_documents")
    expect(page.get_by_role("cell", name="notes/broken.pdf").first).to_be_visible()
    expect(page.get_by_text("truncated_file").or_(page.get_by_text("corrupt_file")).first).to_be_visible()
    (status,) = [c for c in Aegis(dev.home, dev.root)("status", "--json").json["collections"] if c["name"] == "notes"]
    assert status["documents"] == 3


def test_a_port_in_use_is_said_plainly(dev: DagsterDev) -> None:
    refused = Aegis(dev.home, dev.root)("dev", "--port", str(dev.port))
    assert refused.code == 2
    assert f"Port {dev.port} of 127.0.0.1 is in use" in refused.stderr
    assert "aegis dev --port" in refused.stderr.replace("\n", " ")


def test_ctrl_c_ends_all_of_it(tmp_path: Path) -> None:
    write_documents(tmp_path / "root", ["notes/a.txt"])
    server = DagsterDev(tmp_path / "home", tmp_path / "root")
    server.start()
    mine = server.processes()
    assert len(mine) >= 3  # webserver, daemon, code location
    server.interrupt()
    _, alive = psutil.wait_procs(mine, timeout=20)
    server.stop()
    assert alive == []
