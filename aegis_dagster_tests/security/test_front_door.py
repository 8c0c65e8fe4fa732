"""Which requests the front door of `aegis dev` lets through, and what every answer carries.

`test_dagster_ui` asks a real `aegis dev`.
"""

from collections.abc import Iterator, Mapping

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket

from aegis_dagster.defs.webserver.front_door import FrontDoor

OURS = "127.0.0.1:3000"
JSON = {"content-type": "application/json"}
WIPE = "/graphql?query=mutation{wipeAssets(assetPartitionRanges:[]){__typename}}"
FOLLOWED = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
FRAMED = {**FOLLOWED, "sec-fetch-dest": "iframe"}
PICTURE = {"sec-fetch-site": "same-origin", "sec-fetch-dest": "image", "sec-fetch-mode": "no-cors"}

ALLOWED = [
    ("GET", "/", {}),
    ("GET", "/", {"host": "localhost:8080"}),  # a tunnel
    ("GET", "/", {"host": "[::1]:3000"}),
    ("GET", "/", {"host": "127.0.0.2"}),
    ("GET", "/", {"host": "Dagster.Example.org"}),
    ("GET", "/runs/1", FOLLOWED),
    ("GET", "/", {"sec-fetch-site": "none"}),
    ("GET", "/graphql?query={version}", {}),
    ("GET", "/graphql?query={not GraphQL", {}),
    ("GET", "/graphql?query=mutation{a" + "{a" * 5_000, {}),  # nor is this: no parser reads so deep
    ("GET", "/logs/a?query=harbour", {}),
    ("POST", "/graphql", JSON),
    ("POST", "/graphql", {"content-type": "Application/JSON; charset=utf-8"}),
    ("POST", "/graphql", {**JSON, "origin": f"http://{OURS}", "sec-fetch-site": "same-origin"}),
    ("POST", "/graphql", {**JSON, "host": "dagster.example.org", "origin": "https://dagster.example.org"}),
    ("POST", "/report_asset_check/a", JSON),
]
REFUSED = [
    ("GET", "/", {"host": "evil.example"}, "not served as"),
    ("GET", "/", {"host": "127.0.0.1.evil.example:3000"}, "not served as"),
    ("GET", "/", {"host": "localhost.evil.example"}, "not served as"),
    ("GET", "/", {"host": "evil.example#localhost"}, "not served as"),
    ("GET", "/", {"host": "localhost@evil.example"}, "not served as"),
    ("GET", "/", {"host": "0.0.0.0:3000"}, "not served as"),
    ("GET", "/", {"host": "192.168.1.5:3000"}, "not served as"),
    ("GET", "/", {"host": "sub.dagster.example.org"}, "not served as"),
    ("GET", "/", {"host": ""}, "not served as"),
    ("GET", "/", {"host": "[::1].evil.example"}, "not served as"),
    ("GET", "/", {"host": "[::1]evil:80"}, "not served as"),
    ("GET", "/", {"host": "[127.0.0.1].evil.example:80"}, "not served as"),
    ("GET", "/", {"host": "localhost:80@evil.example"}, "not served as"),
    ("GET", "/", {"host": "localhost:evil.example"}, "not served as"),
    ("GET", "/", {"host": "127.0.0.1:x.evil.example"}, "not served as"),
    ("GET", "/", {"host": "127.0.0.1:"}, "not served as"),
    ("GET", WIPE, {}, "mutation by GET"),
    ("GET", WIPE, PICTURE, "mutation by GET"),
    ("GET", WIPE, {**FOLLOWED, "accept": "text/html"}, "mutation by GET"),
    ("GET", WIPE.replace("mutation", "query a{version} mutation b"), {}, "mutation by GET"),
    ("GET", WIPE.replace("?", "?query={version}&"), {}, "mutation by GET"),
    ("GET", WIPE.replace("mutation", "mut%61tion"), {}, "mutation by GET"),
    ("GET", WIPE.replace("mutation", "%23%0A mutation"), {}, "mutation by GET"),
    ("HEAD", WIPE, {}, ""),
    ("GET", "/server_info", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}, "another site"),
    ("GET", "/", FRAMED, "another site"),
    ("GET", "/", {"origin": "https://evil.example"}, "another site"),
    ("POST", "/graphql", {**JSON, "origin": "https://evil.example"}, "another site"),
    ("POST", "/graphql", {**JSON, "origin": "null"}, "another site"),
    ("POST", "/graphql", {**JSON, "origin": "http://localhost:8888"}, "another site"),
    ("POST", "/graphql", {**JSON, "origin": f"http://{OURS}.evil.example"}, "another site"),
    ("POST", "/graphql", {**JSON, "sec-fetch-site": "same-site"}, "another site"),
    ("POST", "/graphql", {**JSON, **FOLLOWED}, "another site"),
    ("POST", WIPE, {}, "as JSON"),
    ("POST", "/graphql", {"content-type": "text/plain"}, "as JSON"),
    ("POST", "/graphql", {"content-type": "text/plain; application/json"}, "as JSON"),
    ("POST", "/graphql", {"content-type": "application/x-www-form-urlencoded"}, "as JSON"),
    ("POST", "/graphql", {"content-type": "multipart/form-data; boundary=application/json"}, "as JSON"),
    ("POST", "/graphql", {"content-type": "application/graphql"}, "as JSON"),
    ("POST", "/report_asset_materialization/a?metadata={}", {}, "as JSON"),
    ("DELETE", "/graphql", {}, "as JSON"),
]


async def echo(request: Request) -> PlainTextResponse:
    if request.url.path == "/broken":
        raise ValueError("a defect of the application")
    return PlainTextResponse("through")


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("through")
    await websocket.close()


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    methods = ["GET", "HEAD", "POST", "DELETE"]
    app = Starlette(routes=[WebSocketRoute("/graphql", talk), Route("/{path:path}", echo, methods=methods)])
    guarded = FrontDoor(app, ["dagster.example.org"])
    with TestClient(guarded, base_url=f"http://{OURS}", raise_server_exceptions=False) as client:
        yield client


def assert_protected(headers: Mapping[str, str]) -> None:
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy and "default-src 'self'" in policy
    assert "http:" not in policy and "https:" not in policy and "*" not in policy
    assert headers["referrer-policy"] == "no-referrer" and headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(("method", "path", "headers"), ALLOWED)
def test_what_dagsters_own_pages_and_programs_here_send_gets_through(
    client: TestClient, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = client.request(method, path, headers=headers)
    assert (answer.status_code, answer.text) == (200, "through")
    assert_protected(answer.headers)


@pytest.mark.parametrize(("method", "path", "headers", "why"), REFUSED)
def test_what_another_site_could_send_is_refused_in_words(
    client: TestClient, method: str, path: str, headers: dict[str, str], why: str
) -> None:
    answer = client.request(method, path, headers=headers)
    assert answer.status_code == 403 and "through" not in answer.text
    assert why in answer.text and ("Remedy: " in answer.text or method == "HEAD")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert_protected(answer.headers)


def test_two_hosts_are_none(client: TestClient) -> None:
    answer = client.request("GET", "/", headers=[("host", OURS), ("host", "evil.example")])
    assert answer.status_code == 403


def test_an_error_of_the_webserver_is_protected_as_well(client: TestClient) -> None:
    answer = client.get("/broken")
    assert answer.status_code == 500
    assert_protected(answer.headers)


@pytest.mark.parametrize("headers", [{}, {"origin": f"http://{OURS}", "sec-fetch-site": "same-origin"}])
def test_a_websocket_of_dagsters_own_pages_is_accepted(client: TestClient, headers: dict[str, str]) -> None:
    with client.websocket_connect(f"ws://{OURS}/graphql", headers=headers) as socket:
        assert socket.receive_text() == "through"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "websocket", "sec-fetch-dest": "document"},
        {"host": "evil.example", "origin": "http://evil.example"},
    ],
)
def test_a_websocket_of_another_site_is_refused_in_words(client: TestClient, headers: dict[str, str]) -> None:
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect(f"ws://{OURS}/graphql", headers=headers),
    ):
        pass
    assert refused.value.status_code == 403 and "Remedy: " in refused.value.text
    assert_protected(refused.value.headers)
