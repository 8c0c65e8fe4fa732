"""Reads the bodies of successful HTTP responses: the answer, or why there is none and what was used all the same."""

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

from aegis_dagster.domain.llm import LLMTask
from aegis_dagster.llm.answer import Answer
from aegis_dagster.llm.error_mapping import error_within, refused
from aegis_dagster.llm.json_bodies import read_embeddings, read_json, read_json_at
from aegis_dagster.llm.reported_usage import ReportedUsage
from aegis_dagster.llm.retry_policy import CallFailed, ErrorType

if TYPE_CHECKING:
    import httpx

LARGEST = 3.4028234663852886e38  # that a vector store can hold: it keeps 32-bit floats
_LAST = 3  # of a stream's usage objects are looked at
_USAGE = re.compile(r'(?<!\\)"usage"\s*:\s*(?=\{)')


def read_answer(body: bytes, headers: Mapping[str, str], task: LLMTask) -> Answer:
    """The answer to a task. Raises CallFailed, with the usage if the body states any."""
    parsed = _parsed(body, read_json if task.messages else read_embeddings)
    failure = error_within(parsed, headers)
    if failure is None:
        try:
            return _chat_answer(parsed) if task.messages else _embedding_answer(parsed, len(task.texts))
        except CallFailed as unusable:
            failure = unusable
    failure.answer = failure.answer or used(parsed)
    raise failure


def read_response(response: "httpx.Response", task: LLMTask) -> Answer:
    """The answer in a response. Raises CallFailed, with the usage if the body states any, whatever the status."""
    if response.is_success:
        return read_answer(response.content, response.headers, task)
    failure = refused(response)
    with suppress(CallFailed):
        failure.answer = used(_parsed(response.content))
    raise failure


def used(parsed: Mapping[str, Any]) -> Answer | None:
    """The usage that a body without a usable answer states; None: it tells nothing of what was used."""
    usage = _usage(parsed)
    return Answer("", "", usage, unread=True) if usage and ReportedUsage(usage).says_something else None


def _parsed(body: bytes, read: Callable[[bytes], Any] = read_json) -> Mapping[str, Any]:
    try:
        parsed = read(body)
    except ValueError:
        raise CallFailed(ErrorType.BAD_RESPONSE, "The answer is not JSON.", answer=_last_usage(body)) from None
    if not isinstance(parsed, Mapping):
        raise CallFailed(ErrorType.BAD_RESPONSE, "The answer is not a JSON object.")
    return parsed


def _last_usage(body: bytes) -> Answer | None:
    """The usage in a body that is not JSON: one that breaks off behind it, or a stream of events."""
    text = body.decode(errors="replace")
    for found in list(_USAGE.finditer(text))[: -1 - _LAST : -1]:
        with suppress(ValueError):
            return used({"usage": read_json_at(text, found.end())})
    return None


def _usage(parsed: Mapping[str, Any]) -> Mapping[str, Any] | None:
    usage, choices = parsed.get("usage"), parsed.get("choices")
    if not usage and isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        usage = choices[0].get("usage")  # Kimi, at times
    return usage if isinstance(usage, Mapping) and usage else None


def _chat_answer(parsed: Mapping[str, Any]) -> Answer:
    choices = parsed.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise CallFailed(ErrorType.BAD_RESPONSE, "The answer has no choices.")
    message = choices[0].get("message")
    content = _text(message.get("content")) if isinstance(message, Mapping) else None
    if not isinstance(message, Mapping) or content is None:
        raise CallFailed(ErrorType.BAD_RESPONSE, "The answer has no text.")
    reason = str(choices[0].get("finish_reason") or "stop")
    answer = Answer(content, reason, _usage(parsed), reasoning=_thoughts(message))
    if reason == "content_filter":
        what = "The provider filtered the answer (finish_reason content_filter)."
        raise CallFailed(ErrorType.CONTENT_REFUSED, what, answer=answer)
    if not content and message.get("refusal"):
        raise CallFailed(ErrorType.CONTENT_REFUSED, "The model refused to answer.", answer=answer)
    return answer


def _thoughts(message: Mapping[str, Any]) -> str:
    """What a model thought before its answer, where that stands beside the answer: in a field, or in parts of it."""
    content = message.get("content")
    parts = [part.get("thinking") for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
    given = [message.get("reasoning_content") or message.get("reasoning"), *parts]
    return "".join(_text(each) or "" for each in given)


def _text(content: object) -> str | None:
    """The text of a message's content: text, null, or a list of parts, whose texts are joined. None: neither."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return None
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
    return "".join(text for text in texts if isinstance(text, str))


def _embedding_answer(parsed: Mapping[str, Any], texts: int) -> Answer:
    try:
        vectors = tuple(_vector(each["embedding"]) for each in _in_order(parsed["data"]))
        # A sum is NaN or infinite if one of its parts is.
        finite = math.isfinite(sum(chain.from_iterable(vectors))) and all(map(_is_small, vectors))
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, struct.error):
        raise CallFailed(ErrorType.BAD_RESPONSE, "The answer has no vectors.") from None
    if len(vectors) != texts or not all(vectors):
        raise CallFailed(ErrorType.BAD_RESPONSE, f"{len(vectors)} vectors for {texts} texts.")
    if len(set(map(len, vectors))) > 1:
        raise CallFailed(ErrorType.BAD_RESPONSE, "The vectors have different sizes.")
    if not finite:
        raise CallFailed(ErrorType.BAD_RESPONSE, "A vector contains a value that is not a finite number.")
    return Answer("", "stop", _usage(parsed), vectors)


def _is_small(vector: tuple[float, ...]) -> bool:
    return not vector or (max(vector) <= LARGEST and min(vector) >= -LARGEST)


def _in_order(data: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The vectors in the order of the texts. Raises ValueError if their numbers leave it open."""
    numbers = [each.get("index", 0) for each in data]
    if len(set(numbers)) <= 1:  # not told, or always 0: they come in order
        return data
    if sorted(numbers) != list(range(len(data))):
        raise ValueError("numbers of vectors that contradict each other")
    return sorted(data, key=lambda each: each.get("index", 0))


def _vector(given: object) -> tuple[float, ...]:
    """A list of numbers, also if they are texts, or base64 of little-endian 32-bit floats."""
    if isinstance(given, str):
        try:
            packed = base64.b64decode(given, validate=True)
        except binascii.Error:
            raise ValueError("no base64") from None
        return struct.unpack(f"<{len(packed) // 4}f", packed)
    if not isinstance(given, list):
        raise TypeError("no vector")
    if given and isinstance(given[0], str):
        return tuple(float(each) for each in given)
    return tuple(given)
