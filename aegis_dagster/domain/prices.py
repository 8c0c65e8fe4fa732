"""Prices: the exact cost of a call, and its highest possible cost.

Pure integers.
"""

from dataclasses import dataclass
from datetime import date

from aegis_dagster.domain.money import NanoUsd

PER_TOKENS = 1_000_000  # rates are nano-USD per this many tokens, so that 0.05 USD per million is 50,000,000


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. Cached tokens are part of the input, reasoning tokens part of the output."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False  # the provider reported nothing, or only a total

    def __post_init__(self) -> None:
        if not 0 <= self.cached_tokens <= self.input_tokens or not 0 <= self.reasoning_tokens <= self.output_tokens:
            raise ValueError(f"tokens that contradict each other: {self}")


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates in nano-USD per million tokens, for calls with up to `up_to` input tokens (None: any number).

    One tier applies to the whole call, as DashScope bills: with 32,001 tokens every token costs the second tier's rate.
    """

    up_to: int | None
    input: int
    cached: int
    output: int
    reasoning: int


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one model of one provider."""

    tiers: tuple[Tier, ...]  # by ascending `up_to`; the last has None, or calls beyond it pay the last tier
    version: str  # written to every ledger row: "aegis-2026-11", "aegis.yaml", "litellm-1.106.0"
    source: str = ""  # where the rates were published
    as_of: date | None = None
    per_picture: int = 0  # extra nano-USD for each picture sent

    @property
    def free(self) -> bool:
        """Whether every call is free."""
        rates = [rate for tier in self.tiers for rate in (tier.input, tier.cached, tier.output, tier.reasoning)]
        return not any(rates) and not self.per_picture


FREE = Price(tiers=(Tier(None, 0, 0, 0, 0),), version="free", source="runs on your own machines")


def cost(usage: Usage, price: Price, *, pictures: int = 0) -> NanoUsd:
    """The cost of a call, rounded up to a whole nano-USD."""
    tier = _tier(price, usage.input_tokens)
    total = (
        (usage.input_tokens - usage.cached_tokens) * tier.input
        + usage.cached_tokens * tier.cached
        + (usage.output_tokens - usage.reasoning_tokens) * tier.output
        + usage.reasoning_tokens * tier.reasoning
    )
    return NanoUsd(-(-total // PER_TOKENS) + pictures * price.per_picture)


def highest_cost(input_tokens: int, output_tokens: int, price: Price, *, pictures: int = 0) -> NanoUsd:
    """The highest cost of a call with at most this many tokens: the most expensive possible tier, nothing cached."""
    reachable = [
        tier
        for index, tier in enumerate(price.tiers)
        if index == 0 or (price.tiers[index - 1].up_to or 0) < input_tokens
    ]
    total = max(
        input_tokens * max(tier.input, tier.cached) + output_tokens * max(tier.output, tier.reasoning)
        for tier in reachable
    )
    return NanoUsd(-(-total // PER_TOKENS) + pictures * price.per_picture)


def _tier(price: Price, input_tokens: int) -> Tier:
    for tier in price.tiers:
        if tier.up_to is None or input_tokens <= tier.up_to:
            return tier
    return price.tiers[-1]
