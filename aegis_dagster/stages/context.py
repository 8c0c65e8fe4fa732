"""The ports and options that the stages get from their caller."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aegis_dagster.domain.fingerprints import Identities
from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.domain.seats import SeatPeaks
from aegis_dagster.domain.stages import Document, Failure, Outcome, Stage, Status
from aegis_dagster.ports import (
    Artifacts,
    Catalog,
    DocumentLimiter,
    DocumentStates,
    Embedder,
    EmbeddingCache,
    EvidenceExtractor,
    EvidenceStore,
    ExtractionCache,
    ParseServer,
    PictureCache,
    PictureDescriber,
    Progress,
    TaskRunner,
    VectorStore,
)


@dataclass(slots=True)
class StageReport:
    """Counters of one run of one stage; `work` counts what was computed rather than reused."""

    stage: Stage
    documents: int = 0  # in the scope of the run
    up_to_date: int = 0  # needed nothing
    blocked: int = 0  # waiting for the stage above
    outcomes: Counter[Status] = field(default_factory=Counter)
    work: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[DocumentId, Failure]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)  # by reason
    deferred: Counter[str] = field(default_factory=Counter)  # by cause and remedy
    seconds: float = 0.0

    def add(self, document_id: DocumentId, outcome: Outcome) -> None:
        """Count one document."""
        self.outcomes[outcome.status] += 1
        if outcome.failure is not None:
            self.failures.append((document_id, outcome.failure))
        if outcome.status is Status.SKIPPED:
            self.skipped[str(outcome.facts.get("why", "skipped"))] += 1
        if outcome.status is Status.DEFERRED:
            self.deferred[f"{outcome.facts['why']} Remedy: {outcome.facts['remedy']}"] += 1


@dataclass(frozen=True, slots=True)
class StageOptions:
    """Limits and choices of the stages."""

    concurrency: int  # documents processed at the same time in parse, enrich and chunk
    parse_timeout_seconds: float
    chunk_timeout_seconds: float
    min_coverage: float
    embed_window_chunks: int  # chunks held in memory as one batch, and sorted by length to embed them
    planned_at_once: int = 5000  # documents whose states are in memory: those of 100,000 are half a gigabyte
    graph_batch_documents: int = 32
    calls_at_once: int = 8  # concurrent model calls; the gateway limits each provider further
    min_side_pixels: int = 48
    max_aspect: float = 12.0
    min_colors: int = 3
    parse_payload: dict[str, Any] = field(default_factory=dict)  # "options" of the parse task
    chunk_payload: dict[str, Any] = field(default_factory=dict)  # "options" of the chunk task


@dataclass(frozen=True, slots=True)
class Workbench:
    """Everything a stage may use."""

    catalog: Catalog
    states: DocumentStates
    artifacts: Artifacts
    source: Callable[[Document], AbstractContextManager[Path]]  # a local file with a document's bytes
    tasks: TaskRunner
    parse_server: ParseServer | None
    describer: Callable[[CollectionName], PictureDescriber]  # depends on the collection's policy
    embedder: Embedder
    vectors: VectorStore
    switch_vectors: Callable[[], bool]  # makes readers use a new model's vectors once every document has them
    evidence: EvidenceStore
    extractor: Callable[[CollectionName], EvidenceExtractor]
    expect_chats: Callable[[CollectionName], None]  # a new document: a model that reads it is made ready meanwhile
    embedding_cache: EmbeddingCache
    picture_cache: PictureCache
    extraction_cache: ExtractionCache
    limiter: DocumentLimiter
    identities: Identities
    options: StageOptions
    progress: Progress
    reports: list[StageReport] = field(default_factory=list)  # one per stage run so far, including interrupted ones
    seats: SeatPeaks | None = None  # in a cluster of machines, so far; None: workers are on this one


def part_of_stage(what: str, documents: Sequence[Document]) -> str:
    """The label of the progress within a stage; it names the document that is worked on by itself."""
    names = {document.id for document in documents}
    return f"{what} of {min(names)}" if len(names) == 1 else what
