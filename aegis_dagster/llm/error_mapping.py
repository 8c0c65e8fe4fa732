"""Maps httpx exceptions, and the status and code of error responses, to our error types."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from aegis_dagster.llm.json_bodies import read_json
from aegis_dagster.llm.provider_words import page_words
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

# The same for an error without a status, in the body of a 200. Beside a status they may say too little.
_WITHOUT_STATUS: Mapping[str, ErrorType] = {
    **dict.fromkeys(("rate_limit_exceeded", "rate_limit_error", "too_many_requests"), ErrorType.RATE_LIMIT),
    **dict.fromkeys(("throttling", "throttling.ratequota", "throttling.allocationquota"), ErrorType.RATE_LIMIT),
    **dict.fromkeys(("authentication_error", "permission_error", "unauthorized"), ErrorType.AUTH),
    **dict.fromkeys(("server_error", "api_error", "overloaded_error", "internalerror"), ErrorType.SERVER_ERROR),
    **dict.fromkeys(("internal_error", "internal_server_error", "service_unavailable"), ErrorType.SERVER_ERROR),
    **dict.fromkeys(("invalid_request_error", "invalidparameter", "bad_request"), ErrorType.BAD_REQUEST),
    "insufficient_credits": ErrorType.QUOTA_EXHAUSTED,
    "not_found_error": ErrorType.NOT_FOUND,
}
_STATUSES = ("code", "status", "status_code", "http_status")  # where an error in a body may have its status
_MESSAGES = ("message", "msg", "detail", "error_description", "error", "errors")
_NO_ERROR = (0, "0", 200, "200", "ok", "success")

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
    """The CallFailed for a response with an error status."""
    body, page = {}, ""
    try:
        body = read_json(response.content)
    except ValueError:  # e.g. a proxy's HTML page
        page = page_words(response.text)
    body = body if isinstance(body, Mapping) else {}
    error, status = body.get("error"), response.status_code
    failure = _failure(status, _fields(error or body), body, response.headers, f"HTTP {status}")
    failure.said = failure.said or page
    return failure


def error_within(body: Mapping[str, Any], headers: Mapping[str, str]) -> CallFailed | None:
    """The CallFailed for an error in the body of a 200: as if its code were the status; None: it holds no error."""
    error = _told_error(body)
    if error is None:
        return None
    fields = _fields(error)
    codes = [value for of in (fields, body) for value in map(of.get, _STATUSES)]
    status = next((found for found in map(_status, codes) if found), None)
    return _failure(status, fields, body, headers, f"HTTP 200 with error {status or ''}".rstrip())


def _told_error(body: Mapping[str, Any]) -> object:
    """The error in a body, if it says anything; None: there is none."""
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    error = body.get("error") or (first.get("error") if isinstance(first, Mapping) else None)
    if not error and "choices" not in body and "data" not in body and body.get("message"):
        error = {name: body.get(name) for name in ("code", "type", "message")}
    if isinstance(error, Mapping) and not any(value for value in error.values() if value not in _NO_ERROR):
        return None
    return error or None


def _fields(error: object) -> Mapping[str, Any]:
    return error if isinstance(error, Mapping) else {"message": error}


def _words(fields: Mapping[str, Any]) -> str:
    """What an error says, raw."""
    told = next((fields[name] for name in _MESSAGES if fields.get(name)), "")
    if isinstance(told, list):  # FastAPI, Cloudflare: what is wrong; beside it may stand what was sent
        told = "; ".join(str(each.get("msg") or each.get("message")) for each in told if isinstance(each, Mapping))
    return told if isinstance(told, str) else ""


def _status(code: object) -> int | None:
    """The HTTP status that a code is, if it is one of an error."""
    text = str(code)
    return int(text) if re.fullmatch("[45][0-9][0-9]", text) else None


def _failure(
    status: int | None, fields: Mapping[str, Any], body: Mapping[str, Any], headers: Mapping[str, str], what: str
) -> CallFailed:
    """The message is our own; from the provider's response it takes only the status and the code. `said` is raw."""
    said = _words(fields)
    codes = [str(fields[name]).lower() for name in ("code", "type") if fields.get(name)]
    kind = _kind(status, codes, said, body, headers)
    named = [code for code in codes if code != str(status)]
    shown = _CODE_SHOWN.sub("", named[0])[:_LONGEST_CODE] if named else ""
    wait = retry_after(headers) if kind in {ErrorType.RATE_LIMIT, ErrorType.SERVER_ERROR} else None
    return CallFailed(
        kind,
        f"{what}{f' ({shown})' if shown else ''}.",
        retry_after_seconds=wait if status in {429, 503} else None,
        said=said,
    )


def _kind(
    status: int | None, codes: list[str], message: str, body: Mapping[str, Any], headers: Mapping[str, str]
) -> ErrorType:
    known = next((CODES[code] for code in codes if code in CODES), None)
    if known is ErrorType.QUOTA_EXHAUSTED and "insufficient_quota" in codes and _is_dashscope(body, headers):
        return ErrorType.RATE_LIMIT  # same wording, but it means tokens per minute, and recovers by itself
    if known is not None:
        return known
    if status in {None, 400, 413, 422, 500} and _CONTEXT.search(message):
        return ErrorType.CONTEXT_WINDOW
    if status is None:
        return next((_WITHOUT_STATUS[code] for code in codes if code in _WITHOUT_STATUS), ErrorType.BAD_RESPONSE)
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
