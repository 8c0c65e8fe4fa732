"""A real `aegis dev`: webserver, daemon and code location."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from aegis_dagster_tests.support.cli_process import Aegis
from aegis_dagster_tests.support.projects import write_documents
from aegis_dagster_tests.support.servers.dagster_dev import DagsterDev
from aegis_dagster_tests.support.servers.s3 import S3Server

_LAUNCH = (
    "mutation($params: ExecutionParams!) {launchRun(executionParams: $params) {... on LaunchRunSuccess {run {id}}}}"
)


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterDev]:
    folder = tmp_path_factory.mktemp("dev")
    write_documents(folder / "root", ["notes/a.txt", "notes/b.txt", "letters/c.txt"])
    (folder / ".env").write_text("OF_THE_FOLDER=read\n")  # Dagster reads it where it is started
    server = DagsterDev(folder / "home", folder / "root", {"AEGIS_LISTING__SETTLE_SECONDS": "0"})
    server.start()
    try:
        yield server
    finally:
        server.stop()


def partitions(dev: DagsterDev) -> list[str]:
    asked = dev.query(
        """{assetNodeOrError(assetKey: {path: ["parsed_documents"]}) {... on AssetNode {partitionKeys}}}"""
    )
    keys: list[str] = asked["assetNodeOrError"]["partitionKeys"]
    return keys


def test_the_collections_of_the_root_are_partitions_before_anything_ran(dev: DagsterDev) -> None:
    assert dev.runs() == []
    assert partitions(dev) == ["letters", "notes"]


def test_a_run_is_forked_from_a_process_that_has_imported_the_definitions(dev: DagsterDev) -> None:
    where = {"repositoryName": "__repository__", "repositoryLocationName": "aegis_dagster.definitions"}
    of_notes = {"tags": [{"key": "dagster/partition", "value": "notes"}]}
    params = {"selector": {**where, "jobName": "ingest"}, "mode": "default", "executionMetadata": of_notes}
    template = dev.template()
    assert template.children() == []
    assert template.environ()["OF_THE_FOLDER"] == "read"
    dev.query(_LAUNCH, params=params)
    dev.wait_for(template.children, "a run to begin")
    (run,) = template.children()
    assert run.cmdline() == template.cmdline()  # another interpreter would have its own
    dev.wait_for(lambda: dev.runs()[0]["status"] in ("SUCCESS", "FAILURE"), "the run to end")
    assert [run["status"] for run in dev.runs()] == ["SUCCESS"]
    assert dev.template() == template


def test_a_port_in_use_is_said_plainly(dev: DagsterDev) -> None:
    refused = Aegis(dev.home, dev.root)("dev", "--port", str(dev.port))
    assert refused.code == 2
    assert f"Port {dev.port} of 127.0.0.1 is in use" in refused.stderr
    assert "aegis dev --port" in refused.stderr.replace("\n", " ")


def test_it_serves_a_bucket_and_ctrl_c_ends_all_of_it(tmp_path: Path, s3_server: S3Server) -> None:
    import fsspec

    bucket = f"aegis-{uuid.uuid4().hex[:12]}"
    filesystem = fsspec.filesystem("s3", **s3_server.options)
    filesystem.mkdir(bucket)
    filesystem.pipe_file(f"{bucket}/documents/notes/a.txt", b"The axolotl of the harbour was counted.")
    (tmp_path / "aegis.yaml").write_text(yaml.safe_dump({"root_options": s3_server.options}))
    server = DagsterDev(tmp_path / "home", f"s3://{bucket}/documents", {"AEGIS_LISTING__SETTLE_SECONDS": "0"})
    server.start()
    assert partitions(server) == ["notes"]
    mine = server.processes()
    assert len(mine) >= 3  # webserver, daemon, code location
    assert {process.environ()["AEGIS_ROOT"] for process in mine} == {server.root}
    server.interrupt()
    _, alive = psutil.wait_procs(mine, timeout=200)
    server.stop()
    assert alive == []
