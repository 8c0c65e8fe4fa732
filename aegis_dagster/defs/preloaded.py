"""What runs and steps are forked from: modules that are imported once, before the first of them."""

# An interpreter of their own would need seconds for them each time. None of them starts a thread.
PRELOADED = [
    "dagster._grpc.impl",
    "dagster._core.storage.event_log.sqlite",
    "dagster._core.storage.runs.sqlite",
    "dagster._core.storage.schedules.sqlite",
    "dagster._core.storage.local_compute_log_manager",
    "aegis_dagster.definitions",
    "aegis_dagster.composition.document_limits",
    "aegis_dagster.composition.identities",
    "aegis_dagster.composition.vectors",
    "aegis_dagster.composition.watched_root",
    "aegis_dagster.extraction.statistical",
    "aegis_dagster.parsing.formats",
    "aegis_dagster.parsing.text.encodings",
    "aegis_dagster.stores.evidence.store",
    "aegis_dagster.stores.vectors.words",
    "aegis_dagster.workers.pool",
]
