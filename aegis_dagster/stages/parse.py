"""The parse stage: turns a document's bytes into a DoclingDocument with pages, boxes and pictures."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from aegis_dagster.domain.stages import Document, Outcome, Stage, Status
from aegis_dagster.stages.context import StageReport, Workbench
from aegis_dagster.stages.reading import read_json, staged, usable
from aegis_dagster.stages.runner import Work, run_each


async def parse_documents(documents: Sequence[Document], bench: Workbench, *, force: bool = False) -> StageReport:
    """Parse stale documents. Raises ServiceError when the artifact store or the catalog is broken."""

    async def parse(work: Work, bench: Workbench, report: StageReport) -> Outcome:
        fingerprint = work.fingerprint(Stage.PARSE)
        if not work.force and await asyncio.to_thread(usable, bench.artifacts, Stage.PARSE, fingerprint):
            return Outcome(Status.DONE, read_json(bench.artifacts.path(Stage.PARSE, fingerprint) / "manifest.json"))
        manifest = await _parse(work, bench)
        report.work["parsed"] += 1
        return Outcome(Status.DONE, manifest)

    return await run_each(Stage.PARSE, documents, bench, parse, force=force)


async def _parse(work: Work, bench: Workbench) -> dict[str, Any]:
    """The manifest."""
    document = work.document
    bench.expect_chats(document.collection)
    async with AsyncExitStack() as until_parsed:
        path = await asyncio.to_thread(until_parsed.enter_context, bench.source(document))  # may download
        folder = await until_parsed.enter_async_context(
            staged(bench.artifacts, Stage.PARSE, work.fingerprint(Stage.PARSE), replace=work.force)
        )
        return await bench.tasks.run(
            "parse",
            {
                "path": str(path),
                "suffix": document.suffix,
                "revision": document.revision,
                "out_dir": str(folder),
                "options": bench.options.parse_payload,
            },
            timeout_seconds=bench.options.parse_timeout_seconds,
        )
