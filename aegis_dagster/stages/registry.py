"""The five stages in the order in which they run."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

from aegis_dagster.domain.stages import Document, Stage
from aegis_dagster.stages.chunk import chunk_documents
from aegis_dagster.stages.context import StageReport, Workbench
from aegis_dagster.stages.embed import embed_chunks
from aegis_dagster.stages.enrich import enrich_images
from aegis_dagster.stages.graph import extract_graph
from aegis_dagster.stages.parse import parse_documents


class StageFunction(Protocol):
    """Brings documents up to date at one stage."""

    def __call__(
        self, documents: Sequence[Document], bench: Workbench, *, force: bool = False
    ) -> Awaitable[StageReport]: ...


STAGES: Mapping[Stage, StageFunction] = {
    Stage.PARSE: parse_documents,
    Stage.ENRICH: enrich_images,
    Stage.CHUNK: chunk_documents,
    Stage.EMBED: embed_chunks,
    Stage.GRAPH: extract_graph,
}
