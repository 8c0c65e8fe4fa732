"""A budget that is used up, and vectors made anew, as an operator meets them: in a real Chromium, over a real
`aegis dev` that asks the scripted provider and pages a real webhook.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import yaml
from playwright.sync_api import expect

from aegis_dagster_tests.support.dagster_ui import DagsterUI
from aegis_dagster_tests.support.llm_server import Behaviour, LLMServer, Rule, scripted_server
from aegis_dagster_tests.support.money_homes import MODEL, PAID, PRICE, Home, make_home
from aegis_dagster_tests.support.operator import Operator
from aegis_dagster_tests.support.servers.dagster_dev import DagsterDev
from aegis_dagster_tests.support.servers.webhook import Webhook, webhook_receiver

pytestmark = pytest.mark.slow

# With PRICE a call costs 0.00957 USD, and is reserved with 0.0095 to 0.0115: some five fit into the limit.
USAGE = {"prompt_tokens": 5000, "completion_tokens": 4000, "total_tokens": 9000}
LIMIT = "0.05"
CHECK = f"{PAID}_under_limit"
EMBEDDING = "embeds"
NEVER_STALE = "All vectors are those of the current model and settings."


@dataclass(frozen=True, slots=True)
class Watched:
    """What watches over the money, and who is paged."""

    home: Home
    dev: DagsterDev
    server: LLMServer
    phone: Webhook

    def told(self) -> list[str]:
        """Titles of the pages about the check, in order."""
        return [body["title"] for body in self.phone.bodies if CHECK in body["title"]]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    models = {
        MODEL: {"tasks": ["image_description", "entity_extraction", "summary"]},
        EMBEDDING: {"tasks": ["embedding"], "dimensions": 8, "max_input_tokens": 512},
    }
    prices = {f"{PAID}/{name}": PRICE for name in models}
    with ExitStack() as running:
        server = running.enter_context(scripted_server())
        phone = running.enter_context(webhook_receiver())
        folder = tmp_path_factory.mktemp("money")
        home = make_home(folder, server, limit_usd=LIMIT, provider={"models": models}, prices=prices)
        settings = {
            "AEGIS_CONFIG": str(home.config),
            "AEGIS_NOTIFY": phone.url.replace("http://", "json://"),
            "AEGIS_ALERTS__SECONDS": "1",
            "DASHSCOPE_API_KEY": "sk-secret-of-the-test",
        }
        dev = DagsterDev(home.folder / "home", home.root, settings)
        running.callback(dev.stop)
        for number in range(8):
            (home.root / "harbour").mkdir(exist_ok=True)
            text = f"Tide gauge {number} of Eastmere was repaired by Priya Raman.\n"
            (home.root / "harbour" / f"{number}.txt").write_text(text)
        dev.start()
        yield Watched(home, dev, server, phone)


@pytest.fixture(scope="module")
def dev(watched: Watched) -> DagsterDev:
    return watched.dev


def run_checks(ui: DagsterUI, becomes: str) -> None:
    """Execute all checks of the costs on their page, and wait until ours stands there so."""
    ui.asset("llm_costs", f"checks&checkDetail={CHECK}")
    ui.page.get_by_role("button", name="Execute all").click()
    expect(ui.check(CHECK, becomes)).to_be_in_viewport()


def test_a_used_up_budget_fails_a_check_and_pages_and_a_raised_one_clears(
    ui: DagsterUI, operator: Operator, watched: Watched
) -> None:
    watched.server.script([Rule(Behaviour(usage_fields=USAGE))])
    run = ui.materialize("ingest", "harbour")
    ui.wait_for_success(run)
    outcome = ui.dev.run(run)["tags"]["aegis/outcome"]
    assert outcome.startswith("succeeded with ") and outcome.endswith(" waiting")

    run_checks(ui, "Failed")
    expect(ui.page.get_by_text("documents wait for money").first).to_be_in_viewport()
    watched.phone.wait_for(lambda _: watched.told() == [f"[critical] Check {CHECK} of llm_costs failed"])

    operator.aegis("budget", "raise", PAID, "1")
    run = ui.materialize("ingest", "harbour")
    ui.wait_for_success(run)
    assert ui.dev.run(run)["tags"]["aegis/outcome"] == "succeeded"
    run_checks(ui, "Succeeded")
    watched.phone.wait_for(lambda _: watched.told()[1:] == [f"[all clear] Check {CHECK} of llm_costs passes again"])


def test_a_new_embedding_model_makes_the_schedule_embed_anew_once(
    ui: DagsterUI, operator: Operator, watched: Watched
) -> None:
    watched.server.reset()
    operator.aegis("budget", "raise", PAID, "1")
    operator.aegis("ingest")
    ui.turn("reembedding", "nightly_catch_up")
    ui.preview_tick("reembedding")
    ui.page.get_by_text(NEVER_STALE).wait_for()

    config = yaml.safe_load(watched.home.config.read_text("utf-8"))
    watched.home.config.write_text(yaml.safe_dump(config | {"embed": {"model": f"{PAID}/{EMBEDDING}"}}), "utf-8")
    before = watched.server.counts()["calls"]
    run = ui.launch_tick("reembedding", "ingest_parallel")
    ui.wait_for_success(run)
    tags = ui.dev.run(run)["tags"]
    assert tags["aegis/why"] == "8 of 8 documents to embed anew"
    assert tags["aegis/forecast"].startswith("1 calls, 0.00") and tags["aegis/outcome"] == "succeeded"
    assert watched.server.counts()["calls"] == before + 1
    vectors = operator.project.vectors
    assert vectors.active_collection() == vectors.collection
    assert len(vectors.counts_by_document()) == 8
    assert operator.aegis("search", "Who repaired tide gauge 3?")["hits"]

    ui.preview_tick("reembedding")
    ui.page.get_by_text(NEVER_STALE).wait_for()
    asked = watched.server.counts()["calls"]
    operator.aegis("ingest")
    assert watched.server.counts()["calls"] == asked  # it did nothing
