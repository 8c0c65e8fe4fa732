"""Prices: the exact cost of a call, and its highest possible cost.

Pure integers.
"""

from dataclasses import dataclass
from datetime import date

from aegis_dagster.domain.money import NanoUsd

PER_TOKENS = 1_000_000  # rates are nano-USD per this many tokens, so that 0.05 USD per million is 50,000,000


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. Cached and written tokens are parts of the input, reasoning tokens part of the output."""

    input_tokens: int = 0
    cached_tokens: int = 0  # read from the provider's cache
    output_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False  # the provider did not report all that the cost depends on
    cache_write_tokens: int = 0  # written to the provider's cache

    def __post_init__(self) -> None:
        parts = (self.cached_tokens, self.cache_write_tokens, self.input_tokens - self.cached_tokens)
        if min(*parts, self.reasoning_tokens, self.output_tokens - self.reasoning_tokens) < 0:
            raise ValueError(f"tokens that contradict each other: {self}")
        if self.cached_tokens + self.cache_write_tokens > self.input_tokens:
            raise ValueError(f"more tokens of a cache than input: {self}")


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
    cache_write: int | None = None  # None: not known to differ from the input rate

    @property
    def written(self) -> int:
        """The rate of input that is written to the provider's cache."""
        return self.input if self.cache_write is None else self.cache_write


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one model of one provider."""

    tiers: tuple[Tier, ...]  # by ascending `up_to`; the last has None, or calls beyond it pay the last tier
    version: str  # written to every ledger row: "aegis-2026-11", "aegis.yaml", "litellm-1.106.0"
    source: str = ""  # where the rates were published
    as_of: date | None = None
    per_picture: int = 0  # extra nano-USD for each picture sent
    reasoning_for_all: bool = False  # one reasoning token puts the whole output at that rate, as DashScope bills

    @property
    def free(self) -> bool:
        """Whether every call is free."""
        rates = [(tier.input, tier.cached, tier.written, tier.output, tier.reasoning) for tier in self.tiers]
        return not any(map(any, rates)) and not self.per_picture

    def writes_cost_more(self, input_tokens: int) -> bool:
        """Whether input written to the cache costs more than other input, in a call of that many input tokens."""
        tier = _tier(self, input_tokens)
        return tier.written > tier.input

    @property
    def cache_reads_priced(self) -> bool:
        """Whether input read from the cache costs something other than other input."""
        return any(tier.cached != tier.input for tier in self.tiers)

    @property
    def cache_writes_priced(self) -> bool:
        """Whether a rate for writing to the cache is known."""
        return any(tier.cache_write is not None for tier in self.tiers)

    @property
    def reasoning_priced(self) -> bool:
        """Whether reasoning costs something other than output."""
        return any(tier.reasoning != tier.output for tier in self.tiers)


FREE = Price(tiers=(Tier(None, 0, 0, 0, 0),), version="free", source="runs on your own machines")


def cost(usage: Usage, price: Price, *, pictures: int = 0) -> NanoUsd:
    """The cost of a call, rounded up to a whole nano-USD."""
    tier = _tier(price, usage.input_tokens)
    reasoning = usage.output_tokens if price.reasoning_for_all and usage.reasoning_tokens else usage.reasoning_tokens
    total = (
        (usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens) * tier.input
        + usage.cached_tokens * tier.cached
        + usage.cache_write_tokens * tier.written
        + (usage.output_tokens - reasoning) * tier.output
        + reasoning * tier.reasoning
    )
    return NanoUsd(-(-total // PER_TOKENS) + pictures * price.per_picture)


def highest_cost(input_tokens: int, output_tokens: int, price: Price, *, pictures: int = 0) -> NanoUsd:
    """The highest cost of a call with at most this many tokens: the most expensive tier that it can reach, and every
    token at the most expensive rate there."""
    reachable = [
        tier
        for index, tier in enumerate(price.tiers)
        if index == 0 or (price.tiers[index - 1].up_to or 0) < input_tokens
    ]
    total = max(
        input_tokens * max(tier.input, tier.cached, tier.written) + output_tokens * max(tier.output, tier.reasoning)
        for tier in reachable
    )
    return NanoUsd(-(-total // PER_TOKENS) + pictures * price.per_picture)


def _tier(price: Price, input_tokens: int) -> Tier:
    for tier in price.tiers:
        if tier.up_to is None or input_tokens <= tier.up_to:
            return tier
    return price.tiers[-1]
