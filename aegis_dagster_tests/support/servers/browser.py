"""A real Chromium for tests, driven by playwright; it reaches loopback only.

Nothing here calls back into Python while a page works (`page.route` would): a page goes on while a test waits for
something else than the page.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from aegis_dagster_tests.support.servers.programs import Program, free_port, needs
from aegis_dagster_tests.support.servers.shared import shared

_ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--hide-scrollbars", "--mute-audio"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
_TIMEOUT_MS = 120_000  # for a machine that stands still for a while


@contextmanager
def chromium_process() -> Iterator[str]:
    """A running browser without a page, ended with the block; the address at which playwright takes it over."""
    needs(("chromium",), "chromium")
    with tempfile.TemporaryDirectory(prefix="aegis_chromium_", ignore_cleanup_errors=True) as name:
        port = free_port()
        command = ["chromium", *_ARGUMENTS, f"--remote-debugging-port={port}", f"--user-data-dir={name}/profile"]
        program = Program(command, port, Path(name) / "log", ready="/json/version")
        program.start()
        try:
            yield program.url
        finally:
            program.stop()


@contextmanager
def chromium(address: str) -> Iterator[Browser]:
    """A browser that runs, for the block."""
    with sync_playwright() as playwright:
        yield playwright.chromium.connect_over_cdp(address)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The one browser of a run, for the tests of a module. Without Chromium the tests skip.

    Not longer: while it runs, playwright's event loop runs in this thread, and `asyncio.run` refuses to.
    """
    with shared(tmp_path_factory, "chromium", chromium_process) as address, chromium(address) as running:
        yield running


@contextmanager
def new_page(browser: Browser, *, width: int = 1500, height: int = 950) -> Iterator[Page]:
    """A page of its own; other machines are not found."""
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(_TIMEOUT_MS)
    try:
        yield context.new_page()
    finally:
        context.close()
