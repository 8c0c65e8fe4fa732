"""Every metric of the project: its name, labels, unit and meaning, in one place.

Collectors take types and texts from here, and a test compares the guide with them.

Labels have few values, and never a document's id, a path or a run's id: each value costs a series forever.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The type of a metric in Prometheus."""

    COUNTER = "counter"  # never goes down; its name ends in _total
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Source(StrEnum):
    """Where values come from. Each of the first eight may fail independently of the others."""

    LEDGER = "ledger"
    CATALOG = "catalog"
    EVIDENCE = "evidence"
    QDRANT = "qdrant"
    NEO4J = "neo4j"
    DAGSTER = "dagster"
    ALERTS = "alerts"
    RAY = "ray"
    EXPORTER = "exporter"  # the exporter about itself
    PUSHGATEWAY = "pushgateway"  # pushed by runs, not served by the exporter


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `name` is the name that Prometheus stores and dashboards query, including `_total`."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    unit: str
    help: str
    source: Source

    @property
    def family(self) -> str:
        """The name in OpenMetrics' `# TYPE` line: a counter's without `_total`."""
        return self.name.removesuffix("_total") if self.kind is Kind.COUNTER else self.name


# Name (a counter's ends in _total), labels, unit, meaning.
_Row = tuple[str, str, str, str]

_LEDGER: tuple[_Row, ...] = (
    ("llm_requests_total", "provider model task_type", "calls", "Model calls that ended, failed ones too."),
    (
        "llm_latency_seconds",
        "provider model",
        "seconds",
        "Duration of model calls, failed ones included; lost ones are not counted.",
    ),
    ("llm_cost_usd_total", "provider model", "USD", "Cost of model calls that ended."),
    (
        "llm_tokens_used_total",
        "provider model token_type",
        "tokens",
        "Tokens of model calls, by token_type input or output; their sum is the total.",
    ),
    (
        "llm_cached_tokens_total",
        "provider model",
        "tokens",
        "Input tokens that the provider had cached; included in token_type input.",
    ),
    (
        "llm_reasoning_tokens_total",
        "provider model",
        "tokens",
        "Output tokens spent on reasoning; included in token_type output.",
    ),
    (
        "llm_cache_write_tokens_total",
        "provider model",
        "tokens",
        "Input tokens that were written to the provider's cache; included in token_type input.",
    ),
    (
        "llm_errors_total",
        "provider error_type",
        "calls",
        "Model calls that failed, by type of error; lost: the calling process died.",
    ),
    (
        "llm_usage_estimated_total",
        "provider model",
        "calls",
        "Model calls whose tokens were estimated because the provider did not report them.",
    ),
    (
        "llm_usage_unknown_total",
        "provider model",
        "calls",
        "Model calls that may have been billed without an answer; each cost its reservation.",
    ),
    (
        "llm_cost_above_reservation_total",
        "provider model",
        "calls",
        "Model calls that cost more than was reserved for them.",
    ),
    ("monthly_spend_usd", "provider", "USD", "Spent in the current UTC month."),
    ("monthly_reserved_usd", "provider", "USD", "Reserved in the current UTC month for calls that have not ended."),
    (
        "monthly_forecast_usd",
        "provider",
        "USD",
        "Expected spend at the end of the UTC month: spent so far, plus the mean of the last 7 days for each day left.",
    ),
    (
        "monthly_budget_limit_usd",
        "provider",
        "USD",
        "Limit of the current UTC month; absent for a provider without one.",
    ),
    (
        "monthly_budget_remaining_usd",
        "provider",
        "USD",
        "Limit minus spent minus reserved; below 0 after a limit was lowered; absent for a provider without one.",
    ),
)

_CATALOG: tuple[_Row, ...] = (
    (
        "aegis_documents",
        "collection stage status",
        "documents",
        "Documents by status at each stage, as `aegis status` shows them; a stale one is pending.",
    ),
    ("aegis_documents_failed", "stage reason", "documents", "Documents that failed at a stage, by reason."),
    (
        "aegis_documents_deferred",
        "reason",
        "documents",
        "Documents deferred at some stage until a budget or a provider is available again.",
    ),
    (
        "aegis_documents_refused",
        "provider",
        "documents",
        "Documents deferred in the current UTC month, by the provider whose budget refused them first.",
    ),
    (
        "aegis_queue_age_seconds",
        "collection",
        "seconds",
        "How long the oldest document has waited whose current bytes have not passed all stages; 0: none waits.",
    ),
    (
        "aegis_stage_documents_total",
        "stage status",
        "documents",
        "Documents that ended at a stage, by resulting status.",
    ),
    ("aegis_stage_seconds_total", "stage", "seconds", "Time that stages worked on documents, summed over all workers."),
    (
        "aegis_stage_failures_total",
        "stage reason",
        "documents",
        "Documents that failed at a stage, by reason; each attempt counts.",
    ),
    (
        "aegis_points_expected",
        "",
        "points",
        "Points that the vector store should hold, according to the catalog.",
    ),
)

_EVIDENCE: tuple[_Row, ...] = (
    ("graph_entities_count", "", "entities", "Entities in the evidence."),
    ("graph_relations_count", "", "relations", "Relations in the evidence."),
)

_QDRANT: tuple[_Row, ...] = (
    (
        "qdrant_points_count",
        "collection",
        "points",
        "Points in the vector store, by Qdrant collection: the active one, and one that is being filled.",
    ),
)

_NEO4J: tuple[_Row, ...] = (
    (
        "neo4j_entities_count",
        "",
        "entities",
        "Entities in the Neo4j view, without provenance; absent if no Neo4j is configured.",
    ),
    (
        "neo4j_relations_count",
        "",
        "relations",
        "Relations between entities in the Neo4j view, without provenance; absent if no Neo4j is configured.",
    ),
)

_DAGSTER: tuple[_Row, ...] = (
    (
        "aegis_asset_last_success_timestamp_seconds",
        "asset",
        "seconds since 1970-01-01 UTC",
        "When an asset was last materialized, for any collection; absent before the first time.",
    ),
    ("aegis_runs", "job status", "runs", "Ended runs in Dagster's storage, by job and status."),
)

_ALERTS: tuple[_Row, ...] = (
    ("aegis_alerts_firing", "severity", "alerts", "Alerts about Dagster's checks and runs that have not been cleared."),
    ("aegis_pages_waiting", "channel", "pages", "Pages and all-clears not yet delivered to a channel."),
)

# As runs in progress report it, about every 5 s; absent unless `workers.engine` is `ray`.
_RAY: tuple[_Row, ...] = (
    (
        "aegis_ray_nodes",
        "state",
        "nodes",
        "Nodes of the Ray cluster that runs in progress see: alive, or lost since they began; 0 while there is no run.",
    ),
    (
        "aegis_ray_seats",
        "state",
        "seats",
        "Seats of workers of runs in progress: ready, or waiting for room in the cluster.",
    ),
    ("aegis_ray_queue", "", "tasks", "Tasks of runs in progress that have no seat yet."),
    (
        "aegis_ray_lost_workers_total",
        "reason",
        "workers",
        "Workers lost, by what was lost: worker, its process under a task, or seat, the seat too, as with its node.",
    ),
)

_EXPORTER: tuple[_Row, ...] = (
    ("aegis_source_up", "source", "", "1: the source was read; 0: it could not be read, and its metrics are absent."),
    ("aegis_source_age_seconds", "source", "seconds", "Age of the reading that is shown of a source."),
    ("aegis_source_read_seconds", "source", "seconds", "Duration of the last reading of a source."),
    ("aegis_build_info", "version", "", "Always 1; the version of this project."),
)

# Of the last run of each collection and stage: grouped by job="aegis_ingestion", collection, stage.
_PUSHGATEWAY: tuple[_Row, ...] = (
    ("aegis_run_stage_seconds", "collection stage", "seconds", "Time that the last run worked at a stage."),
    (
        "aegis_run_stage_documents",
        "collection stage status",
        "documents",
        "Documents of the last run at a stage, by resulting status.",
    ),
    (
        "aegis_run_stage_peak_memory_bytes",
        "collection stage",
        "bytes",
        "Peak memory of the last run at a stage, its workers included.",
    ),
    (
        "aegis_run_stage_peak_vram_bytes",
        "collection stage",
        "bytes",
        "Peak GPU memory of the last run at a stage; absent without a GPU.",
    ),
    (
        "aegis_run_stage_finished_timestamp_seconds",
        "collection stage",
        "seconds since 1970-01-01 UTC",
        "When the last run finished a stage.",
    ),
)

_HISTOGRAMS = {"llm_latency_seconds"}


def _metrics(source: Source, rows: tuple[_Row, ...]) -> tuple[Metric, ...]:
    return tuple(
        Metric(name, _kind(name), tuple(labels.split()), unit, text, source) for name, labels, unit, text in rows
    )


def _kind(name: str) -> Kind:
    if name in _HISTOGRAMS:
        return Kind.HISTOGRAM
    return Kind.COUNTER if name.endswith("_total") else Kind.GAUGE


METRICS: tuple[Metric, ...] = (
    *_metrics(Source.LEDGER, _LEDGER),
    *_metrics(Source.CATALOG, _CATALOG),
    *_metrics(Source.EVIDENCE, _EVIDENCE),
    *_metrics(Source.QDRANT, _QDRANT),
    *_metrics(Source.NEO4J, _NEO4J),
    *_metrics(Source.DAGSTER, _DAGSTER),
    *_metrics(Source.ALERTS, _ALERTS),
    *_metrics(Source.RAY, _RAY),
    *_metrics(Source.EXPORTER, _EXPORTER),
    *_metrics(Source.PUSHGATEWAY, _PUSHGATEWAY),
)

_BY_NAME = {metric.name: metric for metric in METRICS}


def metric(name: str) -> Metric:
    """The metric of this name, as exported. Raises KeyError."""
    return _BY_NAME[name]


def metrics_of(source: Source) -> tuple[Metric, ...]:
    """The metrics of one source."""
    return tuple(metric for metric in METRICS if metric.source is source)
