"""One ingestion on a cluster over servers gives what one machine with a folder gives."""

import json
import tarfile
import uuid
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.digests import digests
from aegis_dagster.domain.seats import SeatFigures
from aegis_dagster.settings import Settings
from aegis_dagster.stores.catalog.seats import SeatReports
from aegis_dagster_tests.support.cli_process import Aegis
from aegis_dagster_tests.support.missing import missing
from aegis_dagster_tests.support.places import CORPORA, PEPS, SAMPLES
from aegis_dagster_tests.support.projects import bring_up, make_project
from aegis_dagster_tests.support.qdrant_server.running import QdrantStandIn
from aegis_dagster_tests.support.run_on_ray import start_run
from aegis_dagster_tests.support.servers.postgres import PostgresServer
from aegis_dagster_tests.support.servers.ray import RayCluster
from aegis_dagster_tests.support.servers.s3 import S3Server

pytestmark = pytest.mark.slow
_STEPS = ("parsed_documents", "enriched_images", "chunks", "embeddings", "knowledge_graph")
_DOCUMENTS = ("xlsx_comments.xlsx", "html_code_snippets.html", "docx_rich_cells.docx", "eml_simple.eml")
_PEPS = 3


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A collection of a few documents of each corpus."""
    if not CORPORA.is_dir():
        missing(f"the shared corpora are not at {CORPORA}")
    folder = tmp_path / "root" / "c"
    folder.mkdir(parents=True)
    documents = [CORPORA / "documents" / name for name in _DOCUMENTS]
    for path in [*documents, *(SAMPLES / "handbook").iterdir(), SAMPLES / "reports" / "annual-report-2025.pdf"]:
        (folder / path.name).write_bytes(path.read_bytes())
    with tarfile.open(PEPS) as archive:
        peps = [each for each in archive if each.isfile() and each.name.endswith(".rst")]
        for each in sorted(peps, key=lambda each: each.size)[:_PEPS]:
            read = archive.extractfile(each)
            assert read is not None
            (folder / Path(each.name).name).write_bytes(read.read())
    return tmp_path / "root"


async def test_steps_on_two_nodes_over_servers_end_with_the_digests_of_one_machine(
    root: Path,
    ray_of_the_run: RayCluster,
    postgres: PostgresServer,
    s3_server: S3Server,
    qdrant_server: QdrantStandIn,
    tmp_path: Path,
) -> None:
    embedded = make_project(tmp_path, root=root)
    await bring_up(embedded)
    wanted = digests(embedded)

    servers = {
        "database": postgres.new_database(),
        "artifacts": bucket(s3_server),
        "qdrant": {"url": qdrant_server.url},
    }
    workers = {"engine": "ray", "address": ray_of_the_run.address, "seats": 4}
    settings = {"root": str(root), "home": str(tmp_path / "cluster"), "workers": workers, **servers}
    (tmp_path / "aegis.yaml").write_text(json.dumps(settings), "utf-8")
    own = {"AEGIS_CONFIG": str(tmp_path / "aegis.yaml"), "DAGSTER_HOME": str(tmp_path / "dagster")}
    log = tmp_path / "log"
    process = start_run("c", _STEPS, Aegis(tmp_path / "cluster").environment() | own, log)
    assert process.wait(500) == 0, log.read_text("utf-8")

    spread = Project(Settings.model_validate(settings))
    assert digests(spread) == wanted
    assert len(spread.documents.all()) == len(list((root / "c").iterdir()))
    assert SeatReports(spread.engine, spread.clock).now() == SeatFigures()  # nothing was lost, nobody works any more
    spread.close()
    metadata = parsed_metadata(tmp_path / "dagster", own, pytest.MonkeyPatch())
    assert (metadata["ray/nodes"], metadata["ray/lost_workers"]) == (2, 0) and metadata["ray/seats"] >= 2


def bucket(server: S3Server) -> dict[str, Any]:
    """The settings of artifacts in a bucket of their own."""
    import fsspec

    name = f"aegis-{uuid.uuid4().hex[:12]}"
    fsspec.filesystem("s3", **server.options).mkdir(name)
    return {"url": f"s3://{name}/a", "options": server.options}


def parsed_metadata(home: Path, environment: dict[str, str], patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the materialization of the first step shows, by key; Dagster's storage is on the server, too."""
    with patch.context() as changed:
        for name, value in environment.items():
            changed.setenv(name, value)
        with dg.DagsterInstance.from_config(str(home)) as instance:
            event = instance.get_latest_materialization_event(dg.AssetKey(_STEPS[0]))
    assert event is not None and event.asset_materialization is not None
    return {key: value.value for key, value in event.asset_materialization.metadata.items()}
