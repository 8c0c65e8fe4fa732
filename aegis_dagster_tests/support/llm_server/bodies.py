"""Bodies of answers, in the shapes of OpenAI, DashScope's compatible mode, Ollama's /v1 and Ollama's own API."""

from typing import Any

from aegis_dagster_tests.support.llm_server.behaviours import Behaviour, Dialect, Kind, UsageShape
from aegis_dagster_tests.support.llm_server.contents import Said
from aegis_dagster_tests.support.llm_server.counting import Asked, Tokens, packed, vector

CREATED = 1_790_000_000  # seconds; any time will do
CREATED_AT = "2026-11-02T12:00:00.000000Z"


def body(asked: Asked, behaviour: Behaviour, answer: Said, number: int) -> dict[str, Any]:
    """The JSON of an answer."""
    if asked.path.endswith("/api/chat"):
        return _native_chat(asked, behaviour, answer)
    if asked.path.endswith("/api/embed"):
        vectors = [] if behaviour.kind is Kind.EMPTY_CHOICES else [vector(t, asked.dimensions) for t in asked.texts]
        return {"model": asked.model, "embeddings": vectors, **_native_usage(behaviour, answer.tokens, asked)}
    full = _embeddings(asked, behaviour) if asked.embedding else _chat(asked, behaviour, answer, number)
    if behaviour.usage_fields is not None:
        full["usage"] = dict(behaviour.usage_fields)
    elif behaviour.usage is not UsageShape.ABSENT:
        full["usage"] = _usage(behaviour, answer.tokens, asked)
    return {**full, **(behaviour.body_fields or {})}


def reported(behaviour: Behaviour, tokens: Tokens) -> Tokens | None:
    """What the answer says in full; None: it says nothing, or not all, or something untrue."""
    return tokens if behaviour.usage is UsageShape.FULL and behaviour.usage_fields is None else None


def _chat(asked: Asked, behaviour: Behaviour, answer: Said, number: int) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": answer.text},
        "finish_reason": answer.finish_reason,
        "logprobs": None,
    }
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": CREATED,
        "model": asked.model,
        "choices": [] if behaviour.kind is Kind.EMPTY_CHOICES else [choice],
        "system_fingerprint": "fp_ollama" if behaviour.dialect is Dialect.OLLAMA else None,
    }


def _embeddings(asked: Asked, behaviour: Behaviour) -> dict[str, Any]:
    vectors = [vector(text, asked.dimensions) for text in asked.texts]
    data = [
        {"object": "embedding", "index": index, "embedding": packed(each) if asked.base64_vectors else list(each)}
        for index, each in enumerate(vectors)
    ]
    return {"object": "list", "model": asked.model, "data": [] if behaviour.kind is Kind.EMPTY_CHOICES else data}


def _usage(behaviour: Behaviour, tokens: Tokens, asked: Asked) -> dict[str, Any] | None:
    total = tokens.input + tokens.output
    match behaviour.usage:
        case UsageShape.NULL:
            return None
        case UsageShape.EMPTY:
            return {}
        case UsageShape.TOTAL_ONLY:
            return {"total_tokens": total}
        case UsageShape.INPUT_ONLY:
            return {"prompt_tokens": tokens.input}
        case UsageShape.OUTPUT_ONLY:
            return {"completion_tokens": tokens.output}
        case UsageShape.ZEROS:
            return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        case _:
            pass
    if asked.embedding:
        return {"prompt_tokens": tokens.input, "total_tokens": total}
    sums = {"prompt_tokens": tokens.input, "completion_tokens": tokens.output, "total_tokens": total}
    if behaviour.dialect is Dialect.OLLAMA:  # never tells cached or reasoning tokens
        return sums
    return {**sums, **_details(behaviour.dialect, tokens)}


def _details(dialect: Dialect, tokens: Tokens) -> dict[str, Any]:
    if dialect is Dialect.DASHSCOPE:  # leaves out what is zero
        text = tokens.output - tokens.reasoning
        reasoning = {"reasoning_tokens": tokens.reasoning, "text_tokens": text} if tokens.reasoning else None
        return {
            **({"prompt_tokens_details": {"cached_tokens": tokens.cached}} if tokens.cached else {}),
            **({"completion_tokens_details": reasoning} if reasoning else {}),
        }
    return {
        "prompt_tokens_details": {
            "cached_tokens": tokens.cached,
            "cache_write_tokens": tokens.written,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _native_chat(asked: Asked, behaviour: Behaviour, answer: Said) -> dict[str, Any]:
    return {
        "model": asked.model,
        "created_at": CREATED_AT,
        "message": {"role": "assistant", "content": answer.text},
        "done_reason": answer.finish_reason,
        "done": True,
        "total_duration": 1_000_000,
        **_native_usage(behaviour, answer.tokens, asked),
    }


def _native_usage(behaviour: Behaviour, tokens: Tokens, asked: Asked) -> dict[str, Any]:
    """Ollama leaves out what is zero, and has the numbers beside the answer, not in a "usage"."""
    if behaviour.usage_fields is not None:
        return dict(behaviour.usage_fields)
    told = {"prompt_eval_count": tokens.input, **({} if asked.embedding else {"eval_count": tokens.output})}
    match behaviour.usage:
        case UsageShape.FULL:
            return told
        case UsageShape.INPUT_ONLY:
            return {"prompt_eval_count": tokens.input}
        case UsageShape.OUTPUT_ONLY:
            return {"eval_count": tokens.output}
        case UsageShape.ZEROS:
            return dict.fromkeys(told, 0)
        case _:
            return {}
