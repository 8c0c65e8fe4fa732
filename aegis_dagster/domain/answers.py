"""What every answer of a model goes through: was it cut, and the removal of reasoning and unstorable characters."""

import re
from enum import StrEnum

from aegis_dagster.domain.prices import Usage
from aegis_dagster.errors import DocumentError, FailureCode

MORE_ROOM = 2  # an answer that was cut is asked for once more with so many times its tokens

# Why an answer ended, in the words of the providers; lower case. Only what means that more would have followed.
_CUT_SHORT = frozenset(
    {
        "length",
        "max_tokens",
        "max_output_tokens",
        "model_length",
        "model_context_window_exceeded",
        "insufficient_system_resource",
        "abort",
        "error",
    }
)
# Ollama, LM Studio and llama.cpp cut an input that is longer than the model's context without a word. It is then as
# long as the context, which is a multiple of this; an input that is so long by chance is asked about in other words.
_CONTEXT_STEP = 1024
_SMALLEST_CONTEXT = 2048

# Controls but tab and line ends, halves of surrogate pairs, and the two non-characters: Postgres refuses the first of
# them, UTF-8 the halves, XML the rest.
_REFUSED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_PAIRS = re.compile("[\ud800-\udbff][\udc00-\udfff]")

_OPENED = re.compile(r"\s*<think(?:ing)?>", re.IGNORECASE)
_CLOSED = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_ANY_TAG = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)
_QUOTES = "`'\"([{"


class Cut(StrEnum):
    """What was cut."""

    ANSWER = "answer"  # it reached a limit
    INPUT = "input"  # it filled the model's context


def why_cut(finish_reason: str, usage: Usage, max_tokens: int) -> Cut | None:
    """What was cut, as far as the provider tells; None: nothing.

    max_tokens: of the answer. An answer of exactly so many tokens counts as cut whatever its provider calls it.
    """
    tokens = 0 if usage.estimated else usage.input_tokens
    if tokens >= _SMALLEST_CONTEXT and tokens % _CONTEXT_STEP == 0:
        return Cut.INPUT
    if finish_reason.lower() in _CUT_SHORT or (not usage.estimated and 0 < max_tokens == usage.output_tokens):
        return Cut.ANSWER
    return None


def cut_before_the_first_record() -> DocumentError:
    """The failure of a passage whose answers were cut so early that nothing of them can be used."""
    return DocumentError(
        FailureCode.CUT,
        "The model's answers about a passage were cut before the first complete record.",
        remedy="raise graph.max_answer_tokens, or the context length of a local model; then run `aegis ingest`.",
        retryable=True,
    )


def storable(text: str) -> str:
    """The text with U+FFFD for each character that a store refuses: half an emoji, NUL and other controls."""
    if text.isascii() and text.isprintable():
        return text
    whole = _PAIRS.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
    return _REFUSED.sub("\ufffd", whole)


def without_thinking(answer: str) -> str:
    """The answer without the reasoning that it begins with; tags further on are part of the answer.

    The reasoning stands between <think> and </think>. Without an end, all of the answer is reasoning that was cut.
    Where the model's template holds the begin, it is missing here: the reasoning then ends with the first </think> that
    begins a line or directly follows a word, as a quoted tag does not.
    """
    begin = _end_of_reasoning(answer)
    if begin is None:
        return ""
    answer = answer[begin:]
    tag = _ANY_TAG.search(answer)
    if tag is not None and tag[1] and not answer.lstrip().startswith("{") and _ends_reasoning(answer, tag.start()):
        answer = answer[tag.end() :]
    return answer.strip()


def is_reasoning_without_end(answer: str) -> bool:
    """Whether all of an answer is reasoning that does not end: it was cut, whatever its provider says."""
    return _end_of_reasoning(answer) is None


def _end_of_reasoning(answer: str) -> int | None:
    """Where the reasoning ends that an answer begins with; None: nowhere."""
    begin = 0
    while opened := _OPENED.match(answer, begin):
        closed = _CLOSED.search(answer, opened.end())
        if closed is None:
            return None
        begin = closed.end()
    return begin


def _ends_reasoning(answer: str, position: int) -> bool:
    before = answer[position - 1 : position]
    return before in ("", "\n") or not (before.isspace() or before in _QUOTES)
