"""From a file in the watched folder to its passage in the search: the sensor is turned on in the UI, nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from aegis_dagster.domain.stages import Stage
from aegis_dagster_tests.support.bad_files import one_page_pdf
from aegis_dagster_tests.support.dagster_ui import DagsterUI
from aegis_dagster_tests.support.machine import allowed
from aegis_dagster_tests.support.operator import Operator
from aegis_dagster_tests.support.projects import write_documents
from aegis_dagster_tests.support.servers.dagster_dev import DagsterDev

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(600)]

SEARCHABLE_SECONDS = 30.0  # from the end of writing a file of one page to its being found


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterDev]:
    folder = tmp_path_factory.mktemp("watched")
    write_documents(folder / "root", ["harbour/a.txt"])
    server = DagsterDev(folder / "home", folder / "root")
    try:
        server.start()
        yield server
    finally:
        server.stop()


def test_what_happens_in_the_folder_is_searchable_soon(ui: DagsterUI, operator: Operator) -> None:
    ui.turn("watched_folder")
    operator.wait_until_idle()

    operator.write("post/letter.pdf", one_page_pdf("The axolotl of the harbour was counted twice this year."))
    operator.wait_until_found("new", "axolotl", "post/letter.pdf")
    (new,) = [run for run in ui.dev.runs() if run["tags"].get("aegis/why") == "post/letter.pdf"]
    ui.wait_for_success(new["id"])
    expect(ui.page.get_by_text("watched_folder").first).to_be_visible()  # who launched it

    operator.write("post/letter.pdf", one_page_pdf("The dromedary of the harbour was counted twice this year."))
    operator.wait_until_found("edited", "dromedary", "post/letter.pdf")
    assert operator.found("axolotl") == []
    operator.wait_until_idle()

    letter = Path(ui.dev.root) / "post" / "letter.pdf"
    parsed = operator.processed(Stage.PARSE)
    letter.rename(letter.with_name("renamed.pdf"))
    operator.wait_until_found("renamed", "dromedary", "post/renamed.pdf")
    assert operator.processed(Stage.PARSE) == parsed  # it is not parsed again
    operator.wait_until_idle()

    letter.with_name("renamed.pdf").unlink()
    operator.wait_until_found("deleted", "dromedary")
    operator.wait_until_idle()
    assert {run["status"] for run in ui.dev.runs()} == {"SUCCESS"}
    print("searchable after", {what: f"{seconds:.1f} s" for what, seconds in operator.seconds.items()})
    assert max(operator.seconds.values()) < allowed(SEARCHABLE_SECONDS)
