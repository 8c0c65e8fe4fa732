"""Homes with very many rows, written by SQL in seconds."""

import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.fingerprints import wanted_fingerprints
from aegis_dagster.domain.stages import Stage
from aegis_dagster.stores.catalog.schema import stage_states

_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count)"
_STAGES = ("parse", "enrich", "chunk", "embed", "graph")
_STATUSES = "CASE i % 7 WHEN 0 THEN 'failed' WHEN 1 THEN 'deferred' WHEN 2 THEN 'skipped' ELSE 'done' END"


def add_documents(database: Path, count: int, *, collections: int) -> None:
    """Add `count` documents, spread over collections, each with a state at every stage and a time in the past."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            f"{_NUMBERS} INSERT INTO documents (id, collection, revision, stamp, size_bytes, suffix, deleted, "
            "first_seen_ms, changed_ms) SELECT printf('c%d/%06d.pdf', i % :collections, i), "
            "printf('c%d', i % :collections), printf('%064x', i), '', 1, '.pdf', 0, i, i FROM n",
            {"count": count, "collections": collections},
        )
        for place, stage in enumerate(_STAGES):
            connection.execute(
                f"{_NUMBERS} INSERT INTO stage_states (document_id, stage, status, fingerprint, error_code, "
                "error_message, error_remedy, retryable, attempts, started_ms, finished_ms, seconds, facts) "
                f"SELECT printf('c%d/%06d.pdf', i % :collections, i), '{stage}', {_STATUSES}, "
                f"printf('%064x', i * 5 + {place}), CASE i % 7 WHEN 0 THEN 'no_text' END, 'm', 'r', 0, 1, i, i, 1.0, "
                """'{"chunks": 12, "points": 12, "pages": 3, "reason": "budget", "coverage": 1.0}' FROM n""",
                {"count": count, "collections": collections},
            )


def add_calls(database: Path, count: int) -> None:
    """Add `count` ended calls over 30 days of 2026, two models, four tasks and a hundred collections, with roll-ups."""
    with closing(sqlite3.connect(database)) as connection, connection:
        indexes = _without_indexes(connection)
        day = "printf('2026-11-%02d', 1 + (reserved_ms - 1793491200000) / 86400000)"
        connection.execute(
            f"{_NUMBERS} INSERT INTO llm_calls (call_id, month, reserved_ms, expires_ms, settled_ms, status, outcome, "
            "provider, model, task_type, stage, collection, document_id, run_id, attempt, input_tokens, "
            "cached_tokens, output_tokens, reasoning_tokens, estimated, reserved_nanousd, cost_nanousd, "
            "price_version, latency_ms, charged_run) SELECT printf('%09d', i), '2026-11', "
            "1793491200000 + ((i / 800) % 30) * 86400000, 0, 0, 'settled', 'ok', "
            "CASE i % 2 WHEN 0 THEN 'openai' ELSE 'local' END, "
            "CASE i % 2 WHEN 0 THEN 'gpt-4.1-mini' ELSE 'qwen3:8b' END, 'summary', "
            "CASE (i / 2) % 4 WHEN 0 THEN 'enrich' WHEN 1 THEN 'embed' WHEN 2 THEN 'graph' ELSE '' END, "
            "printf('c%d', (i / 8) % 100), printf('%05d', i % 50000), printf('r%d', i / 10000), 1, 900, 100, 80, 20, "
            "0, 3000, 2000 + i % 7, 'test', 700, 0 FROM n",
            {"count": count},
        )
        connection.execute(
            "INSERT INTO llm_usage (day, provider, model, task_type, stage, collection, calls, failed_calls, "
            "input_tokens, cached_tokens, output_tokens, reasoning_tokens, estimated_calls, unknown_calls, "
            f"over_reservation_calls, cost_nanousd) SELECT {day}, "
            "provider, model, task_type, stage, collection, count(*), 0, sum(input_tokens), sum(cached_tokens), "
            "sum(output_tokens), sum(reasoning_tokens), 0, 0, 0, sum(cost_nanousd) FROM llm_calls "
            "GROUP BY 1, 2, 3, 4, 5, 6"
        )
        connection.execute(
            "INSERT INTO llm_latency SELECT provider, model, '1', count(*), sum(latency_ms) FROM llm_calls "
            "GROUP BY 1, 2"
        )
        for statement in indexes:
            connection.execute(statement)


def _without_indexes(connection: sqlite3.Connection) -> list[str]:
    """Drop the indexes of calls and return the statements that recreate them: faster than filling them by row."""
    connection.execute("PRAGMA synchronous=OFF")
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'llm_calls' AND sql IS NOT NULL"
    found = connection.execute(query).fetchall()
    for name, _ in found:
        connection.execute(f"DROP INDEX {name}")
    return [statement for _, statement in found]


def end_all_stages(project: Project) -> None:
    """Mark every document of the catalog as done at all stages; equal files share their artifacts."""
    done = [
        {"document_id": document.id, "stage": str(stage), "status": "done", "fingerprint": wanted, "attempts": 1}
        for document in project.documents.all()
        for stage, wanted in wanted_fingerprints(document, project.identities, {}).items()
    ]
    with project.engine.begin() as connection:
        connection.execute(sa.insert(stage_states), done)
    (project.settings.vectors_dir / "collection" / project.vectors.collection).mkdir(parents=True)
    for stage, fingerprint in {(str(state["stage"]), str(state["fingerprint"])) for state in done}:
        project.artifacts.path(Stage(stage), fingerprint).mkdir(parents=True, exist_ok=True)
