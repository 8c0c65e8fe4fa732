"""Documents that wait for money: which provider's budget refused them, and the points that they keep meanwhile."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.accounts import PutOff
from aegis_dagster.domain.money import Month
from aegis_dagster.domain.stages import Stage, Status, put_off
from aegis_dagster.errors import BudgetExhausted, Shortage
from aegis_dagster.settings.stages import EmbedSettings, EnrichSettings, GraphSettings, ParseSettings
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.llm_server import LLMServer, scripted_server
from aegis_dagster_tests.support.monitored_homes import make_exporter
from aegis_dagster_tests.support.projects import bring_up, make_project, write_documents
from aegis_dagster_tests.support.projects_with_models import llm_settings
from aegis_dagster_tests.support.scraping import Scrape, scrape, served


@pytest.fixture(scope="module")
def server() -> Iterator[LLMServer]:
    with scripted_server() as server:
        yield server


def project_at(folder: Path, server: LLMServer, **budgets: Any) -> Project:
    """Every chunk is embedded by the provider `openai`, and nothing else asks a model."""
    return make_project(
        folder,
        llm=llm_settings(server, budgets=budgets),
        parse=ParseSettings(workers=1),  # each takes seconds to start
        enrich=EnrichSettings(describer="ocr"),
        graph=GraphSettings(extractor="statistical"),
        embed=EmbedSettings(model="openai/embeds"),
    )


def scraped(project: Project, later: timedelta = timedelta()) -> Scrape:
    clock = SetClock()
    clock.time = project.clock.now() + later
    exporter = make_exporter(project.settings, clock)
    exporter.refresh()
    with served(exporter) as url:
        return scrape(url)


async def test_points_that_wait_to_be_replaced_are_expected_and_their_budget_is_named(
    tmp_path: Path, server: LLMServer
) -> None:
    rich = project_at(tmp_path, server, providers={"openai": "100"})
    write_documents(rich.root, ["c/one.txt", "c/two.txt"], paragraphs=9)
    await bring_up(rich)
    points = rich.vectors.count()
    rich.engine.dispose()

    poor = project_at(tmp_path, server, providers={"openai": "0"})
    write_documents(poor.root, ["c/one.txt"], paragraphs=30)
    for _ in range(2):  # also when it waits for a second time
        assert (await bring_up(poor))[Stage.EMBED].outcomes[Status.DEFERRED] == 1
    found = scraped(poor)
    assert found.value("aegis_points_expected") == poor.vectors.count() == points > 2
    assert found.value("aegis_documents_refused", provider="openai") == 1
    assert scraped(poor, timedelta(days=40)).value("aegis_documents_refused", provider="openai") == 0
    poor.engine.dispose()


async def test_what_a_collection_may_not_spend_is_refused_by_no_provider(tmp_path: Path, server: LLMServer) -> None:
    project = project_at(tmp_path, server, providers={"openai": "100"}, collections={"c": "0"})
    write_documents(project.root, ["c/one.txt"])
    await bring_up(project)
    found = scraped(project)
    assert found.value("aegis_documents_deferred", reason="budget") == 1
    assert found.values("aegis_documents_refused") == {(("provider", "openai"),): 0}
    project.engine.dispose()


@pytest.mark.parametrize(
    ("kind", "account", "month", "refused_by"),
    [
        ("provider", "my cloud", "2026-11", ("my cloud", Month("2026-11"))),
        ("collection", "c", "2026-11", None),
        ("run", "12ab", "", None),
    ],
)
def test_what_was_recorded_names_a_provider_or_none(
    kind: str, account: str, month: str, refused_by: tuple[str, Month] | None
) -> None:
    error = BudgetExhausted("No money.", remedy="wait.", shortage=Shortage(kind, account, month, wanted=7, limit=5))
    assert PutOff.of(put_off(error).facts) == PutOff("budget", "No money.", refused_by)


def test_what_was_recorded_before_accounts_were_fields_names_none() -> None:
    facts = {"why": "Too little money is left for provider cloud in 2026-11: limit 5 USD.", "reason": "budget"}
    assert PutOff.of(facts) == PutOff("budget", facts["why"])
