"""Every metric of the project: its name, labels, unit and meaning, in one place.

Belongs here: the table. Collectors take types and texts from it, and a test compares the guide with it.
Does not belong here: where the values come from (`monitoring/` has one file a source).

Labels have few values, and never a document's id, a path or a run's id: each value costs a series for ever.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How Prometheus understands a metric."""

    COUNTER = "counter"  # never goes down; its name ends in _total
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Source(StrEnum):
    """Where values come from. Each of the first seven can be asked or not, by itself."""

    LEDGER = "ledger"
    CATALOG = "catalog"
    EVIDENCE = "evidence"
    QDRANT = "qdrant"
    NEO4J = "neo4j"
    DAGSTER = "dagster"
    ALERTS = "alerts"
    EXPORTER = "exporter"  # the exporter about itself
    PUSHGATEWAY = "pushgateway"  # pushed by runs, not served by the exporter


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `name` is as Prometheus stores and dashboards ask for it, `_total` included."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    unit: str
    help: str
    source: Source

    @property
    def family(self) -> str:
        """The name as the exposition's `# TYPE` line has it in OpenMetrics: a counter's without `_total`."""
        return self.name.removesuffix("_total") if self.kind is Kind.COUNTER else self.name


_MODEL = ("provider", "model")

_LEDGER = (
    Metric(
        "llm_requests_total",
        Kind.COUNTER,
        (*_MODEL, "task_type"),
        "calls",
        "Model calls that ended, failed ones too.",
        Source.LEDGER,
    ),
    Metric(
        "llm_latency_seconds",
        Kind.HISTOGRAM,
        _MODEL,
        "seconds",
        "How long model calls took, successful or not; lost ones do not count.",
        Source.LEDGER,
    ),
    Metric("llm_cost_usd_total", Kind.COUNTER, _MODEL, "USD", "What ended model calls cost.", Source.LEDGER),
    Metric(
        "llm_tokens_used_total",
        Kind.COUNTER,
        (*_MODEL, "token_type"),
        "tokens",
        "Tokens of model calls, by token_type input or output; their sum is the total.",
        Source.LEDGER,
    ),
    Metric(
        "llm_cached_tokens_total",
        Kind.COUNTER,
        _MODEL,
        "tokens",
        "Input tokens that the provider had cached; a part of token_type input.",
        Source.LEDGER,
    ),
    Metric(
        "llm_reasoning_tokens_total",
        Kind.COUNTER,
        _MODEL,
        "tokens",
        "Output tokens spent on reasoning; a part of token_type output.",
        Source.LEDGER,
    ),
    Metric(
        "llm_errors_total",
        Kind.COUNTER,
        ("provider", "error_type"),
        "calls",
        "Model calls that failed, by type of error; lost: nobody saw the end.",
        Source.LEDGER,
    ),
    Metric(
        "llm_usage_estimated_total",
        Kind.COUNTER,
        _MODEL,
        "calls",
        "Model calls whose tokens were estimated because the provider did not report them.",
        Source.LEDGER,
    ),
    Metric(
        "llm_usage_unknown_total",
        Kind.COUNTER,
        _MODEL,
        "calls",
        "Model calls that may have been billed without an answer; each cost its reservation.",
        Source.LEDGER,
    ),
    Metric(
        "llm_cost_above_reservation_total",
        Kind.COUNTER,
        _MODEL,
        "calls",
        "Model calls that cost more than was reserved for them.",
        Source.LEDGER,
    ),
    Metric(
        "monthly_spend_usd",
        Kind.GAUGE,
        ("provider",),
        "USD",
        "Spent in the current UTC month.",
        Source.LEDGER,
    ),
    Metric(
        "monthly_reserved_usd",
        Kind.GAUGE,
        ("provider",),
        "USD",
        "Reserved in the current UTC month for calls that have not ended.",
        Source.LEDGER,
    ),
    Metric(
        "monthly_forecast_usd",
        Kind.GAUGE,
        ("provider",),
        "USD",
        "Expected spend at the end of the UTC month: spent so far, and for each day left the mean of the last 7 days.",
        Source.LEDGER,
    ),
    Metric(
        "monthly_budget_limit_usd",
        Kind.GAUGE,
        ("provider",),
        "USD",
        "Limit of the current UTC month; absent for a provider without one.",
        Source.LEDGER,
    ),
    Metric(
        "monthly_budget_remaining_usd",
        Kind.GAUGE,
        ("provider",),
        "USD",
        "Limit less spent less reserved; below 0 after a limit was lowered; absent for a provider without one.",
        Source.LEDGER,
    ),
)

_CATALOG = (
    Metric(
        "aegis_documents",
        Kind.GAUGE,
        ("collection", "stage", "status"),
        "documents",
        "Where documents stand at each stage, as `aegis status` shows it; a stale one is pending.",
        Source.CATALOG,
    ),
    Metric(
        "aegis_documents_failed",
        Kind.GAUGE,
        ("stage", "reason"),
        "documents",
        "Documents that failed at a stage, by reason.",
        Source.CATALOG,
    ),
    Metric(
        "aegis_documents_deferred",
        Kind.GAUGE,
        ("reason",),
        "documents",
        "Documents put off at some stage until there is a budget or a provider again.",
        Source.CATALOG,
    ),
    Metric(
        "aegis_queue_age_seconds",
        Kind.GAUGE,
        ("collection",),
        "seconds",
        "Since when the oldest document waits whose current bytes have not been through all stages; 0: none waits.",
        Source.CATALOG,
    ),
    Metric(
        "aegis_stage_documents_total",
        Kind.COUNTER,
        ("stage", "status"),
        "documents",
        "Ends of documents at a stage, by how they ended.",
        Source.CATALOG,
    ),
    Metric(
        "aegis_stage_seconds_total",
        Kind.COUNTER,
        ("stage",),
        "seconds",
        "Time that stages worked on documents, over all workers.",
        Source.CATALOG,
    ),
    Metric(
        "aegis_stage_failures_total",
        Kind.COUNTER,
        ("stage", "reason"),
        "documents",
        "Ends of documents at a stage by a failure, by reason.",
        Source.CATALOG,
    ),
    Metric(
        "aegis_points_expected",
        Kind.GAUGE,
        (),
        "points",
        "Points that documents which are done at embed say they have in the vector store.",
        Source.CATALOG,
    ),
)

_STORES = (
    Metric("graph_entities_count", Kind.GAUGE, (), "entities", "Entities in the evidence.", Source.EVIDENCE),
    Metric("graph_relations_count", Kind.GAUGE, (), "relations", "Relations in the evidence.", Source.EVIDENCE),
    Metric(
        "qdrant_points_count",
        Kind.GAUGE,
        ("collection",),
        "points",
        "Points in the vector store, by Qdrant's collection: the active one, and one that is being filled.",
        Source.QDRANT,
    ),
    Metric(
        "neo4j_entities_count",
        Kind.GAUGE,
        (),
        "entities",
        "Entities in the Neo4j view, without provenance; absent where no Neo4j is configured.",
        Source.NEO4J,
    ),
    Metric(
        "neo4j_relations_count",
        Kind.GAUGE,
        (),
        "relations",
        "Relations between entities in the Neo4j view, without provenance; absent where no Neo4j is configured.",
        Source.NEO4J,
    ),
)

_DAGSTER = (
    Metric(
        "aegis_asset_last_success_timestamp_seconds",
        Kind.GAUGE,
        ("asset",),
        "seconds since 1970-01-01 UTC",
        "When an asset was last materialized, of any collection; absent before its first time.",
        Source.DAGSTER,
    ),
    Metric(
        "aegis_runs",
        Kind.GAUGE,
        ("job", "status"),
        "runs",
        "Runs in Dagster's storage that ended, by job and status.",
        Source.DAGSTER,
    ),
)

_ALERTS = (
    Metric(
        "aegis_alerts_firing",
        Kind.GAUGE,
        ("severity",),
        "alerts",
        "Alerts of Dagster's checks and runs that have not been cleared.",
        Source.ALERTS,
    ),
    Metric(
        "aegis_pages_waiting",
        Kind.GAUGE,
        ("channel",),
        "pages",
        "Pages and all-clears that a channel has not taken yet.",
        Source.ALERTS,
    ),
)

_EXPORTER = (
    Metric(
        "aegis_source_up",
        Kind.GAUGE,
        ("source",),
        "",
        "1: the source answered; 0: it could not be asked, and its metrics are absent.",
        Source.EXPORTER,
    ),
    Metric(
        "aegis_source_age_seconds",
        Kind.GAUGE,
        ("source",),
        "seconds",
        "How old what is shown of a source is.",
        Source.EXPORTER,
    ),
    Metric(
        "aegis_source_read_seconds",
        Kind.GAUGE,
        ("source",),
        "seconds",
        "How long reading a source took the last time.",
        Source.EXPORTER,
    ),
    Metric("aegis_build_info", Kind.GAUGE, ("version",), "", "Always 1; the version of this project.", Source.EXPORTER),
)

# Of the last run of each collection and stage: the grouping key is job="aegis_ingestion", collection, stage.
_RUN = ("collection", "stage")

_PUSHGATEWAY = (
    Metric(
        "aegis_run_stage_seconds",
        Kind.GAUGE,
        _RUN,
        "seconds",
        "How long the last run worked at a stage.",
        Source.PUSHGATEWAY,
    ),
    Metric(
        "aegis_run_stage_documents",
        Kind.GAUGE,
        (*_RUN, "status"),
        "documents",
        "Documents of the last run at a stage, by how they ended.",
        Source.PUSHGATEWAY,
    ),
    Metric(
        "aegis_run_stage_peak_memory_bytes",
        Kind.GAUGE,
        _RUN,
        "bytes",
        "Most memory of the last run at a stage, with its workers.",
        Source.PUSHGATEWAY,
    ),
    Metric(
        "aegis_run_stage_peak_vram_bytes",
        Kind.GAUGE,
        _RUN,
        "bytes",
        "Most GPU memory of the last run at a stage; absent without a GPU.",
        Source.PUSHGATEWAY,
    ),
    Metric(
        "aegis_run_stage_finished_timestamp_seconds",
        Kind.GAUGE,
        _RUN,
        "seconds since 1970-01-01 UTC",
        "When the last run finished a stage.",
        Source.PUSHGATEWAY,
    ),
)

METRICS: tuple[Metric, ...] = (
    *_LEDGER,
    *_CATALOG,
    *_STORES,
    *_DAGSTER,
    *_ALERTS,
    *_EXPORTER,
    *_PUSHGATEWAY,
)

_BY_NAME = {metric.name: metric for metric in METRICS}


def metric(name: str) -> Metric:
    """The metric of this name, as exported. Raises KeyError."""
    return _BY_NAME[name]


def metrics_of(source: Source) -> tuple[Metric, ...]:
    """The metrics of one source."""
    return tuple(metric for metric in METRICS if metric.source is source)
