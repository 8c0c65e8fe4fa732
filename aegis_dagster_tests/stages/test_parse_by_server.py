"""The parse stage with a docling-serve: what is sent, what is waited for, and whom a failure blames."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.stages import Stage, StageState, Status
from aegis_dagster.errors import ConfigurationError, FailureCode, ServiceError
from aegis_dagster.settings.serve import ServeSettings
from aegis_dagster.settings.stages import ParseSettings
from aegis_dagster_tests.support.bad_files import one_page_pdf, pdf
from aegis_dagster_tests.support.projects import bring_up, make_project, recorded, scan
from aegis_dagster_tests.support.servers.docling_serve import ServeStandIn, serve_stand_in

FILE = DocumentId("reports/a.pdf")


@pytest.fixture
def served() -> Iterator[ServeStandIn]:
    with serve_stand_in() as server:
        yield server


def project_on(folder: Path, served: ServeStandIn, serve: dict[str, Any] | None = None, **settings: Any) -> Project:
    """A project with one PDF and one text."""
    chosen = ServeSettings(**{"url": served.url, "patience_seconds": 2, **(serve or {})})
    project = make_project(folder, parse=ParseSettings(route="serve", serve=chosen, timeout_seconds=60), **settings)
    reports = folder / "root" / "reports"
    reports.mkdir(exist_ok=True)
    (reports / "a.pdf").write_bytes(one_page_pdf())
    (reports / "b.txt").write_text("A text is read here, whatever parses PDFs.\n", "utf-8")
    return project


async def parsed(project: Project) -> StageState:
    """The state of the PDF after a run of the stage."""
    await bring_up(project, stages=[Stage.PARSE])
    return recorded(project)[FILE][Stage.PARSE]


async def test_pdfs_are_sent_without_their_names_and_other_formats_are_not(
    tmp_path: Path, served: ServeStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.api_key = "sesame"
    monkeypatch.setenv("DOCLING_SERVE_API_KEY", "sesame")
    project = project_on(tmp_path, served, {"options": {"table_mode": "fast", "ocr_lang": ("en", "de")}})
    state = await parsed(project)
    assert state.status is Status.DONE
    assert (state.facts["route"], state.facts["pages"], state.facts["warnings"]) == ("docling-serve", 1, [])
    (sent,) = served.submissions
    assert sent.data == one_page_pdf()
    assert sent.name.endswith(".pdf") and "a.pdf" not in sent.name
    assert sent.options["table_mode"] == ["fast"] and sent.options["ocr_lang"] == ["en", "de"]
    assert sent.options["to_formats"] == ["json"] and sent.options["target_type"] == ["inbody"]
    assert sent.options["image_export_mode"] == ["placeholder"] and sent.options["document_timeout"] == ["60.0"]
    assert sent.headers["x-api-key"] == "sesame" and not any("sesame" in path for path in served.paths)
    folder = project.artifacts.path(Stage.PARSE, state.fingerprint)
    assert "A page with enough text" in (folder / "document.json").read_text("utf-8")


async def test_a_server_stopped_in_the_middle_and_started_again_changes_nothing(
    tmp_path: Path, served: ServeStandIn
) -> None:
    undisturbed = project_on(tmp_path / "one", served)
    await bring_up(undisturbed, stages=[Stage.PARSE])
    served.polls = 1_000  # the job would take for ever
    served.at_work.clear()
    project = project_on(tmp_path / "two", served, {"patience_seconds": 60})

    def restart() -> None:
        served.at_work.wait(60)
        served.stop()
        served.polls = 1
        served.start()

    operator = threading.Thread(target=restart)
    operator.start()
    state = await parsed(project)
    operator.join()
    assert (state.status, state.attempts) == (Status.DONE, 1)
    assert project.artifacts.digest() == undisturbed.artifacts.digest()


async def test_a_server_that_stays_away_stops_the_step_and_changes_no_fingerprint(
    tmp_path: Path, served: ServeStandIn
) -> None:
    project = project_on(tmp_path, served)
    before = await parsed(project)
    served.stop()
    (tmp_path / "root" / "reports" / "c.pdf").write_bytes(one_page_pdf("Another page with words of its own."))
    again = project_on(tmp_path, served)
    with pytest.raises(ServiceError, match=rf"docling-serve at {served.url} does not work"):
        await bring_up(again, stages=[Stage.PARSE])
    states = recorded(again)
    assert states[FILE][Stage.PARSE] == before
    assert states[DocumentId("reports/c.pdf")][Stage.PARSE].attempts <= 1
    assert states[DocumentId("reports/c.pdf")][Stage.PARSE].failure is None
    served.start()
    await bring_up(again, stages=[Stage.PARSE])
    assert recorded(again)[DocumentId("reports/c.pdf")][Stage.PARSE].status is Status.DONE


async def test_another_version_makes_stale_what_the_server_parsed(tmp_path: Path, served: ServeStandIn) -> None:
    text = DocumentId("reports/b.txt")
    project = project_on(tmp_path, served)
    await bring_up(project, stages=[Stage.PARSE])
    first = recorded(project)
    served.versions["python"] = "cpython-313"  # changes no result
    await bring_up(project_on(tmp_path, served), stages=[Stage.PARSE])
    assert len(served.submissions) == 1
    served.versions["docling"] = "2.144.0"
    again = project_on(tmp_path, served)
    await bring_up(again, stages=[Stage.PARSE])
    second = recorded(again)
    assert second[FILE][Stage.PARSE].fingerprint != first[FILE][Stage.PARSE].fingerprint
    assert second[text][Stage.PARSE].fingerprint == first[text][Stage.PARSE].fingerprint
    assert len(served.submissions) == 2


async def test_a_server_replaced_during_a_run_parses_nothing_under_the_old_version(
    tmp_path: Path, served: ServeStandIn
) -> None:
    project = project_on(tmp_path, served)
    scan(project)
    async with project.workbench() as bench:
        served.versions["docling-serve"] = "1.39.0"
        assert bench.parse_server is not None
        (document,) = [one for one in project.documents.all() if one.id == FILE]
        with pytest.raises(ServiceError, match=r"is docling-serve 1\.39\.0.* now, and was docling-serve 1\.38\.2"):
            async with bench.parse_server.converted(tmp_path / "root" / FILE, document):
                raise AssertionError
    assert served.submissions == []


@pytest.mark.parametrize(("local", "sent"), [(None, 1), (True, 1), (False, 0)])
async def test_files_of_local_only_collections_are_sent_only_to_a_server_of_the_company(
    tmp_path: Path, served: ServeStandIn, local: bool | None, sent: int
) -> None:
    project = project_on(tmp_path, served, {"local": local}, default_policy="local_only")
    state = await parsed(project)
    assert len(served.submissions) == sent
    assert state.facts["route"] == ("docling-serve" if sent else "rules")


async def test_where_it_is_allowed_this_machine_parses_what_the_server_cannot(
    tmp_path: Path, served: ServeStandIn
) -> None:
    served.failure = {"error_message": "Internal processing error.", "failure": None}
    state = await parsed(project_on(tmp_path, served, {"fallback": True}))
    assert (state.status, state.facts["route"]) == (Status.DONE, "rules")
    assert "Internal processing error" in state.facts["fallback"]
    assert "parsed here" in state.facts["warnings"][0]


async def test_with_a_fallback_a_server_that_is_down_stops_nothing(tmp_path: Path, served: ServeStandIn) -> None:
    served.stop()
    state = await parsed(project_on(tmp_path, served, {"fallback": True, "patience_seconds": 0.5}))
    assert (state.status, state.facts["route"]) == (Status.DONE, "rules")
    assert served.url in state.facts["fallback"]


async def test_files_that_are_not_sound_are_not_sent(tmp_path: Path, served: ServeStandIn) -> None:
    project = project_on(tmp_path, served)
    reports = tmp_path / "root" / "reports"
    (reports / "a.pdf").write_bytes(one_page_pdf()[:200])
    (reports / "long.pdf").write_bytes(pdf([[(72, 100, 11, "A page.")]] * 3))
    project = project_on(tmp_path, served)
    (reports / "a.pdf").write_bytes(one_page_pdf()[:300])
    state = await parsed(project)
    assert state.failure is not None and state.failure.code is FailureCode.TRUNCATED_FILE
    assert len(served.submissions) == 1


async def test_nothing_of_an_answer_leads_outside_and_no_page_is_lost_in_silence(
    tmp_path: Path, served: ServeStandIn
) -> None:
    def hostile(values: dict[str, Any]) -> dict[str, Any]:
        document = values["document"]["json_content"]
        text = document["texts"][0]
        text["prov"].append({**text["prov"][0], "page_no": 77})
        text["prov"][0]["bbox"]["l"] = 1e400  # infinity
        image = {"mimetype": "image/png", "dpi": 72, "size": {"width": 9, "height": 9}, "uri": "file:///etc/passwd"}
        picture = {
            "self_ref": "#/pictures/0",
            "label": "picture",
            "image": image,
            "children": [],
            "content_layer": "body",
        }
        place = {
            **text["prov"][0],
            "page_no": 1,
            "bbox": {"l": 60, "t": 120, "r": 200, "b": 90, "coord_origin": "TOPLEFT"},
        }
        document["pictures"].append({**picture, "prov": [place], "parent": {"$ref": "#/body"}})
        document["body"]["children"].append({"$ref": "#/pictures/0"})
        document["pages"]["900"] = document["pages"].pop("2")
        return values

    served.answer = lambda values: json.dumps(hostile(values)).replace("Infinity", "1e400").encode()
    project = project_on(tmp_path, served)
    pages = [[(72, 100, 11, "The first page says this.")], [(72, 100, 11, "The second one that.")]]
    (tmp_path / "root" / FILE).write_bytes(pdf(pages))
    state = await parsed(project)
    assert state.status is Status.DONE, state
    assert state.facts["warnings"].count("page 2 could not be read") == 1
    folder = project.artifacts.path(Stage.PARSE, state.fingerprint)
    document = json.loads((folder / "document.json").read_text("utf-8"))
    assert list(document["pages"]) == ["1"]
    assert not {place["page_no"] for text in document["texts"] for place in text["prov"]} - {1}
    assert "passwd" not in json.dumps(document)
    assert {picture.get("image", {}).get("uri") for picture in document["pictures"]} <= {
        "pictures/picture-0000.png",
        None,
    }


async def test_a_cancelled_stage_leaves_nothing_running(tmp_path: Path, served: ServeStandIn) -> None:
    served.polls = 1_000
    project = project_on(tmp_path, served)
    scan(project)
    running = asyncio.ensure_future(bring_up(project, stages=[Stage.PARSE]))
    assert await asyncio.to_thread(served.at_work.wait, 60)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    asked = len(served.paths)
    await asyncio.sleep(1)
    assert len(served.paths) == asked
    assert recorded(project).get(FILE, {}).get(Stage.PARSE) is None or (
        recorded(project)[FILE][Stage.PARSE].failure is None
    )


async def test_a_route_without_an_address_says_what_to_set(tmp_path: Path) -> None:
    project = make_project(tmp_path, parse=ParseSettings(route="serve"))
    with pytest.raises(ConfigurationError, match=r"AEGIS_PARSE__SERVE__URL"):
        await bring_up(project)
