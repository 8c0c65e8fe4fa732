"""Bodies of errors, as the providers write them.

Sources: platform.openai.com/docs/guides/error-codes, alibabacloud.com/help/en/model-studio/error-code,
github.com/ollama/ollama/blob/main/openai/openai.go.
"""

from typing import Any

from aegis_dagster_tests.support.llm_server.behaviours import Behaviour, Dialect, Kind
from aegis_dagster_tests.support.llm_server.counting import Asked

PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to the proxy.</body></html>"

_QUOTA = "You exceeded your current quota, please check your plan and billing details. For more information on this "

# kind: status, code, type, message. What a dialect says differently stands in _OWN.
_OPENAI: dict[Kind, tuple[int, str | None, str, str]] = {
    Kind.RATE_LIMIT: (429, "rate_limit_exceeded", "requests", "Rate limit reached for {model} on requests per min."),
    Kind.INSUFFICIENT_QUOTA: (
        429,
        "insufficient_quota",
        "insufficient_quota",
        _QUOTA + "error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
    ),
    Kind.THROTTLE: (
        429,
        "insufficient_quota",
        "insufficient_quota",
        _QUOTA + "error, head to: https://help.aliyun.com/zh/model-studio/error-code#token-limit",
    ),
    Kind.ARREARAGE: (
        400,
        "Arrearage",
        "Arrearage",
        "Access denied, please make sure your account is in good standing.",
    ),
    Kind.SERVER_ERROR: (500, None, "server_error", "The server had an error while processing your request."),
    Kind.UNAVAILABLE: (503, None, "server_error", "The engine is currently overloaded, please try again later."),
    Kind.UNAUTHORIZED: (
        401,
        "invalid_api_key",
        "invalid_request_error",
        "Incorrect API key provided: sk-wrong*****key. You can find your API key in your account.",
    ),
    Kind.FORBIDDEN: (
        403,
        "unsupported_country_region_territory",
        "request_forbidden",
        "Country, region, or territory not supported",
    ),
    Kind.MODEL_NOT_FOUND: (
        404,
        "model_not_found",
        "invalid_request_error",
        "The model `{model}` does not exist or you do not have access to it.",
    ),
    Kind.CONTEXT_LENGTH: (
        400,
        "context_length_exceeded",
        "invalid_request_error",
        "This model's maximum context length is 8192 tokens. However, your messages resulted in {input} tokens. "
        "Please reduce the length of the messages.",
    ),
    Kind.REFUSED: (
        400,
        "content_filter",
        "invalid_request_error",
        "The response was filtered due to the prompt triggering our content management policy.",
    ),
    Kind.BAD_REQUEST: (
        400,
        "invalid_value",
        "invalid_request_error",
        "Invalid value for 'temperature': expected a value between 0 and 2. Your prompt began: {prompt}",
    ),
}

_OWN: dict[Dialect, dict[Kind, tuple[int, str | None, str, str]]] = {
    Dialect.OPENAI: {},
    Dialect.DASHSCOPE: {
        Kind.RATE_LIMIT: (
            429,
            "limit_requests",
            "limit_requests",
            "You exceeded your current requests list, please try again later.",
        ),
        Kind.UNAUTHORIZED: (401, "invalid_api_key", "invalid_request_error", "Incorrect API key provided. "),
        Kind.CONTEXT_LENGTH: (
            400,
            "invalid_parameter_error",
            "invalid_request_error",
            "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]",
        ),
        Kind.REFUSED: (
            400,
            "data_inspection_failed",
            "data_inspection_failed",
            "<400> InternalError.Algo.DataInspectionFailed: Input text data may contain inappropriate content.",
        ),
    },
    Dialect.OLLAMA: {
        Kind.MODEL_NOT_FOUND: (404, None, "not_found_error", 'model "{model}" not found, try pulling it first'),
        Kind.CONTEXT_LENGTH: (400, None, "invalid_request_error", "the input length exceeds the context length"),
        Kind.SERVER_ERROR: (500, None, "api_error", "llama runner process has terminated: exit status 2"),
        Kind.UNAVAILABLE: (503, None, "api_error", "server busy, please try again. maximum pending requests exceeded"),
    },
}

REFUSALS = frozenset(_OPENAI)


def refusal(asked: Asked, behaviour: Behaviour, number: int) -> tuple[int, dict[str, Any]]:
    """Status and body."""
    dialect = Dialect.DASHSCOPE if behaviour.kind in {Kind.THROTTLE, Kind.ARREARAGE} else behaviour.dialect
    status, code, type_, message = _OWN[dialect].get(behaviour.kind, _OPENAI[behaviour.kind])
    message = message.format(model=asked.model, input=asked.input_tokens, prompt=asked.prompt[:80])
    if asked.path.startswith("/api/"):
        return status, {"error": message}
    error = {"message": message, "type": type_, "param": None, "code": code}
    if dialect is Dialect.DASHSCOPE:
        request = f"5c0a8b1e-0000-9000-8000-{number:012d}"
        return status, {"error": error, "id": f"chatcmpl-{request}", "request_id": request}
    return status, {"error": error}
