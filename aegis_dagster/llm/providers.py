"""Providers and their models, as the gateway knows them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aegis_dagster.domain.llm import Quality, TaskType
from aegis_dagster.domain.routing import ModelChoice, ProviderTier

PICTURE_TOKENS = 3000  # of a model nobody knows: more than the usual rules come to for 1024 x 1024 pixels


@dataclass(frozen=True, slots=True)
class Model:
    """One model of a provider."""

    name: str  # as the provider calls it
    tasks: frozenset[TaskType]
    quality: Quality = Quality.STANDARD
    picture_tokens: int = PICTURE_TOKENS  # the most input tokens that one picture counts for
    max_input_tokens: int | None = None  # known limit of input; None: ask and see
    dimensions: int | None = None  # of an embedding; sent along where the model can choose
    texts_per_call: int = 10  # of an embedding
    parameters: Mapping[str, Any] = field(default_factory=dict)  # sent along, e.g. {"enable_thinking": False}


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider that is configured."""

    name: str
    base_url: str  # OpenAI-compatible, ends with /v1 or the like
    api_key: str = field(repr=False)
    local: bool = False  # content does not leave the company
    free: bool = False  # calls cost nothing and need no price
    models: Mapping[str, Model] = field(default_factory=dict)
    concurrency: int = 8  # calls at once, in this process
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    timeout_seconds: float = 120.0  # of one call
    attempts: int = 3  # calls at most for one task
    max_tokens_field: str = "max_tokens"  # newer OpenAI models want "max_completion_tokens"

    def tier(self) -> ProviderTier:
        """The provider as routing sees it."""
        choices = tuple(ModelChoice(model.name, model.tasks, model.quality) for model in self.models.values())
        return ProviderTier(self.name, self.local, choices)
