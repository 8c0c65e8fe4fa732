"""`aegis forecast`: what is left to ask, of whom, for how much, without asking anybody."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.accounts import AccountKey, AccountKind, Reservation, Settlement
from aegis_dagster.domain.chunks import Chunk
from aegis_dagster.domain.fingerprints import wanted_fingerprints
from aegis_dagster.domain.identifiers import text_hash
from aegis_dagster.domain.llm import AskedFor, TaskType
from aegis_dagster.domain.money import NanoUsd, month_of
from aegis_dagster.domain.prices import Usage
from aegis_dagster.domain.stages import Document, Failure, Outcome, Stage, Status
from aegis_dagster.errors import ConfigurationError, FailureCode
from aegis_dagster.planning.forecast import forecast
from aegis_dagster.planning.plan import look
from aegis_dagster.ports import Extraction
from aegis_dagster_tests.support.counting import database_work, opened_below
from aegis_dagster_tests.support.projects import make_project, recorded, scan

VISION = TaskType.IMAGE_DESCRIPTION
READING = TaskType.ENTITY_EXTRACTION


@pytest.fixture(autouse=True)
def openai_has_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-used")


def rows_of(project: Project, documents: Sequence[Document] | None = None) -> list[dict[str, Any]]:
    """The rows of a forecast over all documents of the catalog."""
    rows: list[dict[str, Any]] = forecast(project, documents or project.documents.all()).to_json()["rows"]
    return rows


def calls_of(project: Project) -> dict[str, int]:
    return {str(row["stage"]): row["calls"] for row in rows_of(project)}


def add_files(project: Project, **sizes: int) -> None:
    """Text files of so many bytes, listed; `letters__a=900` is letters/a.txt."""
    for name, size in sizes.items():
        path = project.root / f"{name.replace('__', '/')}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((name + " ") * (size // (len(name) + 1) + 1), "utf-8")
        with path.open("r+") as file:
            file.truncate(size)
    scan(project)


def finish(project: Project, stage: Stage, status: Status, document: Document, **facts: object) -> None:
    """Record an outcome under the fingerprint that is wanted now."""
    states = recorded(project)[document.id]
    wanted = wanted_fingerprints(document, project.identities, states)[stage]
    project.catalog.claim(stage, {document.id: (document.revision, wanted)})
    project.catalog.finish(stage, {document.id: (wanted, Outcome(status, dict(facts)))})


def artifact(project: Project, stage: Stage, document: Document, files: dict[str, object]) -> None:
    states = recorded(project)[document.id]
    wanted = wanted_fingerprints(document, project.identities, states)[stage]
    with project.artifacts.staging(stage, wanted, replace=True) as folder:
        for name, values in files.items():
            (folder / name).write_text(json.dumps(values), "utf-8")


def parse(project: Project, document: Document, *, pictures: int = 0, characters: int = 0) -> None:
    """As if the document had been parsed."""
    facts = {"pictures": pictures, "characters": characters}
    artifact(project, Stage.PARSE, document, {"manifest.json": facts})
    finish(project, Stage.PARSE, Status.DONE, document, **facts)


def chunk(project: Project, document: Document, texts: Sequence[str]) -> None:
    """As if a parsed document without pictures had been chunked into these texts."""
    finish(project, Stage.ENRICH, Status.SKIPPED, document, why="no pictures")
    chunks = [Chunk(number, text, text).to_json() for number, text in enumerate(texts)]
    artifact(project, Stage.CHUNK, document, {"chunks.json": chunks, "report.json": {}})
    finish(project, Stage.CHUNK, Status.DONE, document, chunks=len(chunks))


def spend(project: Project, usage: Usage, calls: int, *, cost: int = 0, task_type: TaskType = READING) -> None:
    """Calls in the ledger of gpt-4.1-mini that took so much each."""

    async def run() -> None:
        ledger = project.models("before").ledger
        for number in range(calls):
            name = f"{task_type}-{number}"
            reservation = Reservation(
                name, "openai", "gpt-4.1-mini", task_type, AskedFor(), "before", 1, NanoUsd(max(cost, 1)), "v", 60
            )
            assert await ledger.reserve(reservation) is None
            await ledger.settle(Settlement(name, "ok", usage, NanoUsd(cost), 0.1))
        await ledger.aclose()

    asyncio.run(run())


def test_files_that_nobody_parsed_are_estimated_from_their_bytes(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    add_files(project, a=900, b=9_001)
    shown = forecast(project, project.documents.all())
    (row,) = shown.to_json()["rows"]
    assert (row["stage"], row["provider"], row["model"]) == ("graph", "openai", "gpt-4.1-mini")
    assert (row["calls"], row["documents"], row["basis"]) == (1 + 11, 2, "guess")
    assert shown.estimated_documents == 2
    assert row["cost_nanousd"] == row["input_tokens"] * 400 + row["output_tokens"] * 1600 > 0
    assert row["output_tokens"] == 12 * 700


def test_five_documents_of_a_format_replace_the_table(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    add_files(project, **{f"done__{number}": 1000 for number in range(5)}, new__one=2000)
    for document in project.documents.all():
        if document.collection == "done":
            parse(project, document, characters=1000)
            chunk(project, document, ["same text", "and another", "a third"])
    new = [document for document in project.documents.all() if document.collection == "new"]
    assert rows_of(project, new)[0]["calls"] == 6  # 3 chunks in 1,000 bytes; the table says 3


def test_a_parsed_document_is_counted_by_its_characters_and_its_pictures(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    add_files(project, report=9_000)
    (document,) = project.documents.all()
    parse(project, document, pictures=7, characters=1_601)
    assert calls_of(project) == {"enrich": 7, "graph": 3 + 7}


def test_known_chunks_are_counted_once_and_without_what_the_cache_holds(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    add_files(project, a=800, b=800)
    for document in project.documents.all():
        parse(project, document, characters=800)
        chunk(project, document, ["equal text", f"text of {document.id}"])
    shown = forecast(project, project.documents.all())
    assert (shown.totals.calls, shown.documents, shown.estimated_documents) == (3, 2, 0)
    extractor = project.choices.extractor(project.documents.all()[0].collection)
    found = asyncio.run(extractor.extract("  ", AskedFor()))  # blank: no call
    assert isinstance(found, Extraction)
    project_cache(project, extractor.name, found, "equal text", "text of a.txt")
    assert calls_of(project) == {"graph": 1}


def project_cache(project: Project, extractor: str, found: Extraction, *texts: str) -> None:
    from aegis_dagster.stores.caches import ExtractionCache

    ExtractionCache(project.engine).put(extractor, {text_hash(text): found.evidence for text in texts})


def test_twenty_measured_calls_replace_the_guess_and_nineteen_do_not(tmp_path: Path) -> None:
    for calls, basis in ((19, "guess"), (20, "measured")):
        project = make_project(tmp_path / basis)
        add_files(project, a=800)
        (document,) = project.documents.all()
        parse(project, document, characters=800)
        chunk(project, document, ["one", "two", "three"])
        spend(project, Usage(1000, 0, 100), calls)
        (row,) = rows_of(project)
        assert row["basis"] == basis
    assert (row["calls"], row["input_tokens"], row["output_tokens"]) == (3, 3000, 300)
    assert row["cost_nanousd"] == 3 * (1000 * 400 + 100 * 1600)


def test_a_local_model_costs_nothing_and_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    project = make_project(tmp_path)
    add_files(project, a=900)
    (row,) = rows_of(project)
    assert (row["provider"], row["calls"], row["cost_nanousd"]) == ("local", 1, 0)


def test_a_confidential_collection_asks_no_provider_outside(tmp_path: Path) -> None:
    project = make_project(tmp_path, collections={"secret": {"local_only": True}})
    add_files(project, secret__a=900, open__a=900)
    shown = forecast(project, project.documents.all())
    assert (shown.totals.calls, shown.documents) == (1, 1)
    assert shown.row_documents == {(Stage.GRAPH, "openai", "gpt-4.1-mini"): 1}


def test_without_a_provider_nothing_is_asked_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    project = make_project(tmp_path)
    add_files(project, a=900)
    shown = forecast(project, project.documents.all())
    assert (shown.totals.rows, shown.totals.calls, shown.totals.cost, shown.documents) == ((), 0, 0, 0)
    assert [note.partition(":")[0] for note in shown.notes] == ["enrich", "embed", "graph"]


def test_a_provider_without_money_is_passed_over_and_one_with_too_little_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-never-used")
    project = make_project(tmp_path)
    add_files(project, a=90_000)
    month = month_of(project.clock.now())
    assert rows_of(project)[0]["provider"] == "dashscope"
    project.choices.ledger.set_limit(AccountKey(AccountKind.PROVIDER, "dashscope", month), NanoUsd(0))
    shown = forecast(project, project.documents.all())
    assert [row.provider for row in shown.totals.rows] == ["openai"]
    assert not any("openai" in note for note in shown.notes)
    project.choices.ledger.set_limit(AccountKey(AccountKind.PROVIDER, "openai", month), NanoUsd(1_000_000))
    (note,) = [note for note in forecast(project, project.documents.all()).notes if "openai" in note]
    assert "0.001 USD" in note and "deferred" in note


def test_texts_are_embedded_by_a_provider_in_full_calls_and_a_rest(tmp_path: Path) -> None:
    project = make_project(tmp_path, embed={"model": "openai/text-embedding-3-small"}, graph={"enabled": False})
    add_files(project, a=800)
    (document,) = project.documents.all()
    parse(project, document, characters=800)
    chunk(project, document, [f"{number:04}" * 10 for number in range(300)])  # 40 characters: 10 tokens
    (row,) = rows_of(project)
    assert (row["stage"], row["calls"], row["input_tokens"], row["output_tokens"]) == ("embed", 3, 3000, 0)
    assert row["cost_nanousd"] == 3000 * 20  # 0.02 USD a million


def test_a_paid_model_without_a_price_is_refused_as_the_run_would(tmp_path: Path) -> None:
    models = {"brand-new": {"tasks": ["entity_extraction"]}}
    project = make_project(tmp_path, llm={"tiers": ["openai"], "providers": {"openai": {"models": models}}})
    add_files(project, a=900)
    with pytest.raises(ConfigurationError) as caught:
        forecast(project, project.documents.all())
    assert "brand-new" in caught.value.message and "price" in caught.value.remedy


def test_a_document_that_failed_for_good_needs_nothing(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    add_files(project, a=900)
    (document,) = project.documents.all()
    assert calls_of(project) == {"graph": 1}
    wanted = wanted_fingerprints(document, project.identities, {})[Stage.PARSE]
    project.catalog.claim(Stage.PARSE, {document.id: (document.revision, wanted)})
    failure = Failure(FailureCode.ENCRYPTED_FILE, "It is encrypted.", "decrypt it.", retryable=False)
    project.catalog.finish(Stage.PARSE, {document.id: (wanted, Outcome(Status.FAILED, failure=failure))})
    assert rows_of(project) == []


def test_equal_files_are_counted_once(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    for name in ("one.txt", "two.txt"):
        (project.root / name).write_text("x" * 1800)
    scan(project)
    assert calls_of(project) == {"graph": 2}


def test_files_are_seen_as_they_are_now_and_the_catalog_is_not_told(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    add_files(project, old=900, gone=900)
    (project.root / "gone.txt").unlink()
    (project.root / "old.txt").write_text("y" * 1900)
    (project.root / "new.txt").write_text("z" * 2800)
    found = look(project).documents
    assert [(document.id, document.size_bytes) for document in found] == [("new.txt", 2800), ("old.txt", 1900)]
    assert rows_of(project, found)[0]["calls"] == 4 + 3
    assert {document.id: document.size_bytes for document in project.documents.all()} == {
        "gone.txt": 900,
        "old.txt": 900,
    }


def work_of_a_forecast(folder: Path, documents: int) -> tuple[int, int]:
    """How many statements it sends for so many documents, every second of them chunked, and files it opens."""
    project = make_project(folder)
    add_files(project, **{f"many__{number}": 3000 for number in range(documents)})
    for document in project.documents.all()[: documents // 2]:
        parse(project, document, characters=3000)
        chunk(project, document, [f"passage {number} of {document.id}" * 20 for number in range(10)])
    with (
        database_work() as work,
        opened_below(project.settings.artifacts_dir) as artifacts,
        opened_below(project.root) as files,
    ):
        shown = forecast(project, look(project).documents)
    assert shown.totals.calls == documents * 10
    assert "open" not in files
    return len(work.statements), artifacts.count("open")


def test_a_forecast_asks_the_database_as_often_for_many_documents_and_reads_each_artifact_once(tmp_path: Path) -> None:
    statements, opened = work_of_a_forecast(tmp_path / "few", 20)
    assert opened == 10 and statements < 25
    assert work_of_a_forecast(tmp_path / "many", 80) == (statements, 40)
