"""The ports: interfaces to the outside for the stages and for everything that calls models.

A port with a single implementation (TaskRunner, ParseServer, VectorStore, DocumentList, Catalog, the caches,
EvidenceStore, ModelGateway, Ledger) separates two layers that must not import each other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:  # only signatures name them: numpy takes 0.2 s to import, the domain's values 0.05 s
    import numpy as np
    from numpy.typing import NDArray

    from aegis_dagster.domain.accounts import BudgetRefusal, Reservation, Settlement
    from aegis_dagster.domain.alerts import Page
    from aegis_dagster.domain.chunks import LocatedChunk
    from aegis_dagster.domain.document_state import DocumentState
    from aegis_dagster.domain.evidence import ChunkEvidence, DocumentEvidence
    from aegis_dagster.domain.identifiers import ChunkId, CollectionName, DocumentId, Revision
    from aegis_dagster.domain.listing import KnownFile, Listing, ListingDiff
    from aegis_dagster.domain.llm import AskedFor, LLMResponse, LLMTask
    from aegis_dagster.domain.routing import Candidate
    from aegis_dagster.domain.stages import Document, Outcome, Stage
    from aegis_dagster.errors import OverLimit

Vectors: TypeAlias = "NDArray[np.float32]"  # shape (texts, dimensions), rows of length 1


class Clock(Protocol):
    """The only source of the time, so that tests can set it."""

    def now(self) -> datetime:
        """The current time, timezone-aware, UTC. It may jump, in both directions."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment, for durations: they only grow."""
        ...


class Progress(Protocol):
    """Receives the progress of a stage. Called from the event loop, must return at once."""

    def start(self, label: str, total: int) -> None: ...

    def advance(self, label: str, done: int = 1) -> None: ...

    def finish(self, label: str) -> None: ...


class TaskRunner(Protocol):
    """Runs a named task in a process that can be killed."""

    async def run(self, task: str, payload: dict[str, Any], *, timeout_seconds: float) -> dict[str, Any]:
        """Run a task and return its JSON result.

        Raises DocumentError: the task's own, or TIMEOUT, MEMORY_LIMIT, WORKER_CRASHED.
        """
        ...


@dataclass(frozen=True, slots=True)
class PictureDescription:
    """A describer's description of a picture."""

    text: str  # empty: nothing worth describing
    described_by: str  # "ocr/rapidocr-3.10.0", or "vision-1/dashscope/qwen3-vl-flash": key of the cache
    fallback: str = ""  # why OCR replaced a vision model: an error code
    cut: bool = False  # the model's answers were cut: this is a part, and not kept in the cache


class PictureDescriber(Protocol):
    """Describes single pictures."""

    name: str  # identity and version; part of the enrich fingerprint
    accepted: tuple[str, ...]  # `described_by` of cached descriptions that are as good as a new one, best first

    async def describe(self, picture: Path, asked_for: AskedFor) -> PictureDescription:
        """Describe the picture in the file. Raises DocumentError, Deferred or ServiceError."""
        ...


class Embedder(Protocol):
    """Turns texts into vectors."""

    model: str  # identity and version; part of the embed fingerprint and of the cache key
    dimensions: int
    max_tokens: int  # longer texts are cut off
    texts_per_call: int  # texts per call, the most that are lost when a process is killed
    calls_at_once: int  # useful number of concurrent calls of `embed`

    @property
    def device(self) -> str:
        """Where the texts so far were embedded, as torch writes it; "" by a provider."""
        ...

    async def embed(self, texts: Sequence[str], asked_for: AskedFor) -> Vectors:
        """One normalised row per text, in the order given. Raises Deferred, DocumentError or ServiceError."""
        ...


@dataclass(frozen=True, slots=True)
class Extraction:
    """The evidence that an extractor found, and the extractor's name."""

    evidence: ChunkEvidence
    extracted_by: str  # key of the cache
    cut: bool = False  # the model's answers were cut: this is a part, and not kept in the cache
    free: bool = False  # found without a model: it may be found again


class EvidenceExtractor(Protocol):
    """Finds entities and relations in single passages."""

    name: str  # identity and version; part of the graph fingerprint
    accepted: tuple[str, ...]  # `extracted_by` of cached evidence that is as good as new, best first

    async def extract(self, text: str, asked_for: AskedFor) -> Extraction:
        """The evidence in the text. Raises DocumentError, Deferred or ServiceError."""
        ...


@dataclass(frozen=True, slots=True)
class VectorPoint:
    """One chunk, ready for the vector store."""

    located: LocatedChunk
    collection: CollectionName
    fingerprint: str  # of the document at the embed stage; older ones are stale
    vector: Vectors  # shape (dimensions,)


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One passage that answers a question."""

    document_id: DocumentId
    chunk_id: ChunkId
    score: float
    ordinal: int  # of the chunk in the document
    pages: tuple[int, ...] = ()
    headings: tuple[str, ...] = ()
    payload: dict[str, Any] = field(default_factory=dict)


class VectorStore(Protocol):
    """Dense and sparse vectors of chunks. A view: it can be rebuilt without a paid call."""

    def exists(self) -> bool:
        """Whether the store exists; cheap."""
        ...

    def kept_open(self) -> AbstractContextManager[None]:
        """A block of several operations, with pauses in which other processes may use the store."""
        ...

    def replace_documents(self, points: Sequence[VectorPoint], fingerprints: dict[DocumentId, str]) -> None:
        """Upsert the points, then delete every other point of these documents."""
        ...

    def delete_documents(self, document_ids: Sequence[DocumentId]) -> None:
        """Delete every point of these documents."""
        ...

    def search(
        self, question: str, vector: Vectors | None, *, limit: int, mode: str = "fused", collection: str | None = None
    ) -> list[SearchHit]:
        """Best first. mode: "dense", "sparse" or "fused"."""
        ...


class DocumentSource(Protocol):
    """The contents of the watched root, a local folder or any fsspec URL."""

    def scan(
        self, known: Mapping[DocumentId, KnownFile], scope: str = "", *, read_seconds: float | None = None
    ) -> Listing:
        """Everything below a folder or file of the root.

        read_seconds: how long to read new files; None: no limit. Raises RootUnreadable.
        """
        ...

    def holds(self, scope: str) -> bool:
        """Whether there is a file or folder at a path below the root."""
        ...

    def is_file(self, scope: str) -> bool:
        """Whether the path below the root is a file."""
        ...

    def local_copy(self, document: Document) -> AbstractContextManager[Path]:
        """A local file with the document's bytes, valid inside the block. Entering the block may download it.

        Raises DocumentError UNREADABLE_FILE, FILE_CHANGED (both retryable) or TOO_LARGE, and ServiceError.
        """
        ...


class ParseServer(Protocol):
    """A server that parses documents; see `parsing.serve.conversion.DoclingServe`."""

    at_once: int  # documents that are there at the same time
    fallback: bool  # whether a document that it cannot parse is parsed here

    def takes(self, document: Document) -> bool:
        """Whether a document is parsed there: by its format and its collection."""
        ...

    def converted(self, path: Path, document: Document) -> AbstractAsyncContextManager[Path]:
        """A file with its answer for a document whose bytes are at a path, valid inside the block.

        Entering the block raises DocumentError, Deferred, ServiceError or ConfigurationError.
        """
        ...


class DocumentList(Protocol):
    """The catalog's list of documents; see `stores.catalog.documents.DocumentList`."""

    def known(self, scope: str = "") -> Mapping[DocumentId, KnownFile]: ...

    def apply(self, listing: Listing, diff: ListingDiff, *, delete: bool, scope: str = "") -> None: ...

    def forget(self, ids: Collection[DocumentId]) -> None: ...


class DocumentStates(Protocol):
    """Reads documents with their states; see `stores.catalog.states.DocumentStates`."""

    def of(self, chosen: Collection[Document]) -> Iterator[DocumentState]: ...


class Catalog(Protocol):
    """Stage states with atomic claims; see `stores.catalog.claims.Catalog`."""

    lease_seconds: float

    def claim(
        self,
        stage: Stage,
        wanted: Mapping[DocumentId, tuple[Revision, str]],
        *,
        force: Collection[DocumentId] = (),
        clear: Collection[DocumentId] = (),
    ) -> list[DocumentId]: ...

    def claim_deleted(self, *, limit: int) -> list[DocumentId]: ...

    def reset_stage(self, stage: Stage, chunks: str | None = None) -> int: ...

    def still_held(self, stage: Stage, wanted: Mapping[DocumentId, str]) -> set[DocumentId]: ...

    def held_by_others(self, stage: Stage, ids: Collection[DocumentId]) -> set[DocumentId]: ...

    def renew(self) -> None: ...

    def finish(self, stage: Stage, outcomes: Mapping[DocumentId, tuple[str, Outcome]]) -> None: ...

    def release(self, stage: Stage, ids: Collection[DocumentId]) -> None: ...

    def garbage(self) -> list[tuple[Stage, str]]: ...

    def sweep(
        self, artifacts: Collection[tuple[Stage, str]], delete: Callable[[Collection[tuple[Stage, str]]], None]
    ) -> int: ...


class Artifacts(Protocol):
    """Results of stages, named by fingerprint: in a local folder or behind a URL, always read in a local folder."""

    def reading(self) -> AbstractContextManager[None]:
        """What `path` names inside the block stays there until the block ends, whatever a cache evicts meanwhile."""
        ...

    def path(self, stage: Stage, fingerprint: str) -> Path:
        """The local folder of an artifact, which is fetched if need be; it need not exist. Raises ServiceError."""
        ...

    def exists(self, stage: Stage, fingerprint: str) -> bool: ...

    def damage(self, stage: Stage, fingerprint: str, *, in_store: bool = False) -> str | None:
        """What is wrong with an artifact's files; None: nothing. in_store: look past a cache of sound copies."""
        ...

    def staging(self, stage: Stage, fingerprint: str, *, replace: bool) -> AbstractContextManager[Path]: ...

    def delete(self, stage: Stage, fingerprint: str) -> None: ...

    def withdraw(self, artifacts: Collection[tuple[Stage, str]]) -> None: ...

    def remove_withdrawn(self) -> None: ...


class EmbeddingCache(Protocol):
    """Vectors by model and text hash; outlives the vector store."""

    def get(self, model: str, hashes: Collection[str]) -> dict[str, Vectors]: ...

    def put(self, model: str, vectors: Mapping[str, Vectors]) -> None: ...


class PictureCache(Protocol):
    """Descriptions by describer and picture hash."""

    def get(self, describers: Sequence[str], picture_hash: str) -> PictureDescription | None: ...

    def put(self, describer: str, picture_hash: str, description: PictureDescription) -> None: ...


class ExtractionCache(Protocol):
    """Evidence by extractor and text hash."""

    def get(self, extractors: Sequence[str], hashes: Collection[str]) -> dict[str, ChunkEvidence]: ...

    def put(self, extractor: str, evidence: Mapping[str, ChunkEvidence]) -> None: ...

    def get_cut(self, extractor: str, hashes: Collection[str], most_tokens: int) -> dict[str, ChunkEvidence]: ...

    def put_cut(self, extractor: str, text_hash: str, evidence: ChunkEvidence, most_tokens: int) -> None: ...


class EvidenceStore(Protocol):
    """The evidence of documents, and the entities and relations aggregated from it."""

    def replace_documents(self, batch: Sequence[DocumentEvidence]) -> None:
        """Replace the evidence of these documents, in one transaction."""
        ...

    def delete_documents(self, document_ids: Sequence[DocumentId]) -> None:
        """Delete the evidence of these documents."""
        ...


class DocumentLimiter(Protocol):
    """Holds documents to the limits of one document; see `composition.document_limits.DocumentLimiter`."""

    def refused(
        self,
        stage: Stage,
        states: Sequence[DocumentState],
        *,
        force: bool = False,
        pictures: Mapping[DocumentId, int] | None = None,
    ) -> dict[DocumentId, OverLimit]:
        """The documents whose remaining work is not begun. pictures: how many are to be described, if known."""
        ...


class PageChannel(Protocol):
    """A channel that notifies people: an Alertmanager, or one address of Apprise."""

    @property
    def name(self) -> str:
        """Short and stable, without any secret."""
        ...

    @property
    def stands_seconds(self) -> float:
        """How long after a page its all-clear must wait, in seconds."""
        ...

    def send(self, page: Page) -> None:
        """Send a page, within about 10 s. Raises NotDelivered; Unconfirmed if it may have been delivered."""
        ...

    def keep(self, firing: Sequence[Page]) -> None:
        """Repeat what still fires, to a channel that would expire it; nobody is notified again. Raises NotDelivered."""
        ...


class ModelGateway(Protocol):
    """The only way to a model; see `llm.gateway.Gateway`."""

    def candidates(self, task: LLMTask) -> list[Candidate]:
        """The models that may answer, best first, regardless of their budgets and health. Costs nothing."""
        ...

    async def ask(self, task: LLMTask) -> LLMResponse:
        """The answer of the best model available now; for an embedding, one vector per text.

        Raises Deferred (no budget, or no provider answers: a later run tries again), DocumentError
        (CONTENT_REFUSED, CONTEXT_TOO_LONG, BAD_ANSWER: every model that may answer rejected this content),
        ConfigurationError (no tier may answer, or a paid model has no price).
        """
        ...


class Ledger(Protocol):
    """Reserve before a call, settle after it; see `stores.ledger.ledger.Ledger`."""

    async def reserve(self, reservation: Reservation) -> BudgetRefusal | None:
        """Reserve the amount in every account the call charges, all or nothing. None: reserved. Raises ServiceError."""
        ...

    async def settle(self, settlement: Settlement) -> None:
        """Replace a reservation by the actual cost. Settling again changes nothing. Raises ServiceError."""
        ...
