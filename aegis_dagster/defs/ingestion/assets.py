"""The five assets. A materialization brings one collection up to date and touches only what is stale."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import dagster as dg

from aegis_dagster.chunking import CHUNKER_VERSION
from aegis_dagster.composition.identities import EMBED_VERSION, ENRICH_VERSION, PARSE_VERSION
from aegis_dagster.composition.project import Project
from aegis_dagster.defs.containers.placing import EXECUTOR
from aegis_dagster.defs.containers.room import require_room
from aegis_dagster.defs.ingestion.cleanup import put_partitions_right, remove_and_check
from aegis_dagster.defs.ingestion.config import Chosen, IngestOptions, by_hand, chosen, collections
from aegis_dagster.defs.ingestion.cost_metadata import RunCosts, cost_metadata
from aegis_dagster.defs.ingestion.metadata import columns_of, holdings, seat_metadata, stage_metadata, tags_of, uri_of
from aegis_dagster.defs.ingestion.previews import preview_of
from aegis_dagster.defs.ingestion.run_gauges import Gateway, label_of, run_gauges
from aegis_dagster.defs.ingestion.run_outcome import failure_noted, note_outcome
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster.device import find_device
from aegis_dagster.domain.collection_names import as_written
from aegis_dagster.domain.forecast import ForecastRow
from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.markdown import unlinked
from aegis_dagster.domain.stages import Document, Stage
from aegis_dagster.errors import OperatorError
from aegis_dagster.planning.forecast import forecast
from aegis_dagster.stages.context import Workbench
from aegis_dagster.stages.registry import STAGES
from aegis_dagster.stages.sync import ListingReport, update_listing
from aegis_dagster.stores.catalog.reports import facts_of, failures_of

GROUP = "ingestion"
OWNERS = ["team:knowledge"]
USED_BY = ("stage", "provider", "model", "task_type")
# What a step itself takes of a node of Ray: a step that only hands out work and writes what comes back takes memory
# alone, so that the CPUs and cards are left to the seats of its workers. The last two compute themselves.
_LIGHT = {"memory": 2**30}
_HEAVY = {**_LIGHT, "num_cpus": 0.5}
_ON_RAY = {stage: _HEAVY if stage in (Stage.EMBED, Stage.GRAPH) else _LIGHT for stage in Stage}


async def _run_stage(
    context: dg.AssetExecutionContext, stage: Stage, options: IngestOptions, resource: ProjectResource
) -> dg.MaterializeResult[None]:
    with resource.dagster_errors(), failure_noted(context, stage):
        project = resource.open()
        if context.job_def.executor_def.name == EXECUTOR:
            require_room(project.settings, stage)
        collection = CollectionName(context.partition_key)
        picked = _picked(context, project, collection, options)
        documents = picked.documents
        if stage is Stage.EMBED and not options.embed_anew:
            documents = [
                state.document for state in project.states.of(documents) if not state.only_embedding_is_stale()
            ]
        async with project.workbench(resource.progress(context.log.info), run_id=context.run.run_id) as bench:
            expected, no_forecast = (
                _forecast(project, documents, options.forced) if stage is not Stage.CHUNK else ((), "")
            )
            gateway = Gateway(
                project.settings.metrics.pushgateway, project.clock, context.log.warning, context.instance
            )
            try:
                with run_gauges(gateway, label_of(project, collection), stage, bench.reports):
                    report = await STAGES[stage](documents, bench, force=stage in options.forced)
            finally:  # finished work counts even when a broken service stops the stage
                for begun in bench.reports:
                    resource.stage_finished(begun)
            chosen_by, device = _chosen(project, stage, bench, collection), _device(project, stage, bench)
        states = list(project.states.of(documents))
        failed = [item for item in failures_of(states) if item.stage is stage]
        note_outcome(context, stage, states)
        facts = facts_of(states, stage)
        held, preview = holdings(stage, facts.values()), preview_of(project, stage, documents, facts)
        used = project.ledger_reports.usage(USED_BY, run_id=context.run.run_id)
        costs = RunCosts(stage, [provider.name for provider in project.choices.providers], expected, used, no_forecast)
        return dg.MaterializeResult(
            metadata={
                **stage_metadata(report, failed, held, preview),
                **cost_metadata(costs),
                "dagster/uri": dg.MetadataValue.text(uri_of(project, stage)),
                "chosen": dg.MetadataValue.text(chosen_by),
                **({"device": dg.MetadataValue.text(device)} if device else {}),
                **(seat_metadata(bench.seats) if bench.seats else {}),
                **({"not_found": dg.MetadataValue.text(picked.not_found)} if picked.not_found else {}),
            }
        )


def _picked(
    context: dg.AssetExecutionContext, project: Project, collection: CollectionName, options: IngestOptions
) -> Chosen:
    """The documents of this run. Raises UnknownDocument when an operator chose a document that is not there."""
    picked = chosen(options, collection, project.documents.all(collection), project.documents)
    if by_hand(context.run.tags):
        return picked.or_fail()
    if picked.not_found:
        context.log.warning(unlinked(picked.not_found))
    return picked


def _forecast(
    project: Project, documents: Sequence[Document], forced: Collection[Stage]
) -> tuple[Sequence[ForecastRow], str]:
    """The expected cost of the remaining model calls, or why there is no forecast: its failure stops no stage."""
    if not project.choices.providers:
        return (), ""
    try:
        return forecast(project, documents, forced).totals.rows, ""
    except OperatorError as error:
        return (), str(error)


def _chosen(project: Project, stage: Stage, bench: Workbench, collection: CollectionName) -> str:
    """What does the work of a stage for a collection: a model or its substitute."""
    rules = bench.identities.rules_for(collection)
    if (stage is Stage.ENRICH and not rules.enrich) or (stage is Stage.GRAPH and not rules.graph):
        return "nobody: it is off for this collection"
    chosen: dict[Stage, Callable[[], str]] = {
        Stage.PARSE: lambda: f"PDFs by {project.pdf_route}",
        Stage.ENRICH: lambda: bench.describer(collection).name,
        Stage.CHUNK: lambda: bench.identities.of(Stage.CHUNK, collection),
        Stage.EMBED: lambda: bench.embedder.model,
        Stage.GRAPH: lambda: bench.extractor(collection).name,
    }
    return chosen[stage]()


def _device(project: Project, stage: Stage, bench: Workbench) -> str:
    """Where the models of a stage compute; "" where it has none of its own, or a provider's."""
    if stage is Stage.EMBED:
        return bench.embedder.device
    if stage is Stage.PARSE and project.pdf_route == "models":
        return str(find_device(project.settings.device))
    return ""


async def scan_and_remove(
    project: Project, resource: ProjectResource, confirmed: bool, context: dg.OpExecutionContext
) -> ListingReport:
    """Bring the catalog in line with the watched root, and the partitions with the catalog."""
    listing = update_listing(project.source, project.documents, project.guard(confirmed=confirmed))
    async with project.workbench(resource.progress(context.log.info), run_id=context.run.run_id) as bench:
        await remove_and_check(context, project, bench)
    if listing.held_message:
        context.log.warning(unlinked(listing.held_message))
    put_partitions_right(context.instance, project)
    return listing


def _asset(
    stage: Stage, *, after: dg.AssetsDefinition | None = None, kinds: set[str], code_version: str, description: str
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """The asset of a stage, with one partition per collection."""
    return dg.asset(
        partitions_def=collections,
        deps=[after] if after else [],
        group_name=GROUP,
        owners=OWNERS,
        kinds=kinds,
        tags=tags_of(stage),
        op_tags={"dagster-ray/config": _ON_RAY[stage]},
        metadata=columns_of(stage),
        code_version=code_version,
        description=description,
    )


@_asset(
    Stage.PARSE,
    kinds={"docling", "python"},
    code_version=PARSE_VERSION,
    description="Documents of the collection as DoclingDocuments with pages, boxes and pictures, in the artifact "
    "store. Looks at the watched root first. Repair: `failures` names each file that could not be read, with its "
    "remedy; mend it and materialize again, or `aegis retry`. A lost artifact is made anew by itself.",
)
async def parsed_documents(
    context: dg.AssetExecutionContext, ingest_options: IngestOptions, project: ProjectResource
) -> dg.MaterializeResult[None]:
    """Parse what is new or changed."""
    if ingest_options.scan_root:
        with project.dagster_errors(), failure_noted(context, Stage.PARSE):
            confirmed = ingest_options.confirm_deletions
            await scan_and_remove(project.open(), project, confirmed, context.op_execution_context)
    with project.dagster_errors():
        for name in project.open().names_without_folder():
            said = f"The settings name a collection {as_written(name)}; no folder has this name."
            context.log.warning(unlinked(said))
    return await _run_stage(context, Stage.PARSE, ingest_options, project)


@_asset(
    Stage.ENRICH,
    after=parsed_documents,
    kinds={"python", "rapidocr"},
    code_version=ENRICH_VERSION,
    description="Descriptions of the pictures that say something; equal pictures are looked at once over all "
    "collections. Repair: materialize again; a document goes on without descriptions meanwhile. Where OCR stands in "
    "for a model, `force_from: enrich` asks again.",
)
async def enriched_images(
    context: dg.AssetExecutionContext, ingest_options: IngestOptions, project: ProjectResource
) -> dg.MaterializeResult[None]:
    """Describe the pictures of new or changed documents."""
    return await _run_stage(context, Stage.ENRICH, ingest_options, project)


@_asset(
    Stage.CHUNK,
    after=enriched_images,
    kinds={"docling", "python"},
    code_version=CHUNKER_VERSION,
    description="Passages with headings, pages, boxes and picture descriptions, below the embedding model's limit. "
    "Repair: a document marked for lost text can be compared with `aegis show DOCUMENT --chunks`; `force_from: chunk` "
    "cuts again.",
)
async def chunks(
    context: dg.AssetExecutionContext, ingest_options: IngestOptions, project: ProjectResource
) -> dg.MaterializeResult[None]:
    """Chunk new or changed documents."""
    return await _run_stage(context, Stage.CHUNK, ingest_options, project)


@_asset(
    Stage.EMBED,
    after=chunks,
    kinds={"qdrant", "onnx"},
    code_version=EMBED_VERSION,
    description="Dense and sparse vectors of the chunks in Qdrant, behind the alias `aegis_documents`. A view: "
    "`force_from: embed` publishes it again from the cache, without embedding anything twice; a deleted store is "
    "noticed by itself.",
)
async def embeddings(
    context: dg.AssetExecutionContext, ingest_options: IngestOptions, project: ProjectResource
) -> dg.MaterializeResult[None]:
    """Embed and publish new or changed chunks."""
    return await _run_stage(context, Stage.EMBED, ingest_options, project)


@_asset(
    Stage.GRAPH,
    after=chunks,
    kinds={"python", "sqlite"},
    code_version="1",
    description="Evidence of entities and relations, chunk by chunk, and the graph it adds up to. Repair: "
    "`force_from: graph` writes it again; what was extracted is cached, and only chunks that no model could read are "
    "asked about again.",
)
async def knowledge_graph(
    context: dg.AssetExecutionContext, ingest_options: IngestOptions, project: ProjectResource
) -> dg.MaterializeResult[None]:
    """Extract evidence from new or changed chunks."""
    return await _run_stage(context, Stage.GRAPH, ingest_options, project)


ASSETS = [parsed_documents, enriched_images, chunks, embeddings, knowledge_graph]
