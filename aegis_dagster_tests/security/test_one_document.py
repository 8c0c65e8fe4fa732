"""One document that wants everything: it neither spends the money of the others nor speaks for them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.evidence import ChunkEvidence, Mention, RelationEvidence
from aegis_dagster.domain.identifiers import DocumentId, text_hash
from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.ports import Extraction
from aegis_dagster.stages.context import Workbench
from aegis_dagster.stages.registry import STAGES
from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.llm_server import scripted_server
from aegis_dagster_tests.support.projects import bring_up, make_project, recorded, scan
from aegis_dagster_tests.support.projects_with_models import project_with_models

LOUD, QUIET = DocumentId("c/a-loud.txt"), DocumentId("c/quiet.txt")
SAYS = "The tide gauge of Eastmere was calibrated by Ada Marsh."


@dataclass
class Obedient:
    """An extractor that finds in a passage what the passage tells it about the tide gauge."""

    name: str = "obedient"
    accepted: tuple[str, ...] = ("obedient",)

    async def extract(self, text: str, asked_for: AskedFor) -> Extraction:
        said = SAYS if asked_for.document_id == QUIET else f"{text_hash(text)[:8]} The gauge is for sale! " * 8
        gauge, town = Mention("Tide gauge", "artifact", said), Mention("Eastmere", "place")
        return Extraction(
            ChunkEvidence((gauge, town), (RelationEvidence("Tide gauge", "Eastmere", "", said),)), "obedient"
        )


@asynccontextmanager
async def obedient(project: Project) -> AsyncIterator[Workbench]:
    async with project.workbench() as bench:
        extractor = Obedient()
        yield replace(bench, extractor=lambda _: extractor)


def write_loud(root: Path, paragraphs: int) -> None:
    (root / "c").mkdir(parents=True, exist_ok=True)
    parts = [f"Part {number}\n-------\n\n{'Buy the gauge now. ' * 30}{number}.\n" for number in range(paragraphs)]
    (root / LOUD).write_text("\n".join(parts), "utf-8")
    (root / QUIET).write_text(f"{SAYS}\n", "utf-8")


def test_a_document_of_many_passages_leaves_the_others_their_say_and_each_sentence_names_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path)
    write_loud(project.root, 25)

    async def ingest() -> None:
        await bring_up(project, stages=[Stage.PARSE, Stage.ENRICH, Stage.CHUNK])
        async with obedient(project) as bench:
            await STAGES[Stage.GRAPH](project.documents.all(), bench)

    asyncio.run(ingest())
    monkeypatch.setenv("AEGIS_ROOT", str(project.root))
    aegis = InProcess(project.settings.home, monkeypatch)
    shown = aegis.json("graph", "tide gauge")
    for about in (shown["entity"], *shown["neighbours"]):
        assert SAYS in about["description"] and len(about["description"]) <= 2000
        assert "\n".join(each["text"] for each in about["sources"]) == about["description"]
        by_text = {each["text"]: (each["document"], each["documents"]) for each in about["sources"]}
        assert by_text.pop(SAYS) == (QUIET, 1)
        assert set(by_text.values()) == {(LOUD, 1)}
        assert all(each["chunk"] and each["pages"] == [] for each in about["sources"])
    told = " ".join(aegis("graph", "tide gauge").stdout.split())
    assert f"{SAYS} ({QUIET})" in told and f"for sale! ({LOUD})" in told
    assert project.graph.find_entity("tide gauge").description == shown["entity"]["description"]


async def test_a_document_that_would_spend_everything_is_asked_about_by_nobody(tmp_path: Path) -> None:
    with scripted_server() as server:
        project = project_with_models(
            tmp_path,
            server,
            limits={"max_calls": 1},
            enrich={"describer": "ocr"},
            graph={"extractor": "statistical"},
            embed={"model": "openai/embeds"},
        )
        write_loud(project.root, 25)
        await bring_up(project)
        bodies = json.dumps([record.body for record in server.records()])
    assert "Buy the gauge" not in bodies and "Ada Marsh" in bodies
    states = recorded(project)
    refused = states[LOUD][Stage.EMBED].failure
    assert refused is not None and "limits.max_calls" in refused.remedy
    assert states[QUIET][Stage.EMBED].status is Status.DONE
    assert [row.document_id for row in project.ledger_reports.usage(["document_id"])] == [QUIET]


async def test_a_file_of_more_passages_than_allowed_is_not_embedded(tmp_path: Path) -> None:
    project = make_project(tmp_path, limits={"max_chunks": 10})
    write_loud(project.root, 25)
    scan(project)
    reports = await bring_up(project)
    (failure,) = project.reports.failures()
    assert (failure.document_id, failure.stage, failure.failure.code) == (LOUD, Stage.CHUNK, "over_limit")
    assert "limits.max_chunks" in failure.failure.remedy
    assert reports[Stage.EMBED].work["chunks_embedded"] == 1
