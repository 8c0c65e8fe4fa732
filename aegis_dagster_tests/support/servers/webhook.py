"""A receiver of webhooks: a real HTTP server in a thread that keeps what it is sent."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Webhook:
    """What arrived, in order. `answer` may be changed while it runs."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answer = 200  # status code of every answer; others than 200 say "not taken"
        self.says = b""  # body of every answer
        self._bodies: list[Any] = []
        self._arrived = threading.Condition()

    @property
    def bodies(self) -> list[Any]:
        """The JSON bodies so far, also of requests that were answered with an error."""
        with self._arrived:
            return list(self._bodies)

    def alerts(self, name: str) -> list[dict[str, Any]]:
        """The alerts of that name in all pages of an Alertmanager: labels, annotations, status."""
        pages = [body for body in self.bodies if isinstance(body, dict)]
        return [one for body in pages for one in body.get("alerts", []) if one["labels"]["alertname"] == name]

    def wait_for(self, met: Callable[["Webhook"], bool], *, seconds: float = 240.0) -> None:
        """Returns when what arrived is as wanted. Raises TimeoutError with what arrived."""
        end = time.monotonic() + seconds
        while not met(self):
            with self._arrived:
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"not what was waited for in {seconds:.0f} s: {self._bodies}")
                self._arrived.wait(min(left, 0.2))

    def take(self, body: bytes) -> None:
        """Keep a body; what is no JSON is kept as text."""
        try:
            value = json.loads(body)
        except ValueError:
            value = body.decode("utf-8", "replace")
        with self._arrived:
            self._bodies.append(value)
            self._arrived.notify_all()


@contextmanager
def webhook_receiver() -> Iterator[Webhook]:
    """A receiver on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.take(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.send_response(received.answer)
            self.send_header("Content-Length", str(len(received.says)))
            self.end_headers()
            self.wfile.write(received.says)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: a test prints what it needs."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received = Webhook(f"http://127.0.0.1:{server.server_port}/page")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A receiver for one test."""
    with webhook_receiver() as receiver:
        yield receiver
