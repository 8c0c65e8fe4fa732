"""An image of a registry that asks for a password is pulled with the one of dagster-docker's config."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import docker
import pytest

from aegis_dagster.defs.containers.engine import pull


class _Engine(BaseHTTPRequestHandler):
    """Answers what a Docker engine does to a login and a pull."""

    shown: ClassVar[dict[str, object]] = {}

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.endswith("/auth"):
            self.shown["login"] = json.loads(body)
            self._say({"Status": "Login Succeeded"})
        else:
            auth = self.headers.get("X-Registry-Auth")
            self.shown["pull"] = json.loads(base64.urlsafe_b64decode(auth)) if auth else None
            self._say({"status": "done"})

    def do_GET(self) -> None:
        self._say({"Id": "sha256:1", "RepoTags": []})

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _say(self, values: dict[str, object]) -> None:
        body = json.dumps(values).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    """A client of it."""
    _Engine.shown.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Engine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with closing(docker.DockerClient(f"tcp://127.0.0.1:{server.server_port}", version="1.41")) as client:
        yield client
    server.shutdown()
    server.server_close()


def test_the_registry_of_the_config_is_logged_in_to(engine: docker.DockerClient) -> None:
    pull(engine, "registry.example/aegis:1", {"url": "registry.example", "username": "me", "password": "secret"})
    for step in ("login", "pull"):
        assert '"username": "me", "password": "secret"' in json.dumps(_Engine.shown[step])


def test_without_one_an_image_is_pulled_without_a_login(engine: docker.DockerClient) -> None:
    pull(engine, "registry.example/aegis:1", None)
    assert "login" not in _Engine.shown and "pull" in _Engine.shown
