"""The attempts made for one task, and the error to raise when no model answered.

Pure.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from aegis_dagster.domain.accounts import AccountKey, AccountKind, BudgetRefusal
from aegis_dagster.domain.llm import Attempt, Classification, LLMTask
from aegis_dagster.domain.money import shown_usd, start_of_next_month
from aegis_dagster.domain.routing import Candidate, ProviderTier
from aegis_dagster.errors import (
    AegisError,
    BudgetExhausted,
    ConfigurationError,
    DocumentError,
    FailureCode,
    ModelsUnavailable,
    Shortage,
)
from aegis_dagster.llm.retry_policy import DECISIONS, CallFailed, ErrorType, Then

OK = "ok"
NO_BUDGET = "no_budget"
RESTING = "resting"

_CONTENT = {  # the first match wins
    ErrorType.CONTENT_REFUSED: FailureCode.CONTENT_REFUSED,
    ErrorType.CONTEXT_WINDOW: FailureCode.CONTEXT_TOO_LONG,
    ErrorType.BAD_REQUEST: FailureCode.BAD_ANSWER,
}
_CHECK = {
    ErrorType.RATE_LIMIT: "it gets too many calls: lower its requests_per_minute, tokens_per_minute or concurrency",
    ErrorType.QUOTA_EXHAUSTED: "its own quota or credit is used up: check its billing page",
    ErrorType.TIMEOUT: "it answers too slowly: raise its timeout_seconds, or choose a faster model",
    ErrorType.CONNECTION: "nothing answers there: check its base_url, and that it runs",
    ErrorType.CONNECTION_LOST: "it closes connections early: check its base_url and any proxy in between",
    ErrorType.BAD_RESPONSE: "the answer is not from a model server: check its base_url",
    ErrorType.SERVER_ERROR: "it has an internal error: wait",
    ErrorType.AUTH: "it refuses the key: check the variable that holds it",
    ErrorType.NOT_FOUND: "it has no such model: check the model's name",
}
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_RESTING_CHECK = "it failed several times and rests: it is tried again automatically"


@dataclass(slots=True)
class Trail:
    """The attempts made for one task so far."""

    task: LLMTask
    attempts: list[Attempt] = field(default_factory=list)
    refusals: list[BudgetRefusal] = field(default_factory=list)
    failures: dict[Candidate, ErrorType] = field(default_factory=dict)  # the last error of each candidate that failed
    said: dict[Candidate, str] = field(default_factory=dict)  # and the provider's words about it
    resting: list[Candidate] = field(default_factory=list)
    calls: int = 0  # reserved so far, over all tiers

    def calls_of(self, provider: str) -> int:
        """How many calls this provider received."""
        return sum(1 for one in self.attempts if one.provider == provider and one.outcome not in (NO_BUDGET, RESTING))

    def rests(self, candidate: Candidate, said: str) -> None:
        """Record that the provider is resting and was skipped. said: its words about the call before."""
        self.resting.append(candidate)
        self.said.setdefault(candidate, said)
        self._add(candidate, RESTING)

    def refused(self, candidate: Candidate, refusal: BudgetRefusal) -> None:
        """Record that a budget refused the call."""
        self.refusals.append(refusal)
        self._add(candidate, NO_BUDGET)

    def failed(self, candidate: Candidate, failure: CallFailed) -> None:
        """Record that a call failed."""
        self.failures[candidate] = failure.error_type
        self.said[candidate] = failure.said
        self._add(candidate, failure.error_type)

    def answered(self, candidate: Candidate) -> None:
        """Record that the candidate answered; this ends the trail."""
        self._add(candidate, OK)

    def _add(self, candidate: Candidate, outcome: str) -> None:
        self.attempts.append(Attempt(candidate.provider, candidate.model, outcome))


# A healthy provider may fail like this every time for one particular content.
_BY_CONTENT_PERHAPS = {
    ErrorType.TIMEOUT,
    ErrorType.BAD_RESPONSE,
    ErrorType.CONNECTION_LOST,
    ErrorType.SERVER_ERROR,
}


def route(trail: Trail) -> str:
    """Why the last model was used: "standard summary: local/qwen3 timeout x3, then dashscope/qwen-plus"."""
    task, last = trail.task, trail.attempts[-1]
    steps = []
    for (name, outcome), group in groupby(trail.attempts[:-1], key=lambda one: (_name(one), one.outcome)):
        times = len(list(group))
        steps.append(f"{name} {outcome}" + (f" x{times}" if times > 1 else ""))
    before = ", ".join(steps) + ", then " if steps else ""
    confidential = "confidential " if task.classification is Classification.CONFIDENTIAL else ""
    return f"{confidential}{task.quality} {task.task_type}: {before}{_name(last)}"


def error_after(trail: Trail, now: datetime) -> AegisError:
    """The error to raise when no model answered.

    Budgets come first, because the operator can change them; then the content, if every other tier rejected it too;
    otherwise the providers.
    """
    if trail.refusals:
        return _no_money(trail.refusals[0], now)
    content = [error for error in trail.failures.values() if DECISIONS[error].then is Then.NEXT_TIER_OR_FAIL]
    if content and len(content) == len(trail.failures) and not trail.resting:
        return _content_at_fault(trail, content)
    return _unavailable(trail)


def nobody_may(task: LLMTask, tiers: Sequence[ProviderTier]) -> ConfigurationError:
    """The error when no configured model may answer."""
    what = task.task_type
    if task.only is not None:
        return ConfigurationError(
            f"Only model {task.only[1]} of {task.only[0]} may answer this {what}, and it cannot be used.",
            remedy=f"add it with task {what} to the models of {task.only[0]} in aegis.yaml under llm.providers"
            + (", as a local provider, because the collection is local_only." if _confidential(task) else "."),
        )
    if _confidential(task) and _offered(task, [tier for tier in tiers if not tier.local]):
        collection = task.asked_for.collection or "NAME"
        return ConfigurationError(
            f"No local model may answer {what}, and content of collection {collection} never leaves the company "
            "(local_only).",
            remedy=f"add a model for {what} to a provider with `local: true` in aegis.yaml under llm.providers "
            f"(Ollama, vLLM, LM Studio), or set collections.{collection}.local_only to false.",
        )
    return ConfigurationError(
        f"No configured model answers {what}.",
        remedy=f"add a model with task {what} in aegis.yaml under llm.providers.",
    )


def unpriced(provider: str, model: str, lines: str) -> ConfigurationError:
    """The error when a paid model has no price; it is never called."""
    return ConfigurationError(
        f"No price is known for model {model} of {provider}, so it is not called.",
        remedy=f"add its price to aegis.yaml, or `free: true` to the provider if it costs nothing:\n{lines}",
    )


def _confidential(task: LLMTask) -> bool:
    return task.classification is Classification.CONFIDENTIAL


def _offered(task: LLMTask, tiers: Collection[ProviderTier]) -> bool:
    return any(task.task_type in choice.tasks for tier in tiers for choice in tier.models)


def _name(one: Attempt | Candidate) -> str:
    return f"{one.provider}/{one.model}"


def _no_money(refusal: BudgetRefusal, now: datetime) -> BudgetExhausted:
    key, limit = refusal.account.key, refusal.account.limit or 0
    # The message omits this call's amounts, so that documents waiting for the same reason are counted together.
    message = f"Too little money is left for {_owner(key)}: limit {shown_usd(limit)} USD."
    until = "" if key.kind is AccountKind.RUN else start_of_next_month(now).isoformat()
    shortage = Shortage(key.kind, key.name, key.period, refusal.wanted, limit)
    return BudgetExhausted(message, remedy=_more_money(key), until=until, shortage=shortage)


def _owner(key: AccountKey) -> str:
    return f"{key.kind} {key.name}" + (f" in {key.period}" if key.period else "")


def _more_money(key: AccountKey) -> str:
    if key.kind is AccountKind.PROVIDER:
        return f"wait for the next month (UTC), or run `aegis budget raise {key.name} USD`."
    if key.kind is AccountKind.COLLECTION:
        return f"wait for the next month (UTC), or run `aegis budget raise --collection {key.name} USD`."
    return "start another run, or raise llm.budgets.per_run in aegis.yaml."


def _content_at_fault(trail: Trail, content: Sequence[ErrorType]) -> DocumentError:
    worst = next(error for error in _CONTENT if error in content)
    tried = ", ".join(f"{_name(candidate)} ({error})" for candidate, error in trail.failures.items())
    remedies = {
        ErrorType.CONTENT_REFUSED: "look at the document; add a model that accepts such content, e.g. a local one.",
        ErrorType.CONTEXT_WINDOW: "configure a model with a larger context, or smaller chunks.",
        ErrorType.BAD_REQUEST: "check the model's `parameters` in aegis.yaml and those that the provider supports.",
    }
    return DocumentError(
        _CONTENT[worst],
        f"Every model that may answer rejected this content: {tried}.{_words(trail)}",
        remedy=remedies[worst],
    )


def _unavailable(trail: Trail) -> ModelsUnavailable:
    states = {candidate: (str(error), _check(error)) for candidate, error in trail.failures.items()}
    states |= {one: (RESTING, _RESTING_CHECK) for one in trail.resting if one not in states}
    listed = ", ".join(f"{_name(candidate)} ({state})" for candidate, (state, _) in states.items())
    checks = dict.fromkeys(f"{candidate.provider}: {check}" for candidate, (_, check) in states.items())
    perhaps_content = not trail.resting and set(trail.failures.values()) <= _BY_CONTENT_PERHAPS
    return ModelsUnavailable(
        f"No model could answer: {listed}.{_NUMBER.sub('#', _words(trail))}",  # so that equal ones are counted together
        remedy="; ".join(checks) + ".",
        perhaps_content=perhaps_content,
    )


def _words(trail: Trail) -> str:
    """What the providers say about the failures, each once."""
    said = {words: candidate.provider for candidate, words in reversed(trail.said.items()) if words}
    return "".join(f" {provider} said: “{words}”" for words, provider in reversed(said.items()))


def _check(error: ErrorType) -> str:
    return _CHECK.get(error, "it rejected the content")
