"""A real Chromium for tests, driven by playwright; it reaches loopback only.

Belongs here: starting it, pages that time out soon and fail on what leaves this machine.
Does not belong here: what is clicked.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

MISSING = "Chromium is not installed; `apt-get install chromium` installs it."
_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking")
_TIMEOUT_MS = 30_000


@contextmanager
def chromium(program: str) -> Iterator[Browser]:
    """A running browser, ended at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a session. Without Chromium the tests skip."""
    program = shutil.which("chromium")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with chromium(program) as running:
        yield running


@contextmanager
def new_page(browser: Browser, *, width: int = 1500, height: int = 950) -> Iterator[Page]:
    """A page of its own; requests to other machines are aborted."""
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(_TIMEOUT_MS)
    context.route("**/*", _loopback_only)
    try:
        yield context.new_page()
    finally:
        context.close()


def _loopback_only(route: Route) -> None:
    if urlsplit(route.request.url).hostname in ("127.0.0.1", "localhost", None):
        route.continue_()
    else:
        route.abort()
