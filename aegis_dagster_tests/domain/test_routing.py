"""Which models may answer, in which order."""

import pytest

from aegis_dagster.domain.llm import Classification, LLMTask, Quality, TaskType
from aegis_dagster.domain.routing import ModelChoice, ProviderTier, candidates

EXTRACTION = frozenset({TaskType.ENTITY_EXTRACTION})
BOTH = frozenset({TaskType.ENTITY_EXTRACTION, TaskType.SUMMARY})
TIERS = (
    ProviderTier("local", True, (ModelChoice("small", BOTH, Quality.STANDARD),)),
    ProviderTier(
        "cloud",
        False,
        (ModelChoice("big", EXTRACTION, Quality.HIGH), ModelChoice("cheap", EXTRACTION, Quality.STANDARD)),
    ),
    ProviderTier("other", False, (ModelChoice("best", BOTH, Quality.HIGH),)),
)


def names(task: LLMTask) -> list[str]:
    return [f"{one.provider}/{one.model}" for one in candidates(task, TIERS)]


def test_a_standard_task_takes_the_tiers_in_order_and_prefers_standard_models_within_one() -> None:
    task = LLMTask(TaskType.ENTITY_EXTRACTION)
    assert names(task) == ["local/small", "cloud/cheap", "cloud/big", "other/best"]


def test_a_task_that_wants_quality_takes_standard_models_only_after_all_others() -> None:
    task = LLMTask(TaskType.ENTITY_EXTRACTION, quality=Quality.HIGH)
    assert names(task) == ["cloud/big", "other/best", "local/small", "cloud/cheap"]


def test_only_models_that_are_offered_for_the_task_may_answer() -> None:
    assert names(LLMTask(TaskType.SUMMARY)) == ["local/small", "other/best"]
    assert names(LLMTask(TaskType.EMBEDDING)) == []


@pytest.mark.parametrize("quality", list(Quality))
@pytest.mark.parametrize("task_type", list(TaskType))
def test_a_confidential_task_never_leaves_the_local_tiers(task_type: TaskType, quality: Quality) -> None:
    task = LLMTask(task_type, classification=Classification.CONFIDENTIAL, quality=quality)
    assert {one.provider for one in candidates(task, TIERS)} <= {"local"}
    only = LLMTask(task_type, classification=Classification.CONFIDENTIAL, only=("cloud", "big"))
    assert candidates(only, TIERS) == []


def test_a_task_bound_to_one_model_gets_that_or_none() -> None:
    assert names(LLMTask(TaskType.ENTITY_EXTRACTION, only=("cloud", "big"))) == ["cloud/big"]
    assert names(LLMTask(TaskType.ENTITY_EXTRACTION, only=("cloud", "gone"))) == []
