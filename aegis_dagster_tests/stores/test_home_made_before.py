"""A home that an older commit made is read: what it knows is found, and nothing that was computed is paid again.

`home_of_648a8ee.tar.xz` was made by commit 648a8ee: `aegis ingest` over three text documents and an empty file, then
the graph of one document put off with that commit's own `Catalog` as if a provider's budget had not sufficed. Its
`digests.json` is what that commit said of it. Files are parsed and cut anew since, by other rules; where the passages
are the same, their vectors and their evidence come from the caches. Its vectors lie in the folder of another engine.
"""

import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.costs.assets import waiting_for_money
from aegis_dagster.digests import digests
from aegis_dagster.domain.accounts import PutOff
from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.planning.plan import look, plan
from aegis_dagster.search import find_passages
from aegis_dagster.settings import Settings
from aegis_dagster.settings.stages import ListingSettings
from aegis_dagster_tests.support.projects import bring_up, work_of

WAITS, FAILED = "notes/wait.txt", "notes/empty.txt"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    with tarfile.open(Path(__file__).with_name("home_of_648a8ee.tar.xz")) as archive:
        archive.extractall(tmp_path, filter="data")
    settings = Settings(home=tmp_path / "home", root=tmp_path / "root", listing=ListingSettings(settle_seconds=0))
    return Project(settings)


def test_its_digests_are_the_same_and_a_run_would_read_its_files_again(project: Project) -> None:
    (notes,) = project.reports.summaries()
    assert notes.by_status == Counter({Status.PENDING: 2, Status.FAILED: 1, Status.DEFERRED: 1})
    sight = look(project)
    work = {stage.stage: dict(stage.work) for stage in plan(project, sight.documents, sight).stages}
    assert sorted(work[Stage.PARSE]) == sorted(document.id for document in project.documents.all())
    before = json.loads((project.settings.home / "digests.json").read_text())
    assert {**digests(project), "vectors": "", "all": ""} == {**before, "vectors": "", "all": ""}


def test_who_waits_for_money_is_told_without_the_fields_that_it_has_not(project: Project) -> None:
    why = "Too little money is left for provider cloud in 2026-11: limit 0 USD."
    assert waiting_for_money(project) == {PutOff("budget", why): 1}


async def test_its_passages_are_found_and_a_run_tries_what_waits_again(project: Project) -> None:
    (hit,) = await find_passages(project, "Who built the tide gauge of Eastmere?", limit=1)
    assert hit.document == "notes/tide.txt"
    assert "Ada Marsh" in hit.text
    reports = await bring_up(project)
    assert work_of(reports) == {"parsed": 3, "chunked": 3, "chunks_from_cache": 3}
    assert reports[Stage.GRAPH].outcomes == Counter({Status.DONE: 3, Status.SKIPPED: 1})
    assert not (project.settings.home / "qdrant").exists()  # vectors by qdrant-client: read until all were here
    assert project.vectors.count() == project.reports.embedded_points() == 3
    assert digests(project)["evidence"] == json.loads((project.settings.home / "digests.json").read_text())["evidence"]
    assert [item.document_id for item in project.reports.failures()] == [FAILED]
    assert project.reports.stale(project.artifacts.exists) == []
