"""Builds what the stages of one run work with: worker processes, models, stores and options."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from aegis_dagster.composition.document_limits import DocumentLimiter
from aegis_dagster.composition.parse_server import parse_server
from aegis_dagster.embedding.model_files import MODEL, tokenizer_file
from aegis_dagster.pictures.ocr import OcrDescriber
from aegis_dagster.progress import Silent
from aegis_dagster.stages.context import StageOptions, Workbench
from aegis_dagster.stores.caches import EmbeddingCache, ExtractionCache, PictureCache
from aegis_dagster.workers.pool import WorkerPool

if TYPE_CHECKING:
    from aegis_dagster.composition.models import Models
    from aegis_dagster.composition.project import Project
    from aegis_dagster.domain.seats import SeatPeaks
    from aegis_dagster.ports import Embedder, ParseServer, Progress, TaskRunner
    from aegis_dagster.settings import Settings
    from aegis_dagster.workers.ray.cluster import Share
    from aegis_dagster.workers.ray.runner import RayTaskRunner


@asynccontextmanager
async def open_workbench(
    project: Project, tasks: TaskRunner | None, progress: Progress | None, run_id: str
) -> AsyncIterator[Workbench]:
    """See `Project.workbench`. tasks: used instead of worker processes."""
    project.require_exact_names()
    await asyncio.to_thread(project.look_at_parse_server)
    pool, models = _runner(project), project.models(run_id)
    project.artifacts.clean_staging()
    async with AsyncExitStack() as closing:
        closing.callback(project.artifacts.close)
        closing.push_async_callback(models.aclose)
        closing.push_async_callback(pool.close)
        server = parse_server(project)
        if server is not None:
            closing.push_async_callback(server.aclose)
        bench = _bench(project, tasks or pool, server, models, progress or Silent())
        if not isinstance(pool, WorkerPool):
            bench = replace(bench, seats=await closing.enter_async_context(_watched(project, pool)))
        yield bench


def loads(settings: Settings) -> dict[str, dict[str, Any]]:
    """What workers load before they are forked: the options of each task."""
    return {"parse": {}, "chunk": _chunk_payload(settings)}


def _watched(project: Project, runner: RayTaskRunner) -> AbstractAsyncContextManager[SeatPeaks]:
    from aegis_dagster.composition.seat_watch import seats_watched
    from aegis_dagster.stores.catalog.seats import SeatReports

    return seats_watched(runner, SeatReports(project.engine, project.clock))


def _runner(project: Project) -> WorkerPool | RayTaskRunner:
    return _pool(project) if project.settings.workers.engine == "local" else ray_runner(project)


def shares_of(settings: Settings) -> dict[str, Share]:
    """What a seat takes of its node, by task."""
    from aegis_dagster.workers.ray.cluster import Share

    parse, workers = settings.parse, settings.workers
    wanted = {
        "parse": workers.parse,
        "chunk": workers.chunk,
        "picture_facts": workers.pictures,
        "ocr": workers.ocr,
        **({"embed": workers.embed} if workers.embed is not None else {}),
    }
    return {
        task: Share(share.num_cpus, share.num_gpus, parse.memory_mb if share.memory_mb is None else share.memory_mb)
        for task, share in wanted.items()
    }


def ray_runner(project: Project) -> RayTaskRunner:
    """The runner on the Ray cluster of the settings. Nothing is connected before the first task."""
    from aegis_dagster.workers.ray.runner import RayOptions, RayTaskRunner
    from aegis_dagster.workers.ray.seat import SeatPlan
    from aegis_dagster.workers.ray.versions import versions

    settings = project.settings
    workers = settings.workers
    results = project.artifacts.root / "staging"
    results.mkdir(parents=True, exist_ok=True)
    plan = SeatPlan(
        memory_mb=settings.parse.memory_mb,
        results=str(results),
        versions=versions(),
        office=project.office,
        load=loads(settings),
        needs=(str(settings.docling_models_dir),) if project.pdf_route == "models" else (),
    )
    return RayTaskRunner(RayOptions(workers.address, workers.seats, workers.waiting_seconds, shares_of(settings)), plan)


def _pool(project: Project) -> WorkerPool:
    parse = project.settings.parse
    return WorkerPool(
        workers=parse.workers,
        memory_mb=parse.memory_mb,
        temporary=project.settings.home / "workers",
        writable=[project.artifacts.root / "staging"],
        office=project.office,
        load=loads(project.settings),
    )


def _bench(
    project: Project, pool: TaskRunner, server: ParseServer | None, models: Models, progress: Progress
) -> Workbench:
    ocr = OcrDescriber(pool, project.settings.parse.timeout_seconds, project.settings.device)
    return Workbench(
        catalog=project.catalog,
        states=project.states,
        artifacts=project.artifacts,
        source=project.source.local_copy,
        tasks=pool,
        parse_server=server,
        describer=cache(lambda collection: models.describer(collection, ocr)),
        embedder=_embedder(project, pool, models),
        vectors=project.vectors_of_runs,
        switch_vectors=project.switch_vectors,
        evidence=project.evidence,
        extractor=cache(models.extractor),
        expect_chats=cache(models.expect_chats),
        embedding_cache=EmbeddingCache(project.engine),
        picture_cache=PictureCache(project.engine),
        extraction_cache=ExtractionCache(project.engine),
        limiter=DocumentLimiter(project),
        identities=project.identities,
        options=_options(project, models),
        progress=progress,
    )


def _embedder(project: Project, pool: TaskRunner, models: Models) -> Embedder:
    settings = project.settings
    if settings.workers.engine == "local" or settings.workers.embed is None or settings.embed.model != MODEL:
        return models.embedder
    from aegis_dagster.composition.minilm import minilm_on_seats

    return minilm_on_seats(settings, pool)


def _options(project: Project, models: Models) -> StageOptions:
    settings = project.settings
    parse, enrich, chunk = settings.parse, settings.enrich, settings.chunk
    side_by_side = parse.workers if settings.workers.engine == "local" else settings.workers.seats
    return StageOptions(
        concurrency=side_by_side,
        calls_at_once=max(side_by_side, *(provider.concurrency for provider in models.providers), 1),
        parse_timeout_seconds=parse.timeout_seconds,
        chunk_timeout_seconds=chunk.timeout_seconds,
        min_coverage=chunk.min_coverage,
        embed_window_chunks=settings.embed.window_chunks,
        min_side_pixels=enrich.min_side_pixels,
        max_aspect=enrich.max_aspect,
        min_colors=enrich.min_colors,
        parse_payload={
            "max_pages": parse.max_pages,
            "max_megabytes": parse.max_megabytes,
            "max_pictures": parse.max_pictures,
            "max_picture_megabytes": parse.max_picture_megabytes,
            "pdf_route": project.pdf_route,
            "docling_models": str(settings.docling_models_dir),
            "device": settings.device,
            "ocr": parse.ocr,
            "mail": asdict(settings.mail.limits),
            "read_hidden": parse.read_hidden,
        },
        chunk_payload=_chunk_payload(settings),
    )


def _chunk_payload(settings: Settings) -> dict[str, Any]:
    return {
        "max_tokens": settings.chunk.max_tokens,
        "merge_peers": settings.chunk.merge_peers,
        "tokenizer": str(tokenizer_file(settings.model_cache)),
    }
