"""Dagster's UI as its users use it: pages, buttons and texts."""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, Page, TimeoutError, expect

from aegis_dagster_tests.support.servers.dagster_dev import DagsterDev

expect.set_options(timeout=120_000)  # a safety net: 5 s would be too few on a machine that pauses
LOCATION = "aegis_dagster.definitions"
RUN_SECONDS = 240.0
_OVER = ("SUCCESS", "FAILURE", "CANCELED")
# Fields that choose assets are editors as well; only the one for the run config has line numbers.
_EDITOR = "[...document.querySelectorAll('.CodeMirror')].map(e => e.CodeMirror).find(e => e.getOption('lineNumbers'))"


@dataclass(frozen=True, slots=True)
class DagsterUI:
    """One page of a browser, over one `aegis dev`."""

    page: Page
    dev: DagsterDev

    @property
    def url(self) -> str:
        """Where the webserver is."""
        return self.dev.url

    def start_page(self) -> None:
        """Open what an operator sees first."""
        self.page.goto(self.url)
        self.page.get_by_role("link", name="Runs").first.wait_for()

    def job(self, name: str, tab: str = "") -> None:
        """Open a job's page."""
        self.page.goto(f"{self.url}/locations/{LOCATION}/jobs/{name}/{tab}")

    def materialize(self, job: str, collection: str) -> str:
        """Materialize one collection by a job's button. Returns the run's id."""
        self.job(job)
        self.page.get_by_role("button", name="Materialize all").click()
        self.page.get_by_text("Select a partition").click()
        self.page.get_by_text(collection, exact=True).first.click()
        self.page.keyboard.press("Escape")
        return self._launch(self.page.get_by_role("button", name="Launch 1 run"), job)

    def launch(self, job: str, collection: str, was: str, becomes: str) -> str:
        """Change one line of the run config in the launchpad and launch. Returns the run's id."""
        self.launchpad(job, collection)
        config = self.config_text()
        assert was in config, config
        self.write_config(config.replace(was, becomes))
        return self._launch(self.page.get_by_role("button").filter(has_text="Materialize").last, job)

    def launch_ops(self, job: str, collection: str, was: str, becomes: str) -> str:
        """The same for a job of ops, whose launchpad is a page of its own."""
        self.job(job, "playground")
        self.choose_partition(collection)
        config = self.config_text()
        assert was in config, config
        self.write_config(config.replace(was, becomes))
        return self._launch(self.page.get_by_role("button", name="Launch Run"), job)

    def launchpad(self, job: str, collection: str) -> None:
        """Open the launchpad of a job of assets, and choose a collection."""
        self.job(job)
        self.page.get_by_role("button", name="Materialize all").wait_for()
        self.page.locator('button:right-of(:text("Materialize all"))').first.click()
        self.page.get_by_role("menuitem", name="Open launchpad").click()
        self.choose_partition(collection)

    def choose_partition(self, collection: str) -> None:
        """Choose one in the launchpad."""
        self.page.locator(".CodeMirror-linenumber:visible").first.wait_for()  # it keeps a hidden one to measure
        option = self.page.get_by_text(collection, exact=True).first
        for _ in range(8):  # the list closes again where the page is drawn anew meanwhile
            self.page.get_by_placeholder("Partition").click()
            with suppress(TimeoutError):
                option.click(timeout=15_000)
                break
        self.page.get_by_text(f"partition: {collection}").wait_for()  # the configuration was written anew then
        self.dev.wait_for(self.config_text, "the run config to be written")

    def config_text(self) -> str:
        """The text in the launchpad's editor."""
        text: str = self.page.evaluate(f"{_EDITOR}.getValue()")
        return text.strip()

    def write_config(self, text: str) -> None:
        """Replace the text in the launchpad's editor."""
        self.page.evaluate(f"text => {_EDITOR}.setValue(text)", text)
        expect(self.page.get_by_text("No errors")).to_be_visible()

    def launch_tick(self, schedule: str, job: str) -> str:
        """Evaluate a schedule for its next time and launch the one run that it requests. Returns the run's id."""
        self.preview_tick(schedule)
        self.page.get_by_text("1 run requests").wait_for()
        return self._launch(self.page.get_by_role("button", name="Launch all & commit tick result"), job)

    def preview_tick(self, schedule: str) -> None:
        """Evaluate a schedule for its next time. The dialog stays open."""
        self.page.goto(f"{self.url}/locations/{LOCATION}/schedules/{schedule}")
        self.page.get_by_role("button", name="Preview tick result").click()
        self.page.get_by_role("button", name="Continue").click()

    def _launch(self, button: Locator, job: str) -> str:
        """Press a button that launches one run of a job, and find out which."""
        before = self._runs_of(job)
        button.click()
        self.dev.wait_for(lambda: self._runs_of(job) - before, "a run to be launched")
        (run_id,) = self._runs_of(job) - before
        return run_id

    def _runs_of(self, job: str) -> set[str]:
        return {str(run["id"]) for run in self.dev.runs() if run["jobName"] == job}

    def run(self, run_id: str) -> None:
        """Open a run's page."""
        self.page.goto(f"{self.url}/runs/{run_id}")

    def wait_for_success(self, run_id: str) -> None:
        """Wait until a run is over, and see on its page that it succeeded."""
        self.run(run_id)
        self.dev.wait_for(lambda: self.dev.run(run_id)["status"] in _OVER, "a run to end", RUN_SECONDS)
        assert self.dev.run(run_id)["status"] == "SUCCESS", self.page.locator("body").inner_text()
        expect(self.page.get_by_text("Success", exact=True).first).to_be_visible()

    def asset(self, name: str, view: str = "overview") -> None:
        """Open an asset's page."""
        self.page.goto(f"{self.url}/assets/{name}?view={view}")

    def check(self, name: str, state: str) -> Locator:
        """A check in the list on its asset's page with this status: "Failed", "Succeeded", "Not Evaluated"."""
        # A name that may be truncated occurs twice: one copy is for measuring.
        return self.page.locator("div").filter(has_text=re.compile(rf"^({re.escape(name)}\s*)+{state}$")).last

    def switch(self, name: str) -> Locator:
        """The switch of a sensor or schedule on the page Automation."""
        row = self.page.locator("[data-index]").filter(has=self.page.get_by_text(name, exact=True))
        return row.locator("input[type=checkbox]").nth(1)  # the first one chooses the row

    def turn(self, *names: str, on: bool = True) -> None:
        """Turn sensors and schedules on or off on the page Automation."""
        self.page.goto(f"{self.url}/automation")
        for name in names:
            switch = self.switch(name)
            expect(switch).to_be_enabled()
            if switch.is_checked() != on:
                switch.locator("xpath=..").click()  # what is seen of it
            expect(switch).to_be_checked(checked=on)

    def screenshot(self, path: Path) -> None:
        """Keep what the page shows, for people."""
        self.page.screenshot(path=path)
