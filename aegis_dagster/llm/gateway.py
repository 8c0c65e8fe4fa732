"""The gateway: the only place that calls models. It chooses the tier, and decides when to retry and give up.

It is async and starts no event loop and no thread. One gateway may serve several event loops, one after another.
Concurrency, requests and tokens per minute are limited per process; money is limited across all processes.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from aegis_dagster.domain.accounts import BudgetRefusal, Reservation
from aegis_dagster.domain.answers import storable
from aegis_dagster.domain.llm import Classification, LLMResponse, LLMTask, TaskType
from aegis_dagster.domain.prices import FREE, Price, highest_cost
from aegis_dagster.domain.routing import Candidate, candidates
from aegis_dagster.llm.attempts import Trail, error_after, nobody_may, route, unpriced
from aegis_dagster.llm.circuit_breaker import Breaker
from aegis_dagster.llm.client import Wire
from aegis_dagster.llm.paid_call import Call, Paid, PaidCalls
from aegis_dagster.llm.prices import PriceList, lines_to_add
from aegis_dagster.llm.providers import Model, Provider
from aegis_dagster.llm.rate_limits import ProviderLimits, Sleep
from aegis_dagster.llm.retry_policy import DECISIONS, CallFailed
from aegis_dagster.llm.token_usage import counted_input, most_tokens
from aegis_dagster.ports import Clock, Ledger

FIRST_WAIT_SECONDS = 1.0  # longest wait before the second call; doubles with each further call
LONGEST_REST = 16  # times the first rest
SETTLE_SECONDS = 300.0  # a reservation lives this long beyond twice the call's timeout

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """How patient the gateway is."""

    max_wait_seconds: float = 60.0  # after a longer Retry-After the provider rests and the next tier is asked
    rest_after_failures: int = 5  # in a row
    rest_seconds: float = 60.0  # doubles while probes fail, up to LONGEST_REST times
    classification: Callable[[str], Classification] | None = None  # of a collection's content, whatever a task says


@dataclass(frozen=True, slots=True)
class _Choice:
    """A candidate with everything a call needs."""

    candidate: Candidate
    provider: Provider
    model: Model
    price: Price
    limits: ProviderLimits


class Gateway:
    """Answers tasks with the best available model, and accounts for every call. Implements ModelGateway."""

    def __init__(
        self,
        providers: Sequence[Provider],
        prices: PriceList,
        ledger: Ledger,
        wire: Wire,
        clock: Clock,
        *,
        run_id: str,
        options: GatewayOptions | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """providers: in the order in which they are tried. sleep: waits this many seconds; a test's need not."""
        self._providers = {provider.name: provider for provider in providers}
        self._tiers = [provider.tier() for provider in providers]
        self._prices = prices
        self._wire = wire
        self._clock = clock
        self._run_id = run_id
        self._options = options or GatewayOptions()
        self._sleep = sleep
        self._calls = PaidCalls(ledger, wire, sleep)
        self._last_words: dict[str, str] = {}  # of each provider whose last call failed
        self._limits = {provider.name: self._limits_of(provider) for provider in providers}

    def candidates(self, task: LLMTask) -> list[Candidate]:
        """The models that may answer, best first, regardless of their budgets and health. Costs nothing."""
        return candidates(task, self._tiers)

    async def ask(self, task: LLMTask) -> LLMResponse:
        """The answer of the best model available now; for an embedding, one vector per text.

        Raises BudgetExhausted, ModelsUnavailable, DocumentError (CONTENT_REFUSED, CONTEXT_TOO_LONG, BAD_ANSWER),
        ConfigurationError, ServiceError (the ledger is broken; nothing was sent), ValueError (no max_tokens).
        """
        if task.max_tokens < 1 and task.task_type is not TaskType.EMBEDDING:
            raise ValueError("A task needs max_tokens: without it the highest cost of the answer is unknown.")
        task = self._classified(task)
        found = self.candidates(task)
        if not found:
            raise nobody_may(task, self._tiers)
        trail = Trail(task)
        for candidate in found:
            response = await self._ask_model(candidate, trail)
            if response is not None:
                return response
        raise error_after(trail, self._clock.now())

    def _classified(self, task: LLMTask) -> LLMTask:
        """The task, confidential if the collection it is asked for is, also where the caller forgot to say so."""
        classify, collection = self._options.classification, task.asked_for.collection
        if classify is None or not collection or classify(collection) is not Classification.CONFIDENTIAL:
            return task
        return replace(task, classification=Classification.CONFIDENTIAL)

    async def aclose(self) -> None:
        """Close the connections. The gateway can be used again afterwards, also in another event loop."""
        await self._wire.aclose()

    async def _ask_model(self, candidate: Candidate, trail: Trail) -> LLMResponse | None:
        """The answer of one model, called as often as its provider's settings allow; None: try the next candidate."""
        limits = self._limits[candidate.provider]
        if limits.breaker.resting:
            trail.rests(candidate, self._last_words.get(candidate.provider, ""))
            return None
        choice = self._choice(candidate)
        left = max(1, choice.provider.attempts - trail.calls_of(candidate.provider))
        for tries in range(1, left + 1):
            try:
                response = await self._call(choice, trail)
            except CallFailed as failure:
                trail.failed(candidate, failure)
                wait = self._wait_before_next(choice, failure, tries)
                if wait is None or tries == left:
                    return None
            else:
                return response
            await self._sleep(wait)
        return None

    async def _call(self, choice: _Choice, trail: Trail) -> LLMResponse | None:
        """One call, queued at its provider; None: the provider rests or a budget refused. Raises CallFailed."""
        limits, task = choice.limits, trail.task
        async with limits.turn(counted_input(task) + task.max_tokens) as turn:
            ticket = limits.breaker.admit()
            if ticket is None:
                limits.leave(turn)
                trail.rests(choice.candidate, self._last_words.get(choice.provider.name, ""))
                return None
            try:
                reservation = self._reservation(choice, trail)
                call = Call(choice.provider, choice.model, task, choice.price, reservation, turn)
                paid = await self._calls.make(call)
            except CallFailed as failure:
                self._failed(choice, ticket, failure)
                trail.calls += 1
                raise
            except BaseException:
                limits.breaker.abandoned(ticket)
                raise
            if isinstance(paid, BudgetRefusal):
                limits.breaker.abandoned(ticket)
                limits.leave(turn)
                trail.refused(choice.candidate, paid)
                return None
            limits.breaker.answered(ticket)
            self._last_words.pop(choice.provider.name, None)
            limits.correct(turn, paid.usage.input_tokens + paid.usage.output_tokens)
            trail.calls += 1
            trail.answered(choice.candidate)
            return _response(call, trail, paid)

    def _reservation(self, choice: _Choice, trail: Trail) -> Reservation:
        task = trail.task
        most = most_tokens(task, choice.model)
        return Reservation(
            call_id=uuid4().hex,
            provider=choice.provider.name,
            model=choice.model.name,
            task_type=task.task_type,
            asked_for=task.asked_for,
            run_id=self._run_id,
            attempt=trail.calls + 1,
            amount=highest_cost(most, task.max_tokens, choice.price, pictures=1 if task.picture else 0),
            price_version=choice.price.version,
            seconds_to_live=2 * choice.provider.timeout_seconds + SETTLE_SECONDS,  # it may wait for a slot first
        )

    def _failed(self, choice: _Choice, ticket: int, failure: CallFailed) -> None:
        """Update the provider's health after a failure."""
        self._last_words[choice.provider.name] = failure.said
        breaker = choice.limits.breaker
        rests = breaker.failed(ticket, DECISIONS[failure.error_type].rest)
        seconds = failure.retry_after_seconds
        if seconds is not None and DECISIONS[failure.error_type].retry:
            if seconds > self._options.max_wait_seconds:
                breaker.rest(min(seconds, LONGEST_REST * self._options.rest_seconds))
                rests = True
            else:
                choice.limits.pause(seconds)
        if rests:
            log.warning("%s rests: its last call ended with %s.", choice.provider.name, failure.error_type)

    def _wait_before_next(self, choice: _Choice, failure: CallFailed, tries: int) -> float | None:
        """Seconds until the next call to the same model; None: do not call it again."""
        if not DECISIONS[failure.error_type].retry or choice.limits.breaker.resting:
            return None
        if failure.retry_after_seconds is not None:
            return failure.retry_after_seconds
        longest = min(FIRST_WAIT_SECONDS * 2 ** (tries - 1), self._options.max_wait_seconds)
        return random.uniform(0, longest)  # full jitter: callers that failed together do not retry together

    def _choice(self, candidate: Candidate) -> _Choice:
        """Everything a call needs. Raises ConfigurationError for a paid model without a price."""
        provider = self._providers[candidate.provider]
        model = next(one for one in provider.models.values() if one.name == candidate.model)
        price = FREE if provider.free else self._prices.price(provider.name, model.name)
        if price is None:
            raise unpriced(provider.name, model.name, lines_to_add(provider.name, model.name))
        return _Choice(candidate, provider, model, price, self._limits[provider.name])

    def _limits_of(self, provider: Provider) -> ProviderLimits:
        options = self._options
        breaker = Breaker(
            self._clock,
            after_failures=options.rest_after_failures,
            rest_seconds=options.rest_seconds,
            longest_rest_seconds=LONGEST_REST * options.rest_seconds,
        )
        return ProviderLimits(provider, self._clock, breaker, self._sleep)


def _response(call: Call, trail: Trail, paid: Paid) -> LLMResponse:
    return LLMResponse(
        content=storable(paid.answer.content),
        provider=call.provider.name,
        model=call.model.name,
        usage=paid.usage,
        cost=paid.cost,
        latency_seconds=paid.latency_seconds,
        route=route(trail),
        attempts=tuple(trail.attempts),
        call_id=call.reservation.call_id,
        finish_reason=paid.answer.finish_reason,
        vectors=paid.answer.vectors,
        max_tokens=call.task.max_tokens,
    )
