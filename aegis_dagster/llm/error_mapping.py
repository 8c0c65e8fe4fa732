"""Maps httpx exceptions, and the status and code of error responses, to our error types."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from aegis_dagster.llm.retry_policy import CallFailed, ErrorType

if TYPE_CHECKING:
    import httpx

# Codes and types in the bodies of error responses, lower case. They take precedence over the status.
CODES: Mapping[str, ErrorType] = {
    "context_length_exceeded": ErrorType.CONTEXT_WINDOW,
    "string_above_max_length": ErrorType.CONTEXT_WINDOW,
    "content_filter": ErrorType.CONTENT_REFUSED,
    "content_policy_violation": ErrorType.CONTENT_REFUSED,
    "data_inspection_failed": ErrorType.CONTENT_REFUSED,
    "datainspectionfailed": ErrorType.CONTENT_REFUSED,
    "insufficient_quota": ErrorType.QUOTA_EXHAUSTED,
    "billing_hard_limit_reached": ErrorType.QUOTA_EXHAUSTED,
    "arrearage": ErrorType.QUOTA_EXHAUSTED,
    "allocationquota.freetieronly": ErrorType.QUOTA_EXHAUSTED,
    "invalid_api_key": ErrorType.AUTH,
    "invalidapikey": ErrorType.AUTH,
    "model_not_found": ErrorType.NOT_FOUND,
    "modelnotfound": ErrorType.NOT_FOUND,
}

# For providers whose codes are less specific: DashScope and Ollama.
_CONTEXT = re.compile(
    r"range of input length should be|context length|context window|input is too long|maximum context", re.IGNORECASE
)
_TIMEOUTS = {408, 504, 524}  # a gateway gave up waiting; the model behind it may have run
_CODE_SHOWN = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST_CODE = 40


def broken(error: Exception) -> Exception:
    """The CallFailed for an exception of a call without an answer; programming errors are returned unchanged.

    The message is our own.
    """
    import httpx

    name = type(error).__name__
    # Unknown host, connection refused, TLS or proxy failure, connect timeout, invalid address.
    unsent = httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError | httpx.PoolTimeout
    if isinstance(error, unsent | httpx.UnsupportedProtocol | httpx.InvalidURL):
        return CallFailed(ErrorType.CONNECTION, f"No connection ({name}).")
    if isinstance(error, httpx.TimeoutException):
        return CallFailed(ErrorType.TIMEOUT, f"No full answer in time ({name}).")
    if isinstance(error, httpx.TransportError):
        return CallFailed(ErrorType.CONNECTION_LOST, f"The connection broke off ({name}).")
    if isinstance(error, httpx.HTTPError):
        return CallFailed(ErrorType.BAD_RESPONSE, f"The answer cannot be read ({name}).")
    return error


def refused(response: "httpx.Response") -> CallFailed:
    """The CallFailed for a response with an error status.

    The message is our own; from the provider's response it takes only the status and the code.
    """
    status = response.status_code
    try:
        body = response.json()
    except ValueError:  # e.g. a proxy's HTML page
        body = {}
    body = body if isinstance(body, Mapping) else {}
    inner = body.get("error", body)
    fields = inner if isinstance(inner, Mapping) else {"message": inner}
    codes = [str(fields[name]).lower() for name in ("code", "type") if fields.get(name)]
    kind = _kind(status, codes, str(fields.get("message") or ""), body, response.headers)
    shown = _CODE_SHOWN.sub("", codes[0])[:_LONGEST_CODE] if codes else ""
    return CallFailed(
        kind,
        f"HTTP {status}{f' ({shown})' if shown else ''}.",
        retry_after_seconds=retry_after(response.headers) if status in {429, 503} else None,
    )


def _kind(
    status: int, codes: list[str], message: str, body: Mapping[str, Any], headers: Mapping[str, str]
) -> ErrorType:
    known = next((CODES[code] for code in codes if code in CODES), None)
    if known is ErrorType.QUOTA_EXHAUSTED and "insufficient_quota" in codes and _is_dashscope(body, headers):
        return ErrorType.RATE_LIMIT  # same wording, but it means tokens per minute, and recovers by itself
    if known is not None:
        return known
    if status in {400, 413, 422, 500} and _CONTEXT.search(message):
        return ErrorType.CONTEXT_WINDOW
    by_status = {401: ErrorType.AUTH, 402: ErrorType.QUOTA_EXHAUSTED, 403: ErrorType.AUTH, 404: ErrorType.NOT_FOUND}
    if status in by_status:
        return by_status[status]
    if status == 429:
        return ErrorType.RATE_LIMIT
    if status in _TIMEOUTS:
        return ErrorType.TIMEOUT
    return ErrorType.SERVER_ERROR if status >= 500 else ErrorType.BAD_REQUEST


def _is_dashscope(body: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    """DashScope's compatible mode puts a request_id in the body beside the error; OpenAI sends it in a header."""
    return "request_id" in body or any(name.lower().startswith("x-dashscope") for name in headers)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from Retry-After: a number of seconds, or a date, compared with the response's own Date header.

    None: absent or not understood. Never negative.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"-?\d+(\.\d*)?", value):
        return max(0.0, float(value))
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError):
        return None
    return max(0.0, wait.total_seconds())
