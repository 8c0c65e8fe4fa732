"""Dagster's UI as its users use it: pages, buttons and what stands there.

Belongs here: where to click. Does not belong here: what must hold (the tests), starting servers (`servers/`).
"""

from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from aegis_dagster_tests.servers.dagster_dev import DagsterDev

LOCATION = "aegis_dagster.definitions"
RUN_SECONDS = 90


@dataclass(frozen=True, slots=True)
class DagsterUI:
    """One page of a browser, over one `aegis dev`."""

    page: Page
    dev: DagsterDev

    @property
    def url(self) -> str:
        """Where the webserver is."""
        return self.dev.url

    def job(self, name: str) -> None:
        """Open a job's page."""
        self.page.goto(f"{self.url}/locations/{LOCATION}/jobs/{name}")

    def materialize(self, job: str, collection: str) -> str:
        """Materialize one collection by a job's button. Returns the run's id."""
        self.job(job)
        self.page.get_by_role("button", name="Materialize all").click()
        self.page.get_by_text("Select a partition").click()
        self.page.get_by_text(collection, exact=True).first.click()
        self.page.keyboard.press("Escape")
        return self._launch(self.page.get_by_role("button", name="Launch 1 run"))

    def launchpad(self, job: str) -> None:
        """Open the launchpad of a job of assets."""
        self.job(job)
        self.page.get_by_role("button", name="Materialize all").wait_for()
        self.page.locator('button:right-of(:text("Materialize all"))').first.click()
        self.page.get_by_role("menuitem", name="Open launchpad").click()
        self.page.locator(".CodeMirror").first.wait_for()

    def config_text(self) -> str:
        """What stands in the launchpad's editor."""
        text: str = self.page.evaluate("document.querySelector('.CodeMirror').CodeMirror.getValue()")
        return text

    def write_config(self, text: str) -> None:
        """Replace what stands in the launchpad's editor."""
        self.page.evaluate("text => document.querySelector('.CodeMirror').CodeMirror.setValue(text)", text)
        expect(self.page.get_by_text("No errors")).to_be_visible()

    def choose_partition(self, collection: str) -> None:
        """Choose one in the launchpad."""
        self.page.get_by_placeholder("Partition").click()
        self.page.get_by_text(collection, exact=True).first.click()
        self.page.get_by_text(f"partition: {collection}").wait_for()  # the configuration was written anew then

    def launch(self, button: str = "Materialize") -> str:
        """Press the launchpad's button. Returns the run's id."""
        return self._launch(self.page.get_by_role("button").filter(has_text=button).last)

    def _launch(self, button: Locator) -> str:
        """Press a button that launches one run, and find out which."""
        before = {run["id"] for run in self.dev.runs()}
        button.click()
        self.dev.wait_for(lambda: {run["id"] for run in self.dev.runs()} - before, "a run to be launched")
        (run_id,) = {run["id"] for run in self.dev.runs()} - before
        return str(run_id)

    def run(self, run_id: str) -> None:
        """Open a run's page."""
        self.page.goto(f"{self.url}/runs/{run_id}")

    def wait_for_success(self, run_id: str) -> None:
        """Wait on the run's page until it says so."""
        self.run(run_id)
        expect(self.page.get_by_text("Success", exact=True).first).to_be_visible(timeout=RUN_SECONDS * 1000)

    def runs(self) -> None:
        """Open the list of runs, from anywhere."""
        self.page.get_by_role("link", name="Runs").first.click()

    def asset(self, name: str, view: str = "overview") -> None:
        """Open an asset's page."""
        self.page.goto(f"{self.url}/assets/{name}?view={view}")

    def switch(self, name: str) -> Locator:
        """The switch of a sensor or schedule on the page Automation."""
        row = self.page.locator("[data-index]").filter(has=self.page.get_by_text(name, exact=True))
        return row.locator("input[type=checkbox]").last  # the first one chooses the row

    def turn_on(self, *names: str) -> None:
        """Turn on sensors and schedules on the page Automation."""
        self.page.goto(f"{self.url}/automation")
        for name in names:
            switch = self.switch(name)
            switch.wait_for(state="attached")
            if not switch.is_checked():
                switch.click(force=True)
            expect(switch).to_be_checked()

    def screenshot(self, path: Path) -> None:
        """Keep what the page shows, for people."""
        self.page.screenshot(path=path)
