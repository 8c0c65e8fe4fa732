"""Tables of the ledger: accounts, calls, and the roll-ups that reports and metrics read.

Times are milliseconds since 1970-01-01 UTC, money is nano-USD.

No prompt, answer or key is ever stored; a provider's words about a failure are masked before they come here. Day and
month are always those of the reservation.
"""

from enum import StrEnum

import sqlalchemy as sa

from aegis_dagster.stores.database import metadata
from aegis_dagster.stores.evidence.schema import KeyText


class CallStatus(StrEnum):
    """The status of one call. All but the first are final."""

    RESERVED = "reserved"
    SETTLED = "settled"  # its cost is known
    UNKNOWN = "unknown"  # may have been billed: charged with its reservation
    EXPIRED = "expired"  # not settled in time: charged with its reservation


LOST = "lost"  # outcome of a call that expired

# Upper bounds of the latency histogram, as Prometheus writes them, in milliseconds.
LATENCY_BOUNDS_MS = {"0.1": 100, "0.5": 500, "1": 1000, "2": 2000, "5": 5000, "10": 10_000, "30": 30_000}
BEYOND = "+Inf"


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _later_count(name: str) -> sa.Column[int]:
    """A count that older rows do not have."""
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


llm_accounts = sa.Table(
    "llm_accounts",
    metadata,
    sa.Column("kind", KeyText, primary_key=True),
    sa.Column("name", KeyText, primary_key=True),
    sa.Column("period", KeyText, primary_key=True),  # month, "" for a run
    sa.Column("limit_nanousd", sa.BigInteger, nullable=True),  # NULL: unlimited
    _count("reserved_nanousd"),
    _count("spent_nanousd"),
    sa.Column("set_by_operator", sa.Boolean, nullable=False),
)

llm_calls = sa.Table(
    "llm_calls",
    metadata,
    sa.Column("call_id", KeyText, primary_key=True),
    sa.Column("month", sa.Text, nullable=False),
    _count("reserved_ms"),
    _count("expires_ms"),
    sa.Column("settled_ms", sa.BigInteger, nullable=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),  # "" while reserved
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("task_type", sa.Text, nullable=False),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("collection", sa.Text, nullable=False),
    sa.Column("document_id", sa.Text, nullable=False, index=True),
    sa.Column("run_id", sa.Text, nullable=False, index=True),
    sa.Column("attempt", sa.Integer, nullable=False),
    _count("input_tokens"),
    _count("cached_tokens"),
    _count("output_tokens"),
    _count("reasoning_tokens"),
    _later_count("cache_write_tokens"),
    sa.Column("estimated", sa.Boolean, nullable=False),
    _count("reserved_nanousd"),
    sa.Column("cost_nanousd", sa.BigInteger, nullable=True),  # NULL while reserved
    sa.Column("price_version", sa.Text, nullable=False),
    sa.Column("latency_ms", sa.BigInteger, nullable=True),  # NULL while reserved, and for a lost call
    sa.Column("charged_run", sa.Boolean, nullable=False),  # whether runs had a limit when it was reserved
    sa.Column("reason", sa.Text, nullable=False, server_default=""),  # why it failed, in words
)

# A literal, not a parameter: the partial index is used only by queries that repeat it exactly.
IS_RESERVED = llm_calls.c.status == sa.literal_column("'reserved'")
sa.Index("ix_llm_calls_month_cost", llm_calls.c.month, llm_calls.c.cost_nanousd)
# Only of reserved calls, as its migration says; said here, it would load the dialect of another database.
sa.Index("ix_llm_calls_open", llm_calls.c.expires_ms)

llm_usage = sa.Table(
    "llm_usage",
    metadata,
    sa.Column("day", KeyText, primary_key=True),  # "2026-11-24"
    sa.Column("provider", KeyText, primary_key=True),
    sa.Column("model", KeyText, primary_key=True),
    sa.Column("task_type", KeyText, primary_key=True),
    sa.Column("stage", KeyText, primary_key=True),
    sa.Column("collection", KeyText, primary_key=True),
    _count("calls"),
    _count("failed_calls"),
    _count("input_tokens"),
    _count("cached_tokens"),
    _count("output_tokens"),
    _count("reasoning_tokens"),
    _later_count("cache_write_tokens"),
    _count("estimated_calls"),
    _count("unknown_calls"),
    _count("over_reservation_calls"),
    _count("cost_nanousd"),
)

llm_latency = sa.Table(
    "llm_latency",
    metadata,
    sa.Column("provider", KeyText, primary_key=True),
    sa.Column("model", KeyText, primary_key=True),
    sa.Column("bucket", KeyText, primary_key=True),  # its upper bound: LATENCY_BOUNDS_MS or BEYOND
    _count("calls"),  # in this bucket alone
    _count("sum_ms"),
)

llm_errors = sa.Table(
    "llm_errors",
    metadata,
    sa.Column("provider", KeyText, primary_key=True),
    sa.Column("error_type", KeyText, primary_key=True),
    _count("calls"),
)

# Only successful calls whose usage the provider reported: the basis of forecasts.
llm_reported_usage = sa.Table(
    "llm_reported_usage",
    metadata,
    sa.Column("task_type", KeyText, primary_key=True),
    sa.Column("provider", KeyText, primary_key=True),
    sa.Column("model", KeyText, primary_key=True),
    _count("calls"),
    _count("input_tokens"),
    _count("output_tokens"),
    _count("cost_nanousd"),
)
