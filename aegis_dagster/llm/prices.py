"""Finds a model's price: first in the settings, then in our table, then in litellm's map."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from aegis_dagster.domain.prices import Price, Tier
from aegis_dagster.llm import price_table
from aegis_dagster.pins import pinned

PER_MILLION = 1_000_000
_ABOVE = re.compile(r"input_cost_per_token_above_(\d+)k_tokens$")


class PriceList:
    """Prices by provider and model. `own`: those of aegis.yaml, which take precedence."""

    def __init__(self, own: Mapping[tuple[str, str], Price] | None = None) -> None:
        self._own = dict(own or {})
        self._known: dict[tuple[str, str], Price | None] = {}

    def price(self, provider: str, model: str) -> Price | None:
        """The price of a model; None: unknown."""
        key = (provider, model)
        if key not in self._known:
            self._known[key] = self._own.get(key) or price_table.TABLE.get(key) or _of_litellm(provider, model)
        return self._known[key]


def lines_to_add(provider: str, model: str) -> str:
    """The lines to add to aegis.yaml for a model without a price. The settings reject the question marks."""
    return "\n".join(
        (
            "llm:",
            "  prices:",
            f"    {json.dumps(f'{provider}/{model}')}:",
            '      input: "?"  # USD per million tokens, in quotes: "0.40"',
            '      output: "?"  # "0" for an embedding model',
        )
    )


def _of_litellm(provider: str, model: str) -> Price | None:
    """The price in litellm's map: under `provider/model`, for OpenAI under the plain name."""
    entry = litellm_prices().get(model if provider == "openai" else f"{provider}/{model}")
    if entry is None or entry.get("litellm_provider") != provider:
        return None
    return price_of_entry(entry, version=f"litellm-{pinned('litellm')}")


def litellm_prices() -> Mapping[str, Mapping[str, Any]]:
    """litellm's own price map, read from its files because importing litellm takes seconds."""
    file = distribution("litellm").locate_file("litellm/model_prices_and_context_window_backup.json")
    entries: Mapping[str, Mapping[str, Any]] = json.loads(Path(str(file)).read_bytes())
    return entries


def price_of_entry(entry: Mapping[str, Any], *, version: str) -> Price | None:
    """The price in an entry of litellm's map; None if a rate of input or output is missing or 0: "unknown" there.

    An embedding model needs no output rate. Both forms of tiers are read: `tiered_pricing`, and rates "above 128k
    tokens".
    """
    embedding = entry.get("mode") == "embedding"
    tiers = _listed_tiers(entry, embedding) if entry.get("tiered_pricing") else _plain_tiers(entry, embedding)
    if tiers is None:
        return None
    per_picture = price_table.rate(_decimal(entry.get("input_cost_per_image")))
    return Price(
        tiers=tiers,
        version=version,
        source=str(entry.get("source", "")),
        per_picture=per_picture,
        reasoning_for_all=entry.get("litellm_provider") in price_table.REASONING_FOR_ALL,
    )


def _listed_tiers(entry: Mapping[str, Any], embedding: bool) -> tuple[Tier, ...] | None:
    tiers = [_tier(one, "", embedding, up_to=int(one["range"][1])) for one in entry["tiered_pricing"]]
    return _complete(sorted(tiers, key=lambda tier: tier.up_to or 0 if tier else 0))


def _plain_tiers(entry: Mapping[str, Any], embedding: bool) -> tuple[Tier, ...] | None:
    """A tier of the plain rates and one above each bound; a tier ends where the next begins."""
    bounds = sorted(int(match[1]) for match in map(_ABOVE.match, entry) if match)
    suffixes = ["", *(f"_above_{bound}k_tokens" for bound in bounds)]
    ends = [*(bound * 1000 for bound in bounds), None]
    return _complete([_tier(entry, suffix, embedding, up_to=end) for suffix, end in zip(suffixes, ends, strict=True)])


def _complete(tiers: list[Tier | None]) -> tuple[Tier, ...] | None:
    known = tuple(tier for tier in tiers if tier is not None)
    return known if known and len(known) == len(tiers) else None


def _tier(rates: Mapping[str, Any], suffix: str, embedding: bool, *, up_to: int | None) -> Tier | None:
    """One tier of an entry; a rate given only without the suffix applies to all tiers."""

    def usd(name: str) -> Decimal:
        return (_decimal(rates.get(name + suffix)) or _decimal(rates.get(name))) * PER_MILLION

    input_rate, output_rate = usd("input_cost_per_token"), usd("output_cost_per_token")
    if not input_rate or (not output_rate and not embedding):
        return None
    return price_table.tier(
        input_rate,
        output_rate,
        cached=usd("cache_read_input_token_cost") or None,
        reasoning=usd("output_cost_per_reasoning_token") or None,
        cache_write=usd("cache_creation_input_token_cost") or None,
        up_to=up_to,
    )


def _decimal(rate: float | str | None) -> Decimal:
    """The rate exactly as written in the map: `5e-08` is 5E-8, not the nearest float."""
    return Decimal(str(rate)) if rate is not None else Decimal(0)
