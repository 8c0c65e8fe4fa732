"""What a channel sends of a page. Names and messages of strangers do nothing in it; the links are our own."""

import hashlib

from aegis_dagster.domain.alerts import Links, Page
from aegis_dagster.domain.inert import inert, inert_lines

_LINKS = ("run_url", "runbook_url")


def title_of(page: Page) -> str:
    """The subject of a message, in one line."""
    return f"[{page.severity if page.firing else 'all clear'}] {inert(page.summary)}"


def labels_of(page: Page) -> dict[str, str]:
    """The labels of a page. Where characters were replaced, a digest tells it from one that is written like that."""
    said = page.labels()
    shown = {name: inert(value) for name, value in said.items()}
    return shown if shown == said else {**shown, "key": hashlib.sha256(page.key.text.encode()).hexdigest()[:16]}


def notes_of(page: Page, links: Links) -> dict[str, str]:
    """The annotations of a page."""
    said = page.annotations(links)
    return {name: value if name in _LINKS else inert_lines(value) for name, value in said.items()}
