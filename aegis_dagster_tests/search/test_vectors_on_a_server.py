"""A home whose vectors move to a server and back, and a server that is away while a run needs it."""

import threading
from pathlib import Path
from typing import Any

import pytest

from aegis_dagster.cli.doctor import examine
from aegis_dagster.composition.project import Project
from aegis_dagster.composition.vectors import backend
from aegis_dagster.digests import digests
from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import ConfigurationError, ServiceError
from aegis_dagster.search import find_passages
from aegis_dagster.settings.stages import EnrichSettings, GraphSettings
from aegis_dagster.stores.vectors.engines import points_by_collection
from aegis_dagster_tests.support.projects import bring_up, make_project, work_of, write_documents
from aegis_dagster_tests.support.qdrant_server.running import QdrantStandIn, program

NAMES = [f"c/{number}.txt" for number in range(3)]
QUESTION = "Which instruments were repaired?"


def home(folder: Path, **qdrant: Any) -> Project:
    stages = {"enrich": EnrichSettings(describer="ocr"), "graph": GraphSettings(extractor="statistical")}
    return make_project(folder, qdrant=qdrant, **stages)


async def answers(project: Project) -> list[str]:
    return [hit.document for hit in await find_passages(project, QUESTION, tell=pytest.fail)]


async def test_vectors_move_to_a_server_and_back_without_a_model(
    tmp_path: Path, qdrant_server: QdrantStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    qdrant_server.settings(api_key="right")
    embedded = home(tmp_path)
    write_documents(embedded.root, NAMES)
    await bring_up(embedded)
    expected, found = digests(embedded), await answers(embedded)

    monkeypatch.setenv("AEGIS_QDRANT_API_KEY", "right")
    moved = home(tmp_path, url=qdrant_server.url)
    assert await answers(moved) == found  # from the folder, until the server has all
    work = work_of(await bring_up(moved))
    assert work["chunks_from_cache"] > 0 and "chunks_embedded" not in work
    assert digests(moved) == expected
    assert await answers(moved) == found
    assert not embedded.settings.vectors_dir.exists()
    points = points_by_collection(backend(moved.settings), "aegis_documents")
    assert points == {moved.vectors.collection: moved.reports.embedded_points()}
    assert work_of(await bring_up(moved)) == {}

    monkeypatch.setenv("AEGIS_QDRANT_API_KEY", "wrong")
    with pytest.raises(ConfigurationError, match="refuses the key"):
        await answers(home(tmp_path, url=qdrant_server.url))
    monkeypatch.setenv("AEGIS_QDRANT_API_KEY", "right")

    (moved.root / NAMES[0]).unlink()
    await bring_up(moved)
    assert set(moved.vectors.counts_by_document()) == set(NAMES[1:])

    back = home(tmp_path, url=qdrant_server.url, engine="edge")
    left = await answers(back)
    assert NAMES[1] in left
    assert "chunks_embedded" not in work_of(await bring_up(back))
    assert await answers(back) == left
    assert backend(moved.settings).collections("aegis_documents") == []  # of this home


async def test_a_run_waits_for_a_server_and_one_that_ends_is_gone_on_with(tmp_path: Path) -> None:
    running = program(tmp_path)
    url = f"{running.url}/one"
    project = home(tmp_path, url=url, retry_seconds=0)
    write_documents(project.root, NAMES)
    for _ in range(2):
        with pytest.raises(ServiceError, match="does not answer"):
            await bring_up(project)
    running.start()
    try:
        await bring_up(project)
        running.kill()
        with (project.root / NAMES[0]).open("a") as file:
            file.write("\nPriya Raman painted the foghorn in 1911.\n")
        patient = home(tmp_path, url=url, retry_seconds=240)
        starts = threading.Timer(1.0, running.start)
        starts.start()
        work = work_of(await bring_up(patient))
        starts.join()
        assert work["chunks_embedded"] >= 1
        assert patient.reports.embedded_points() == patient.vectors.count()
        embedded = home(tmp_path / "other")
        for name in NAMES:
            target = embedded.root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((project.root / name).read_bytes())
        await bring_up(embedded, stages=(Stage.PARSE, Stage.ENRICH, Stage.CHUNK, Stage.EMBED))
        assert digests(embedded)["vectors"] == digests(patient)["vectors"]
    finally:
        running.stop()


def test_the_doctor_says_where_vectors_are_and_what_is_wrong(
    tmp_path: Path, qdrant_server: QdrantStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AEGIS_QDRANT__URL", qdrant_server.url)

    def told() -> tuple[bool, str]:
        (finding,) = [each for each in examine() if each.component == "vector store"]
        return finding.ok, f"{finding.state} {finding.move_up}"

    assert told() == (True, f"{qdrant_server.url}, Qdrant 1.20.0, aegis_documents: nothing yet ")
    qdrant_server.settings(api_key="right")
    ok, words = told()
    assert not ok and "asks for a key" in words
    monkeypatch.setenv("AEGIS_QDRANT_API_KEY", "right")
    assert "the key travels without TLS" in told()[1]
    monkeypatch.setenv("AEGIS_QDRANT_API_KEY", "two\nlines")
    ok, words = told()
    assert not ok and "holds characters that no key has" in words and "two" not in words


@pytest.mark.parametrize("url", ["qdrant:6333", "http://user:secret@host:6333", "http://host:6333?api_key=secret"])
def test_an_address_that_holds_a_key_or_is_none_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="qdrant") as caught:
        home(tmp_path, url=url)
    assert "secret" not in str(caught.value)
