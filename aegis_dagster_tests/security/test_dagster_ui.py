"""A home full of hostile names, bodies and messages, in a real Chromium over a real `aegis dev`: nothing acts."""

import io
import json
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import dagster as dg
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from aegis_dagster.cli.dagster_runs import put_dagster_yaml
from aegis_dagster_tests.support.bad_files import docx, pptx
from aegis_dagster_tests.support.dagster_runs import run
from aegis_dagster_tests.support.dagster_ui import LOCATION
from aegis_dagster_tests.support.servers.browser import browser, new_page
from aegis_dagster_tests.support.servers.dagster_dev import DagsterDev

__all__ = ["browser"]

pytestmark = pytest.mark.slow

WIPE = 'mutation{wipeAssets(assetPartitionRanges:[{assetKey:{path:["parsed_documents"]}}]){__typename}}'
ACTS = f"/graphql?query={WIPE}"
COLLECTION = "![x](graphql) <b>a_*|`c"
NAMES = [
    f"![x](/graphql?query={WIPE}).pptx",
    f"<img src=/graphql?query={WIPE}>.txt",
    f"]: /graphql?query={WIPE}\n\n![x].txt",
    "mail@evil.example, www.evil.example | `x` ``` ~~~ &#33;[y](z).txt",
]
BODY = f"""# Report ![x]({ACTS}) <img src="{ACTS}">

The Harbour Authority ![x]({ACTS}) of Eastmere wrote to Priya Raman. <https://evil.example/a>
See https://evil.example/b, www.evil.example and mail@evil.example, [link](https://evil.example/c), ![y][z].

[z]: {ACTS}

- item ![x]({ACTS})

| head ![x]({ACTS}) | <img src="{ACTS}"> |
| --- | --- |
| [^1] | https://evil.example/d |

```
![x]({ACTS})
```
~~~ <script>fetch({json.dumps(ACTS)})</script>

[^1]: ![x]({ACTS})
"""
# What the pages of a clean home ask for: method, what for, first part of the path.
CLEAN = {
    ("GET", "document", ""),
    *(("GET", kind, "_next") for kind in ("script", "stylesheet", "font", "image", "other")),
    *(("GET", "other", f"favicon{name}") for name in (".png", ".svg", "-run-failed.svg", "-run-success.svg")),
    ("GET", "other", "manifest.json"),
    ("POST", "fetch", "graphql"),
}
STAGES = ("parsed_documents", "enriched_images", "chunks", "embeddings", "knowledge_graph")
MORE = {
    "enriched_images": "pictures_described_by_model",
    "chunks": "text_coverage",
    "embeddings": "vectors_match_chunks",
    "knowledge_graph": "chunks_read",
}
PAGES = {
    "/runs": "ingest",
    "/assets": "parsed_documents",
    "/asset-groups": "ingestion",
    "/overview/activity/timeline": "Timeline",
    "/automation": "watched_folder",
    "/deployment/locations": LOCATION,
    f"/locations/{LOCATION}/jobs/ingest": "ingest",
    f"/locations/{LOCATION}/sensors/watched_folder": "watched_folder",
}
STEP = "text=/^(parsed_documents|plan_collection)$/"
IN_MARKDOWN = ".dagster-markdown a, .dagster-markdown img:not([src^='data:']), .dagster-markdown iframe, a[href*=evil]"


def quoting_pptx() -> bytes:
    """Slides that are refused with the name of a part in the error."""
    made = io.BytesIO(pptx(1))
    with zipfile.ZipFile(made, "a") as bad:
        bad.writestr(f"ppt/slides/![x]({ACTS}).xml", '<!DOCTYPE x [<!ENTITY a "b">]><x/>')
    return made.getvalue()


@dataclass
class Hostile:
    """The home and its `aegis dev`."""

    dev: DagsterDev
    runs: list[str]

    def state(self) -> object:
        """What a mutation would have changed. The sensors, which are on, may request runs of their own."""
        asked = self.dev.query("{assetNodes{assetKey{path}assetMaterializations{runId timestamp}}}")
        kept = {node["assetKey"]["path"][0]: node["assetMaterializations"] for node in asked["assetNodes"]}
        assert all(kept[asset] for asset in STAGES)
        return {asset: kept[asset] for asset in STAGES}, [one for one in self.dev.runs() if one["id"] in self.runs]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    folder = tmp_path_factory.mktemp("hostile")
    root = folder / "root"
    for name in NAMES:
        path = root / COLLECTION / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(quoting_pptx() if name.endswith("pptx") else BODY.encode())
    (root / COLLECTION / "body.md").write_text(BODY, "utf-8")
    (root / COLLECTION / "body.docx").write_bytes(docx(BODY.split("\n\n")))
    dev = DagsterDev(folder / "home", root, {"AEGIS_LISTING__SETTLE_SECONDS": "0"})
    dagster_home = dev.home / "dagster"
    dagster_home.mkdir(parents=True)
    put_dagster_yaml(dagster_home)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in dev.environment().items():
            patched.setenv(name, value)
        with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
            runs = [
                run(instance, "plan_ingestion", COLLECTION).run_id,
                run(instance, "ingest", COLLECTION, documents=[f"![x]({ACTS}) https://evil.example"]).run_id,
                run(instance, "ingest", COLLECTION).run_id,
            ]
    try:
        dev.start()
        yield Hostile(dev, runs)
    finally:
        dev.stop()


@dataclass
class Seen:
    """What the pages asked for."""

    url: str
    kinds: set[tuple[str, str, str]] = field(default_factory=set)
    foreign: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # by the policy of the front door

    def watch(self, page: Page) -> None:
        page.on("request", self._request)
        page.on("console", self._message)

    def _request(self, request: Request) -> None:
        if request.url.startswith(("data:", f"blob:{self.url}/")):  # a picture in Markdown; a worker of the page
            return
        if not request.url.startswith(self.url) or "wipeAssets" in request.url:
            self.foreign.append(request.url)
        document = request.resource_type == "document"
        part = "" if document else urlsplit(request.url).path.split("/")[1]
        self.kinds.add((request.method, request.resource_type, part))

    def _message(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.refused.append(message.text)


def unfold(page: Page) -> str:
    """Open everything that is shown only on demand, one after the other. Returns what it says."""
    said = []
    for index in range(page.get_by_text("[Show Markdown]").count()):
        page.get_by_text("[Show Markdown]").nth(index).click()
        page.locator("[role=dialog] .dagster-markdown").wait_for(state="attached")
        assert page.locator(IN_MARKDOWN).count() == 0
        said.append(page.locator("[role=dialog]").inner_text())
        page.keyboard.press("Escape")
        page.locator("[role=dialog]").first.wait_for(state="hidden")
    return "\n".join(said)


def test_no_page_of_the_ui_acts_or_links(hostile: Hostile, browser: Browser) -> None:
    before = hostile.state()
    seen = Seen(hostile.dev.url)
    with new_page(browser) as page:
        seen.watch(page)

        def look(path: str, *texts: str) -> str:
            page.goto(hostile.dev.url + path, wait_until="commit")
            for text in texts:
                expect(page.get_by_text(text).first).to_be_visible()
            assert page.locator(IN_MARKDOWN).count() == 0
            return unfold(page)

        look("/assets/parsed_documents?view=overview", "corrupt_file", "![x](graphql) <b>a_*|`c/![x](/graphql?query=mu")
        look("/assets/parsed_documents?view=events", "documents_done")
        failed = "/assets/parsed_documents?view=checks&checkDetail=documents_parsed"
        look(failed, "documents could not be parsed", "![x](graphql) <b>a_*|`c/![x](/graphql?query=mu")
        page.get_by_text("Execution history").click()
        expect(page.get_by_text("documents could not be parsed").first).to_be_visible()
        assert page.locator(IN_MARKDOWN).count() == 0
        assert "Report ![x](/graphql?query=mutation" in look("/assets/chunks?view=overview", "documents_done")
        for asset, check in MORE.items():
            look(f"/assets/{asset}?view=overview", "documents_done")
            look(f"/assets/{asset}?view=checks&checkDetail={check}", check)
        for run_id, said in zip(hostile.runs, ("would work on", "none matches", "corrupt_file: "), strict=True):
            look(f"/runs/{run_id}", run_id[:8])
            page.locator(STEP).first.dispatch_event("click")  # it still moves; then the log shows this step only
            expect(page.get_by_text(said).first).to_be_visible()
            assert page.locator(IN_MARKDOWN).count() == 0
        for path, text in PAGES.items():
            look(path, text)
    assert seen.foreign == [] and seen.refused == []
    assert seen.kinds - CLEAN == set()
    assert hostile.state() == before


def ask(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        assert "Remedy: " in refused.read().decode()
        return refused.code


def test_the_real_webserver_stands_behind_the_front_door(hostile: Hostile) -> None:
    before = hostile.state()
    url, socket = hostile.dev.url, hostile.dev.url.replace("http", "ws")
    assert ask(f"{url}/runs") == 200
    assert ask(f"{url}/graphql?query={quote(WIPE)}") == 403
    assert ask(url, Host="evil.example") == 403
    assert ask(url, Origin="https://evil.example") == 403
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"{socket}/graphql", subprotocols=[Subprotocol("graphql-ws")], origin=Origin("https://evil.example"))
    with connect(f"{socket}/graphql", subprotocols=[Subprotocol("graphql-ws")], origin=Origin(url)) as connection:
        connection.send('{"type": "connection_init"}')
        assert json.loads(connection.recv(timeout=60))["type"] == "connection_ack"
    assert hostile.state() == before
