"""Tokens of a call: as reported by the provider, in any known format; counted by us only if it reports none."""

import logging
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aegis_dagster.domain.llm import LLMTask, Picture
from aegis_dagster.domain.prices import Usage
from aegis_dagster.llm.client import Answer
from aegis_dagster.llm.providers import Model

_log = logging.getLogger(__name__)

# Names of the same number: OpenAI's chat API and compatible ones, OpenAI's newer API, Ollama's native API.
_INPUT = ("prompt_tokens", "input_tokens", "prompt_eval_count")
_OUTPUT = ("completion_tokens", "output_tokens", "eval_count")
_TOTAL = ("total_tokens",)
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")

# A chat template's tokens per message, for estimate and bound: "<|im_start|>user\n...<|im_end|>\n" takes 5 tokens.
_MESSAGE_TOKENS = 5
_MOST_MESSAGE_TOKENS = 16
_MOST_REQUEST_TOKENS = 64  # the template's own words: Qwen 2.5 adds a system prompt, Llama 3 today's date
_MOST_TEXT_TOKENS = 8  # added to a text to embed: begin, end, a prefix
_PICTURE_SIDE = 28  # pixels: Qwen2.5-VL counts a token for each 28 x 28, and two around the picture
_WIDE = re.compile(r"[\u2e80-\U0010ffff]+")  # Chinese, Japanese, Korean, emoji: a character is about a token


@dataclass(slots=True)
class _Reading:
    """The numbers of one usage object, and what was wrong with them."""

    given: Mapping[str, Any]
    wrong: list[str] = field(default_factory=list)

    def number(self, names: tuple[str, ...]) -> int | None:
        """The first of these that is a number of tokens. Null counts as absent; any other value is noted as wrong."""
        return self._first(self.given, names)

    def detail(self, groups: tuple[str, ...], name: str, *, most: int) -> int:
        """A part of another number; 0 if absent."""
        for group in groups:
            details = self.given.get(group)
            if isinstance(details, Mapping):
                value = self._first(details, (name,)) or 0
                if value > most:
                    self.wrong.append(f"more {name} than tokens")
                return min(value, most)
        return 0

    def _first(self, of: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
        for name in names:
            value = of.get(name)
            if value is None:
                continue
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                return value
            self.wrong.append(f"{name} is no number of tokens")
        return None


def read_usage(task: LLMTask, answer: Answer, *, free: bool = False) -> Usage:
    """Tokens of an answered call.

    Numbers that the provider does not report are counted by us and flagged. A zero for an input or an answer that is
    not empty counts as not reported. A total alone is split in proportion to our counts. Numbers that contradict each
    other are reduced to what is possible, and flagged. Each flagged call is logged once, as a warning if it costs
    money. free: whether the provider is free.
    """
    reading = _Reading(answer.usage or {})
    embeds = bool(task.texts) and not task.messages
    if embeds:
        tokens_in, tokens_out = _embedded(reading, counted_input(task)), 0
    else:
        tokens_in, tokens_out = _halves(reading, counted_input(task), count_tokens(answer.content))
    cached = reading.detail(_INPUT_DETAILS, "cached_tokens", most=tokens_in)
    reasoning = reading.detail(_OUTPUT_DETAILS, "reasoning_tokens", most=tokens_out)
    if reading.wrong:
        why = "; ".join(dict.fromkeys(reading.wrong))
        _log.log(logging.INFO if free else logging.WARNING, "usage of a call for %s: %s", task.task_type, why)
    return Usage(tokens_in, cached, tokens_out, reasoning, estimated=bool(reading.wrong))


def _embedded(reading: _Reading, counted: int) -> int:
    """Input tokens of an embedding, which has no output: a total is the input."""
    tokens_in = reading.number(_INPUT) or reading.number(_TOTAL)
    if not tokens_in and counted:
        reading.wrong.append("no input tokens were given, they are counted")
    return tokens_in or counted


def _halves(reading: _Reading, counted_in: int, counted_out: int) -> tuple[int, int]:
    """Input and output tokens of a chat."""
    tokens_in, tokens_out, total = reading.number(_INPUT), reading.number(_OUTPUT), reading.number(_TOTAL)
    # Zeros that cannot be true count as not reported.
    tokens_in = tokens_in if tokens_in or not counted_in else None
    tokens_out = tokens_out if tokens_out or not counted_out else None
    if tokens_in is not None and tokens_out is not None:
        return tokens_in, _with_total(reading, tokens_in, tokens_out, total)
    if tokens_in is None and tokens_out is None and total:
        reading.wrong.append("only a total was given, it is divided")
        share = max(1, round(total * counted_in / (counted_in + counted_out)))
        return share, total - share
    if tokens_in is None:
        tokens_in = _rest(total, tokens_out)
    elif tokens_out is None:
        tokens_out = _rest(total, tokens_in)
    if tokens_in is None:
        reading.wrong.append("no input tokens were given, they are counted")
    if tokens_out is None:
        reading.wrong.append("no output tokens were given, they are counted")
    return counted_in if tokens_in is None else tokens_in, counted_out if tokens_out is None else tokens_out


def _rest(total: int | None, half: int | None) -> int | None:
    """The other half, if the total and one half are known."""
    return total - half if total is not None and half is not None and total > half else None


def _with_total(reading: _Reading, tokens_in: int, tokens_out: int, total: int | None) -> int:
    """The output tokens. Some providers (xAI, Gemini) count reasoning only in the total: it is output as well."""
    if total is None or total == tokens_in + tokens_out:
        return tokens_out
    beyond = total - tokens_in - tokens_out
    reasoning = reading.detail(_OUTPUT_DETAILS, "reasoning_tokens", most=max(beyond, tokens_out))
    if beyond != reasoning:
        reading.wrong.append("the total is not the sum")
    return tokens_out + max(0, beyond)


def counted_input(task: LLMTask) -> int:
    """The estimate of a task's input tokens; 0 only when there is no input at all."""
    texts = [message.text for message in task.messages] or list(task.texts)
    tokens = sum(count_tokens(text) for text in texts) + len(task.messages) * _MESSAGE_TOKENS
    return tokens + (_picture_tokens(task.picture) if task.picture is not None else 0)


def count_tokens(text: str) -> int:
    """An estimate of a text's tokens, the same on every machine, without a tokenizer.

    A token is four ASCII characters (OpenAI's rule of thumb: help.openai.com/en/articles/4936856), two characters of
    other alphabets, one character from U+2E80 on (Chinese, Japanese, Korean, emoji). 0 only for an empty text.
    """
    if text.isascii():
        return math.ceil(len(text) / 4)
    ascii_characters = len(text.encode("ascii", "ignore"))
    wide = sum(len(run) for run in _WIDE.findall(text))
    return math.ceil(ascii_characters / 4 + (len(text) - ascii_characters - wide) / 2 + wide)


def most_tokens(task: LLMTask, model: Model) -> int:
    """The most input tokens the task can have, whatever the model's tokenizer.

    A token covers at least one byte of the text, as it is or as normalised by a tokenizer (NFKC); the chat template
    adds to that, and a picture adds `model.picture_tokens`.
    """
    overhead = _MOST_REQUEST_TOKENS + len(task.messages) * _MOST_MESSAGE_TOKENS + len(task.texts) * _MOST_TEXT_TOKENS
    texts = [text for message in task.messages for text in (message.role, message.text)] + list(task.texts)
    picture = model.picture_tokens if task.picture is not None else 0
    return overhead + sum(_most_bytes(text) for text in texts) + picture


def _most_bytes(text: str) -> int:
    if text.isascii():
        return len(text)
    return max(len(form.encode("utf-8", "surrogatepass")) for form in (text, unicodedata.normalize("NFKC", text)))


def _picture_tokens(picture: Picture) -> int:
    return math.ceil(picture.width / _PICTURE_SIDE) * math.ceil(picture.height / _PICTURE_SIDE) + 2
