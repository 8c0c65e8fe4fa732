"""The parse stage against a real docling-serve: AEGIS_TEST_DOCLING_SERVE is its address, DOCLING_SERVE_API_KEY its key.

`pip install docling-serve`, `DOCLING_SERVE_API_KEY=KEY docling-serve run --host 127.0.0.1` serves one, which downloads
docling's models. The stand-in of the other tests was compared with it.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.errors import ConfigurationError, FailureCode
from aegis_dagster.settings.serve import ServeSettings
from aegis_dagster.settings.stages import ParseSettings
from aegis_dagster_tests.support.bad_files import one_page_pdf, pdf
from aegis_dagster_tests.support.projects import bring_up, make_project, recorded
from aegis_dagster_tests.support.servers.docling_serve import VERSIONS, converted

URL, KEY = os.environ.get("AEGIS_TEST_DOCLING_SERVE"), os.environ.get("DOCLING_SERVE_API_KEY", "")

pytestmark = pytest.mark.skipif(URL is None, reason="set AEGIS_TEST_DOCLING_SERVE to the address of a docling-serve.")

PAGES = [[(72, 100, 11, "The first page tells of the harbour.")], [(72, 100, 11, "The second one of the lighthouse.")]]


async def test_files_are_parsed_and_the_stand_in_answers_likewise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCLING_SERVE_API_KEY", KEY)
    serve = ServeSettings(url=URL, options={"do_table_structure": False}, concurrency=3)
    project = make_project(tmp_path, parse=ParseSettings(route="serve", serve=serve, ocr=False))
    files = {"two.pdf": pdf(PAGES), "one.pdf": one_page_pdf(), "cut.pdf": one_page_pdf()[:200], "empty.pdf": pdf([[]])}
    for name, data in files.items():
        (tmp_path / "root" / name).write_bytes(data)
    await bring_up(project, stages=[Stage.PARSE])
    states = {name: recorded(project)[DocumentId(name)][Stage.PARSE] for name in files}
    assert {name: state.facts.get("route") for name, state in states.items()} == {
        **dict.fromkeys(("one.pdf", "two.pdf"), "docling-serve"),
        **dict.fromkeys(("cut.pdf", "empty.pdf")),
    }
    assert (states["two.pdf"].status, states["two.pdf"].facts["pages"]) == (Status.DONE, 2)
    assert states["two.pdf"].facts["warnings"] == []
    failures = [states[name].failure for name in ("cut.pdf", "empty.pdf")]
    assert [failure.code for failure in failures if failure] == [FailureCode.TRUNCATED_FILE, FailureCode.NO_TEXT]
    folder = project.artifacts.path(Stage.PARSE, states["two.pdf"].fingerprint)
    assert _texts(folder / "document.json") == [lines[0][3] for lines in PAGES]


async def test_a_wrong_key_is_an_error_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not KEY:
        pytest.skip("this docling-serve asks for no key; set DOCLING_SERVE_API_KEY for it and here.")
    monkeypatch.setenv("DOCLING_SERVE_API_KEY", f"{KEY}?")
    project = make_project(tmp_path, parse=ParseSettings(route="serve", serve=ServeSettings(url=URL)))
    (tmp_path / "root" / "one.pdf").write_bytes(one_page_pdf())
    with pytest.raises(ConfigurationError, match="DOCLING_SERVE_API_KEY"):
        await bring_up(project, stages=[Stage.PARSE])


def test_the_stand_in_answers_with_the_same_fields() -> None:
    import httpx

    assert URL is not None
    client = httpx.Client(base_url=URL, headers={"X-Api-Key": KEY}, timeout=120)
    versions: dict[str, Any] = client.get("/version").json()
    assert versions.keys() == VERSIONS.keys()
    sent: dict[str, Any] = {"to_formats": "json", "target_type": "inbody", "do_table_structure": "false"}
    job = client.post("/v1/convert/file/async", data=sent, files={"files": ("a.pdf", pdf(PAGES))}).json()
    while job["task_status"] not in ("success", "failure"):
        job = client.get(f"/v1/status/poll/{job['task_id']}", params={"wait": 1}).json()
    told, ours = client.get(f"/v1/result/{job['task_id']}").json(), converted(pdf(PAGES))
    assert ours.keys() <= told.keys()
    assert (ours["status"], ours["errors"]) == (told["status"], told["errors"])
    assert ours["document"]["json_content"].keys() <= told["document"]["json_content"].keys()
    lost = client.get("/v1/status/poll/none")
    assert (lost.status_code, lost.json()) == (404, {"detail": "Task not found."})


def _texts(file: Path) -> list[str]:
    from docling_core.types.doc.document import DoclingDocument

    return [text.text for text in DoclingDocument.load_from_json(file).texts]
