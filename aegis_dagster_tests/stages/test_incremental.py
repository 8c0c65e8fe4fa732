"""Only what changed is worked on, and the result equals a build from scratch."""

import random
import shutil
from pathlib import Path

import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.digests import digests
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.errors import ServiceError
from aegis_dagster.settings.stages import ChunkSettings, CollectionPolicy
from aegis_dagster.stages.parse import parse_documents
from aegis_dagster_tests.support.projects import (
    bring_up,
    document_text,
    make_project,
    recorded,
    scan,
    work_of,
    write_documents,
)

NAMES = [f"c{number % 2}/{topic}.txt" for number, topic in enumerate(("ant", "bee", "cat", "dog", "elk", "fox"))]


async def from_scratch(project: Project, folder: Path) -> dict[str, str]:
    """The digests of a new project over a copy of the same root."""
    shutil.copytree(project.root, folder / "root")
    fresh = make_project(folder)
    await bring_up(fresh)
    return digests(fresh)


def statuses(project: Project) -> dict[str, dict[Stage, Status]]:
    documents = project.documents.all()
    states = recorded(project)
    return {
        document.id: {stage: state.status for stage, state in states[document.id].items()} for document in documents
    }


async def test_a_second_run_does_nothing_and_changes_nothing(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, NAMES)
    first = work_of(await bring_up(project))
    before = digests(project)
    again = work_of(await bring_up(project))
    assert first["parsed"] == first["chunked"] == len(NAMES)
    assert first["chunks_embedded"] > len(NAMES)
    assert again == {}
    assert digests(project) == before


async def test_a_changed_paragraph_embeds_and_extracts_only_its_chunk(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, NAMES)
    await bring_up(project)
    text = document_text(NAMES[0]).replace("in part 2", "in part 2 and once more on Friday")
    (project.root / NAMES[0]).write_text(text)
    work = work_of(await bring_up(project))
    cached = work.pop("chunks_from_cache")
    assert work == {"parsed": 1, "chunked": 1, "chunks_embedded": 1, "chunks_extracted": 1}
    assert cached > 0
    assert digests(project) == await from_scratch(project, tmp_path / "fresh")


async def test_any_history_of_edits_ends_like_a_build_from_scratch(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    chance = random.Random(7)
    for _ in range(6):
        for name in NAMES:
            path = project.root / name
            action = chance.choice(("write", "edit", "delete", "rename", "leave"))
            if action == "write":
                write_documents(project.root, [name], paragraphs=chance.randrange(1, 6))
            elif action == "edit" and path.exists():
                path.write_text(path.read_text() + f"\nA remark of {chance.randrange(99)}.\n")
            elif action == "delete":
                path.unlink(missing_ok=True)
            elif action == "rename" and path.exists():
                path.rename(path.with_name(f"{path.stem}-{chance.randrange(9)}.txt"))
        await bring_up(project, confirmed=True)
    assert digests(project) == await from_scratch(project, tmp_path / "fresh")


async def test_a_moved_document_keeps_what_was_computed(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, NAMES)
    await bring_up(project)
    (project.root / "c1" / "moved.txt").write_bytes((project.root / NAMES[0]).read_bytes())
    (project.root / NAMES[0]).unlink()
    work = work_of(await bring_up(project))
    assert work.keys() == {"chunks_from_cache"}
    assert digests(project) == await from_scratch(project, tmp_path / "fresh")


async def test_equal_files_are_two_documents_and_parsed_once(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, ["a/x.txt"])
    for copy in ("a/y.txt", "b/x.txt"):
        (project.root / copy).parent.mkdir(exist_ok=True)
        shutil.copy(project.root / "a/x.txt", project.root / copy)
    work = work_of(await bring_up(project))
    assert (work["parsed"], work["chunked"]) == (1, 1)
    points = project.vectors.counts_by_document()
    assert points.keys() == {"a/x.txt", "a/y.txt", "b/x.txt"}
    (project.root / "a/x.txt").unlink()
    await bring_up(project)
    assert project.vectors.counts_by_document() == {name: count for name, count in points.items() if name != "a/x.txt"}
    assert work_of(await bring_up(project)) == {}


async def test_a_deleted_document_leaves_every_store_and_shared_entities_stay(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, NAMES)
    await bring_up(project)
    (project.root / NAMES[0]).unlink()
    await bring_up(project)
    gone = DocumentId(NAMES[0])
    assert gone not in {document.id for document in project.documents.all()}
    assert gone not in project.vectors.counts_by_document()
    assert gone not in project.evidence.chunk_counts_by_document()
    assert len(list((project.settings.artifacts_dir / "parse").glob("*/*"))) == len(NAMES) - 1
    assert project.graph.find_entity("Priya Raman").document_count == len(NAMES) - 1
    assert project.evidence.verify() == []


async def test_a_mass_deletion_is_held_until_it_is_confirmed(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    names = [f"c/{number}.txt" for number in range(12)]
    write_documents(project.root, names, paragraphs=1)
    scan(project)
    for name in names:
        (project.root / name).unlink()
    held = scan(project)
    assert held.deletions_held == 12
    assert "--confirm-deletions" in held.held_message
    assert len(project.documents.all()) == 12
    scan(project, confirmed=True)
    assert project.documents.all() == []


async def test_a_document_that_turns_bad_loses_its_old_passages_and_gets_them_back(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, NAMES)
    await bring_up(project)
    before = digests(project)
    good = (project.root / NAMES[0]).read_bytes()
    (project.root / NAMES[0]).write_bytes(b"\x00\x01\x02\x03" * 50)
    await bring_up(project)
    assert statuses(project)[NAMES[0]] == {
        Stage.PARSE: Status.FAILED,
        **dict.fromkeys((Stage.ENRICH, Stage.CHUNK, Stage.EMBED, Stage.GRAPH), Status.SKIPPED),
    }
    assert NAMES[0] not in project.vectors.counts_by_document()
    assert NAMES[0] not in project.evidence.chunk_counts_by_document()
    assert digests(project) == await from_scratch(project, tmp_path / "fresh")
    (project.root / NAMES[0]).write_bytes(good)
    await bring_up(project)
    assert digests(project) == before


async def test_a_setting_makes_only_the_stages_below_it_work_again(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, NAMES)
    await bring_up(project)
    smaller = make_project(tmp_path, chunk=ChunkSettings(max_tokens=48))
    work = work_of(await bring_up(smaller))
    assert "parsed" not in work
    assert work["chunked"] == len(NAMES)
    assert work["chunks_embedded"] > 0


async def test_a_collection_with_the_graph_switched_off_has_no_evidence(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, NAMES)
    await bring_up(project)
    policy = {"c0": CollectionPolicy(graph=False)}
    without = make_project(tmp_path, collections=policy)
    assert work_of(await bring_up(without)) == {}
    assert all(name.startswith("c1/") for name in without.evidence.chunk_counts_by_document())
    await bring_up(make_project(tmp_path))
    assert len(project.evidence.chunk_counts_by_document()) == len(NAMES)


async def test_force_repairs_a_view_that_was_damaged_without_embedding_anything(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, NAMES)
    await bring_up(project)
    before = digests(project)
    shutil.rmtree(project.settings.vectors_dir)
    damaged = make_project(tmp_path)
    work = work_of(await bring_up(damaged, stages=(Stage.EMBED,), force=True))
    assert work.keys() == {"chunks_from_cache"}
    assert digests(damaged) == before


async def test_force_parses_again_and_comes_to_the_same(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, NAMES)
    await bring_up(project)
    before = digests(project)
    work = work_of(await bring_up(project, force=True))
    assert (work["parsed"], work["chunked"], work.get("chunks_embedded", 0)) == (len(NAMES), len(NAMES), 0)
    assert digests(project) == before


async def test_a_file_that_changes_after_the_listing_is_taken_at_the_next_one(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, NAMES)
    scan(project)
    (project.root / NAMES[0]).write_text("Other bytes than those that were listed.")
    async with project.workbench() as bench:
        report = await parse_documents(project.documents.all(), bench)
    assert [(name, failure.code, failure.retryable) for name, failure in report.failures] == [
        (NAMES[0], "file_changed", True)
    ]
    await bring_up(project)
    assert digests(project) == await from_scratch(project, tmp_path / "fresh")


@pytest.mark.parametrize("stage", [Stage.PARSE, Stage.CHUNK])
async def test_an_artifact_store_that_cannot_be_written_stops_the_step_and_loses_nothing(
    tmp_path: Path, stage: Stage
) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, NAMES)
    await bring_up(project, stages=tuple(Stage)[: list(Stage).index(stage)])
    blocked = project.settings.artifacts_dir / stage
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("a file where a folder should be")
    with pytest.raises(ServiceError, match=r"artifact store .* (cannot|may not) be"):
        await bring_up(project, stages=(stage,))
    blocked.unlink()
    work = work_of(await bring_up(project))
    assert work["chunked"] == len(NAMES)
    assert all(attempts <= 1 for attempts in _attempts(project))


def _attempts(project: Project) -> list[int]:
    states = recorded(project)
    return [state.attempts for found in states.values() for state in found.values()]
