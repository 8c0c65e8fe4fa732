"""Reads the usage object of an answer, in the shapes that providers use. It counts and guesses nothing.

| shape | input | read from the cache | written to the cache | reasoning |
|---|---|---|---|---|
| OpenAI chat and compatible ones | `prompt_tokens` | `prompt_tokens_details.cached_tokens` | `….cache_write_tokens` | `completion_tokens_details.reasoning_tokens` |
| OpenAI responses | `input_tokens` | `input_tokens_details.cached_tokens` | the same | `output_tokens_details.reasoning_tokens` |
| DeepSeek | `prompt_tokens` | `prompt_cache_hit_tokens`; `prompt_cache_miss_tokens` is the rest | - | as OpenAI |
| Kimi | `prompt_tokens` | `cached_tokens`, at the top | - | as OpenAI |
| Anthropic | `input_tokens`, without the two others | `cache_read_input_tokens` | `cache_creation_input_tokens` | - |
| DashScope, explicit cache | `prompt_tokens` | as OpenAI | `prompt_tokens_details.cache_creation_input_tokens` | as OpenAI |
| Ollama, native | `prompt_eval_count` | - | - | - |
| xAI | as OpenAI | as OpenAI | - | as OpenAI, but counted only in `total_tokens` |
"""  # noqa: E501 - a table

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from aegis_dagster.llm.json_bodies import Doubled

_INPUT = ("prompt_tokens", "input_tokens", "prompt_eval_count")
_OUTPUT = ("completion_tokens", "output_tokens", "eval_count")
_TOTAL = "total_tokens"
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")
_MISSES = "prompt_cache_miss_tokens"
_APART = ("cache_read_input_tokens", "cache_creation_input_tokens")  # Anthropic's, not included in its `input_tokens`
_READ = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens", "cache_read_tokens")
_WRITTEN = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens", "cache_write_input_tokens")
_WRITTEN_FOR = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")  # in an object `cache_creation`
_REASONING = ("reasoning_tokens", "thinking_tokens")

MOST_TOKENS = 100_000_000  # more than any context holds: a larger number is nonsense
_WHOLE = re.compile(r"\d{1,12}(\.0*)?")


@dataclass
class ReportedUsage:
    """The numbers of one usage object, and what is wrong with them. None: not told."""

    given: Mapping[str, Any]
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if any(isinstance(each, Doubled) for each in (self.given, *self.given.values())):
            self.wrong.append("a number was given twice")

    @cached_property
    def input(self) -> int | None:
        """All input tokens, those of the cache included."""
        told = self._first(_INPUT)
        misses = self._first((_MISSES,))
        if told is None and misses is not None:
            return misses + (self.cached or 0)
        if told is not None and misses is not None and misses + (self.cached or 0) != told:
            self.wrong.append("hits and misses of the cache are not the input")
        return told + self._of_cache if told is not None and self._stands_apart else told

    @cached_property
    def output(self) -> int | None:
        """All output tokens."""
        return self._first(_OUTPUT)

    @cached_property
    def total(self) -> int | None:
        """Input and output."""
        total = self._first((_TOTAL,))
        told, output = self._first(_INPUT), self.output
        if total is not None and self._stands_apart and total == (told or 0) + (output or 0):
            return total + self._of_cache
        return total

    @cached_property
    def cached(self) -> int | None:
        """Input tokens read from the cache. If two numbers differ, the smaller one: the rest costs more."""
        return self._one("cached tokens", self._all(_INPUT_DETAILS, _READ), min)

    @cached_property
    def written(self) -> int | None:
        """Input tokens written to the cache. If two numbers differ, the larger one."""
        told = self._all(_INPUT_DETAILS, _WRITTEN)
        for place in self._places(_INPUT_DETAILS):
            lasting = place.get("cache_creation")
            if isinstance(lasting, Mapping):
                parts = [self._number(name, lasting.get(name)) for name in _WRITTEN_FOR]
                told += [sum(part or 0 for part in parts)] if any(part is not None for part in parts) else []
                if parts[1]:
                    self.wrong.append("tokens were cached for an hour, at a rate that is not known")
        return self._one("cache write tokens", told, max)

    @cached_property
    def reasoning(self) -> int | None:
        """Output tokens of reasoning. If two numbers differ, the larger one."""
        return self._one("reasoning tokens", self._all(_OUTPUT_DETAILS, _REASONING), max)

    @property
    def says_something(self) -> bool:
        """Whether any number of tokens above zero is told."""
        return any((self.input, self.output, self.total, self.cached, self.written, self.reasoning))

    @property
    def _of_cache(self) -> int:
        return (self.cached or 0) + (self.written or 0)

    @cached_property
    def _stands_apart(self) -> bool:
        """Whether the number of input tokens leaves out those of the cache, as Anthropic's does.

        The total decides. Without one, Anthropic's names do; proxies that use them beside `prompt_tokens` include the
        tokens, unless there are more of them than input.
        """
        told, output, total = self._first(_INPUT), self.output, self._first((_TOTAL,))
        if told is None or not self._of_cache or all(self.given.get(name) is None for name in _APART):
            return False
        if total is not None and output is not None and self._of_cache <= told:
            if total == told + output:
                return False
            if total == told + output + self._of_cache:
                return True
        if self.given.get(_INPUT[0]) is None:
            return True
        return self._of_cache > told

    def _places(self, groups: tuple[str, ...]) -> list[Mapping[str, Any]]:
        """The objects in which a part may stand: the usage itself and its details."""
        details = [self.given.get(group) for group in groups]
        return [self.given, *(each for each in details if isinstance(each, Mapping))]

    def _all(self, groups: tuple[str, ...], names: tuple[str, ...]) -> list[int]:
        told = [self._number(name, place.get(name)) for place in self._places(groups) for name in names]
        return [number for number in told if number is not None]

    def _one(self, what: str, told: list[int], choose: Callable[[set[int]], int]) -> int | None:
        above_zero = {number for number in told if number}
        if len(above_zero) > 1:
            self.wrong.append(f"two different numbers of {what}")
        return choose(above_zero) if above_zero else 0 if told else None

    def _first(self, names: tuple[str, ...]) -> int | None:
        return next((n for n in (self._number(name, self.given.get(name)) for name in names) if n is not None), None)

    def _number(self, name: str, value: object) -> int | None:
        """A number of tokens. Null counts as absent. A whole number in another form is read, but noted."""
        if value is None:
            return None
        number = value if isinstance(value, int) and not isinstance(value, bool) else None
        if isinstance(value, float) and value.is_integer():
            number = int(value)
        elif isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
            number = int(value.strip().partition(".")[0])
        if number is not None and 0 <= number <= MOST_TOKENS:
            if not isinstance(value, int):
                self.wrong.append(f"{name} is given as {type(value).__name__}")
            return number
        self.wrong.append(f"{name} is no number of tokens")
        return None
