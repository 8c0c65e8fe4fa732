"""How a Qdrant server is reached: address, key, TLS, time limits, and what is asked again."""

from __future__ import annotations

import ssl
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_dagster.errors import ConfigurationError

if TYPE_CHECKING:
    import httpx
    from qdrant_client import QdrantClient

_CONNECT_SECONDS = 5.0
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.25, 8.0
# Answers of a server that starts, is overloaded or is being moved, or of the proxy before it.
_PASSING = frozenset((408, 425, 429, 502, 503, 504))


@dataclass(frozen=True, slots=True)
class ServerAccess:
    """A Qdrant server and what opens it."""

    url: str
    api_key: str = field(repr=False)  # "": it asks for none
    ca_file: Path | None  # PEM of the authorities to trust; None: those of the system
    timeout_seconds: float  # for one answer
    retry_seconds: float  # how long a request is repeated


def connect(access: ServerAccess) -> QdrantClient:
    """A client on the server; nothing is sent yet. Raises ConfigurationError."""
    from qdrant_client import QdrantClient

    tls = _tls(access) if access.url.startswith("https:") else False
    with warnings.catch_warnings():  # that a key travels without TLS: `aegis doctor` says it
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        client = QdrantClient(
            url=access.url, api_key=access.api_key or None, timeout=1, check_compatibility=False, verify=tls
        )
    client.http.client.add_middleware(_Repeat(access))
    return client


def _tls(access: ServerAccess) -> ssl.SSLContext | bool:
    if access.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=access.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"The certificates in qdrant.ca_file, {access.ca_file}, cannot be read: {error.strerror or error}.",
            remedy="name a readable PEM file with the certificate of the authority that signed the server's.",
        ) from error


class _Repeat:
    """Sends a request again while the server does not answer or says that it cannot now, with growing pauses.

    Whatever is sent here may be carried out twice: reads, and writes that name the points, collections and aliases
    they leave behind. So it does not matter whether a request whose answer was lost has been carried out.
    """

    def __init__(self, access: ServerAccess) -> None:
        limit = access.timeout_seconds
        self._limits = {"connect": min(limit, _CONNECT_SECONDS), "read": limit, "write": limit, "pool": limit}
        self._seconds = access.retry_seconds

    def __call__(self, request: httpx.Request, send: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
        from qdrant_client.http.exceptions import ResponseHandlingException

        request.extensions["timeout"] = self._limits  # the client's own are whole seconds
        until, pause = time.monotonic() + self._seconds, _FIRST_WAIT_SECONDS
        while True:
            try:
                response = send(request)
            except ResponseHandlingException as error:
                if not _is_passing(error.source) or time.monotonic() + pause > until:
                    raise
            else:
                asked = max(pause, _retry_after(response))
                if response.status_code not in _PASSING or time.monotonic() + asked > until:
                    return response
                pause = asked
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_WAIT_SECONDS)


def _is_passing(error: Exception) -> bool:
    """Whether the same request may be answered later: not after a certificate that is not trusted."""
    import httpx

    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return False
    return isinstance(error, httpx.TransportError) and not isinstance(tls_fault(error), ssl.SSLError)


def tls_fault(error: BaseException | None) -> ssl.SSLError | None:
    """What TLS says is wrong, behind an error of a connection."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _retry_after(response: httpx.Response) -> float:
    said = response.headers.get("Retry-After", "")
    return float(said) if said.isdecimal() else 0.0
