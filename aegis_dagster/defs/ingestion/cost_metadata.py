"""The cost metadata of a materialization: the models asked, the expected cost and the actual cost.

Keys are stable, so that the UI can plot the numbers. It holds no prompt, API key or document text.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from aegis_dagster.defs.ingestion.metadata import markdown_table
from aegis_dagster.domain.accounts import UsageRow
from aegis_dagster.domain.forecast import ForecastRow
from aegis_dagster.domain.money import as_usd, shown_usd
from aegis_dagster.domain.stages import Stage

MODEL_STAGES = (Stage.ENRICH, Stage.EMBED, Stage.GRAPH)  # the other stages ask no model

_NONE = "–"  # there was no forecast, or no call


@dataclass(frozen=True, slots=True)
class RunCosts:
    """The costs of a run, read when one of its stages has ended."""

    stage: Stage
    providers: Sequence[str]  # configured ones, so that a provider without calls shows 0
    expected: Sequence[ForecastRow]  # made at the beginning of the stage, for it and the stages after it
    used: Sequence[UsageRow]  # of the run so far, by stage, provider, model and task type
    no_forecast: str = ""  # why there is no forecast


def cost_metadata(costs: RunCosts) -> Mapping[str, dg.MetadataValue]:
    """Calls, tokens and USD of the stage by provider and model, and the forecast against them; 0 USD without models.

    Parsing, the first stage, shows the forecast of the whole run; chunking has nothing more to show.
    """
    asks = costs.stage in MODEL_STAGES
    nothing: dict[str, dg.MetadataValue] = {"cost_usd": usd(0), "calls": dg.MetadataValue.int(0)}
    if not (costs.providers or costs.used) or not (asks or costs.stage is Stage.PARSE):
        return nothing
    shown = [row for row in costs.expected if asks is False or row.stage == costs.stage]
    metadata = nothing | {"forecast_and_actual": dg.MetadataValue.md(forecast_table(costs))}
    if costs.no_forecast:
        metadata["no_forecast"] = dg.MetadataValue.text(costs.no_forecast)
    else:
        metadata["forecast_usd"] = usd(sum(row.cost for row in shown))
        metadata["forecast_calls"] = dg.MetadataValue.int(sum(row.calls for row in shown))
    return metadata | _stage_metadata(costs) if asks else metadata


def _stage_metadata(costs: RunCosts) -> dict[str, dg.MetadataValue]:
    mine = [row for row in costs.used if row.stage == costs.stage]
    metadata: dict[str, dg.MetadataValue] = {
        "cost_usd": usd(sum(row.cost for row in mine)),
        "calls": dg.MetadataValue.int(sum(row.calls for row in mine)),
    }
    for provider in dict.fromkeys([*costs.providers, *(row.provider for row in mine)]):
        metadata[f"cost_usd/{provider}"] = usd(sum(row.cost for row in mine if row.provider == provider))
    for name in dict.fromkeys(f"{row.provider}/{row.model}" for row in mine):
        rows = [row for row in mine if f"{row.provider}/{row.model}" == name]
        metadata[f"calls/{name}"] = dg.MetadataValue.int(sum(row.calls for row in rows))
        metadata[f"tokens_input/{name}"] = dg.MetadataValue.int(sum(row.input_tokens for row in rows))
        metadata[f"tokens_output/{name}"] = dg.MetadataValue.int(sum(row.output_tokens for row in rows))
    if mine:
        metadata["model_calls"] = dg.MetadataValue.md(call_table(mine))
    return metadata


def call_table(rows: Sequence[UsageRow]) -> str:
    """Calls by provider, model and task type as a Markdown table, with a last line of sums."""
    heads = (
        *("provider", "model", "task", "calls", "failed"),
        *("input tokens", "of them cached", "of them written to a cache", "output tokens", "of them reasoning"),
        *("usage estimated", "USD"),
    )
    lines = [
        (
            *(row.provider, row.model, row.task_type, row.calls, row.failed_calls),
            *(row.input_tokens, row.cached_tokens, row.cache_write_tokens, row.output_tokens, row.reasoning_tokens),
            row.estimated_calls,
            shown_usd(row.cost),
        )
        for row in rows
    ]
    sums = [sum(int(line[column]) for line in lines) for column in range(3, 11)]
    return markdown_table(heads, [*lines, ("all", "", "", *sums, shown_usd(sum(row.cost for row in rows)))])


def forecast_table(costs: RunCosts) -> str:
    """What was expected of each stage, and what it took in this run, as a Markdown table."""
    lines = []
    for stage in MODEL_STAGES:
        expected = [row for row in costs.expected if row.stage == stage]
        used = [row for row in costs.used if row.stage == stage]
        if not expected and not used:
            continue
        told = (
            sum(row.calls for row in expected),
            sum(row.input_tokens + row.output_tokens for row in expected),
            shown_usd(sum(row.cost for row in expected)),
        )
        took = (
            sum(row.calls for row in used),
            sum(row.input_tokens + row.output_tokens for row in used),
            shown_usd(sum(row.cost for row in used)),
        )
        guessed = any(not row.measured for row in expected)
        lines.append(
            (
                str(stage),
                *_side_by_side(told if expected else (_NONE,) * 3, took if used else (_NONE,) * 3),
                "guessed" if guessed else "from earlier calls" if expected else _NONE,
            )
        )
    heads = (
        *("stage", "calls expected", "calls made", "tokens expected", "tokens used", "USD expected", "USD spent"),
        "expected by",
    )
    return markdown_table(heads, lines) if lines else "No model needs to be asked."


def _side_by_side(told: Iterable[object], took: Iterable[object]) -> list[object]:
    return [value for pair in zip(told, took, strict=True) for value in pair]


def usd(nano: int) -> dg.FloatMetadataValue:
    """Nano-USD as a number that the UI plots. The exact amounts are integers, in the ledger and the parquet."""
    return dg.MetadataValue.float(float(as_usd(nano)))
