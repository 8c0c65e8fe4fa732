"""Tasks for models and their answers.

Plain values.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from aegis_dagster.domain.answers import MORE_ROOM, Cut, why_cut
from aegis_dagster.domain.money import NanoUsd
from aegis_dagster.domain.prices import Usage
from aegis_dagster.domain.stages import Stage


class TaskType(StrEnum):
    """The kind of task for a model."""

    IMAGE_DESCRIPTION = "image_description"
    ENTITY_EXTRACTION = "entity_extraction"
    EMBEDDING = "embedding"
    SUMMARY = "summary"


class Quality(StrEnum):
    """How good the answer must be."""

    STANDARD = "standard"
    HIGH = "high"


class Classification(StrEnum):
    """Who may see the content."""

    INTERNAL = "internal"  # any configured provider
    CONFIDENTIAL = "confidential"  # local models only


@dataclass(frozen=True, slots=True)
class AskedFor:
    """The purpose of a call; written to the ledger row, never sent to a provider."""

    collection: str = ""
    document_id: str = ""
    stage: Stage | None = None  # None: a question, a probe


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str  # "system", "user" or "assistant"
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to describe, already small enough."""

    data: bytes = field(repr=False)
    media_type: str  # "image/jpeg" or "image/png"
    width: int  # pixels
    height: int


@dataclass(frozen=True, slots=True)
class LLMTask:
    """One task for a model. For an embedding, `texts` holds the texts and `messages` is empty."""

    task_type: TaskType
    messages: tuple[Message, ...] = field(default=(), repr=False)  # documents' text: never in a log
    texts: tuple[str, ...] = field(default=(), repr=False)
    picture: Picture | None = field(default=None, repr=False)  # sent with the last message
    max_tokens: int = 0  # of the answer; always sent, because the reservation relies on it. 0 for embeddings
    dimensions: int | None = None  # wanted length of an embedding's vectors; None: as in the settings
    json_mode: bool = False
    classification: Classification = Classification.INTERNAL
    quality: Quality = Quality.STANDARD
    asked_for: AskedFor = AskedFor()
    only: tuple[str, str] | None = None  # (provider, model): allow no other; embeddings must not mix models

    def with_more_room(self) -> "LLMTask":
        """The task with a longer answer, after one that was cut."""
        return replace(self, max_tokens=MORE_ROOM * self.max_tokens)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call that was made, or a candidate that was skipped."""

    provider: str
    model: str
    outcome: str  # "ok", an error type, "no_budget", "resting"


@dataclass(frozen=True, slots=True)
class LLMResponse:
    """The answer to a task."""

    content: str = field(repr=False)  # `storable`
    provider: str
    model: str
    usage: Usage
    cost: NanoUsd
    latency_seconds: float  # of the call that succeeded
    route: str  # why this model: "standard image_description: local refused (no_budget), then dashscope"
    attempts: tuple[Attempt, ...]  # in order; the last one answered
    call_id: str  # ledger row
    finish_reason: str = "stop"
    vectors: tuple[tuple[float, ...], ...] = field(default=(), repr=False)  # of an embedding, one per text, as received
    max_tokens: int = 0  # that the answer was allowed

    @property
    def cut(self) -> Cut | None:
        """What was cut, so that the answer is neither complete nor kept; None: nothing that the provider tells."""
        return why_cut(self.finish_reason, self.usage, self.max_tokens)
