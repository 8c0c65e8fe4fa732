"""The panels of the dashboard about documents, stores and runs."""

from dashboard_panels import SOURCES, Panel, Query, Shape

_COLLECTION = '{collection=~"$collection"}'
_RATE = "[$__rate_interval]"
_RUN_STAGE = "{{collection}} {{stage}}"
_BAD = {1.0: "red"}

_GLANCE = (
    SOURCES,
    Panel(
        "Oldest waiting document",
        "How long the oldest document has waited that has not passed all stages.",
        [Query(f"max by (collection) (aegis_queue_age_seconds{_COLLECTION})", "{{collection}}")],
        "s",
        Shape.STAT,
        thresholds={3600.0: "orange", 21600.0: "red"},
    ),
    Panel(
        "Alerts of Dagster",
        "Failed checks and runs that have not been cleared, by severity.",
        [Query("max by (severity) (aegis_alerts_firing)", "{{severity}}")],
        "none",
        Shape.STAT,
        width=4,
        thresholds=_BAD,
    ),
    Panel(
        "Pages waiting",
        "Pages and all-clears not yet delivered to a channel.",
        [Query("max by (channel) (aegis_pages_waiting)", "{{channel}}")],
        "none",
        Shape.STAT,
        width=4,
        thresholds=_BAD,
    ),
)

_DOCUMENTS = (
    Panel(
        "Documents by stage and status",
        "Documents by stage and status now. Pending includes those that are done under older settings.",
        [Query(f"sum by (stage, status) (aegis_documents{_COLLECTION})", "{{stage}} {{status}}")],
        "none",
        Shape.BARS,
        width=12,
    ),
    Panel(
        "Documents to do",
        "Pending and running, by stage, over time.",
        [
            Query(
                'sum by (stage) (aegis_documents{collection=~"$collection", status=~"pending|running"})',
                "{{stage}}",
            )
        ],
        "none",
        width=12,
    ),
    Panel(
        "Throughput",
        "Documents per minute that ended at a stage, by status.",
        [Query(f"sum by (stage, status) (rate(aegis_stage_documents_total{_RATE})) * 60", "{{stage}} {{status}}")],
        "none",
    ),
    Panel(
        "Failures by reason",
        "Failures of the last hour, by stage and reason. A retry that fails counts again.",
        [Query("sum by (stage, reason) (increase(aegis_stage_failures_total[1h]))", "{{stage}} {{reason}}")],
        "none",
        Shape.STACKED,
    ),
    Panel(
        "Documents failed now",
        "Documents whose status is failed, by stage and reason.",
        [Query("sum by (stage, reason) (aegis_documents_failed)", "{{stage}} {{reason}}")],
        "none",
        Shape.STACKED,
    ),
    Panel(
        "Documents put off",
        "Documents that wait for money (budget) or for a provider that answers (providers).",
        [Query("sum by (reason) (aegis_documents_deferred)", "{{reason}}")],
        "none",
    ),
    Panel(
        "Queue age",
        "How long the oldest document of a collection has waited. If a line climbs for hours, nothing is processed.",
        [Query(f"max by (collection) (aegis_queue_age_seconds{_COLLECTION})", "{{collection}}")],
        "s",
        thresholds={21600.0: "red"},
        width=16,
    ),
)

_STORES = (
    Panel(
        "Vector store",
        "Points in Qdrant, and how many there should be. Two collections: a new embedding model is being filled in.",
        [
            Query("max by (collection) (qdrant_points_count)", "{{collection}}"),
            Query("max(aegis_points_expected)", "expected"),
        ],
        "short",
    ),
    Panel(
        "Graph",
        "Entities and relations in the evidence, which is the truth.",
        [
            Query("max(graph_entities_count)", "entities"),
            Query("max(graph_relations_count)", "relations"),
        ],
        "short",
    ),
    Panel(
        "Graph in Neo4j",
        "Entities and relations in the Neo4j view, without provenance. Empty if no Neo4j is configured.",
        [
            Query("max(neo4j_entities_count)", "entities"),
            Query("max(neo4j_relations_count)", "relations"),
        ],
        "short",
    ),
    Panel(
        "Stores that do not agree",
        "Points missing or surplus in Qdrant, and entities and relations in Neo4j, while no run works on them.",
        [
            Query("aegis:points_off:count", "points in Qdrant"),
            Query("aegis:graph_view_off:count", "entities and relations in Neo4j"),
        ],
        "none",
        Shape.STAT,
        width=24,
        thresholds=_BAD,
    ),
)

_RUNS = (
    Panel(
        "Runs by outcome",
        "Ended runs in Dagster's storage, by job and status.",
        [Query("sum by (job, status) (aegis_runs)", "{{job}} {{status}}")],
        "none",
        Shape.BARS,
    ),
    Panel(
        "Time since the last success",
        "Time since each asset was last materialized, for any collection.",
        [Query("time() - max by (asset) (aegis_asset_last_success_timestamp_seconds)", "{{asset}}")],
        "s",
        Shape.BARS,
        thresholds={86400.0: "orange"},
    ),
    Panel(
        "Workers busy",
        "Seconds of work per second, by stage: how many documents are processed at once.",
        [Query(f"sum by (stage) (rate(aegis_stage_seconds_total{_RATE}))", "{{stage}}")],
        "none",
        Shape.STACKED,
    ),
    Panel(
        "Stage seconds of the last run",
        "Time that the last run of each collection worked at each stage. Pushed by runs.",
        [Query(f"max by (collection, stage) (aegis_run_stage_seconds{_COLLECTION})", _RUN_STAGE)],
        "s",
    ),
    Panel(
        "Documents of the last run",
        "Documents of the last run of each collection, by resulting status at each stage. Pushed by runs.",
        [
            Query(
                f"sum by (collection, stage, status) (aegis_run_stage_documents{_COLLECTION})",
                "{{collection}} {{stage}} {{status}}",
            )
        ],
        "none",
    ),
    Panel(
        "Last run ended",
        "Time since the last run of each collection finished each stage. Pushed by runs.",
        [
            Query(
                f"time() - max by (collection, stage) (aegis_run_stage_finished_timestamp_seconds{_COLLECTION})",
                _RUN_STAGE,
            )
        ],
        "s",
        Shape.BARS,
    ),
    Panel(
        "Peak memory of the last run",
        "Peak memory of the last run at each stage, its workers included. Pushed by runs.",
        [Query(f"max by (collection, stage) (aegis_run_stage_peak_memory_bytes{_COLLECTION})", _RUN_STAGE)],
        "bytes",
        width=12,
    ),
    Panel(
        "Peak GPU memory of the last run",
        "Peak GPU memory of the last run at each stage. Empty without a GPU. Pushed by runs.",
        [Query(f"max by (collection, stage) (aegis_run_stage_peak_vram_bytes{_COLLECTION})", _RUN_STAGE)],
        "bytes",
        width=12,
    ),
)

_RAY = (
    Panel(
        "Ray nodes",
        "Nodes that runs in progress see, and those that they have lost. Empty without Ray; 0 while there is no run.",
        [Query("max by (state) (aegis_ray_nodes)", "{{state}}")],
        "none",
        width=6,
    ),
    Panel(
        "Ray seats",
        "Seats of workers of runs in progress: ready, or waiting for room in the cluster.",
        [Query("sum by (state) (aegis_ray_seats)", "{{state}}")],
        "none",
        Shape.STACKED,
        width=6,
    ),
    Panel(
        "Ray queue",
        "Tasks that have no seat yet. A full cluster has some; many without a seat that is ready starve.",
        [Query("sum(aegis_ray_queue)", "tasks")],
        "none",
        width=6,
    ),
    Panel(
        "Lost workers",
        "Workers lost in the last hour, alone or with their seats, as with a node. Their tasks are done elsewhere.",
        [Query("sum by (reason) (increase(aegis_ray_lost_workers_total[1h]))", "{{reason}}")],
        "none",
        Shape.STACKED,
        width=6,
    ),
)

_EXPORTER = (
    Panel(
        "Age of figures",
        "Age of the reading that the exporter shows of each source.",
        [Query("max by (source) (aegis_source_age_seconds)", "{{source}}")],
        "s",
        thresholds={900.0: "red"},
    ),
    Panel(
        "Time to read a source",
        "Duration of the last reading of each source.",
        [Query("max by (source) (aegis_source_read_seconds)", "{{source}}")],
        "s",
    ),
    Panel(
        "Version",
        "The version of aegis_dagster that serves the figures.",
        [Query("max by (version) (aegis_build_info)", "{{version}}")],
        "none",
        Shape.STAT,
    ),
)

ROWS = {
    "At a glance": _GLANCE,
    "Documents": _DOCUMENTS,
    "Stores": _STORES,
    "Runs": _RUNS,
    "Ray cluster": _RAY,
    "Exporter": _EXPORTER,
}
