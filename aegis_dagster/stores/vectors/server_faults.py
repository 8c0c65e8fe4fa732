"""What a Qdrant server, or what answers in its place, says when it cannot go on: one message and remedy for each."""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING

from aegis_dagster.errors import AegisError, ConfigurationError, ServiceError
from aegis_dagster.stores.vectors.server_access import ServerAccess, tls_fault

if TYPE_CHECKING:
    from qdrant_client.http.exceptions import UnexpectedResponse

KEY = "AEGIS_QDRANT_API_KEY"
_AGAIN = "then run the same command again: nothing is lost, and no vector is paid twice"
_FULL = ("no space left", "disk full", "out of disk", "insufficient storage", "not enough disk")
_TOO_LARGE = "larger than allowed"


def told(error: Exception, access: ServerAccess) -> AegisError:
    """The error for what the client raised."""
    from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

    if isinstance(error, AegisError):
        return error
    if isinstance(error, UnexpectedResponse):
        return _of_answer(error, access)
    if isinstance(error, ValueError):  # an answer that is no JSON
        return no_qdrant(access, "its answers have another form")
    if isinstance(error, ResponseHandlingException):
        return _of_connection(error.source, access)
    if isinstance(error, ResourceExhaustedResponse):
        return _overloaded(access, str(error))
    return ServiceError(
        f"{_server(access)} cannot be used: {type(error).__name__}: {_words(str(error))}.",
        remedy=f"look at the server's log, {_AGAIN}.",
    )


def no_qdrant(access: ServerAccess, said: str) -> ConfigurationError:
    """Something else answers at the address."""
    return ConfigurationError(
        f"What answers at {access.url} is no Qdrant server: {_words(said) or 'it says nothing'}.",
        remedy="correct qdrant.url: host, port of the REST API (6333 unless the server says otherwise) and, behind a "
        "proxy, the path.",
    )


def is_too_large(error: Exception) -> bool:
    """Whether a request was refused because it has too many bytes, by the server or a proxy before it."""
    from qdrant_client.http.exceptions import UnexpectedResponse

    return isinstance(error, UnexpectedResponse) and (error.status_code == 413 or _TOO_LARGE in _said(error))


def is_missing(error: Exception) -> bool:
    """Whether the server says that the collection is not there."""
    from qdrant_client.http.exceptions import UnexpectedResponse

    return isinstance(error, UnexpectedResponse) and error.status_code == 404 and "collection" in _said(error).lower()


def _of_answer(error: UnexpectedResponse, access: ServerAccess) -> AegisError:
    status, said, server = error.status_code or 0, _said(error), _server(access)
    if status == 507 or any(words in said.lower() for words in _FULL):
        return ServiceError(
            f"{server} cannot write: the disk of the server is full ({said}).",
            remedy=f"free space on the server's disk or enlarge it, {_AGAIN}.",
        )
    if status == 401:
        wrong = "refuses the key" if access.api_key else "asks for a key"
        return ConfigurationError(f"{server} {wrong}: {said}.", remedy=f"set {KEY} to its API key.")
    if status == 403 and "locked" not in said.lower():
        return ConfigurationError(
            f"{server} does not allow this with the key in use: {said}.",
            remedy=f"set {KEY} to a key that may read, write and manage collections, not to one for reading.",
        )
    if is_missing(error):
        return ServiceError(
            f"{server} has lost a collection: {said}.",
            remedy="run `aegis ingest`: it is made again from the cache, without paid calls.",
        )
    if is_too_large(error):
        return ServiceError(
            f"{server} refuses one point as too large: {said}.",
            remedy="raise service.max_request_size_mb of the server, or the limit of the proxy before it.",
        )
    if status in (404, 405) or not _is_of_qdrant(error):
        return no_qdrant(access, f"{status} {error.reason_phrase}") if status < 500 else _overloaded(access, said)
    if status in (408, 429, 502, 503, 504):
        return _overloaded(access, said)
    if 400 <= status < 500:
        return ConfigurationError(
            f"{server} refuses a request: {said}.",
            remedy="correct what it names: the settings `qdrant.*`, or limits of the server (its strict mode).",
        )
    return ServiceError(
        f"{server} reports an error: {said}.",
        remedy=f"look at the server's log and disk, restart it if it says so, {_AGAIN}.",
    )


def _of_connection(source: Exception, access: ServerAccess) -> AegisError:
    import httpx

    if not isinstance(source, httpx.HTTPError):  # an answer that could not be read
        return no_qdrant(access, "its answers have another form")
    if (fault := tls_fault(source)) is not None:
        return _of_tls(fault, access)
    if isinstance(source, httpx.TimeoutException) and not isinstance(source, httpx.ConnectTimeout):
        return ServiceError(
            f"{_server(access)} did not answer within {access.timeout_seconds:g} s.",
            remedy=f"look at the server's load, or raise qdrant.timeout_seconds, {_AGAIN}.",
        )
    why = _words(str(source)) or type(source).__name__
    plain = isinstance(source, httpx.RemoteProtocolError | httpx.ReadError) and access.url.startswith("http:")
    hint = "; if it has TLS, qdrant.url begins with https://" if plain else ""
    return ServiceError(
        f"{_server(access)} does not answer: {why}.",
        remedy=f"see that the server runs and that host and port in qdrant.url are right{hint}, {_AGAIN}.",
    )


def _of_tls(fault: ssl.SSLError, access: ServerAccess) -> ConfigurationError:
    if isinstance(fault, ssl.SSLCertVerificationError):
        return ConfigurationError(
            f"The certificate of {access.url} is not trusted: {fault.verify_message}.",
            remedy="set qdrant.ca_file to the certificate of the authority that signed it, and write the host in "
            "qdrant.url as the certificate names it.",
        )
    return ConfigurationError(
        f"{access.url} does not speak TLS as expected: {_words(fault.reason or str(fault))}.",
        remedy="write http:// in qdrant.url if the server has no TLS, otherwise correct the server's TLS settings.",
    )


def _overloaded(access: ServerAccess, said: str) -> ServiceError:
    return ServiceError(
        f"{_server(access)} cannot answer now: {said or 'it gives no reason'}.",
        remedy=f"wait until it has started or has less to do, {_AGAIN}.",
    )


def _server(access: ServerAccess) -> str:
    return f"The Qdrant server {access.url}"


def _is_of_qdrant(error: UnexpectedResponse) -> bool:
    """Whether an answer has the form of Qdrant's errors."""
    try:
        return "status" in error.structured()
    except (ValueError, TypeError):
        return False


def _said(error: UnexpectedResponse) -> str:
    """The server's own words."""
    text = error.content.decode("utf-8", "replace")
    try:
        status = json.loads(text)["status"]
        text = status["error"] if isinstance(status, dict) else str(status)
    except (ValueError, KeyError, TypeError):
        text = "" if "<" in text[:20] else text  # a proxy's page
    return _words(text) or f"{error.status_code} {error.reason_phrase}"


def _words(text: str) -> str:
    """In one line, without the full stop, of a length that can be read."""
    return " ".join(text.split())[:300].rstrip(".")
