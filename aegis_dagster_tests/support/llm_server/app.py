"""The scripted server's HTTP: the providers' paths and the control paths."""

import asyncio
import json
from dataclasses import asdict
from typing import Any

from aiohttp import web

from aegis_dagster_tests.support.llm_server.behaviours import Behaviour, Kind, Rule
from aegis_dagster_tests.support.llm_server.bodies import body, reported
from aegis_dagster_tests.support.llm_server.contents import Said, said
from aegis_dagster_tests.support.llm_server.counting import Asked, understood
from aegis_dagster_tests.support.llm_server.refusals import PAGE, REFUSALS, refusal
from aegis_dagster_tests.support.llm_server.script import Record, Script, bills
from aegis_dagster_tests.support.servers.resets import reset

UNSCRIPTED = 599
MOST_BYTES = 64 * 2**20
TRICKLE_SECONDS = 0.05  # between two bytes
_ANSWERS = {Kind.ANSWER, Kind.FILTERED}
_RESETS = {Kind.RESET_BEFORE, Kind.RESET_AFTER}


class ScriptedApp:
    """Handlers around one script. `models` is what the lists of models name."""

    def __init__(self, models: tuple[str, ...]) -> None:
        self.script = Script()
        self.script.reset()
        self._models = models

    def application(self) -> web.Application:
        """The application to serve."""
        app = web.Application(client_max_size=MOST_BYTES)
        for path in ("/v1/chat/completions", "/v1/embeddings", "/api/chat", "/api/embed"):
            app.router.add_post(path, self._model_call)
        app.router.add_get("/v1/models", self._openai_models)
        app.router.add_get("/api/version", self._version)
        app.router.add_get("/api/tags", self._tags)
        app.router.add_post("/_control/script", self._set_script)
        app.router.add_post("/_control/reset", self._reset)
        app.router.add_get("/_control/records", self._records)
        app.router.add_get("/_control/counts", self._counts)
        return app

    async def _model_call(self, request: web.Request) -> web.StreamResponse:
        with self.script.working(request.transport and request.transport.get_extra_info("peername")):
            return await self._answer(request)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        arrived = asyncio.get_running_loop().time()
        headers = dict(request.headers)
        if self.script.resets_unread(request.path):
            self.script.record(request.path, headers, {}).kind = Kind.RESET_BEFORE
            return reset(request)
        given: dict[str, Any] = await request.json()
        record = self.script.record(request.path, headers, given)
        asked = understood(request.path, given)
        behaviour = self.script.choose(asked)
        if behaviour is None:
            record.kind, record.status = "unscripted", UNSCRIPTED
            message = f"The script has no rule for call {record.number}: {request.path}, model {asked.model}."
            return web.json_response({"error": {"message": message, "code": "unscripted"}}, status=UNSCRIPTED)
        record.kind = behaviour.kind
        answer = said(asked, behaviour)
        if bills(behaviour):
            record.billed = answer.tokens
        prepared = _prepared(record, asked, behaviour, answer)
        # The work above is part of the latency, so that 64 requests at once are answered in time.
        await asyncio.sleep(max(0.0, arrived + behaviour.latency_seconds - asyncio.get_running_loop().time()))
        if behaviour.kind in _RESETS:
            return reset(request)
        if behaviour.kind is Kind.HANG:
            return await _hang(request)
        if behaviour.kind in {Kind.RESET_MIDWAY, Kind.TRICKLE}:
            return await _partly(request, prepared, trickle=behaviour.kind is Kind.TRICKLE)
        if await _sent(request, prepared):
            record.status = prepared.status
            record.answered = behaviour.kind in _ANSWERS
            states = record.answered or behaviour.kind is Kind.EMPTY_CHOICES
            record.reported = reported(behaviour, answer.tokens) if states else None
        return prepared

    async def _set_script(self, request: web.Request) -> web.Response:
        self.script.replace([Rule.from_json(rule) for rule in await request.json()])
        return web.json_response({})

    async def _reset(self, request: web.Request) -> web.Response:
        self.script.reset()
        return web.json_response({})

    async def _records(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(record) for record in self.script.records])

    async def _counts(self, request: web.Request) -> web.Response:
        return web.json_response(self.script.counts())

    async def _openai_models(self, request: web.Request) -> web.Response:
        models = [{"id": name, "object": "model", "created": 1, "owned_by": "library"} for name in self._models]
        return web.json_response({"object": "list", "data": models})

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": "0.13.0"})

    async def _tags(self, request: web.Request) -> web.Response:
        return web.json_response({"models": [{"name": name, "model": name, "size": 1} for name in self._models]})


def _prepared(record: Record, asked: Asked, behaviour: Behaviour, answer: Said) -> web.Response:
    """The response in full, also where only a part of it will be sent."""
    status, kind = 200, "application/json"
    if behaviour.kind in REFUSALS:
        status, refused = refusal(asked, behaviour, record.number)
        text = json.dumps(refused)
    elif behaviour.kind in {Kind.HTML, Kind.HTML_BAD_GATEWAY}:
        status, text, kind = (200 if behaviour.kind is Kind.HTML else 502), PAGE, "text/html"
    else:
        text = json.dumps(body(asked, behaviour, answer, record.number))
    if behaviour.kind is Kind.MALFORMED_JSON:
        text = text[: len(text) // 2]
    headers = {} if behaviour.retry_after is None else {"Retry-After": behaviour.retry_after}
    sent = text.encode() if behaviour.raw is None else behaviour.raw.encode("latin-1")
    return web.Response(status=behaviour.status or status, body=sent, content_type=kind, headers=headers)


async def _sent(request: web.Request, response: web.Response) -> bool:
    """Send it at once, so that the record shows correctly whether it was sent."""
    if request.transport is None or request.transport.is_closing():
        return False
    try:
        await response.prepare(request)
        await response.write_eof()
    except ConnectionError:
        return False
    return True


async def _hang(request: web.Request) -> web.StreamResponse:
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - no event tells it
        await asyncio.sleep(0.1)
    return web.Response()


async def _partly(request: web.Request, prepared: web.Response, *, trickle: bool) -> web.StreamResponse:
    """Half of the body and then a reset, or spaces in front of it without end."""
    text = prepared.text or ""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(text.encode()) + 1_000_000
    try:
        await response.prepare(request)
        while trickle and request.transport is not None:
            await response.write(b" ")
            await asyncio.sleep(TRICKLE_SECONDS)
        await response.write(text.encode()[: len(text) // 2])
        await asyncio.sleep(0.02)  # so that the half arrives before the reset
    except ConnectionError:
        return response
    reset(request)
    return response
