"""The chunk stage: turns a parsed document and its picture descriptions into passages.

Artifact: `chunks.json` (list of `Chunk.to_json()`), `document.md`, `report.json`.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aegis_dagster.domain.chunks import Chunk, LocatedChunk, locate
from aegis_dagster.domain.limits import Demand
from aegis_dagster.domain.stages import Document, Outcome, Stage, Status
from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.ports import Artifacts
from aegis_dagster.stages.context import StageReport, Workbench
from aegis_dagster.stages.enrich import read_descriptions
from aegis_dagster.stages.reading import read_json, sound_folder, staged, usable
from aegis_dagster.stages.runner import Work, run_each

# Failures of the hybrid chunker (hang, memory, crash) after which the plain one is tried (notes/docling.md).
_FALLBACK_CODES = (
    FailureCode.TIMEOUT,
    FailureCode.MEMORY_LIMIT,
    FailureCode.WORKER_CRASHED,
    FailureCode.CHUNKING_FAILED,
    FailureCode.INTERNAL_ERROR,
)


async def chunk_documents(documents: Sequence[Document], bench: Workbench, *, force: bool = False) -> StageReport:
    """Chunk stale documents. Raises ServiceError when the artifact store or the catalog is broken."""

    async def chunk(work: Work, bench: Workbench, report: StageReport) -> Outcome:
        fingerprint = work.fingerprint(Stage.CHUNK)
        if work.force or not await asyncio.to_thread(usable, bench.artifacts, Stage.CHUNK, fingerprint):
            await _chunk(work, bench)
            report.work["chunked"] += 1
            before = work.state.recorded.get(Stage.CHUNK)
            # Under the same fingerprint there may be other chunks now, for each document with equal bytes: the plain
            # chunker cuts differently, and descriptions that were cut are whole.
            if before is not None and before.fingerprint == fingerprint:
                for published in (Stage.EMBED, Stage.GRAPH):
                    bench.catalog.reset_stage(published, chunks=fingerprint)
        facts = read_json(bench.artifacts.path(Stage.CHUNK, fingerprint) / "report.json")
        if (refusal := bench.identities.limits.refusal(Demand(chunks=facts["chunks"]))) is not None:
            raise refusal
        facts["marked"] = facts.get("losses", 0) > 0 or facts["coverage"] < bench.options.min_coverage
        return Outcome(Status.DONE, facts)

    return await run_each(Stage.CHUNK, documents, bench, chunk, force=force)


def read_chunks(work_dir: Path) -> list[Chunk]:
    """The chunks of a chunk artifact, in document order. Raises DocumentError ARTIFACT_DAMAGED."""
    return [Chunk.from_json(values) for values in read_json(work_dir / "chunks.json")]


def located_chunks(work: Work, bench: Workbench) -> list[LocatedChunk]:
    """A document's chunks with their ids, for the later stages. Raises DocumentError ARTIFACT_DAMAGED."""
    folder = sound_folder(bench.artifacts, Stage.CHUNK, work.fingerprint(Stage.CHUNK))
    return locate(work.document.id, read_chunks(folder))


async def _chunk(work: Work, bench: Workbench) -> None:
    try:
        await _run_task(work, bench, plain=False)
    except DocumentError as error:
        if error.code not in _FALLBACK_CODES:
            raise
        await _run_task(work, bench, plain=True)


async def _run_task(work: Work, bench: Workbench, *, plain: bool) -> None:
    artifacts = bench.artifacts
    parsed = await asyncio.to_thread(sound_folder, artifacts, Stage.PARSE, work.fingerprint(Stage.PARSE))
    enriched = work.fingerprint(Stage.ENRICH)
    descriptions = await asyncio.to_thread(_descriptions, artifacts, enriched)
    described: list[dict[str, Any]] = [
        {key: entry[key] for key in ("picture", "text", "described_by")} for entry in descriptions if entry["text"]
    ]
    async with staged(artifacts, Stage.CHUNK, work.fingerprint(Stage.CHUNK), replace=work.force) as folder:
        await bench.tasks.run(
            "chunk",
            {
                "parse_dir": str(parsed),
                "descriptions": described,
                "out_dir": str(folder),
                "options": bench.options.chunk_payload,
                "plain": plain,
                "context": work.document.context,
            },
            timeout_seconds=bench.options.chunk_timeout_seconds,
        )


def _descriptions(artifacts: Artifacts, fingerprint: str) -> list[dict[str, Any]]:
    """The descriptions of a document's pictures; none if it has no pictures, or looking at them failed."""
    if not artifacts.exists(Stage.ENRICH, fingerprint):
        return []
    return read_descriptions(sound_folder(artifacts, Stage.ENRICH, fingerprint))
