"""The stand-in's HTTP. Each first part of a path is a server of its own, so that tests share one process.

`POST /_control/NAME/script` takes what the next matching requests of a server get instead of an answer, and
`GET /_control/NAME/records` tells what was asked: method, path, query, bytes and API key.
"""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import ValidationError
from qdrant_client import models

from aegis_dagster_tests.support.qdrant_server.collections import Collections, Refused
from aegis_dagster_tests.support.servers.resets import reset

LIMIT = 32 * 2**20  # bytes of a request, as the server's default
_NO_KEY = "Must provide an API key or an Authorization bearer token"
_PAGE = "<html><head><title>Welcome</title></head><body>Nothing to see.</body></html>"


class QdrantApp:
    """Handlers over the servers in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: dict[str, Collections] = {}
        self._settings: dict[str, dict[str, Any]] = defaultdict(dict)
        self._script: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._records: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def application(self) -> web.Application:
        """The application to serve."""
        app = web.Application(client_max_size=2 * LIMIT)
        app.router.add_get("/readyz", self._ready)
        app.router.add_post("/_control/{server}/{what}", self._set)
        app.router.add_get("/_control/{server}/records", self._told)
        app.router.add_route("*", "/{server}{path:.*}", self._answer)
        app.on_cleanup.append(self._close)
        return app

    async def _ready(self, _: web.Request) -> web.Response:
        return web.Response(text="all shards are ready")

    async def _set(self, request: web.Request) -> web.Response:
        server, what = request.match_info["server"], request.match_info["what"]
        if what == "script":
            self._script[server] = await request.json()
            self._records[server].clear()
        else:  # "settings": api_key, read_only_api_key, limit, version, title
            self._settings[server] = await request.json()
        return web.json_response({})

    async def _told(self, request: web.Request) -> web.Response:
        return web.json_response(self._records[request.match_info["server"]])

    async def _close(self, _: web.Application) -> None:
        for server in self._servers.values():
            server.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        server, path = request.match_info["server"], request.match_info["path"] or "/"
        body = await request.read()
        key = request.headers.get("api-key")
        self._records[server].append(
            {"method": request.method, "path": path, "query": request.query_string, "bytes": len(body), "key": key}
        )
        fault = self._next_fault(server, f"{request.method} {path}")
        if fault.get("after"):  # carried out, but the answer is lost
            self._carried_out(server, request, path, body)
        if seconds := fault.get("delay"):
            await asyncio.sleep(seconds)
        if fault.get("reset"):
            return reset(request)
        if "status" in fault:
            return _as_told(fault)
        return self._carried_out(server, request, path, body)

    def _next_fault(self, server: str, asked: str) -> dict[str, Any]:
        for rule in self._script[server]:
            if rule.get("match", "") in asked and rule.get("times", 1) > 0:
                rule["times"] = rule.get("times", 1) - 1
                return rule
        return {}

    def _carried_out(self, server: str, request: web.Request, path: str, body: bytes) -> web.Response:
        began, settings = time.monotonic(), self._settings[server]
        if path == "/":
            about = {"title": "qdrant - vector search engine", "version": "1.20.0", "commit": "0" * 40}
            return web.json_response(about | {key: settings[key] for key in ("title", "version") if key in settings})
        refused = _unauthorized(request, settings)
        if refused is not None:
            return refused
        if len(body) > (limit := settings.get("limit", LIMIT)):
            words = f"Payload error: JSON payload ({len(body)} bytes) is larger than allowed (limit: {limit} bytes)."
            return _json(400, {"error": words}, 0.0)
        if server not in self._servers:
            self._servers[server] = Collections(self._folder / server)
        try:
            result = _routed(self._servers[server], request, path, body)
        except Refused as error:
            return _json(error.status, {"error": str(error)}, time.monotonic() - began)
        except ValidationError as error:
            return _json(400, {"error": f"Format error in JSON body: {error.errors()[0]['msg']}"}, 0.0)
        return web.json_response({"result": result, "status": "ok", "time": time.monotonic() - began})


def _routed(held: Collections, request: web.Request, path: str, body: bytes) -> Any:
    """The result of a request. Raises Refused, ValidationError."""
    parts, asked = path.strip("/").split("/"), json.loads(body) if body else {}
    match request.method, parts:
        case "GET", ["collections"]:
            return {"collections": [{"name": name} for name in held.names()]}
        case "GET", ["aliases"]:
            pairs = held.aliases().items()
            return {"aliases": [{"alias_name": alias, "collection_name": name} for alias, name in pairs]}
        case "POST", ["collections", "aliases"]:
            models.ChangeAliasesOperation.model_validate(asked)
            return held.change_aliases(asked["actions"])
        case "GET", ["collections", name]:
            return held.info(name)
        case "GET", ["collections", name, "exists"]:
            return {"exists": held.exists(name)}
        case "PUT", ["collections", name]:
            models.CreateCollection.model_validate(asked)
            return held.create(name, asked)
        case "PATCH", ["collections", name]:
            models.UpdateCollection.model_validate(asked)
            return held.update(name, asked)
        case "DELETE", ["collections", name]:
            return held.delete(name)
        case "PUT", ["collections", name, "index"]:
            held.create_index(name, asked)
        case "PUT", ["collections", name, "points"]:
            models.PointsList.model_validate(asked)
            held.upsert(name, asked["points"])
        case "POST", ["collections", name, "points", "delete"]:
            held.delete_points(name, asked)
        case "POST", ["collections", name, *what]:
            return _read(held, "/".join(what))(name, asked)
        case _:
            raise Refused(404, "")
    if request.query.get("wait") != "true":
        return {"operation_id": 1, "status": "acknowledged"}
    return {"operation_id": 1, "status": "completed"}


def _read(held: Collections, what: str) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    reads = {"points/scroll": held.scroll, "points/query": held.query, "points/count": held.count, "facet": held.facet}
    if what not in reads:
        raise Refused(404, "")
    return reads[what]


def _unauthorized(request: web.Request, settings: dict[str, Any]) -> web.Response | None:
    keys = [settings.get("api_key"), settings.get("read_only_api_key")]
    given = request.headers.get("api-key")
    if keys == [None, None]:
        return None
    if given is None:
        return web.Response(status=401, text=_NO_KEY)
    if given not in keys:
        return web.Response(status=401, text="Invalid API key or JWT")
    is_reading = request.method == "GET" or request.path.endswith(("/scroll", "/query", "/count", "/facet"))
    if given == settings.get("api_key") or is_reading:
        return None
    return _json(403, {"error": "Forbidden: Global manage access is required"}, 0.0)


def _json(status: int, said: dict[str, str] | str, seconds: float) -> web.Response:
    return web.json_response({"status": said, "time": seconds}, status=status)


def _as_told(fault: dict[str, Any]) -> web.Response:
    status, headers = fault["status"], fault.get("headers", {})
    if "error" in fault:
        text = json.dumps({"status": {"error": fault["error"]}, "time": 0.0})
        return web.Response(status=status, text=text, content_type="application/json", headers=headers)
    return web.Response(status=status, text=fault.get("text", _PAGE), content_type="text/html", headers=headers)
