"""Our own prices by provider and model, each with its source and the date it was read.

If sources disagree, the higher rate is used. Without a published rate for cached input or for writing to the cache
the input rate applies, without a published reasoning rate the output rate. Every new reading of the price pages gets
a new VERSION.

Not priced, because never requested: DashScope's explicit cache (writing costs 125 % of the input rate), OpenAI's
priority, flex, batch and regional processing (10 % extra). If a model's `parameters` enable one of them, its price
must be set in aegis.yaml. A call that reports tokens written to a cache without a rate for that is flagged.
With thinking enabled, DashScope bills the whole answer, not only the thoughts, at the reasoning rate. Thinking is
disabled by default (`enable_thinking: false`); reservations assume that rate.
"""

from collections.abc import Mapping
from datetime import date
from decimal import ROUND_CEILING, Decimal

from aegis_dagster.domain.money import NANO_PER_USD
from aegis_dagster.domain.prices import Price, Tier

VERSION = "aegis-2026-11"
AS_OF = date(2026, 11, 24)

# Read from stored copies on AS_OF, not live. DashScope's rates are those of Singapore ("International");
# Beijing, Virginia and Hong Kong have different ones.
_QWEN = (
    "https://www.alibabacloud.com/help/en/model-studio/model-pricing, as kept by models.dev (providers/alibaba) and "
    "litellm 1.106.0; cached: 20 % of input, https://www.alibabacloud.com/help/en/model-studio/context-cache"
)
_QWEN_OPEN = "models.dev (providers/alibaba), cached rate not named; litellm 1.106.0 has no rate"
_QWEN_EMBEDDING = "https://www.alibabacloud.com/help/en/model-studio/text-embedding-synchronous-api, Singapore"
_OPENAI = "https://developers.openai.com/api/docs/pricing, standard processing, as kept by litellm 1.106.0"


def rate(usd_per_million: str | Decimal) -> int:
    """USD per million tokens as nano-USD per million tokens, rounded up. Raises decimal.InvalidOperation."""
    return int((Decimal(usd_per_million) * NANO_PER_USD).to_integral_value(ROUND_CEILING))


def tier(
    input: str | Decimal,
    output: str | Decimal = "0",
    *,
    cached: str | Decimal | None = None,
    reasoning: str | Decimal | None = None,
    cache_write: str | Decimal | None = None,
    up_to: int | None = None,
) -> Tier:
    """A tier from rates in USD per million tokens; rates not given default to those of input or output."""
    return Tier(
        up_to=up_to,
        input=rate(input),
        cached=rate(input if cached is None else cached),
        output=rate(output),
        reasoning=rate(output if reasoning is None else reasoning),
        cache_write=None if cache_write is None else rate(cache_write),
    )


# They bill the whole answer at the reasoning rate once a model thinks; the last two are names of litellm's.
REASONING_FOR_ALL = frozenset({"dashscope", "qwencloud", "qwen_ai_platform"})


def _price(source: str, *tiers: Tier) -> Price:
    for_all = source in {_QWEN, _QWEN_OPEN}
    return Price(tiers=tiers, version=VERSION, source=source, as_of=AS_OF, reasoning_for_all=for_all)


TABLE: Mapping[tuple[str, str], Price] = {
    ("dashscope", "qwen3-vl-flash"): _price(
        _QWEN,
        tier("0.05", "0.40", cached="0.01", up_to=32_000),
        tier("0.075", "0.60", cached="0.015", up_to=128_000),
        tier("0.12", "0.96", cached="0.024"),
    ),
    ("dashscope", "qwen3-vl-plus"): _price(
        _QWEN,
        tier("0.20", "1.60", cached="0.04", up_to=32_000),
        tier("0.30", "2.40", cached="0.06", up_to=128_000),
        tier("0.60", "4.80", cached="0.12"),
    ),
    ("dashscope", "qwen-vl-max"): _price(_QWEN, tier("0.80", "3.20", cached="0.16")),
    ("dashscope", "qwen-flash"): _price(
        _QWEN, tier("0.05", "0.40", cached="0.01", up_to=256_000), tier("0.25", "2.00", cached="0.05")
    ),
    # litellm still lists the old model without tiers; models.dev's tiers are higher.
    ("dashscope", "qwen-plus"): _price(
        _QWEN,
        tier("0.40", "1.20", cached="0.08", reasoning="4.00", up_to=256_000),
        tier("1.20", "3.60", cached="0.24", reasoning="12.00"),
    ),
    ("dashscope", "qwen-turbo"): _price(_QWEN, tier("0.05", "0.20", cached="0.01", reasoning="0.50")),
    ("dashscope", "qwen3-30b-a3b-instruct-2507"): _price(_QWEN_OPEN, tier("0.20", "0.80")),
    ("dashscope", "text-embedding-v3"): _price(_QWEN_EMBEDDING, tier("0.07")),
    ("dashscope", "text-embedding-v4"): _price(_QWEN_EMBEDDING, tier("0.07")),
    ("openai", "gpt-4.1"): _price(_OPENAI, tier("2.00", "8.00", cached="0.50")),
    ("openai", "gpt-4.1-mini"): _price(_OPENAI, tier("0.40", "1.60", cached="0.10")),
    ("openai", "gpt-4.1-nano"): _price(_OPENAI, tier("0.10", "0.40", cached="0.025")),
    ("openai", "gpt-4o-mini"): _price(_OPENAI, tier("0.15", "0.60", cached="0.075")),
    ("openai", "gpt-5-mini"): _price(_OPENAI, tier("0.25", "2.00", cached="0.025")),
    ("openai", "gpt-5-nano"): _price(_OPENAI, tier("0.05", "0.40", cached="0.005")),
    ("openai", "text-embedding-3-small"): _price(_OPENAI, tier("0.02")),
    ("openai", "text-embedding-3-large"): _price(_OPENAI, tier("0.13")),
}

# The most input tokens that one picture counts for, whatever its size. Qwen-VL: a token is 32 x 32 pixels, pictures
# are scaled to at most 2,621,440 pixels (without `vl_high_resolution_images`), two tokens mark the picture.
# OpenAI (https://developers.openai.com/api/docs/guides/images-vision): at most 1,536 patches times 1.62 (mini) or
# 2.46 (nano); or at most 8 tiles of 170 tokens and 85 more (gpt-4.1), of 5,667 and 2,833 more (gpt-4o-mini).
MOST_PICTURE_TOKENS: Mapping[tuple[str, str], int] = {
    ("dashscope", "qwen3-vl-flash"): 2_562,
    ("dashscope", "qwen3-vl-plus"): 2_562,
    ("dashscope", "qwen-vl-max"): 2_562,
    ("openai", "gpt-4.1"): 1_445,
    ("openai", "gpt-4.1-mini"): 2_489,
    ("openai", "gpt-4.1-nano"): 3_779,
    ("openai", "gpt-4o-mini"): 48_169,
    ("openai", "gpt-5-mini"): 2_489,
    ("openai", "gpt-5-nano"): 3_779,
}
