"""Prices: what a call costs, exactly, and what it can cost at most.

Pure integers.
"""

from dataclasses import dataclass
from datetime import date

from aegis_dagster.domain.money import NanoUsd

PER_TOKENS = 1_000_000  # rates are nano-USD for so many tokens, so that 0.05 USD per million is 50,000,000


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. Cached tokens are part of the input, reasoning tokens part of the output."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False  # the provider did not say, or gave only a total

    def __post_init__(self) -> None:
        if not 0 <= self.cached_tokens <= self.input_tokens or not 0 <= self.reasoning_tokens <= self.output_tokens:
            raise ValueError(f"tokens that contradict each other: {self}")


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates in nano-USD per million tokens, for calls with up to `up_to` input tokens (None: any number).

    All or nothing, as DashScope bills: a call of 32,001 tokens pays the second tier for every token.
    """

    up_to: int | None
    input: int
    cached: int
    output: int
    reasoning: int


@dataclass(frozen=True, slots=True)
class Price:
    """What one model of one provider costs."""

    tiers: tuple[Tier, ...]  # by ascending `up_to`; the last has None, or calls beyond it pay the last tier
    version: str  # written on every ledger row: "aegis-2026-11", "aegis.yaml", "litellm-1.106.0"
    source: str = ""  # where the rates stand
    as_of: date | None = None
    per_picture: int = 0  # nano-USD on top for each picture sent

    @property
    def free(self) -> bool:
        """Whether no call can cost anything."""
        rates = [rate for tier in self.tiers for rate in (tier.input, tier.cached, tier.output, tier.reasoning)]
        return not any(rates) and not self.per_picture


FREE = Price(tiers=(Tier(None, 0, 0, 0, 0),), version="free", source="runs on your own machines")


def cost(usage: Usage, price: Price, *, pictures: int = 0) -> NanoUsd:
    """What the call costs, rounded up to a whole nano-USD."""
    tier = _tier(price, usage.input_tokens)
    total = (
        (usage.input_tokens - usage.cached_tokens) * tier.input
        + usage.cached_tokens * tier.cached
        + (usage.output_tokens - usage.reasoning_tokens) * tier.output
        + usage.reasoning_tokens * tier.reasoning
    )
    return NanoUsd(-(-total // PER_TOKENS) + pictures * price.per_picture)


def highest_cost(input_tokens: int, output_tokens: int, price: Price, *, pictures: int = 0) -> NanoUsd:
    """What a call with at most so many tokens can cost: the dearest tier it can fall in, nothing cached."""
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
