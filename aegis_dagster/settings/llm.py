"""The section `llm` of the settings: providers, models, tiers, prices and budgets, in one place.

Fields in `aegis.yaml` replace those of the default providers one by one, so that one line changes one thing.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from aegis_dagster.domain.llm import Quality, TaskType
from aegis_dagster.settings.section import Section

Usd = Annotated[Decimal, Field(ge=0)]


class ModelSettings(Section):
    """One model of a provider."""

    tasks: tuple[TaskType, ...] = Field(description="Tasks that it is used for.")
    quality: Quality = Field(default=Quality.STANDARD, description="Tasks of high quality go to `high` models first.")
    picture_tokens: int | None = Field(
        default=None, ge=0, description="Most input tokens that one picture counts for; none: from our table, or 3000."
    )
    max_input_tokens: int | None = Field(default=None, ge=1, description="Longer texts are cut off before embedding.")
    dimensions: int | None = Field(default=None, ge=1, description="Length of its vectors; embedding models need it.")
    texts_per_call: int = Field(
        default=32, ge=1, description="Texts per embedding call; if a provider refuses so many, half of them."
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="Parameters added to every call, e.g. `{enable_thinking: false}`; `{temperature: null}` removes one.",
    )


class ProviderSettings(Section):
    """One provider: anything that speaks OpenAI's protocol."""

    enabled: bool | None = Field(
        default=None,
        description="Whether it is used. Default: if its key is set, or its address if it needs no key.",
    )
    base_url: str | None = Field(default=None, description="Address of its OpenAI-compatible API, including `/v1`.")
    base_url_variable: str | None = Field(
        default=None, description="Environment variable with its address; takes precedence over `base_url`."
    )
    api_key_variable: str | None = Field(default=None, description="Environment variable with its key; none: no key.")
    local: bool = Field(
        default=False,
        description="Whether content sent to it stays in the company; confidential collections use only such providers.",
    )
    free: bool = Field(
        default=False,
        description="Whether its calls cost nothing; otherwise every model needs a price and the provider a budget.",
    )
    concurrency: int = Field(default=8, ge=1, description="Concurrent calls, in each process.")
    requests_per_minute: int | None = Field(default=None, ge=1, description="In each process; none: no limit.")
    tokens_per_minute: int | None = Field(default=None, ge=1, description="In each process; none: no limit.")
    timeout_seconds: float = Field(default=120.0, gt=0, description="Time limit of one call.")
    attempts: int = Field(default=3, ge=1, description="Most calls for one task before the next tier is tried.")
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens", description="The provider's name for the limit of an answer."
    )
    models: dict[str, ModelSettings] = Field(default_factory=dict, description="Its models by name.")


class RateSettings(Section):
    """Rates in USD per million tokens."""

    input: Decimal = Field(ge=0)
    output: Decimal = Field(ge=0, description="`0` for an embedding model.")
    cached: Decimal | None = Field(default=None, ge=0, description="Rate of cached input; none: the input rate.")
    reasoning: Decimal | None = Field(default=None, ge=0, description="Rate of reasoning; none: the output rate.")
    cache_write: Decimal | None = Field(
        default=None, ge=0, description="Rate of input that is written to the provider's cache; none: the input rate."
    )
    up_to: int | None = Field(default=None, ge=1, description="Most input tokens of a call at these rates; none: any.")


class PriceSettings(Section):
    """The price of a model."""

    tiers: tuple[RateSettings, ...] = Field(
        min_length=1, description="Rates by ascending `up_to`; one without `up_to` holds for any call."
    )
    per_picture: Decimal = Field(default=Decimal(0), ge=0, description="USD added for each picture.")
    reasoning_for_all: bool = Field(
        default=False,
        description="Whether a call that reasons pays the reasoning rate for its whole output, as DashScope bills.",
    )
    source: str = Field(default="", description="Where the rates come from.")
    as_of: date | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_rate(cls, values: Any) -> Any:
        """`{input: 0.4, output: 1.6}` is short for one tier."""
        if isinstance(values, dict) and "tiers" not in values:
            outside = {"per_picture", "reasoning_for_all", "source", "as_of"}
            rates = {key: value for key, value in values.items() if key not in outside}
            return {"tiers": [rates], **{key: value for key, value in values.items() if key in outside}}
        return values

    @model_validator(mode="after")
    def _ascending(self) -> "PriceSettings":
        limits = [tier.up_to for tier in self.tiers]
        known = [limit for limit in limits if limit is not None]
        if None in limits[:-1] or known != sorted(set(known)):
            raise ValueError("tiers must stand by ascending `up_to`; only the last may be without")
        return self


class BudgetSettings(Section):
    """Spending limits in USD. Months are calendar months in UTC."""

    providers: dict[str, Usd] = Field(
        default_factory=lambda: {"dashscope": Decimal(10), "openai": Decimal(20)},
        description="Limit per month, by provider. A paid provider without one is refused.",
    )
    collections: dict[str, Usd] = Field(
        default_factory=dict, description="Limit per month, by collection, over all providers; none: no limit."
    )
    per_run: Decimal | None = Field(default=None, ge=0, description="Limit of one run; none: no limit.")
    soft_share: float = Field(
        default=0.8, gt=0, le=1, description="Share of a limit above which the asset check warns."
    )


def _model(*tasks: TaskType, **values: Any) -> dict[str, Any]:
    return {"tasks": tasks, **values}


_TEXT = (TaskType.ENTITY_EXTRACTION, TaskType.SUMMARY)
_NO_THINKING = {"enable_thinking": False}

DEFAULT_PROVIDERS: dict[str, dict[str, Any]] = {
    "local": {
        "base_url_variable": "OLLAMA_HOST",
        "local": True,
        "free": True,
        "concurrency": 2,
        "timeout_seconds": 600.0,
        "models": {
            "qwen2.5vl:7b": _model(TaskType.IMAGE_DESCRIPTION),
            "qwen3:8b": _model(*_TEXT, parameters={"reasoning_effort": "none"}),
            "nomic-embed-text": _model(TaskType.EMBEDDING, dimensions=768, max_input_tokens=2048),
            "bge-m3": _model(TaskType.EMBEDDING, dimensions=1024, max_input_tokens=8192),
        },
    },
    "dashscope": {
        "base_url": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "api_key_variable": "DASHSCOPE_API_KEY",
        "concurrency": 16,
        "models": {
            "qwen3-vl-flash": _model(TaskType.IMAGE_DESCRIPTION, parameters=_NO_THINKING),
            "qwen3-vl-plus": _model(TaskType.IMAGE_DESCRIPTION, quality=Quality.HIGH, parameters=_NO_THINKING),
            "qwen-flash": _model(*_TEXT, parameters=_NO_THINKING),
            "qwen-plus": _model(*_TEXT, quality=Quality.HIGH, parameters=_NO_THINKING),
            "text-embedding-v4": _model(TaskType.EMBEDDING, dimensions=1024, max_input_tokens=8192, texts_per_call=10),
        },
    },
    "openai": {
        "base_url": "https://api.openai.com/v1",
        "base_url_variable": "OPENAI_BASE_URL",
        "api_key_variable": "OPENAI_API_KEY",
        "concurrency": 16,
        "max_tokens_field": "max_completion_tokens",
        "models": {
            "gpt-4.1-mini": _model(TaskType.IMAGE_DESCRIPTION, *_TEXT),
            "gpt-4.1": _model(TaskType.IMAGE_DESCRIPTION, *_TEXT, quality=Quality.HIGH),
            "text-embedding-3-small": _model(
                TaskType.EMBEDDING, dimensions=1536, max_input_tokens=8191, texts_per_call=128
            ),
        },
    },
}


def _over(default: dict[str, Any], given: Any) -> Any:
    """A provider's given fields over its defaults. An address that is given needs no variable for one."""
    if given is None:
        return default
    if not isinstance(given, dict):
        return given  # pydantic says what is wrong with it
    return {**default, **({"base_url_variable": None} if "base_url" in given else {}), **given}


class LlmSettings(Section):
    """Model calls: which providers answer, in which order, at what price, up to which limit."""

    tiers: tuple[str, ...] = Field(
        default=("local", "dashscope", "openai"),
        description="Providers in the order in which they are tried. `[]`: no model is ever called.",
    )
    providers: dict[str, ProviderSettings] = Field(
        default_factory=lambda: {name: ProviderSettings.model_validate(v) for name, v in DEFAULT_PROVIDERS.items()},
        description="Providers by name. A field given for one of the three defaults replaces just that field.",
    )
    prices: dict[str, PriceSettings] = Field(
        default_factory=dict,
        description="USD per million tokens by `provider/model`: `{input, output, cached, cache_write, reasoning, per_picture}` or `{tiers: [...]}`. Takes precedence over our own table and litellm's.",
    )
    budgets: BudgetSettings = BudgetSettings()
    max_wait_seconds: float = Field(default=60.0, ge=0, description="A provider that asks for a longer wait rests.")
    rest_after_failures: int = Field(default=5, ge=1, description="A provider rests after this many failures in a row.")
    rest_seconds: float = Field(
        default=60.0,
        gt=0,
        description="How long it rests; doubles with each rest, up to 16 times.",
    )

    @model_validator(mode="before")
    @classmethod
    def _over_the_defaults(cls, values: Any) -> Any:
        """Lay given providers over the default ones, field by field; budgets of providers likewise."""
        if not isinstance(values, dict):
            return values
        merged = dict(values)
        if isinstance(values.get("providers"), dict):
            given = values["providers"]
            merged["providers"] = {
                name: _over(DEFAULT_PROVIDERS.get(name, {}), given.get(name))
                for name in [*DEFAULT_PROVIDERS, *(name for name in given if name not in DEFAULT_PROVIDERS)]
            }
        budgets = values.get("budgets")
        if isinstance(budgets, dict) and isinstance(budgets.get("providers"), dict):
            defaults = BudgetSettings().providers
            merged["budgets"] = {**budgets, "providers": {**defaults, **budgets["providers"]}}
        return merged

    @model_validator(mode="after")
    def _tiers_are_providers(self) -> "LlmSettings":
        unknown = [name for name in self.tiers if name not in self.providers]
        if unknown:
            raise ValueError(f"tiers names {unknown[0]!r}, which is no provider")
        unknown = [name for name in self.budgets.providers if name not in self.providers]
        if unknown:
            raise ValueError(f"budgets.providers names {unknown[0]!r}, which is no provider")
        unknown = [name for name in self.prices if name.partition("/")[0] not in self.providers]
        if unknown:
            raise ValueError(f"prices names {unknown[0]!r}, which is no model of a provider")
        return self
