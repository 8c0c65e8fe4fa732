"""One document through the LangGraph pipeline, over the same catalog and stores as the Dagster assets."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from aegis_dagster.digests import digests
from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import OutsideRoot, UnknownDocument
from aegis_dagster.pipeline import (
    NODES,
    IngestionPipeline,
    IngestionState,
    chunking_node,
    create_initial_state,
    docling_extraction_node,
    embedding_node,
    graph_extraction_node,
    image_enrichment_node,
    memory_check_node,
)
from aegis_dagster.pipeline.state import PROGRESS
from aegis_dagster_tests.support.places import SAMPLES
from aegis_dagster_tests.support.projects import bring_up, make_project, write_documents

STATUSES = ("docling_status", "enrichment_status", "chunking_status", "embedding_status", "graph_status")


def statuses(state: IngestionState) -> dict[str, object]:
    values: Mapping[str, object] = state
    return {key: values[key] for key in STATUSES}


def test_progress_ends_at_a_hundred() -> None:
    assert sum(PROGRESS.values()) == 100.0
    assert PROGRESS.keys() == NODES.keys()


async def test_a_document_goes_through_all_six_nodes(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, ["c/a.txt"])
    state = await IngestionPipeline(project).run(project.root / "c/a.txt")
    assert statuses(state) == {
        "docling_status": "completed",
        "enrichment_status": "skipped",
        "chunking_status": "completed",
        "embedding_status": "completed",
        "graph_status": "completed",
    }
    assert state["overall_progress"] == 100.0
    assert state["errors"] == {}
    assert state["memory_check_passed"] and state["current_memory_mb"] > 0
    assert state["document_id"] == "c/a.txt"
    assert state["parsed_content"]["characters"] > 0
    assert Path(state["parsed_content"]["artifact"]).is_dir()
    assert [item["chunk"]["id"] for item in state["chunks"]] == state["embedded_chunk_ids"]
    assert all({"chunk", "image_bboxes"} <= item.keys() for item in state["chunks"])
    assert "Priya Raman" in {entity["name"] for entity in state["entities"]}
    assert state["relations"]


async def test_it_leaves_the_stores_as_the_assets_do(tmp_path: Path) -> None:
    names = ["c/a.txt", "c/b.txt", "d/a.txt"]
    one, other = make_project(tmp_path / "pipeline"), make_project(tmp_path / "stages")
    for project in (one, other):
        write_documents(project.root, names)
    pipeline = IngestionPipeline(one)
    for name in names:
        await pipeline.run(one.root / name)
    await bring_up(other)
    assert digests(one) == digests(other)


async def test_a_second_run_computes_nothing_and_tells_the_same(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, ["c/a.txt"])
    pipeline = IngestionPipeline(project)
    first = await pipeline.run(project.root / "c/a.txt")
    again = await pipeline.run(project.root / "c/a.txt")
    changing = {"current_memory_mb", "current_vram_mb"}
    assert {key: value for key, value in again.items() if key not in changing} == {
        key: value for key, value in first.items() if key not in changing
    }
    assert [report.work.total() for report in pipeline.reports] == [0] * len(Stage)


async def test_a_document_that_cannot_be_parsed_ends_with_its_reason_and_full_progress(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    (project.root / "bad.pdf").write_bytes(b"")
    state = await IngestionPipeline(project).run(project.root / "bad.pdf")
    assert state["docling_status"] == "failed"
    assert list(statuses(state).values())[1:] == ["skipped"] * 4
    assert state["overall_progress"] == 100.0
    (message,) = state["errors"]["docling_extraction"]
    assert "empty_file" in message and "Remedy:" in message


async def test_without_enough_memory_it_stops_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_MEMORY_NEEDED_MB", str(10**9))
    project = make_project(tmp_path)
    write_documents(project.root, ["a.txt"])
    state = await IngestionPipeline(project).run(project.root / "a.txt")
    assert not state["memory_check_passed"]
    assert "Remedy:" in state["errors"]["memory_check"][0]
    assert set(statuses(state).values()) == {"pending"}
    assert project.documents.all() == []


async def test_each_node_can_be_called_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AEGIS_LISTING__SETTLE_SECONDS", "0")
    write_documents(tmp_path / "docs", ["a.txt"])
    state = create_initial_state(document_path=str(tmp_path / "docs" / "a.txt"))
    assert state["overall_progress"] == 0.0 and state["docling_status"] == "pending"
    for node in (
        memory_check_node,
        docling_extraction_node,
        image_enrichment_node,
        chunking_node,
        embedding_node,
        graph_extraction_node,
    ):
        state = await node(state)
    assert state["overall_progress"] == 100.0
    assert state["embedding_status"] == state["graph_status"] == "completed"


async def test_a_path_outside_the_root_or_to_nothing_is_refused(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(tmp_path / "elsewhere", ["a.txt"])
    with pytest.raises(OutsideRoot, match="aegis ingest"):
        await IngestionPipeline(project).run(tmp_path / "elsewhere" / "a.txt")
    with pytest.raises(UnknownDocument):
        await IngestionPipeline(project).run(project.root / "nothing.txt")


@pytest.mark.slow
async def test_a_pdf_with_pictures_brings_their_words_to_the_chunks_with_page_and_box(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    report = project.root / "annual-report-2025.pdf"
    report.write_bytes((SAMPLES / "reports" / "annual-report-2025.pdf").read_bytes())
    state = await IngestionPipeline(project).run(report)
    assert state["enrichment_status"] == "completed"
    described = [entry for entry in state["vlm_metadata"] if entry["text"]]
    assert described and described[0]["described_by"].startswith("ocr/")
    words = described[0]["text"].split()[0]
    with_picture = [item for item in state["chunks"] if item["image_bboxes"]]
    assert any(words in item["chunk"]["text"] for item in with_picture)
    for item in with_picture:
        for box in item["image_bboxes"]:
            page = state["page_dimensions"][box["page_no"]]
            assert 0 <= box["left"] < box["right"] <= page["width"] + 1
            assert 0 <= box["top"] < box["bottom"] <= page["height"] + 1
            assert box["page_no"] in item["chunk"]["pages"]
