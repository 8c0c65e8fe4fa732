"""What was lost, damaged or interrupted is mended by the next run."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from aegis_dagster.cli.document_view import document_values
from aegis_dagster.composition.project import Project
from aegis_dagster.digests import digests
from aegis_dagster.domain.stages import Document, Outcome, Stage, Status
from aegis_dagster.errors import DocumentError, OutsideRoot, ServiceError
from aegis_dagster.search import find_passages
from aegis_dagster.settings import Settings, load_settings
from aegis_dagster.settings.stages import ChunkSettings, ListingSettings, ParseSettings
from aegis_dagster.stages.context import StageReport, Workbench
from aegis_dagster.stages.runner import Work, run_each
from aegis_dagster_tests.support.llm_server import Behaviour, Kind, Rule, scripted_server
from aegis_dagster_tests.support.projects import bring_up, make_project, recorded, scan, work_of, write_documents
from aegis_dagster_tests.support.projects_with_models import SEEING, project_with_models, write_picture_document

NAMES = ["c/ant.txt", "c/bee.txt"]


async def built(folder: Path) -> Project:
    project = make_project(folder)
    write_documents(project.root, NAMES)
    await bring_up(project)
    return project


async def test_a_document_that_is_parsed_after_a_final_failure_goes_through_all_stages(tmp_path: Path) -> None:
    project = make_project(tmp_path, parse=ParseSettings(max_megabytes=1))
    write_documents(project.root, NAMES)
    (project.root / NAMES[0]).write_text("A long sentence about the harbour of Eastmere. " * 30_000)
    await bring_up(project)
    failed = {item.document_id for item in project.reports.failures()}
    assert failed == {NAMES[0]}
    project.catalog.reset_failures(list(failed))
    generous = make_project(tmp_path, parse=ParseSettings(max_megabytes=200))
    await bring_up(generous, stages=(Stage.PARSE,))
    assert {document.id for document in generous.reports.stale(generous.artifacts.exists)} == {NAMES[0]}
    work = work_of(await bring_up(generous))
    assert work["chunked"] == 1
    assert NAMES[0] in generous.vectors.counts_by_document()


async def test_a_vector_store_that_was_deleted_is_published_again_from_the_cache(tmp_path: Path) -> None:
    project = await built(tmp_path)
    before = digests(project)
    shutil.rmtree(project.settings.vectors_dir)
    again = make_project(tmp_path)
    work = work_of(await bring_up(again))
    assert work.keys() == {"chunks_from_cache"}
    assert digests(again) == before


async def test_artifacts_that_were_deleted_are_made_again(tmp_path: Path) -> None:
    project = await built(tmp_path)
    before = digests(project)
    shutil.rmtree(project.settings.artifacts_dir)
    assert len(project.reports.stale(project.artifacts.exists)) == len(NAMES)
    work = work_of(await bring_up(project))
    assert (work["parsed"], work["chunked"], work.get("chunks_embedded", 0)) == (2, 2, 0)
    assert digests(project) == before


async def test_a_damaged_artifact_fails_its_document_alone(tmp_path: Path) -> None:
    project = await built(tmp_path)
    document = project.documents.all()[0]
    wanted = project.states.one(document).wanted
    (project.artifacts.path(Stage.CHUNK, wanted[Stage.CHUNK]) / "chunks.json").write_text("{")
    await bring_up(project, stages=(Stage.EMBED, Stage.GRAPH), force=True)
    failures = project.reports.failures()
    assert {(item.document_id, item.stage, item.failure.code) for item in failures} == {
        (document.id, Stage.EMBED, "artifact_damaged"),
        (document.id, Stage.GRAPH, "artifact_damaged"),
    }


async def test_a_file_that_comes_back_before_its_traces_are_removed_is_published_again(tmp_path: Path) -> None:
    project = await built(tmp_path)
    before = digests(project)
    content = (project.root / NAMES[0]).read_bytes()
    (project.root / NAMES[0]).unlink()
    scan(project)
    gone = project.catalog.claim_deleted(limit=99)
    project.vectors.delete_documents(gone)  # the removal is killed here
    (project.root / NAMES[0]).write_bytes(content)
    scan(project)
    for stage in (Stage.EMBED, Stage.GRAPH):
        project.catalog.release(stage, gone)
    await bring_up(project)
    assert digests(project) == before


async def test_a_document_moved_over_another_is_not_parsed_again(tmp_path: Path) -> None:
    project = await built(tmp_path)
    (project.root / NAMES[0]).replace(project.root / NAMES[1])
    assert work_of(await bring_up(project)).keys() == {"chunks_from_cache"}
    assert project.vectors.counts_by_document().keys() == {NAMES[1]}


async def test_a_chain_of_renames_is_not_parsed_again(tmp_path: Path) -> None:
    project = await built(tmp_path)
    (project.root / NAMES[1]).rename(project.root / "c" / "cat.txt")
    (project.root / NAMES[0]).rename(project.root / NAMES[1])
    assert work_of(await bring_up(project)).keys() == {"chunks_from_cache"}
    assert project.vectors.counts_by_document().keys() == {NAMES[1], "c/cat.txt"}


async def test_points_of_other_chunks_under_the_same_fingerprint_go(tmp_path: Path) -> None:
    project = await built(tmp_path)
    document = project.documents.all()[0]
    wanted = project.states.one(document).wanted
    fingerprint = wanted[Stage.EMBED]
    assert project.vectors.counts_by_document()[document.id] > 0
    project.vectors.replace_documents([], {document.id: fingerprint})
    assert document.id not in project.vectors.counts_by_document()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda file: file.write_bytes(b""),
    "gone": lambda file: file.unlink(),
    "a letter": lambda file: file.write_bytes(file.read_bytes().replace(b"e", b"a", 1)),  # JSON all the same
    "a file more": lambda file: (file.parent / "more.json").write_text("{}"),
}


def damage(project: Project, document: Document, stage: Stage, file: str, how: str) -> None:
    DAMAGES[how](project.artifacts.path(stage, project.states.one(document).wanted[stage]) / file)


@pytest.mark.parametrize(
    ("stage", "file", "how"),
    [
        (Stage.PARSE, "manifest.json", "empty"),
        (Stage.PARSE, "document.json", "a letter"),
        (Stage.PARSE, "document.json", "gone"),
        (Stage.CHUNK, "report.json", "empty"),
        (Stage.CHUNK, "chunks.json", "a letter"),
        (Stage.CHUNK, "chunks.json", "a file more"),
    ],
)
async def test_what_is_damaged_is_made_again_by_the_stage_that_needs_it(
    tmp_path: Path, stage: Stage, file: str, how: str
) -> None:
    project = await built(tmp_path)
    document = project.documents.all()[0]
    before = project.artifacts.digest()
    damage(project, document, stage, file, how)
    shutil.copy(project.root / document.id, project.root / "c" / "copy.txt")
    work = work_of(await bring_up(project))
    assert project.reports.failures() == []
    assert work == {"chunks_from_cache": work["chunks_from_cache"], "parsed" if stage is Stage.PARSE else "chunked": 1}
    assert project.artifacts.digest() == before
    assert await find_passages(project, "What was inspected by Priya Raman?", limit=3)


async def test_a_parsed_document_that_was_damaged_is_parsed_again_by_the_next_run(tmp_path: Path) -> None:
    document = (await built(tmp_path)).documents.all()[0]
    project = make_project(tmp_path, chunk=ChunkSettings(max_tokens=64))
    damage(project, document, Stage.PARSE, "document.json", "a letter")
    await bring_up(project, stages=(Stage.CHUNK,))
    (failure,) = project.reports.failures()
    assert (failure.document_id, failure.failure.code) == (document.id, "artifact_damaged")
    assert "aegis ingest" in failure.failure.remedy
    work = work_of(await bring_up(project))
    assert (work["parsed"], work["chunked"]) == (1, 1)
    assert project.reports.failures() == []


@pytest.mark.parametrize("how", ["a letter", "gone"])
async def test_damage_that_search_or_show_meets_is_named_by_status_until_the_next_run(tmp_path: Path, how: str) -> None:
    project = await built(tmp_path)
    first, second = project.documents.all()
    before = digests(project)
    for document in (first, second):
        damage(project, document, Stage.CHUNK, "chunks.json", how)
    assert await find_passages(project, "What was inspected by Priya Raman?", limit=20) == []
    failures = project.reports.failures()
    assert [(item.document_id, item.stage, item.failure.code) for item in failures] == [
        (document.id, Stage.CHUNK, "artifact_damaged") for document in (first, second)
    ]
    assert work_of(await bring_up(project)).keys() == {"chunked", "chunks_from_cache"}
    assert project.reports.failures() == []
    assert digests(project) == before
    damage(project, first, Stage.PARSE, "document.json", how)
    with pytest.raises(DocumentError, match="parse is damaged"):
        document_values(project, first.id)
    assert [item.stage for item in project.reports.failures()] == [Stage.PARSE]
    assert work_of(await bring_up(project))["parsed"] == 1
    assert digests(project) == before
    assert document_values(project, first.id)["status"] == "done"


async def test_an_artifact_of_an_older_version_has_no_checksums_and_is_read_all_the_same(tmp_path: Path) -> None:
    project = await built(tmp_path)
    before = digests(project)
    for file in project.settings.artifacts_dir.rglob("checksums.json"):
        file.unlink()
    assert digests(project) == before
    document = project.documents.all()[0]
    assert document_values(project, document.id)["chunks"]
    damage(project, document, Stage.CHUNK, "report.json", "empty")
    with pytest.raises(DocumentError, match=r"report\.json"):
        document_values(project, document.id)


async def test_a_picture_that_no_model_would_describe_is_not_paid_again_when_its_result_is_lost(tmp_path: Path) -> None:
    with scripted_server() as server:
        server.script([Rule(Behaviour(Kind.REFUSED), model=SEEING)])
        project = project_with_models(tmp_path, server)
        write_picture_document(project.root / "c" / "report.docx")
        await bring_up(project, stages=(Stage.PARSE, Stage.ENRICH))
        calls = server.counts()["calls"]
        assert calls
        shutil.rmtree(project.settings.artifacts_dir / "enrich")
        await bring_up(project, stages=(Stage.PARSE, Stage.ENRICH))
        assert server.counts()["calls"] == calls
        assert not project.reports.failures()


async def test_search_finds_a_document_that_waits_to_be_chunked_anew(tmp_path: Path) -> None:
    project = await built(tmp_path)
    (project.root / NAMES[0]).write_text("Something else entirely.")
    scan(project)
    found = {hit.document for hit in await find_passages(project, "What was inspected by Priya Raman?", limit=20)}
    assert found == set(NAMES)


async def test_a_service_that_breaks_leaves_no_claim_behind(tmp_path: Path) -> None:
    project = make_project(tmp_path, parse=ParseSettings(workers=3))
    write_documents(project.root, ["c/a.txt"])
    for copy in ("c/b.txt", "c/c.txt"):
        shutil.copy(project.root / "c/a.txt", project.root / copy)
    scan(project)

    async def breaks(work: Work, bench: Workbench, report: StageReport) -> Outcome:
        await asyncio.sleep(0.1)
        raise ServiceError("The store is down.", remedy="start it.")

    async with project.workbench() as bench:
        documents: Sequence[Document] = project.documents.all()
        with pytest.raises(ServiceError):
            await run_each(Stage.PARSE, documents, bench, breaks)
        states = recorded(project)
        assert {found[Stage.PARSE].status for found in states.values() if found} == {Status.PENDING}
    other = make_project(tmp_path)
    assert work_of(await bring_up(other))["parsed"] == 1


async def test_something_foreign_in_the_staging_folder_stops_nothing(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, NAMES)
    staging = project.settings.artifacts_dir / "staging"
    staging.mkdir(parents=True)
    (staging / ".DS_Store").write_bytes(b"x")
    (staging / "otherhost|12|1.00|ab").mkdir()
    assert work_of(await bring_up(project))["parsed"] == 2


def test_a_path_is_taken_by_where_it_leads(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, NAMES)
    assert project.scope_of(project.root / "c" / ".." / "c" / "ant.txt") == "c/ant.txt"
    assert project.scope_of(project.root / "c" / "..") == ""
    (tmp_path / "link").symlink_to(project.root)
    assert project.scope_of(tmp_path / "link" / "c") == "c"
    with pytest.raises(OutsideRoot, match="aegis ingest"):
        project.scope_of(project.root / ".." / "elsewhere.txt")


def test_a_name_is_found_however_its_accents_are_stored(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, ["Gru\u0308n/Pru\u0308fung.txt", "c/ant.txt"])
    scan(project)
    stored = "Gru\u0308n/Pru\u0308fung.txt"
    assert project.scope_of(project.root / "Grün" / "Prüfung.txt") == stored
    assert project.scope_of(project.root / "Grün" / "nothing ü.txt") == "Gru\u0308n/nothing ü.txt"
    for typed in ("Grün/Prüfung.txt", "Prüfung.txt", "Prüf", stored):
        assert project.reports.find(typed).id == stored


def test_a_scope_is_scanned_by_the_rules_of_the_whole_root(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, ["c/ant.txt", ".git/config.txt", "d/.x/y.txt"])
    write_documents(tmp_path / "outside", ["o.txt"])
    (project.root / "leaves").symlink_to(tmp_path / "outside")
    (project.root / "inner").symlink_to(project.root / "c")

    def seen(scope: str) -> list[str]:
        return sorted(project.source.scan({}, scope).files)

    assert seen("c") == seen("c/ant.txt") == ["c/ant.txt"]
    for scope in (".git", ".git/config.txt", "d/.x/y.txt", "leaves", "leaves/o.txt", "inner", "inner/ant.txt", "none"):
        assert seen(scope) == []


async def test_a_home_below_the_root_is_not_taken_for_documents(tmp_path: Path) -> None:
    project = make_project(tmp_path, home=tmp_path / "root" / "state")
    write_documents(project.root, NAMES)
    await bring_up(project)
    assert work_of(await bring_up(project)) == {}
    assert [document.id for document in project.documents.all()] == NAMES


def test_another_home_has_its_own_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "first"))
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "root").write_text(str(tmp_path / f"{name}-documents"))
    assert load_settings().root == tmp_path / "first-documents"
    assert load_settings(tmp_path / "second").root == tmp_path / "second-documents"
    assert Settings(listing=ListingSettings(settle_seconds=0)).root is None
