"""A real `aegis dev`: webserver, daemon and code location."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from aegis_dagster_tests.commands.running import Aegis
from aegis_dagster_tests.projects import write_documents
from aegis_dagster_tests.servers.dagster_dev import DagsterDev


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterDev]:
    folder = tmp_path_factory.mktemp("dev")
    write_documents(folder / "root", ["notes/a.txt", "notes/b.txt", "letters/c.txt"])
    server = DagsterDev(folder / "home", folder / "root", {"AEGIS_LISTING__SETTLE_SECONDS": "0"})
    server.start()
    try:
        yield server
    finally:
        server.stop()


def test_the_collections_of_the_root_are_partitions_before_anything_ran(dev: DagsterDev) -> None:
    assert dev.runs() == []
    asked = dev.query(
        """{assetNodeOrError(assetKey: {path: ["parsed_documents"]}) {... on AssetNode {partitionKeys}}}"""
    )
    assert asked["assetNodeOrError"]["partitionKeys"] == ["letters", "notes"]


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
