"""What the tests of the UI share: the browser, a page of it, and who works with it."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from aegis_dagster_tests.support.dagster_ui import DagsterUI
from aegis_dagster_tests.support.operator import Operator, operator_of
from aegis_dagster_tests.support.servers.browser import browser, new_page
from aegis_dagster_tests.support.servers.dagster_dev import DagsterDev

__all__ = ["browser"]


@pytest.fixture
def ui(dev: DagsterDev, browser: Browser) -> Iterator[DagsterUI]:
    """A page over the `aegis dev` of the module. What it showed last is kept where a test fails."""
    with new_page(browser) as page:
        try:
            yield DagsterUI(page, dev)
        finally:
            page.screenshot(path=dev.home.parent / "last_page.png")


@pytest.fixture
def operator(dev: DagsterDev, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """Who works with the `aegis dev` of the module."""
    return operator_of(dev, monkeypatch)
