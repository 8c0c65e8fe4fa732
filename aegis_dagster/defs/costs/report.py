"""The report behind the asset `llm_costs`: a table, a plot and a parquet file of what model calls cost."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from aegis_dagster.defs.ingestion.metadata import embedded, markdown_table
from aegis_dagster.domain.accounts import UsageRow
from aegis_dagster.domain.money import as_usd, shown_usd

if TYPE_CHECKING:
    import pandas as pd

GROUPED_BY = ("month", "provider", "model", "task_type", "collection")
COUNTED = (
    *("calls", "failed_calls", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"),
    *("cache_write_tokens", "estimated_calls", "unknown_calls", "over_reservation_calls", "cost_nanousd"),
)
MEANING: Mapping[str, str] = {
    "month": "UTC calendar month in which the calls were reserved",
    "collection": "empty: asked for no collection, e.g. a question",
    "calls": "attempts, failed ones too",
    "cached_tokens": "part of the input",
    "reasoning_tokens": "part of the output",
    "cache_write_tokens": "part of the input",
    "estimated_calls": "the provider did not say all that the cost depends on",
    "unknown_calls": "lost, or perhaps billed: they cost their reservation",
    "over_reservation_calls": "cost more than was reserved",
    "cost_nanousd": "exact; 1 USD is 1,000,000,000",
    "cost_usd": "exact, a decimal with 9 places",
}
PLOTTED_DAYS = 31
_ROWS = 100  # of the Markdown table; the parquet file has all


def cost_frame(rows: Sequence[UsageRow]) -> "pd.DataFrame":
    """One row per month, provider, model, task type and collection; counts are int64, `cost_usd` is a Decimal."""
    import pandas as pd

    values = [
        {
            **{name: getattr(row, name) for name in GROUPED_BY},
            **{name: getattr(row, name) for name in COUNTED[:-1]},
            "cost_nanousd": int(row.cost),
            "cost_usd": as_usd(row.cost),
        }
        for row in rows
    ]
    frame = pd.DataFrame(values, columns=[*GROUPED_BY, *COUNTED, "cost_usd"])
    return frame.astype(dict.fromkeys(COUNTED, "int64")).sort_values(list(GROUPED_BY), ignore_index=True)


def write_parquet(frame: "pd.DataFrame", path: Path) -> None:
    """Write the frame; a reader of the path sees the old file or the new one. Raises OSError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            *((name, pa.string()) for name in GROUPED_BY),
            *((name, pa.int64()) for name in COUNTED),
            ("cost_usd", pa.decimal128(38, 9)),
        ]
    )
    with written_whole(path) as unfinished:
        pq.write_table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False), unfinished)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path to write to, renamed to `path` at the end. A reader sees the old file or the new one.

    Creates the folder. After an error nothing is left of the new file. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def cost_table(rows: Sequence[UsageRow]) -> str:
    """The rows as a Markdown table, the newest month and the most expensive rows first."""
    heads = (
        *("month", "provider", "model", "task", "collection", "calls", "failed"),
        *("input tokens", "output tokens", "usage estimated", "USD"),
    )
    by_cost = sorted(rows, key=lambda row: row.cost, reverse=True)
    lines = [
        (
            *(row.month, row.provider, row.model, row.task_type, row.collection, row.calls, row.failed_calls),
            *(row.input_tokens, row.output_tokens, row.estimated_calls, shown_usd(row.cost)),
        )
        for row in sorted(by_cost, key=lambda row: row.month, reverse=True)
    ]
    more = f"\n\n{len(lines) - _ROWS} more rows are in the parquet file." if len(lines) > _ROWS else ""
    return markdown_table(heads, lines[:_ROWS]) + more if lines else "No model was called yet."


def plotted_days(until: date) -> list[str]:
    """The last 31 days, "2026-11-24" last."""
    return [(until - timedelta(days=back)).isoformat() for back in reversed(range(PLOTTED_DAYS))]


def plot_by_day(rows: Sequence[UsageRow], days: Sequence[str]) -> str:
    """USD by day, stacked by provider, as a Markdown picture; a sentence where nothing was spent.

    rows: by day and provider; other days are ignored.
    """
    paid = [row for row in rows if row.cost and row.day in set(days)]
    if not paid:
        return f"Nothing was spent from {days[0]} to {days[-1]}."
    from matplotlib.figure import Figure  # without pyplot, which has global state; Agg draws the picture to be saved

    figure = Figure(figsize=(9, 3), dpi=80, layout="tight")
    axes = figure.subplots()
    below = [0.0] * len(days)
    for provider in sorted({row.provider for row in paid}):
        heights = [
            float(as_usd(sum(row.cost for row in paid if row.provider == provider and row.day == day))) for day in days
        ]
        axes.bar(range(len(days)), heights, bottom=below, label=provider)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    shown = range(0, len(days), 5)
    axes.set_xticks(list(shown), [days[index][5:] for index in shown])
    axes.set_ylabel("USD a day")
    axes.legend(loc="upper left", frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return embedded(picture.getvalue(), "image/png", "USD by day and provider")
