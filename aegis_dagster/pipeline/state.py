"""The state that the LangGraph pipeline hands from node to node.

Large values are references: `parsed_content["artifact"]` is a folder, not the document itself.
"""

import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

from aegis_dagster.domain.stages import Stage, Status

# The share of `overall_progress` that each node adds, whatever its outcome. They sum to 100.
PROGRESS = {
    "memory_check": 5.0,
    "docling_extraction": 35.0,
    "image_enrichment": 15.0,
    "chunking": 10.0,
    "embedding": 20.0,
    "graph_extraction": 15.0,
}

# The value of a status key, by the status in the catalog.
STATUS_WORDS = {
    Status.PENDING: "pending",
    Status.RUNNING: "running",
    Status.DONE: "completed",
    Status.SKIPPED: "skipped",
    Status.FAILED: "failed",
    Status.DEFERRED: "deferred",
}

STATUS_KEYS = {
    Stage.PARSE: "docling_status",
    Stage.ENRICH: "enrichment_status",
    Stage.CHUNK: "chunking_status",
    Stage.EMBED: "embedding_status",
    Stage.GRAPH: "graph_status",
}


def merge_errors(left: dict[str, list[str]], right: dict[str, list[str]]) -> dict[str, list[str]]:
    """The errors of both; a node's list replaces its own earlier one."""
    return {**left, **right}


class IngestionState(TypedDict):
    """The state of one document in the stages.

    A status is pending, running, completed, skipped, failed or deferred.
    """

    document_path: str  # as given
    document_id: str  # path below the watched root; "" before docling_extraction
    memory_check_passed: bool
    current_memory_mb: float  # MiB of memory free for new work
    current_vram_mb: float  # MiB free on the first GPU; 0.0 without one
    docling_status: str
    parsed_content: dict[str, Any]  # {"artifact", "pages", "tables", "pictures", "characters", "route", "preview"}
    page_dimensions: dict[int, dict[str, float]]  # 1-based page -> {"width", "height"} in PDF points
    enrichment_status: str
    vlm_metadata: list[dict[str, Any]]  # {"picture", "page", "file", "text", "described_by", "skipped"}
    chunking_status: str
    chunks: list[dict[str, Any]]  # {"chunk": {"id", "text", "headings", "pages", "boxes"}, "image_bboxes": [...]}
    embedding_status: str
    embedded_chunk_ids: list[str]
    graph_status: str
    entities: list[dict[str, Any]]  # {"name", "type", "description"}
    relations: list[dict[str, Any]]  # {"source", "target", "keywords", "description", "weight"}
    overall_progress: Annotated[float, operator.add]  # 0.0 to 100.0; nodes in the graph return increments
    errors: Annotated[dict[str, list[str]], merge_errors]  # node -> messages; only nodes that had errors


def create_initial_state(document_path: str | Path) -> IngestionState:
    """The state before any node: everything pending and empty."""
    return IngestionState(
        document_path=str(document_path),
        document_id="",
        memory_check_passed=False,
        current_memory_mb=0.0,
        current_vram_mb=0.0,
        docling_status="pending",
        parsed_content={},
        page_dimensions={},
        enrichment_status="pending",
        vlm_metadata=[],
        chunking_status="pending",
        chunks=[],
        embedding_status="pending",
        embedded_chunk_ids=[],
        graph_status="pending",
        entities=[],
        relations=[],
        overall_progress=0.0,
        errors={},
    )
