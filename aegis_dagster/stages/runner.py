"""Runs one stage over documents: plan, claim, work, record.

A document that fails is recorded and the others continue. A broken service stops the run: claims are released,
and the error reaches the caller, which retries the step.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from aegis_dagster.domain.document_state import DocumentState, Readiness, Why
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.stages import UPSTREAM_FAILED, Document, Outcome, Stage, Status, failed, put_off
from aegis_dagster.errors import Deferred, OperatorError, OverLimit, ServiceError
from aegis_dagster.stages.cleanup import sweep_artifacts
from aegis_dagster.stages.concurrency import all_or_stop
from aegis_dagster.stages.context import StageReport, Workbench

_LARGE = 8  # a document of more than this part of a batch's chunks is a batch of its own
_MADE_AGAIN = (Why.LOST, Why.MORE_ROOM)  # although the catalog has it as done
_TOGETHER_SECONDS = 0.5  # how much of a run's records a kill may cost
_MOST_TOGETHER = 64  # documents of one transaction
_POLL_SECONDS = 0.5  # how often to check a document that another process is working on


@dataclass(frozen=True, slots=True)
class Work:
    """One claimed document at one stage."""

    state: DocumentState  # as it was when the work was planned
    clear: bool  # the stage above failed permanently: remove what was published
    force: bool  # compute again even if the result exists
    asked: bool  # by an operator, who wants more than what is lost or stale

    @property
    def document(self) -> Document:
        """The document."""
        return self.state.document

    def fingerprint(self, stage: Stage) -> str:
        """The fingerprint the document should have at a stage."""
        return self.state.wanted[stage]


Handler = Callable[[Work, Workbench, StageReport], Awaitable[Outcome]]
BatchHandler = Callable[[Sequence[Work], Workbench, StageReport], Awaitable[dict[DocumentId, Outcome]]]
Batcher = Callable[[Sequence[Work], Workbench], list[list[Work]]]


async def run_each(
    stage: Stage,
    documents: Sequence[Document],
    bench: Workbench,
    handler: Handler,
    *,
    force: bool = False,
    side_by_side: int | None = None,
) -> StageReport:
    """Bring documents up to date at a stage that processes them one by one.

    side_by_side: how many at a time; by default `options.concurrency`.
    """
    at_once = side_by_side or bench.options.concurrency

    # Files with equal bytes share one artifact: the second waits for the first instead of repeating the work.
    locks: dict[str, asyncio.Lock] = {}

    async def one_by_one(todo: list[Work], report: StageReport) -> list[DocumentId]:
        claims = _Claims(stage, todo, bench, report, at_once)

        async def worker() -> None:
            while (work := claims.next()) is not None:
                async with locks.setdefault(work.fingerprint(stage), asyncio.Lock()):
                    claims.ended(work, await _outcome(handler, work, bench, report))

        async with claims:
            await all_or_stop([worker() for _ in range(min(at_once, len(todo)))])
        return claims.missed

    return await _run(stage, documents, bench, one_by_one, force)


async def run_batches(
    stage: Stage,
    documents: Sequence[Document],
    bench: Workbench,
    handler: BatchHandler,
    batcher: Batcher,
    *,
    force: bool = False,
) -> StageReport:
    """Bring documents up to date at a stage that processes them in batches."""

    async def in_batches(todo: list[Work], report: StageReport) -> list[DocumentId]:
        missed: list[DocumentId] = []
        for batch in batcher(todo, bench):
            claimed = set(_claim(stage, batch, bench))
            missed.extend(work.document.id for work in batch if work.document.id not in claimed)
            mine = [work for work in batch if work.document.id in claimed]
            if mine:
                await _handle(stage, mine, bench, report, handler)
        return missed

    return await _run(stage, documents, bench, in_batches, force)


async def _run(
    stage: Stage,
    documents: Sequence[Document],
    bench: Workbench,
    pass_over: Callable[[list[Work], StageReport], Awaitable[list[DocumentId]]],
    force: bool,
) -> StageReport:
    started = time.perf_counter()
    report = StageReport(stage, documents=len(documents))
    bench.reports.append(report)
    remaining = list(documents)
    looked_twice: set[DocumentId] = set()
    first = True
    async with _leases_renewed(bench):
        while remaining:
            missed: set[DocumentId] = set()
            for start in range(0, len(remaining), bench.options.planned_at_once):
                part = remaining[start : start + bench.options.planned_at_once]
                todo, blocked = _plan(stage, part, bench, force)
                if first:
                    report.blocked += blocked
                    report.up_to_date += len(part) - len(todo) - blocked
                    if start == 0:  # those of later parts that need nothing count as they are found
                        bench.progress.start(stage, len(todo) + len(documents) - len(part))
                    else:
                        bench.progress.advance(stage, len(part) - len(todo))
                missed.update(await pass_over(todo, report) if todo else ())
            first = False
            # Not claimed: another process holds it (wait, then check again) or has just released it (check again), or
            # it changed (the next listing handles it).
            held = bench.catalog.held_by_others(stage, missed)
            again = held | (missed - looked_twice)
            looked_twice |= missed - held
            remaining = [document for document in remaining if document.id in again]
            if held:
                await asyncio.sleep(_POLL_SECONDS)
    sweep_artifacts(bench.catalog, bench.artifacts, stage)
    bench.progress.finish(stage)
    report.failures.sort(key=lambda item: item[0])
    report.seconds = time.perf_counter() - started
    return report


def _plan(stage: Stage, documents: Sequence[Document], bench: Workbench, force: bool) -> tuple[list[Work], int]:
    """The stale documents that can be worked on, and how many wait for the stage above."""
    todo, blocked = [], 0
    for state in bench.states.of(documents):
        ready = state.readiness(stage)
        if ready is Readiness.BLOCKED:
            blocked += 1
            continue
        why = state.work(stage, bench.artifacts.exists)
        if force or why is not None:
            todo.append(Work(state, ready is Readiness.CLEAR, force or why in _MADE_AGAIN, force))
    return todo, blocked


def _claim(stage: Stage, works: Sequence[Work], bench: Workbench) -> list[DocumentId]:
    wanted = {work.document.id: (work.document.revision, work.fingerprint(stage)) for work in works}
    clear = {work.document.id for work in works if work.clear}
    # The catalog knows no limits: to it, a document that was refused for one is settled.
    forced = {work.document.id for work in works if work.force or work.state.fits_now(stage)}
    return bench.catalog.claim(stage, wanted, force=forced, clear=clear)


class _Claims:
    """The documents of one pass: claims them and records their outcomes, several in one transaction.

    So many are claimed as end in about `_TOGETHER_SECONDS`, and an outcome waits no longer than that to be recorded:
    who kills the process loses the record of that time, while the results stay.
    """

    def __init__(self, stage: Stage, todo: Sequence[Work], bench: Workbench, report: StageReport, at_once: int) -> None:
        self.missed: list[DocumentId] = []
        self._stage, self._bench, self._report, self._at_once = stage, bench, report, at_once
        self._todo, self._claimed = deque(todo), deque[Work]()
        self._held: dict[DocumentId, Work] = {}
        self._ended: dict[DocumentId, Outcome] = {}
        self._size, self._claimed_at = at_once, -math.inf
        self._recorded = time.monotonic()

    def next(self) -> Work | None:
        """The next document that is claimed; None: there is no more. Raises ServiceError."""
        while self._todo and not self._claimed:
            self._claim_more()
        return self._claimed.popleft() if self._claimed else None

    def ended(self, work: Work, outcome: Outcome) -> None:
        """A document has an outcome. Raises ServiceError."""
        self._ended[work.document.id] = outcome
        if time.monotonic() - self._recorded >= _TOGETHER_SECONDS:
            self._record()

    async def __aenter__(self) -> None:
        self._waiting = asyncio.ensure_future(self._record_again_and_again())

    async def __aexit__(self, *_: object) -> None:
        self._waiting.cancel()
        await asyncio.gather(self._waiting, return_exceptions=True)
        try:
            self._record()
        finally:
            if self._held:
                self._bench.catalog.release(self._stage, list(self._held))

    async def _record_again_and_again(self) -> None:
        """While all that is under way takes long."""
        while True:
            await asyncio.sleep(_TOGETHER_SECONDS)
            with suppress(ServiceError):  # the next outcome, or the end, tries again and says so
                self._record()

    def _claim_more(self) -> None:
        now = time.monotonic()
        took, self._claimed_at = now - self._claimed_at, now
        if took < _TOGETHER_SECONDS / 2:
            self._size = min(self._size * 4, max(self._at_once, _MOST_TOGETHER))
        elif took > _TOGETHER_SECONDS:
            self._size = max(self._at_once, self._size // 2)
        part = [self._todo.popleft() for _ in range(min(self._size, len(self._todo)))]
        mine = set(_claim(self._stage, part, self._bench))
        self.missed.extend(work.document.id for work in part if work.document.id not in mine)
        self._claimed.extend(work for work in part if work.document.id in mine)
        self._held.update((work.document.id, work) for work in self._claimed)

    def _record(self) -> None:
        self._recorded = time.monotonic()
        if self._ended:
            _finish(self._stage, [self._held[document_id] for document_id in self._ended], self._ended, self._bench)
            for document_id, outcome in self._ended.items():
                del self._held[document_id]
                self._report.add(document_id, outcome)
                self._bench.progress.advance(self._stage)
            self._ended = {}


def _finish(stage: Stage, works: Sequence[Work], outcomes: Mapping[DocumentId, Outcome], bench: Workbench) -> None:
    ended = {work.document.id: (work.fingerprint(stage), outcomes[work.document.id]) for work in works}
    bench.catalog.finish(stage, ended)


async def _handle(
    stage: Stage, works: Sequence[Work], bench: Workbench, report: StageReport, handler: BatchHandler
) -> None:
    """Work on claimed documents and record their outcomes; release those without one."""
    outcomes: dict[DocumentId, Outcome] = {}
    try:
        with bench.artifacts.reading():
            outcomes = await handler(works, bench, report)
    finally:
        done = [work for work in works if work.document.id in outcomes]
        left = [work.document.id for work in works]
        try:
            if done:
                _finish(stage, done, outcomes, bench)
                left = [work.document.id for work in works if work.document.id not in outcomes]
        finally:
            if left:
                bench.catalog.release(stage, left)
    for document_id, outcome in outcomes.items():
        report.add(document_id, outcome)
        bench.progress.advance(stage)


async def _outcome(handler: Handler, work: Work, bench: Workbench, report: StageReport) -> Outcome:
    started = time.perf_counter()
    try:
        with bench.artifacts.reading():
            outcome = upstream_failed() if work.clear else await handler(work, bench, report)
    except (ServiceError, OperatorError):
        raise  # not this document's fault
    except Deferred as error:
        outcome = put_off(error)
    except Exception as error:
        outcome = failed(error)
    return replace(outcome, seconds=round(time.perf_counter() - started, 3))


def smallest_first(todo: Sequence[Work], *, most_chunks: int, most_documents: float = math.inf) -> list[list[Work]]:
    """Chunked documents in batches of about `most_chunks` chunks, the smallest first.

    A batch is published when all of it is done; so a large document is a batch of its own, which the smaller ones do
    not wait for.
    """
    batches: list[list[Work]] = []
    size = math.inf
    for work in sorted(todo, key=lambda work: (_chunks(work), work.document.id)):
        chunks = _chunks(work)
        if size + chunks > most_chunks or chunks * _LARGE > most_chunks or len(batches[-1]) >= most_documents:
            batches.append([])
            size = 0
        batches[-1].append(work)
        size += chunks
    return batches


def _chunks(work: Work) -> int:
    state = work.state.recorded.get(Stage.CHUNK)
    return int(state.facts.get("chunks", 0)) if state else 0


def refused_for_limits(stage: Stage, works: Sequence[Work], bench: Workbench) -> dict[DocumentId, OverLimit]:
    """The claimed documents of a batch that go over a limit of one document: nothing is begun for them."""
    found: dict[DocumentId, OverLimit] = {}
    for force in (False, True):
        states = [work.state for work in works if work.force is force and not work.clear]
        found.update(bench.limiter.refused(stage, states, force=force) if states else {})
    return found


def upstream_failed() -> Outcome:
    """The outcome of a document whose earlier stage failed."""
    return Outcome(Status.SKIPPED, {UPSTREAM_FAILED: True, "why": "an earlier stage failed"})


@asynccontextmanager
async def _leases_renewed(bench: Workbench) -> AsyncIterator[None]:
    async def renew() -> None:
        while True:
            await asyncio.sleep(bench.catalog.lease_seconds / 6)
            with suppress(ServiceError):  # database busy: five more attempts before a lease expires
                bench.catalog.renew()

    task = asyncio.ensure_future(renew())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
