"""What the stages work with: the ports and the options, passed in by whoever runs them.

Belongs here: the two values every stage gets.
Does not belong here: building them from settings (`composition.py`).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aegis_dagster.domain.fingerprints import Identities
from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.stages import Document
from aegis_dagster.ports import (
    Artifacts,
    Catalog,
    Embedder,
    EmbeddingCache,
    EvidenceExtractor,
    EvidenceStore,
    ExtractionCache,
    PictureCache,
    PictureDescriber,
    Progress,
    TaskRunner,
    VectorStore,
)
from aegis_dagster.stages.report import StageReport


@dataclass(frozen=True, slots=True)
class StageOptions:
    """Limits and choices of the stages."""

    concurrency: int  # documents side by side in parse, enrich and chunk
    parse_timeout_seconds: float
    chunk_timeout_seconds: float
    min_coverage: float
    embed_window_chunks: int  # chunks held in memory and sorted by length together
    graph_batch_documents: int = 32
    calls_at_once: int = 8  # model calls that may be on their way; the gateway limits each provider further
    min_side_pixels: int = 48
    max_aspect: float = 12.0
    min_colors: int = 3
    parse_payload: dict[str, Any] = field(default_factory=dict)  # "options" of the parse task
    chunk_payload: dict[str, Any] = field(default_factory=dict)  # "options" of the chunk task


@dataclass(frozen=True, slots=True)
class Workbench:
    """Everything a stage may touch."""

    catalog: Catalog
    artifacts: Artifacts
    source: Callable[[Document], AbstractContextManager[Path]]  # a file with a document's bytes
    tasks: TaskRunner
    describer: Callable[[CollectionName], PictureDescriber]  # who may look depends on the collection's policy
    embedder: Embedder
    vectors: VectorStore
    switch_vectors: Callable[[], bool]  # lets readers ask a new model's vectors once every document has them
    evidence: EvidenceStore
    extractor: Callable[[CollectionName], EvidenceExtractor]
    embedding_cache: EmbeddingCache
    picture_cache: PictureCache
    extraction_cache: ExtractionCache
    identities: Identities
    options: StageOptions
    progress: Progress
    reports: list[StageReport] = field(default_factory=list)  # of every stage run so far, broken off ones too
