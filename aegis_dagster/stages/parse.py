"""The parse stage: turns a document's bytes into a DoclingDocument with pages, boxes and pictures."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from aegis_dagster.domain.stages import Document, Outcome, Stage, Status
from aegis_dagster.errors import AegisError, Deferred, DocumentError, FailureCode, ServiceError
from aegis_dagster.ports import ParseServer
from aegis_dagster.stages.context import StageReport, Workbench
from aegis_dagster.stages.reading import read_json, staged, usable
from aegis_dagster.stages.runner import Work, run_each

# What may be the fault of a server's answer and not of the document.
_OF_ANSWERS = (FailureCode.BAD_ANSWER, FailureCode.CORRUPT_FILE, FailureCode.TIMEOUT)


async def parse_documents(documents: Sequence[Document], bench: Workbench, *, force: bool = False) -> StageReport:
    """Parse stale documents. Raises ServiceError when a store, or the server that parses, is broken."""

    async def parse(work: Work, bench: Workbench, report: StageReport) -> Outcome:
        fingerprint = work.fingerprint(Stage.PARSE)
        if not work.force and await asyncio.to_thread(usable, bench.artifacts, Stage.PARSE, fingerprint):
            return Outcome(Status.DONE, read_json(bench.artifacts.path(Stage.PARSE, fingerprint) / "manifest.json"))
        manifest = await _parse(work, bench)
        report.work["parsed"] += 1
        return Outcome(Status.DONE, manifest)

    # What a server parses only waits here: beside it, the worker processes have work of their own.
    waiting = bench.parse_server.at_once if bench.parse_server is not None else 0
    at_once = bench.options.concurrency + waiting
    return await run_each(Stage.PARSE, documents, bench, parse, force=force, side_by_side=at_once)


async def _parse(work: Work, bench: Workbench) -> dict[str, Any]:
    """The manifest."""
    document = work.document
    bench.expect_chats(document.collection)
    async with AsyncExitStack() as until_parsed:
        path = await asyncio.to_thread(until_parsed.enter_context, bench.source(document))  # may download
        if bench.parse_server is not None and bench.parse_server.takes(document):
            return await _by_server(bench.parse_server, work, path, bench)
        return await _here(work, path, bench)


async def _by_server(server: ParseServer, work: Work, path: Path, bench: Workbench) -> dict[str, Any]:
    """The manifest of a document that a server parses, or else, where that is allowed, this machine."""
    await _run("check", _payload(work, path, bench), bench)  # what is no sound file is not sent
    why: AegisError
    async with AsyncExitStack() as until_read:
        try:
            answer = await until_read.enter_async_context(server.converted(path, work.document))
        except (Deferred, ServiceError, DocumentError) as error:
            why = error
        else:
            try:
                return await _here(work, path, bench, answer=str(answer))
            except DocumentError as error:
                if error.code not in _OF_ANSWERS:
                    raise
                why = error
        if not server.fallback:
            raise why
    return await _here(work, path, bench, fallback=why.message)


async def _here(work: Work, path: Path, bench: Workbench, **told: str) -> dict[str, Any]:
    fingerprint = work.fingerprint(Stage.PARSE)
    async with staged(bench.artifacts, Stage.PARSE, fingerprint, replace=work.force) as folder:
        return await _run("parse", {**_payload(work, path, bench), "out_dir": str(folder), **told}, bench)


def _payload(work: Work, path: Path, bench: Workbench) -> dict[str, Any]:
    return {
        "path": str(path),
        "suffix": work.document.suffix,
        "revision": work.document.revision,
        "options": bench.options.parse_payload,
    }


async def _run(task: str, payload: dict[str, Any], bench: Workbench) -> dict[str, Any]:
    return await bench.tasks.run(task, payload, timeout_seconds=bench.options.parse_timeout_seconds)
