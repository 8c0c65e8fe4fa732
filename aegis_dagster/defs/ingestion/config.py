"""Partitions and run config, which an operator chooses in the launchpad."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.selection import Selection, near
from aegis_dagster.domain.stages import Document, Stage, from_stage_on
from aegis_dagster.errors import UnknownDocument
from aegis_dagster.stores.catalog.documents import DocumentList

COLLECTION_TAG = "aegis/collection"
collections = dg.DynamicPartitionsDefinition(name="collections")

# Tags of runs without documents chosen by hand: in these, a document deleted meanwhile is no mistake.
_STARTED_BY_ITSELF = ("dagster/backfill", "dagster/sensor_name", "dagster/schedule_name")
_NAMED = 10  # patterns without a match named in a message


ForceFrom = Literal["none", "parse", "enrich", "chunk", "embed", "graph"]


def force_choice(stage: Stage | None) -> ForceFrom:
    """The value that an operator writes for a stage."""
    return "none" if stage is None else stage.value


# A resource, so that one value holds for all assets of a run, whichever are materialized.
class IngestOptions(dg.ConfigurableResource[None]):
    """Which documents of the collection a run is about, and from which stage on it does again what is done."""

    documents: list[str] = Field(
        default=[],
        description="Only these documents: ids (paths below the watched root) or patterns. '*.pdf' is every PDF of the "
        "collection, 'handbook/*.md' those of one folder, 'handbook/**' all below it; case does not matter. Empty: "
        "all. One that matches nothing fails the run before any work.",
    )
    force_from: ForceFrom = Field(
        default="none",
        description="Do again from this stage on, also what is up to date: 'chunk' chunks, embeds and extracts again. "
        "Caches still answer: nothing is paid twice. 'none': only what is new, changed, stale or put off.",
    )
    scan_root: bool = Field(
        default=True, description="Look at the watched root for new, changed, moved and deleted files first."
    )
    confirm_deletions: bool = Field(
        default=False,
        description="Let the scan delete more documents at once than the guard allows. Only when the root is mounted "
        "and complete.",
    )
    embed_anew: bool = Field(
        default=True,
        description="Embed also documents that only another embedding model or its settings made stale. Runs that the "
        "sensor and the nightly schedule request leave these to the schedule `reembedding` where embedding is paid.",
    )

    @property
    def forced(self) -> frozenset[Stage]:
        """The stages to repeat."""
        return frozenset() if self.force_from == "none" else from_stage_on(Stage(self.force_from))

    def run_config(self) -> dict[str, Any]:
        """The run config with these options."""
        return {"resources": {"ingest_options": {"config": self.model_dump()}}}


# The launchpad shows it when a partition is chosen, and the run carries the tag.
for_collection = dg.PartitionedConfig(
    partitions_def=collections,
    run_config_for_partition_key_fn=lambda _: IngestOptions().run_config(),
    tags_for_partition_key_fn=lambda collection: {COLLECTION_TAG: collection},
)


class ScanConfig(dg.Config):
    """What looking at the watched root alone may do."""

    confirm_deletions: bool = Field(
        default=False, description="Let the scan delete more documents at once than the guard allows."
    )


def by_hand(tags: Mapping[str, str]) -> bool:
    """Whether a person started this run of one partition: no backfill, no sensor, no schedule."""
    return not any(tag in tags for tag in _STARTED_BY_ITSELF)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The documents that the run config picks, and why some of its patterns match none."""

    documents: list[Document]
    not_found: str = ""

    def or_fail(self) -> "Chosen":
        """Returns self. Raises UnknownDocument when a requested document is not there."""
        if self.not_found:
            remedy = "correct `documents` in the run config, or leave it empty for all."
            raise UnknownDocument(self.not_found, remedy=remedy)
        return self


def chosen(
    options: IngestOptions, collection: CollectionName, known: Sequence[Document], everywhere: DocumentList
) -> Chosen:
    """Pick from the documents of a collection. everywhere: called only if something has no match."""
    ids = [document.id for document in known]
    selection = Selection(tuple(options.documents))
    picked = selection.choose(ids)
    missing = selection.without_match(ids)
    told = ""
    if missing:
        named = ", ".join(f"`{one}`" for one in missing[:_NAMED])
        told = f"{len(picked)} of {len(ids)} documents of `{collection}` match; none matches {named}."
        first = Selection((missing[0],))
        elsewhere = {document.id: document.collection for document in everywhere.all()}
        others = sorted({elsewhere[one] for one in first.choose(elsewhere)})
        close = [f"`{one}`" for one in near(missing[0], ids)]
        if others:
            told += f" `{missing[0]}` is in the collection `{'`, `'.join(others[:_NAMED])}`: choose that partition."
        elif close:
            told += f" Did you mean {' or '.join(close)}?"
    return Chosen([document for document in known if document.id in picked], told)
