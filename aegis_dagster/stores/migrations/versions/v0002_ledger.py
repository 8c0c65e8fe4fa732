"""The ledger of model calls: accounts, calls and roll-ups."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# Ordered by code point on every database.
KEY_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
IS_RESERVED = sa.text("status = 'reserved'")


def upgrade() -> None:
    """Make the tables of the ledger."""
    _accounts()
    _calls()
    _rollups()


def _key(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, KEY_TEXT, nullable=False) for name in names]


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def _accounts() -> None:
    """Who may spend how much."""
    op.create_table(
        "llm_accounts",
        *_key("kind", "name", "period"),
        sa.Column("limit_nanousd", sa.BigInteger(), nullable=True),
        *_counts("reserved_nanousd", "spent_nanousd"),
        sa.Column("set_by_operator", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", "period", name=op.f("pk_llm_accounts")),
    )


def _calls() -> None:
    """One row per attempt."""
    op.create_table(
        "llm_calls",
        *_key("call_id"),
        *_texts("month"),
        *_counts("reserved_ms", "expires_ms"),
        sa.Column("settled_ms", sa.BigInteger(), nullable=True),
        *_texts("status", "outcome", "provider", "model", "task_type", "stage", "collection", "document_id", "run_id"),
        sa.Column("attempt", sa.Integer(), nullable=False),
        *_counts("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        *_counts("reserved_nanousd"),
        sa.Column("cost_nanousd", sa.BigInteger(), nullable=True),
        *_texts("price_version"),
        sa.Column("latency_ms", sa.BigInteger(), nullable=True),
        sa.Column("charged_run", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_llm_calls")),
    )
    op.create_index(op.f("ix_llm_calls_document_id"), "llm_calls", ["document_id"])
    op.create_index(op.f("ix_llm_calls_run_id"), "llm_calls", ["run_id"])
    op.create_index("ix_llm_calls_month_cost", "llm_calls", ["month", "cost_nanousd"])
    op.create_index(
        "ix_llm_calls_open", "llm_calls", ["expires_ms"], sqlite_where=IS_RESERVED, postgresql_where=IS_RESERVED
    )


def _rollups() -> None:
    """Sums that are kept while calls are settled."""
    op.create_table(
        "llm_usage",
        *_key("day", "provider", "model", "task_type", "stage", "collection"),
        *_counts("calls", "failed_calls"),
        *_counts("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"),
        *_counts("estimated_calls", "unknown_calls", "over_reservation_calls", "cost_nanousd"),
        sa.PrimaryKeyConstraint(
            "day", "provider", "model", "task_type", "stage", "collection", name=op.f("pk_llm_usage")
        ),
    )
    op.create_table(
        "llm_latency",
        *_key("provider", "model", "bucket"),
        *_counts("calls", "sum_ms"),
        sa.PrimaryKeyConstraint("provider", "model", "bucket", name=op.f("pk_llm_latency")),
    )
    op.create_table(
        "llm_errors",
        *_key("provider", "error_type"),
        *_counts("calls"),
        sa.PrimaryKeyConstraint("provider", "error_type", name=op.f("pk_llm_errors")),
    )
    op.create_table(
        "llm_reported_usage",
        *_key("task_type", "provider", "model"),
        *_counts("calls", "input_tokens", "output_tokens", "cost_nanousd"),
        sa.PrimaryKeyConstraint("task_type", "provider", "model", name=op.f("pk_llm_reported_usage")),
    )
