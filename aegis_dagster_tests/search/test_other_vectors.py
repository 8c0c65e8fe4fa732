"""Search while the embedding model is away, or another one is being filled in."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.stages import Stage
from aegis_dagster.search import PassageHit, find_passages
from aegis_dagster.settings.stages import EmbedSettings, EnrichSettings, GraphSettings
from aegis_dagster.stages.chunk import read_chunks
from aegis_dagster.stages.embed import embed_chunks
from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.llm_server import Behaviour, Kind, LLMServer, Rule
from aegis_dagster_tests.support.projects import bring_up, make_project, scan, write_documents
from aegis_dagster_tests.support.projects_with_models import llm_settings

NAMES = [f"c/{number}.txt" for number in range(4)]
QUESTION = "Who painted the foghorn?"


def settings_of(
    server: LLMServer, *, length: int | None = 8, model: str = "openai/embeds", limit_usd: str = "100", **provider: Any
) -> dict[str, Any]:
    """Settings with a provider that embeds, in vectors of a length that is asked for; None: it has no such model."""
    llm = llm_settings(server, limit_usd=limit_usd)
    models = llm["providers"]["openai"]["models"]
    del models["embeds"]
    if length is not None:
        models["embeds"] = {"tasks": ["embedding"], "dimensions": length, "parameters": {"send_dimensions": True}}
    llm["providers"]["openai"] |= {"attempts": 3, "timeout_seconds": 600.0, **provider}
    return {
        "llm": llm,
        "enrich": EnrichSettings(describer="ocr"),
        "graph": GraphSettings(extractor="statistical"),
        "embed": EmbedSettings(model=model),
    }


def embeds(folder: Path, server: LLMServer, **values: Any) -> Project:
    return make_project(folder, **settings_of(server, **values))


async def built(folder: Path, server: LLMServer) -> Project:
    project = embeds(folder, server)
    write_documents(project.root, NAMES)
    with (project.root / "c/2.txt").open("a") as file:
        file.write("\nPriya Raman painted the foghorn in 1911.\n")
    await bring_up(project)
    server.reset()
    return project


def a_passage_of(project: Project, name: str) -> str:
    state = project.states.one(project.reports.find(name))
    return read_chunks(project.artifacts.path(Stage.CHUNK, state.wanted[Stage.CHUNK]))[1].embedded_text


async def asked(project: Project, question: str = QUESTION, **values: Any) -> tuple[list[PassageHit], list[str]]:
    told: list[str] = []
    return await find_passages(project, question, tell=told.append, **values), told


SILENT = {
    "money": ({"limit_usd": "0"}, None, "Too little money"),
    "refused": ({"base_url": "http://127.0.0.1:9/v1"}, None, "nothing answers there"),
    "key": ({}, Kind.UNAUTHORIZED, "it refuses the key"),
    "throttled": ({}, Kind.RATE_LIMIT, "it gets too many calls"),
    "overloaded": ({}, Kind.UNAVAILABLE, "internal error"),
    "no vectors": ({}, Kind.EMPTY_CHOICES, "not from a model server"),
    "time-out": ({"timeout_seconds": 0.3}, Kind.HANG, "too slowly"),
    "not configured": ({"length": None}, None, "not configured now"),
    "unpriced": ({"free": False, "local": False}, Kind.BAD_REQUEST, "rejected this content"),
}


@pytest.mark.parametrize(("changed", "kind", "why"), SILENT.values(), ids=SILENT.keys())
async def test_words_answer_when_the_question_cannot_be_embedded(
    tmp_path: Path, server: LLMServer, changed: dict[str, Any], kind: Kind | None, why: str
) -> None:
    await built(tmp_path, server)
    server.script([Rule(Behaviour(kind or Kind.ANSWER, retry_after="30"))])
    project = embeds(tmp_path, server, **changed)
    for mode in ("fused", "dense"):
        hits, told = await asked(project, mode=mode)
        assert hits[0].document == "c/2.txt"
        (line,) = told
        assert line.startswith("Only words are searched") and why in line and "Remedy: " in line
        assert "\n" not in line
    assert len(server.records()) <= 2  # one quick try each
    assert await asked(project, mode="sparse") == (hits, [])


async def test_a_question_is_tried_once_and_not_for_minutes(tmp_path: Path, server: LLMServer) -> None:
    models = embeds(tmp_path, server).models("search", patience_seconds=10.0)
    assert [(each.attempts, each.timeout_seconds) for each in models.providers] == [(1, 10.0)]
    await models.aclose()


@pytest.mark.parametrize("now", [{"length": 16}, {"model": "all-MiniLM-L6-v2"}], ids=["length", "model"])
async def test_the_old_vectors_answer_until_the_new_are_complete(
    tmp_path: Path, server: LLMServer, now: dict[str, Any]
) -> None:
    old = await built(tmp_path, server)
    passage = a_passage_of(old, "c/2.txt")
    changed = embeds(tmp_path, server, **now)
    assert changed.vectors.collection != old.vectors.collection

    async def still_answers() -> None:
        hits, told = await asked(changed, passage, mode="dense")
        assert told == []
        assert (hits[0].document, round(hits[0].score, 3)) == ("c/2.txt", 1.0)

    await still_answers()
    scan(changed)
    async with changed.workbench() as bench:  # killed half-way: two documents have the new vectors
        await embed_chunks(changed.documents.get([DocumentId("c/0.txt"), DocumentId("c/2.txt")]), bench)
    assert changed.vectors.count() > 0
    await still_answers()

    (changed.root / "c/1.txt").unlink()
    await bring_up(changed, stages=(Stage.PARSE,))
    found = {hit.document for hit in (await asked(changed, passage, limit=50))[0]}
    assert found == {"c/0.txt", "c/2.txt", "c/3.txt"}
    assert DocumentId("c/1.txt") not in old.vectors.counts_by_document()

    await bring_up(changed)
    assert changed.vectors.active_collection() == changed.vectors.collection
    await still_answers()


async def test_a_change_that_is_taken_back_leaves_nothing_behind(tmp_path: Path, server: LLMServer) -> None:
    old = await built(tmp_path, server)
    changed = embeds(tmp_path, server, length=16)
    async with changed.workbench() as bench:  # half-way
        await embed_chunks(changed.documents.get([DocumentId("c/0.txt")]), bench)
    folder, server_calls = old.settings.vectors_dir / "collection", len(server.records())
    assert len(list(folder.iterdir())) == 2
    async with old.workbench() as bench:  # not while a document still has the other vectors
        await embed_chunks(old.documents.get([DocumentId("c/1.txt")]), bench)
    assert len(list(folder.iterdir())) == 2
    await bring_up(old)
    assert [path.name for path in folder.iterdir()] == [old.vectors.collection]
    assert old.vectors.active_collection() == old.vectors.collection
    assert (await asked(old, a_passage_of(old, "c/0.txt"), mode="dense"))[0][0].document == "c/0.txt"
    assert len(server.records()) == server_calls + 1  # the question


async def test_nothing_is_asked_where_nothing_is_stored(tmp_path: Path, server: LLMServer) -> None:
    assert await asked(embeds(tmp_path, server)) == ([], [])
    hits, told = await asked(embeds(tmp_path / "other", server, length=None))
    assert hits == [] and "embed.model" in told[0]
    assert server.records() == []


def test_the_command_says_so_in_one_line_and_in_its_json(
    tmp_path: Path, server: LLMServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(built(tmp_path, server))
    given = settings_of(server, limit_usd="0")
    given = {name: value if isinstance(value, dict) else value.model_dump(mode="json") for name, value in given.items()}
    (tmp_path / "aegis.yaml").write_text(yaml.safe_dump({"root": str(tmp_path / "root"), **given}))
    aegis = InProcess(tmp_path / "home", monkeypatch)
    monkeypatch.setenv("COLUMNS", "40")
    done = aegis("search", QUESTION, "--json")
    assert done.exit_code == 0
    (line,) = done.stderr.splitlines()
    values = json.loads(done.stdout)
    assert line == f"warning: {values['words_only']}"
    assert values["hits"][0]["document"] == "c/2.txt"
    assert aegis.json("search", QUESTION, "--mode", "sparse")["words_only"] is None
