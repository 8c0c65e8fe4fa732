"""Finds prices of aegis.yaml that are off by a unit: per token or per 1,000 tokens instead of per million."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from aegis_dagster.domain.money import NANO_PER_USD, shown_usd
from aegis_dagster.domain.prices import Price, Tier
from aegis_dagster.llm import price_table
from aegis_dagster.llm.prices import litellm_prices, price_of_entry

# Providers' prices of one model differ by less; the smallest slip of a unit is a thousand.
MOST_TIMES = 100
# No model is known outside these, in nano-USD per million tokens: 0.001 to 10,000 USD.
LEAST, MOST = NANO_PER_USD // 2000, 20_000 * NANO_PER_USD
MOST_PER_PICTURE = NANO_PER_USD
REMEDY = "write USD per million tokens under llm.prices in aegis.yaml, as 0.40, and USD for one picture."


def slips(own: Mapping[tuple[str, str], Price]) -> list[str]:
    """A sentence for each rate that is hardly meant as it is written. Free models are left out."""
    entries = litellm_prices() if own else {}
    return [
        f"llm.prices.{provider}/{model}: {slip}."
        for (provider, model), price in own.items()
        for slip in _slips(price, _published(provider, model, entries))
    ]


def _slips(price: Price, published: Price | None) -> Iterator[str]:
    known = _rates(published.tiers[0]) if published else {}
    for tier in price.tiers:
        for kind, rate in _rates(tier).items():
            if rate and (slip := _slip(rate, known.get(kind, 0))):
                yield f"{_usd(rate)} USD per million {kind} tokens is {slip}"
    if price.per_picture > MOST_PER_PICTURE:
        yield f"{_usd(price.per_picture)} USD for each picture is more than any known model costs"


def _slip(rate: int, published: int) -> str:
    """How far a rate is off; "": it is not. published: 0 if unknown."""
    if published and rate * MOST_TIMES <= published:
        return f"{published // rate:,} times less than the published {_usd(published)} USD"
    if published and rate >= published * MOST_TIMES:
        return f"{rate // published:,} times more than the published {_usd(published)} USD"
    if not published and rate < LEAST:
        return "less than any known model costs"
    return "more than any known model costs" if not published and rate > MOST else ""


def _rates(tier: Tier) -> dict[str, int]:
    rates = {"input": tier.input, "output": tier.output}
    own = {"cached": tier.cached, "reasoning": tier.reasoning, "cache write": tier.written}
    return rates | {kind: rate for kind, rate in own.items() if rate not in rates.values()}


def _published(provider: str, model: str, entries: Mapping[str, Mapping[str, Any]]) -> Price | None:
    """Our price or litellm's, of this provider or else of any that offers a model of this name."""
    if (found := price_table.TABLE.get((provider, model))) is not None:
        return found
    ending = f"/{model}"
    names = [f"{provider}/{model}", model, *(name for name in entries if name.endswith(ending))]
    prices = (price_of_entry(entries[name], version="") for name in names if name in entries)
    ours = (price for (_, name), price in price_table.TABLE.items() if name == model)
    return next((price for price in prices if price is not None), None) or next(ours, None)


def _usd(nano: int) -> str:
    return shown_usd(nano) if nano >= 1000 else f"{Decimal(nano) / NANO_PER_USD:f}"
