"""Tokens of a call: as reported by the provider; counted by us only if it reports none."""

import logging
import math
import re
import unicodedata

from aegis_dagster.domain.llm import LLMTask, Picture
from aegis_dagster.domain.prices import Price, Usage
from aegis_dagster.llm.answer import Answer
from aegis_dagster.llm.providers import Model
from aegis_dagster.llm.reported_usage import ReportedUsage

_log = logging.getLogger(__name__)

# A chat template's tokens per message, for estimate and bound: "<|im_start|>user\n...<|im_end|>\n" takes 5 tokens.
_MESSAGE_TOKENS = 5
_MOST_MESSAGE_TOKENS = 16
_MOST_REQUEST_TOKENS = 64  # the template's own words: Qwen 2.5 adds a system prompt, Llama 3 today's date
_MOST_TEXT_TOKENS = 8  # added to a text to embed: begin, end, a prefix
_PICTURE_SIDE = 28  # pixels: Qwen2.5-VL counts a token for each 28 x 28, and two around the picture
_THOUGHT = re.compile(r"\s*<think", re.IGNORECASE)
_WIDE = re.compile(r"[\u2e80-\U0010ffff]+")  # Chinese, Japanese, Korean, emoji: a character is about a token


def read_usage(task: LLMTask, answer: Answer, price: Price) -> Usage:
    """Tokens of an answered call.

    Numbers that the provider does not report are counted by us and flagged. A zero for an input or an answer that is
    not empty counts as not reported. A total alone is split in proportion to our counts. Numbers that contradict each
    other are reduced to what is possible, and flagged. So is a call whose price depends on tokens that the provider
    does not tell: written to its cache, or spent on visible reasoning. Each flagged call is logged once, as a warning
    if it costs money.
    """
    told = ReportedUsage(answer.usage or {})
    if task.texts and not task.messages:
        tokens_in, tokens_out = _embedded(told, counted_input(task)), 0
    else:
        tokens_in, tokens_out = _halves(told, counted_input(task), *_counted_output(task, answer))
    written = _part(told, "cache write tokens", told.written or 0, most=tokens_in)
    cached = _part(told, "cached tokens", told.cached or 0, most=tokens_in - written)
    reasoning = _reasoning(told, answer, price)
    if told.total is None and told.output and reasoning > tokens_out:  # as xAI counts, without the total that shows it
        told.wrong.append("more reasoning tokens than tokens, they are added")
        tokens_out += reasoning
    reasoning = _part(told, "reasoning tokens", reasoning, most=tokens_out)
    if written and not price.free and not price.cache_writes_priced:
        told.wrong.append("tokens were written to a cache, at a rate that is not known")
    if told.written is None and task.messages and price.writes_cost_more(tokens_in):
        told.wrong.append("writing to the cache costs more, and nothing was told about it")
    if told.wrong:
        why = "; ".join(dict.fromkeys(told.wrong))
        _log.log(logging.INFO if price.free else logging.WARNING, "usage of a call for %s: %s", task.task_type, why)
    return Usage(tokens_in, cached, tokens_out, reasoning, bool(told.wrong), written)


def _counted_output(task: LLMTask, answer: Answer) -> tuple[int, bool]:
    """Output tokens as we count them, and whether a zero of the provider's would be wrong."""
    if answer.unread:  # they cannot be counted: if nothing is told, as many as were allowed
        return task.max_tokens, False
    counted = count_tokens(answer.content) + count_tokens(answer.reasoning)
    return counted, counted > 0


def _part(told: ReportedUsage, what: str, tokens: int, *, most: int) -> int:
    """A part of another number, which it cannot exceed."""
    if tokens > most:
        told.wrong.append(f"more {what} than tokens")
    return min(tokens, most)


def _reasoning(told: ReportedUsage, answer: Answer, price: Price) -> int:
    """Reasoning tokens; counted by us if they have their own rate and the answer shows reasoning that is not told."""
    if told.reasoning or not price.reasoning_priced:
        return told.reasoning or 0
    shown = answer.reasoning or _THOUGHT.match(answer.content)
    if not shown:
        return 0
    told.wrong.append("no reasoning tokens were given, they are counted")
    text = answer.reasoning or answer.content.partition("</think")[0]
    return min(count_tokens(text), told.output or count_tokens(text))


def _embedded(told: ReportedUsage, counted: int) -> int:
    """Input tokens of an embedding, which has no output: a total is the input."""
    tokens_in = told.input or told.total
    if not tokens_in and counted:
        told.wrong.append("no input tokens were given, they are counted")
    return tokens_in or counted


def _halves(told: ReportedUsage, counted_in: int, counted_out: int, answered: bool) -> tuple[int, int]:
    """Input and output tokens of a chat. answered: an output of zero tokens counts as not reported."""
    tokens_in, tokens_out, total = told.input, told.output, told.total
    # Zeros that cannot be true count as not reported.
    tokens_in = tokens_in if tokens_in or not counted_in else None
    tokens_out = tokens_out if tokens_out or not answered else None
    if tokens_in is not None and tokens_out is not None:
        return tokens_in, _with_total(told, tokens_in, tokens_out, total)
    if tokens_in is None and tokens_out is None and total:
        told.wrong.append("only a total was given, it is divided")
        share = max(1, round(total * counted_in / (counted_in + counted_out)))
        return share, total - share
    if tokens_in is None:
        tokens_in = _rest(total, tokens_out)
    elif tokens_out is None:
        tokens_out = _rest(total, tokens_in)
    if tokens_in is None:
        told.wrong.append("no input tokens were given, they are counted")
    if tokens_out is None:
        told.wrong.append("no output tokens were given, they are counted")
    return counted_in if tokens_in is None else tokens_in, counted_out if tokens_out is None else tokens_out


def _rest(total: int | None, half: int | None) -> int | None:
    """The other half, if the total and one half are known."""
    return total - half if total is not None and half is not None and total > half else None


def _with_total(told: ReportedUsage, tokens_in: int, tokens_out: int, total: int | None) -> int:
    """The output tokens. Some providers (xAI, Gemini) count reasoning only in the total: it is output as well."""
    if total is None or total == tokens_in + tokens_out:
        return tokens_out
    beyond = total - tokens_in - tokens_out
    if beyond != min(told.reasoning or 0, max(beyond, tokens_out)):
        told.wrong.append("the total is not the sum")
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
