"""What an operator does every day, in a real Chromium against a real `aegis dev`.

One `aegis dev` serves all tests here; each has collections of its own. The last one turns the sensor on that watches
the folder.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from aegis_dagster.digests import digests
from aegis_dagster.domain.stages import Stage
from aegis_dagster_tests.support.bad_files import one_page_pdf
from aegis_dagster_tests.support.dagster_ui import DagsterUI
from aegis_dagster_tests.support.operator import Operator
from aegis_dagster_tests.support.projects import write_documents
from aegis_dagster_tests.support.servers.dagster_dev import DagsterDev

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterDev]:
    folder = tmp_path_factory.mktemp("daily")
    root = folder / "root"
    write_documents(root, ["harbour/a.txt", "harbour/b.txt", "mixed/good.txt"])
    write_documents(root, ["letters/a.txt", "letters/b.txt", "letters/sub/c.txt", "letters/sub/d.txt"])
    (root / "mixed" / "broken.pdf").write_bytes(b"%PDF-1.4 and then nothing")
    server = DagsterDev(folder / "home", root)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def reached(operator: Operator, stage: Stage, collection: str) -> set[str]:
    """The documents of a collection that have a state at a stage."""
    project = operator.project
    every = project.states.every()
    return {
        str(state.document.id) for state in every if state.document.collection == collection and stage in state.recorded
    }


def test_a_collection_is_materialized_by_a_button(ui: DagsterUI, operator: Operator) -> None:
    run = ui.materialize("ingest", "harbour")
    ui.wait_for_success(run)
    assert ui.dev.run(run)["tags"]["aegis/outcome"] == "succeeded"
    hits = operator.aegis("search", "Who inspected harbour/a.txt?", "--collection", "harbour")["hits"]
    assert hits[0]["document"] == "harbour/a.txt"


def test_a_dry_run_tells_what_two_chosen_documents_would_cost_and_the_run_works_on_these(
    ui: DagsterUI, operator: Operator
) -> None:
    before = dict(digests(operator.project))
    two = ("documents: []", "documents: [a.txt, 'letters/sub/c.*']")
    plan = ui.launch_ops("plan_ingestion", "letters", *two)
    ui.wait_for_success(plan)
    expect(ui.page.get_by_text("would work on 2 of 2 documents, about 0.00 USD")).to_be_in_viewport()
    expect(ui.page.get_by_text("forecast_usd")).to_be_in_viewport()
    assert dict(digests(operator.project)) == before
    assert reached(operator, Stage.PARSE, "letters") == set()

    ui.wait_for_success(ui.launch("ingest", "letters", *two))
    for stage in Stage:
        assert reached(operator, stage, "letters") == {"letters/a.txt", "letters/sub/c.txt"}


def test_a_file_that_cannot_be_parsed_is_found_in_three_clicks_with_reason_and_remedy(ui: DagsterUI) -> None:
    run = ui.materialize("ingest", "mixed")
    ui.wait_for_success(run)
    page = ui.page

    ui.start_page()
    page.get_by_role("link", name="Runs").first.click()
    expect(page.get_by_text("aegis/outcome: succeeded with 1 failed document")).to_be_in_viewport()
    page.get_by_role("link", name=run[:8]).click()
    page.get_by_text("parsed_", exact=False).first.click()  # the bar of the step
    warning = page.get_by_text("mixed/broken.pdf: truncated_file: ")
    expect(warning).to_be_visible()
    expect(warning).to_contain_text("Remedy: copy it again from its source")

    ui.start_page()
    page.get_by_role("link", name="Catalog").first.click()
    page.get_by_role("link", name="parsed_documents").click()
    row = page.get_by_role("row").filter(has_text="mixed/broken.pdf").last
    row.scroll_into_view_if_needed()
    expect(row.get_by_text("the copy was interrupted")).to_be_in_viewport()
    page.get_by_role("link", name="Checks").or_(page.get_by_role("tab", name="Checks")).click()
    expect(page.get_by_text("1 of 2 documents could not be parsed.")).to_be_in_viewport()


def test_what_happens_in_the_folder_is_searchable(ui: DagsterUI, operator: Operator) -> None:
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
