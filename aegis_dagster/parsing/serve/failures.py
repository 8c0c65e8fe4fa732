"""What errors of docling-serve mean here: whether the document, the settings or the server is to blame.

Cheap to import. Its functions import docling, which who calls them has done already.
"""

from typing import TYPE_CHECKING, Final

from aegis_dagster.domain.visible import visible
from aegis_dagster.errors import AegisError, ConfigurationError, Deferred, DocumentError, FailureCode
from aegis_dagster.parsing.serve.versions import refused_key, unreachable

if TYPE_CHECKING:
    from docling.datamodel.service.responses import TaskStatusResponse

_MOST_SHOWN: Final = 200  # characters of what a server said
_BUSY: Final = (408, 425, 429)
_SPLIT: Final = "split it, or raise DOCLING_SERVE_MAX_FILE_SIZE and DOCLING_SERVE_MAX_NUM_PAGES of the server."
_LOG: Final = "look at the log of docling-serve; `aegis retry` tries again."


def of_call(url: str, error: Exception) -> AegisError:
    """The error for a call that failed; a ServiceError if it may succeed later."""
    from docling.service_client import ResponseSchemaMismatchError
    from docling.service_client import ServiceError as Refused

    if isinstance(error, AegisError):
        return error
    if not isinstance(error, Refused) or isinstance(error, ResponseSchemaMismatchError):
        return unreachable(url, "it answers something else than docling-serve does")
    code, said = error.status_code, f" ({_shown(error.detail)})" if error.detail else ""
    if code in (401, 403):
        return refused_key(url, said)
    if code == 402:
        return Deferred(f"docling-serve at {url} has no quota left{said}.", remedy="raise its quota, or wait for it.")
    if code == 413:
        return DocumentError(FailureCode.TOO_LARGE, f"docling-serve takes no file of this size{said}.", remedy=_SPLIT)
    if code in (404, 405) or (code is not None and 300 <= code < 400):
        return ConfigurationError(
            f"There is no docling-serve at {url} (status {code}).", remedy="correct parse.serve.url."
        )
    if code is not None and 400 <= code < 500 and code not in _BUSY:
        return ConfigurationError(
            f"docling-serve at {url} refuses what it is asked for: status {code}{said}.",
            remedy="compare parse.serve.options and parse.timeout_seconds with what the server allows and logs.",
        )
    return unreachable(url, f"status {code}{said}" if code else _shown(error.detail or error.message))


def of_job(url: str, status: "TaskStatusResponse") -> AegisError:
    """The error for a job that did not end well."""
    category = status.failure.category.value if status.failure is not None else ""
    said = _shown((status.failure.message if status.failure is not None else status.error_message) or "no reason given")
    if category == "policy":
        return DocumentError(FailureCode.TOO_LARGE, f"docling-serve refuses the document: {said}", remedy=_SPLIT)
    if category == "capacity":
        return unreachable(url, said)
    return timed_out() if category == "timeout" else failed_inside(said)


def timed_out() -> DocumentError:
    """The error for a job that takes too long."""
    return DocumentError(
        FailureCode.TIMEOUT,
        "docling-serve did not finish it within parse.timeout_seconds.",
        remedy="raise parse.timeout_seconds, or split the document; `aegis retry` tries again.",
        retryable=True,
    )


def failed_inside(why: str) -> DocumentError:
    """The error for a job that broke off inside the server, because of the document or of the server."""
    return DocumentError(
        FailureCode.WORKER_CRASHED, f"docling-serve could not finish it: {why}", remedy=_LOG, retryable=True
    )


def unusable(why: str) -> DocumentError:
    """The error for an answer that is no document."""
    return DocumentError(
        FailureCode.BAD_ANSWER, f"docling-serve's answer cannot be used: {why}.", remedy=_LOG, retryable=True
    )


def _shown(said: str) -> str:
    line = visible(" ".join(said.split()))
    return line if len(line) <= _MOST_SHOWN else f"{line[: _MOST_SHOWN - 1]}…"
