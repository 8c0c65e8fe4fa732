"""Routing: the models that may answer a task, in order."""

from collections.abc import Sequence
from dataclasses import dataclass

from aegis_dagster.domain.llm import Classification, LLMTask, Quality, TaskType


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model that a provider offers for some tasks."""

    model: str
    tasks: frozenset[TaskType]
    quality: Quality


@dataclass(frozen=True, slots=True)
class ProviderTier:
    """One provider with its models, in the order in which providers are tried."""

    provider: str
    local: bool  # content stays in the company
    models: tuple[ModelChoice, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may answer."""

    provider: str
    model: str


def candidates(task: LLMTask, tiers: Sequence[ProviderTier]) -> list[Candidate]:
    """The models that may answer, best first; empty: no tier may.

    A confidential task uses only local tiers. A task of high quality tries the models of high quality first, and those
    of standard quality only after all of them. A task of standard quality prefers the standard models within a tier.
    `task.only` allows only that model.
    """
    allowed = [tier for tier in tiers if tier.local or task.classification is not Classification.CONFIDENTIAL]
    first: list[Candidate] = []
    last: list[Candidate] = []
    for tier in allowed:
        able = [choice for choice in tier.models if task.task_type in choice.tasks]
        for choice in sorted(able, key=lambda choice: choice.quality is not task.quality):
            if task.only is not None and task.only != (tier.provider, choice.model):
                continue
            lower = task.quality is Quality.HIGH and choice.quality is Quality.STANDARD
            (last if lower else first).append(Candidate(tier.provider, choice.model))
    return first + last
