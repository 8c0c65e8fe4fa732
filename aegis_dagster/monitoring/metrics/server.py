"""The exporter over HTTP: /metrics in Prometheus' formats, and a page that links to it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer, generate_latest

from aegis_dagster.errors import ConfigurationError
from aegis_dagster.monitoring.metrics.exporter import Exporter

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>aegis metrics</title></head>
<body><h1>aegis metrics</h1><p>Prometheus reads <a href="/metrics">/metrics</a>.</p></body></html>
"""


class _Silent(WSGIRequestHandler):
    """Logs no line for each scrape."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Ipv6Server(ThreadingWSGIServer):
    address_family = socket.AF_INET6


class MetricsServer:
    """Listens from its creation on."""

    def __init__(self, exporter: Exporter, host: str, port: int) -> None:
        """port: 0 for any free one. Raises ConfigurationError if it cannot listen there."""
        kind = _Ipv6Server if ":" in host else ThreadingWSGIServer
        try:
            self._server = make_server(host, port, _application(exporter), kind, handler_class=_Silent)
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"Metrics cannot be served at {_address(host, port)}: {error}.",
                remedy="stop what listens there, or choose another address: --host and --port, or metrics.host and "
                "metrics.port in aegis.yaml.",
            ) from error
        self._host = host

    @property
    def url(self) -> str:
        """The address that Prometheus reads."""
        return f"http://{_address(self._host, self._server.server_port)}/metrics"

    def serve(self) -> None:
        """Answer until `close` is called in another thread."""
        self._server.serve_forever()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def exposition(exporter: Exporter) -> str:
    """One scrape in the text format."""
    return generate_latest(_registry(exporter)).decode("utf-8")


def _registry(exporter: Exporter) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(exporter)
    return registry


def _application(exporter: Exporter) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    metrics = make_wsgi_app(_registry(exporter))

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            answered: Iterable[bytes] = metrics(environ, start_response)
            return answered
        page = _PAGE if path in ("", "/") else "There is nothing here; metrics are at /metrics.\n"
        kind = "text/html" if page is _PAGE else "text/plain"
        start_response("200 OK" if page is _PAGE else "404 Not Found", [("Content-Type", f"{kind}; charset=utf-8")])
        return [page.encode("utf-8")]

    return answer


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
