"""A gateway for tests of code that asks models: it answers by a script and records the tasks.

It routes with the real rule.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aegis_dagster.domain.llm import Attempt, LLMResponse, LLMTask, Quality, TaskType
from aegis_dagster.domain.money import NanoUsd
from aegis_dagster.domain.prices import Usage
from aegis_dagster.domain.routing import Candidate, ModelChoice, ProviderTier, candidates

ALL_TASKS = frozenset(TaskType)
TIERS = (
    ProviderTier("house", local=True, models=(ModelChoice("small", ALL_TASKS, Quality.STANDARD),)),
    ProviderTier(
        "cloud",
        local=False,
        models=(ModelChoice("flash", ALL_TASKS, Quality.STANDARD), ModelChoice("plus", ALL_TASKS, Quality.HIGH)),
    ),
)


@dataclass(frozen=True, slots=True)
class Says:
    """An answer. by: (provider, model); None: the first candidate."""

    content: str = ""
    finish_reason: str = "stop"
    vectors: Sequence[Sequence[float]] = ()
    by: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Hangs:
    """No answer, ever."""


Step = Says | Hangs | Exception


class ScriptRanOut(AssertionError):
    """The gateway was asked more often than the test foresees."""


@dataclass
class ScriptedGateway:
    """Implements ports.ModelGateway. With `answer`, it answers every task; otherwise the script's steps answer."""

    script: Sequence[Step] = ()
    answer: Callable[[LLMTask], Step] | None = None
    tiers: tuple[ProviderTier, ...] = TIERS
    seconds: float = 0.0  # before each answer
    tasks: list[LLMTask] = field(default_factory=list)
    most_at_once: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)  # set by the first task
    _now: int = 0

    def candidates(self, task: LLMTask) -> list[Candidate]:
        """The candidates by the real rule."""
        return candidates(task, self.tiers)

    async def ask(self, task: LLMTask) -> LLMResponse:
        """The next step of the script."""
        self.tasks.append(task)
        self.asked.set()
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            await asyncio.sleep(self.seconds)
            step = self._step(task)
            if isinstance(step, Hangs):
                await asyncio.Event().wait()
            if isinstance(step, Exception):
                raise step
            assert isinstance(step, Says)
            return self._response(task, step)
        finally:
            self._now -= 1

    def _step(self, task: LLMTask) -> Step:
        if self.answer is not None:
            return self.answer(task)
        if len(self.tasks) > len(self.script):
            raise ScriptRanOut(f"call {len(self.tasks)}, but the script has {len(self.script)} steps")
        return self.script[len(self.tasks) - 1]

    def _response(self, task: LLMTask, says: Says) -> LLMResponse:
        first = self.candidates(task)[0]
        provider, model = says.by or (first.provider, first.model)
        return LLMResponse(
            content=says.content,
            provider=provider,
            model=model,
            usage=Usage(input_tokens=1, output_tokens=1),
            cost=NanoUsd(0),
            latency_seconds=self.seconds,
            route="scripted",
            attempts=(Attempt(provider, model, "ok"),),
            call_id=f"call-{len(self.tasks)}",
            finish_reason=says.finish_reason,
            vectors=tuple(tuple(row) for row in says.vectors),
            max_tokens=task.max_tokens,
        )
