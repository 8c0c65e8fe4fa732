"""Takes the pictures of Dagster's UI for the guides: `make screenshots`, or `python scripts/take_screenshots.py`.

It starts `aegis dev` over a copy of the sample documents with one truncated file, and uses it in a real Chromium. Takes
minutes on two cores.
"""

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Page

from aegis_dagster_tests.support.dagster_ui import LOCATION, DagsterUI
from aegis_dagster_tests.support.servers.browser import chromium, chromium_process, new_page
from aegis_dagster_tests.support.servers.dagster_dev import DagsterDev

REPOSITORY = Path(__file__).parents[1]
PICTURES = REPOSITORY / "docs" / "pictures"
WIDTH, HEIGHT = 1280, 800
MOST_BYTES = 1_500_000  # of all pictures together
CUT_OFF_BYTES = 9000  # of a file whose copy was interrupted
_DRAWN_MS = 1500  # for content drawn after its text: graphs, plots, pictures


def main() -> None:
    """Ingest the samples in the UI and keep what it shows."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="aegis_pictures_") as name:
        folder = Path(name)
        root = folder / "documents"
        shutil.copytree(REPOSITORY / "samples", root)
        (root / "reports" / "tide-table.pdf").write_bytes(
            (root / "reports" / "annual-report-2025.pdf").read_bytes()[:9000]
        )
        dev = DagsterDev(folder / "home", root)
        try:
            dev.start()
            with (
                chromium_process() as address,
                chromium(address) as browser,
                new_page(browser, width=WIDTH, height=HEIGHT) as page,
            ):
                take_pictures(DagsterUI(page, dev))
        finally:
            dev.stop()
    size = sum(path.stat().st_size for path in PICTURES.glob("*.png"))
    print(f"{len(list(PICTURES.glob('*.png')))} pictures in {PICTURES}, {size:,} bytes")
    if size > MOST_BYTES:
        raise SystemExit(f"The pictures take more than {MOST_BYTES:,} bytes. Remedy: show less, or smaller.")


def take_pictures(ui: DagsterUI) -> None:
    """Plan, ingest, and show each page once."""
    plan = ui.launch_ops("plan_ingestion", "reports", "documents: []", "documents: ['*.pdf']")
    ui.wait_for_success(plan)
    show_value(ui.page, "plan")
    keep(ui, "plan")

    ui.launchpad("ingest", "reports")
    ui.write_config(ui.config_text().replace("documents: []", "documents: ['*.pdf', '*.pptx']"))
    keep(ui, "launchpad")

    for collection in ("handbook", "reports"):
        run = ui.materialize("ingest", collection)
        ui.wait_for_success(run)
    keep(ui, "run")
    ui.asset("parsed_documents", "checks")
    ui.page.get_by_text("could not be parsed").wait_for()
    keep(ui, "checks")
    ui.asset("parsed_documents")
    row = ui.page.get_by_role("row").filter(has_text="tide-table.pdf").first
    row.wait_for()
    row.evaluate("row => row.scrollIntoView({block: 'start'})")
    keep(ui, "failures")
    ui.asset("knowledge_graph")
    show_value(ui.page, "preview")
    keep(ui, "graph")

    ui.turn("watched_folder", "nightly_catch_up")
    keep(ui, "automation")

    ui.start_page()
    ui.page.get_by_text("Hide navigation").click()  # wide content has more room
    ui.page.get_by_role("link", name="Runs").first.click()
    ui.page.get_by_text("aegis/outcome").first.wait_for()
    keep(ui, "runs")
    ui.page.goto(f"{ui.url}/locations/{LOCATION}/asset-groups/ingestion/lineage")
    ui.page.get_by_text("knowledge_graph", exact=True).first.wait_for()
    keep(ui, "asset-graph")


def show_value(page: Page, name: str) -> None:
    """Open a Markdown value of the metadata in a run's log."""
    page.get_by_role("row").filter(has_text=name).get_by_text("[Show Markdown]").last.click()
    page.get_by_role("dialog").first.wait_for()


def keep(ui: DagsterUI, name: str) -> None:
    """One picture."""
    ui.page.mouse.move(WIDTH - 1, HEIGHT - 1)  # the mouse hovers over nothing
    ui.page.wait_for_timeout(_DRAWN_MS)
    ui.screenshot(PICTURES / f"{name}.png")


if __name__ == "__main__":
    main()
