"""Takes one document through the stages as a LangGraph graph.

The nodes run the same stages over the same catalog and stores as the Dagster assets. A node can also be called alone on
a state; it then opens and closes the project itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.chunks import locate
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.stages import Stage
from aegis_dagster.memory import free_memory_mb, free_vram_mb, memory_shortage
from aegis_dagster.pipeline.results import parsed_values, picture_boxes, shown_chunk
from aegis_dagster.pipeline.session import (
    Session,
    advanced,
    current_session,
    fingerprints_of,
    project_for,
    run_stage,
    session_for,
    take_in,
)
from aegis_dagster.pipeline.state import IngestionState, create_initial_state
from aegis_dagster.ports import Progress
from aegis_dagster.settings import load_settings
from aegis_dagster.stages.chunk import read_chunks
from aegis_dagster.stages.context import StageReport
from aegis_dagster.stages.enrich import read_descriptions

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

__all__ = ["IngestionPipeline", "IngestionState", "create_initial_state"]

Node = Callable[[IngestionState], Awaitable[IngestionState]]


class _GraphNode(Protocol):
    """A node in the form that LangGraph calls."""

    async def __call__(self, state: IngestionState) -> dict[str, Any]: ...


async def memory_check_node(state: IngestionState) -> IngestionState:
    """Measure free memory; if there is too little, the graph ends here, before any work."""
    needed = load_settings().memory_needed_mb
    memory, vram = free_memory_mb(), await asyncio.to_thread(free_vram_mb)
    shortage = memory_shortage(memory, needed)
    measured = {"memory_check_passed": shortage is None, "current_memory_mb": memory, "current_vram_mb": vram}
    return advanced(state, "memory_check", [] if shortage is None else [str(shortage)], measured)


async def docling_extraction_node(state: IngestionState) -> IngestionState:
    """Record the file in the catalog and parse it."""
    async with session_for(Path(state["document_path"])) as session:
        document_id = await take_in(session, Path(state["document_path"]))
        found = cast(IngestionState, {**state, "document_id": document_id})
        return await run_stage(session, found, "docling_extraction", Stage.PARSE, parsed_values)


async def image_enrichment_node(state: IngestionState) -> IngestionState:
    """Describe the document's pictures. A failure is recorded and does not stop the document."""
    async with session_for(Path(state["document_path"])) as session:
        return await run_stage(
            session,
            state,
            "image_enrichment",
            Stage.ENRICH,
            lambda folder, facts: {"vlm_metadata": read_descriptions(folder)},
        )


async def chunking_node(state: IngestionState) -> IngestionState:
    """Cut the document into passages."""
    async with session_for(Path(state["document_path"])) as session:
        wanted = fingerprints_of(session, state)
        parsed = session.bench.artifacts.path(Stage.PARSE, wanted[Stage.PARSE])

        def read(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
            boxes = picture_boxes(parsed)
            located = locate(DocumentId(state["document_id"]), read_chunks(folder))
            return {"chunks": [shown_chunk(chunk, boxes) for chunk in located]}

        return await run_stage(session, state, "chunking", Stage.CHUNK, read)


async def embedding_node(state: IngestionState) -> IngestionState:
    """Embed the passages and publish them to Qdrant."""
    async with session_for(Path(state["document_path"])) as session:
        return await run_stage(
            session,
            state,
            "embedding",
            Stage.EMBED,
            lambda folder, facts: {"embedded_chunk_ids": [item["chunk"]["id"] for item in state["chunks"]]},
        )


async def graph_extraction_node(state: IngestionState) -> IngestionState:
    """Extract entities and relations from the passages."""
    async with session_for(Path(state["document_path"])) as session:
        wanted = fingerprints_of(session, state)
        folder = session.bench.artifacts.path(Stage.CHUNK, wanted[Stage.CHUNK])

        def read(_: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
            bench = session.bench
            located = locate(DocumentId(state["document_id"]), read_chunks(folder))
            collection = session.project.documents.get([DocumentId(state["document_id"])])[0].collection
            extractor, cache = bench.extractor(collection), bench.extraction_cache
            hashes = [chunk.content_hash for chunk in located]
            found = cache.get_cut(extractor.name, hashes, 0) | cache.get(extractor.accepted, hashes)
            said = [found[chunk.content_hash] for chunk in located if chunk.content_hash in found]
            mentions = dict.fromkeys(mention for evidence in said for mention in evidence.mentions)
            return {
                "entities": [asdict(mention) for mention in mentions],
                "relations": [asdict(relation) for evidence in said for relation in evidence.relations],
            }

        return await run_stage(session, state, "graph_extraction", Stage.GRAPH, read)


NODES: Mapping[str, Node] = {
    "memory_check": memory_check_node,
    "docling_extraction": docling_extraction_node,
    "image_enrichment": image_enrichment_node,
    "chunking": chunking_node,
    "embedding": embedding_node,
    "graph_extraction": graph_extraction_node,
}


class IngestionPipeline:
    """The compiled graph. `run` may be called again and again."""

    def __init__(self, project: Project | None = None, progress: Progress | None = None) -> None:
        self.reports: list[StageReport] = []  # from the last run
        self._project = project
        self._progress = progress

    async def run(self, path: str | Path) -> IngestionState:
        """Take one document through all stages and return the final state.

        Raises OutsideRoot, UnknownDocument, ConfigurationError, ServiceError. A document that cannot be
        processed raises nothing: its statuses and `errors` say why.
        """
        project = self._project or project_for(Path(path))
        async with project.workbench(self._progress) as bench:
            self.reports = bench.reports
            from langsmith import tracing_context

            token = current_session.set(Session(project, bench))
            try:
                with tracing_context(enabled=False):  # a state holds the document: LangSmith must not have it
                    final = await compiled_graph().ainvoke(create_initial_state(path))
            finally:
                current_session.reset(token)
        return cast(IngestionState, final)


def compiled_graph() -> "CompiledStateGraph[Any, Any, Any, Any]":
    """memory_check, docling_extraction, image_enrichment, chunking, then embedding beside graph_extraction."""
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(IngestionState)
    for name, node in NODES.items():
        graph.add_node(name, _changes_only(node))
    graph.add_edge(START, "memory_check")
    graph.add_conditional_edges(
        "memory_check", lambda state: "docling_extraction" if state["memory_check_passed"] else END
    )
    graph.add_edge("docling_extraction", "image_enrichment")
    graph.add_edge("image_enrichment", "chunking")
    for last in ("embedding", "graph_extraction"):
        graph.add_edge("chunking", last)
        graph.add_edge(last, END)
    return graph.compile()


def _changes_only(node: Node) -> _GraphNode:
    """A node that returns only its changes, and progress as an increment, so that two nodes can run at once."""

    async def changes(state: IngestionState) -> dict[str, Any]:
        before: Mapping[str, Any] = state
        after: Mapping[str, Any] = await node(state)
        update = {key: value for key, value in after.items() if before.get(key) != value}
        if "overall_progress" in update:
            update["overall_progress"] = after["overall_progress"] - before["overall_progress"]
        return update

    return changes
