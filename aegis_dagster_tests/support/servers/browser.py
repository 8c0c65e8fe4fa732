"""A real Chromium for tests, driven by playwright; it reaches loopback only.

Nothing here calls back into Python while a page works (`page.route` would): a page goes on while a test waits for
something else than the page.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from aegis_dagster_tests.support.servers.programs import needs

_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
_TIMEOUT_MS = 40_000  # the first page of a webserver that just started takes longest


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser, ended at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a module. Without Chromium the tests skip.

    Not longer: while it runs, playwright's event loop runs in this thread, and `asyncio.run` refuses to.
    """
    needs(("chromium",), "chromium")
    with chromium() as running:
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
