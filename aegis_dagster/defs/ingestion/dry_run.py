"""The dry run: it reports what materializing a collection would do and cost, and does none of it.

It materializes no asset: each of the five gets an observation with its part of the plan.
"""

from collections.abc import Mapping, Sequence

import dagster as dg

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.ingestion.assets import ASSETS
from aegis_dagster.defs.ingestion.config import IngestOptions, by_hand, chosen, collections, for_collection
from aegis_dagster.defs.ingestion.cost_metadata import usd
from aegis_dagster.defs.ingestion.metadata import markdown_table
from aegis_dagster.defs.ingestion.run_outcome import OUTCOME
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.markdown import escaped
from aegis_dagster.domain.money import shown_usd
from aegis_dagster.domain.stages import Stage
from aegis_dagster.planning.forecast import Forecast
from aegis_dagster.planning.plan import IDS_SHOWN, Plan, Sight, StagePlan, look, plan

_ASSET_OF: Mapping[Stage, dg.AssetKey] = dict(zip(Stage, (asset.key for asset in ASSETS), strict=True))


@dg.op(
    description="Works out what `ingest` with the same run config would do to this collection now, and what the model "
    "calls would cost. Reads the watched root, changes nothing, asks no model."
)
def plan_collection(
    context: dg.OpExecutionContext, ingest_options: IngestOptions, project: ProjectResource
) -> dg.Output[None]:
    """Observe the five assets with the plan."""
    collection = CollectionName(context.partition_key)
    with project.dagster_errors():
        planned = _plan(project.open(), collection, ingest_options, fail=by_hand(context.run.tags))
    for stage in planned.stages:
        metadata = stage_plan_metadata(stage, planned.forecast)
        context.log_event(dg.AssetObservation(_ASSET_OF[stage.stage], partition=collection, metadata=metadata))
    said = summary(planned)
    context.instance.add_run_tags(context.run.run_id, {OUTCOME: said})
    context.log.info(said)
    return dg.Output(None, metadata=plan_metadata(planned))


@dg.job(
    config=for_collection,
    partitions_def=collections,
    executor_def=dg.in_process_executor,
    description="Dry run of `ingest` for one collection: which documents would be worked on at which stage, why, and "
    "what it would cost. Takes the same run config. Changes nothing. The plan is in the output of its only step, and "
    "each asset has an observation with its part.",
)
def plan_ingestion() -> None:
    """The dry run as a job."""
    plan_collection()


def _plan(project: Project, collection: CollectionName, options: IngestOptions, *, fail: bool) -> Plan:
    sight = Sight(tuple(project.documents.all(collection)))
    if options.scan_root:
        sight = look(project, confirmed=options.confirm_deletions)
    mine = [document for document in sight.documents if document.collection == collection]
    picked = chosen(options, collection, mine, project.documents)
    if fail:
        picked.or_fail()
    return plan(project, picked.documents, sight, options.forced)


def summary(planned: Plan) -> str:
    """ "would work on 2 of 12 documents, about 0.0012 USD"."""
    told = f"would work on {planned.documents_to_do} of {planned.stages[0].documents} documents"
    return (
        f"{told}, about {shown_usd(planned.forecast.totals.cost)} USD" if planned.forecast else f"{told}, no forecast"
    )


def plan_metadata(planned: Plan) -> dict[str, dg.MetadataValue]:
    """The whole plan."""
    metadata: dict[str, dg.MetadataValue] = {
        "documents": dg.MetadataValue.int(planned.stages[0].documents),
        "documents_to_do": dg.MetadataValue.int(planned.documents_to_do),
        "plan": dg.MetadataValue.md(stages_table(planned)),
        "would_do": dg.MetadataValue.md(documents_table(planned)),
    }
    if planned.sight.diff is not None:
        metadata["watched_root"] = dg.MetadataValue.md(sight_table(planned.sight))
    return metadata | _forecast_metadata(planned)


def _forecast_metadata(planned: Plan) -> dict[str, dg.MetadataValue]:
    if planned.forecast is None:
        return {"no_forecast": dg.MetadataValue.text(planned.no_forecast)}
    totals, refused = planned.forecast.totals, planned.forecast.over_limit
    over = [(name, error.message, error.remedy) for name, error in sorted(refused.items())]
    return {
        "forecast_usd": usd(totals.cost),
        "forecast_calls": dg.MetadataValue.int(totals.calls),
        "forecast": dg.MetadataValue.md(forecast_table(planned.forecast)),
        **({"over_limit": dg.MetadataValue.md(_cut(("document", "why", "remedy"), over))} if over else {}),
    }


def stage_plan_metadata(stage: StagePlan, expected: Forecast | None) -> dict[str, dg.MetadataValue]:
    """One asset's part of the plan, under keys that its materializations do not use: no plot mixes the two."""
    metadata: dict[str, dg.MetadataValue] = {
        "would_do_documents": dg.MetadataValue.int(len(stage.work)),
        "would_leave_documents": dg.MetadataValue.int(stage.up_to_date),
        "would_do_because": dg.MetadataValue.md(_cut(("document", "why"), stage.work)),
    }
    rows = [row for row in expected.totals.rows if row.stage == stage.stage] if expected else []
    if rows:
        metadata["would_cost_usd"] = usd(sum(row.cost for row in rows))
        metadata["would_call"] = dg.MetadataValue.int(sum(row.calls for row in rows))
    return metadata


def stages_table(planned: Plan) -> str:
    """Each stage with its counts and reasons, as a Markdown table."""
    heads = ("stage", "asset", "documents", "would do", "up to date", "failed for good", "because")
    lines = [
        (
            *(stage.stage, _ASSET_OF[stage.stage].to_user_string(), stage.documents, len(stage.work)),
            *(stage.up_to_date, stage.failed_for_good),
            ", ".join(f"{count} {why}" for why, count in stage.to_json()["reasons"].items()),
        )
        for stage in planned.stages
    ]
    return markdown_table(heads, lines)


def documents_table(planned: Plan) -> str:
    """The documents with work, their reasons and stages, as a Markdown table."""
    lines = [(name, why, ", ".join(stages)) for name, why, stages in planned.by_document()]
    return _cut(("document", "why", "stages"), lines)


def _cut(heads: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    if not lines:
        return "Nothing to do."
    more = f"\n\n{len(lines) - IDS_SHOWN} more." if len(lines) > IDS_SHOWN else ""
    return markdown_table(heads, lines[:IDS_SHOWN]) + more


def sight_table(sight: Sight) -> str:
    """What the scan of the whole root would change in the catalog, as a Markdown table."""
    found = sight.to_json()
    lines = [
        (name, found[name]["documents"], ", ".join(found[name]["ids"]))
        for name in ("new", "changed", "moved", "deleted")
    ]
    held = "\n\nThe deletions would be held until somebody confirms them." if sight.held else ""
    passed = [(item.path, item.reason, item.remedy) for item in sight.passed_over[:IDS_SHOWN]]
    over = "\n\n" + markdown_table(("passed over", "reason", "remedy"), passed) if passed else ""
    return markdown_table(("file", "how many", "which"), lines) + held + over


def forecast_table(expected: Forecast) -> str:
    """Expected calls by stage and model, with notes, as Markdown."""
    heads = ("stage", "model", "documents", "calls", "input tokens", "output tokens", "USD", "expected by")
    lines = [
        (
            *(row["stage"], f"{row['provider']}/{row['model']}", row["documents"], row["calls"]),
            *(row["input_tokens"], row["output_tokens"], shown_usd(row["cost_nanousd"])),
            "earlier calls" if row["basis"] == "measured" else "guess",
        )
        for row in expected.to_json()["rows"]
    ]
    table = markdown_table(heads, lines) if lines else "No model would be asked: 0 calls, 0 USD."
    return "\n\n".join([table, *(f"- {escaped(note)}" for note in expected.notes)])
