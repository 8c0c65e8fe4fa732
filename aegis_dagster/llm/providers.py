"""Providers and their models, as the gateway uses them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aegis_dagster.domain.llm import Quality, TaskType
from aegis_dagster.domain.routing import ModelChoice, ProviderTier

PICTURE_TOKENS = 3000  # for unknown models: more than the usual rules give for 1024 x 1024 pixels


@dataclass(frozen=True, slots=True)
class Model:
    """One model of a provider."""

    name: str  # as the provider calls it
    tasks: frozenset[TaskType]
    quality: Quality = Quality.STANDARD
    picture_tokens: int = PICTURE_TOKENS  # most input tokens for one picture
    max_input_tokens: int | None = None  # known input limit; None: unknown
    dimensions: int | None = None  # of an embedding; sent if the model supports several
    texts_per_call: int = 32  # of an embedding
    parameters: Mapping[str, Any] = field(default_factory=dict)  # sent with requests, e.g. {"enable_thinking": False}


@dataclass(frozen=True, slots=True)
class Provider:
    """One configured provider."""

    name: str
    base_url: str  # OpenAI-compatible, ends with /v1 or the like
    api_key: str = field(repr=False)
    local: bool = False  # content does not leave the company
    free: bool = False  # calls cost nothing and need no price
    models: Mapping[str, Model] = field(default_factory=dict)
    concurrency: int = 8  # concurrent calls, in this process
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    timeout_seconds: float = 120.0  # of one call
    attempts: int = 3  # most calls for one task
    max_tokens_field: str = "max_tokens"  # newer OpenAI models want "max_completion_tokens"

    def tier(self) -> ProviderTier:
        """The provider in the form that routing uses."""
        choices = tuple(ModelChoice(model.name, model.tasks, model.quality) for model in self.models.values())
        return ProviderTier(self.name, self.local, choices)
