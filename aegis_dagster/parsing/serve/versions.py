"""Asks a docling-serve for its versions, on which its results depend. Cheap to import: needs no docling."""

import json
import re
from typing import Any, Final

import httpx

from aegis_dagster.errors import ConfigurationError, ServiceError

# Those whose change may change a document; its Python and its operating system also stand in the answer.
_NAMES: Final = (
    *("docling-serve", "docling-jobkit", "docling", "docling-core", "docling-ibm-models", "docling-parse"),
)
_VERSION: Final = re.compile(r"[\w.+!-]{1,60}")
_MOST_BYTES: Final = 4_000_000  # the description of its API has 300 kB
_SECONDS: Final = 10.0
UNKNOWN: Final = "docling-serve of a version that is not known yet"


def ask_versions(url: str) -> str:
    """The versions in one line, e.g. "docling-serve 1.38.2, docling 2.143.0". It asks for no key.

    Raises ServiceError: it cannot be reached. ConfigurationError: it is no docling-serve, or keeps its version secret.
    """
    try:
        with httpx.Client(timeout=_SECONDS, trust_env=False) as client:
            told = _json(client, f"{url}/version")
            told = told or {"docling-serve": _json(client, f"{url}/openapi.json").get("info", {}).get("version")}
    except httpx.HTTPError as error:
        raise unreachable(url, type(error).__name__) from error
    known = {name: told.get(name) for name in _NAMES}
    shown = [f"{name} {version}" for name, version in known.items() if _is_version(version)]
    if not shown or not _is_version(known["docling-serve"]):
        raise ConfigurationError(
            f"{url} does not tell the version of docling-serve, on which its results depend.",
            remedy="correct parse.serve.url, or start the server with DOCLING_SERVE_SHOW_VERSION_INFO=true.",
        )
    return ", ".join(shown)


def check_key(url: str, api_key: str) -> None:
    """Ask for a job that does not exist. Raises ServiceError; ConfigurationError: the server refuses the key."""
    headers = {"X-Api-Key": api_key} if api_key else {}
    try:
        with (
            httpx.Client(timeout=_SECONDS, trust_env=False, headers=headers) as client,
            client.stream("GET", f"{url}/v1/status/poll/none") as response,
        ):
            status = response.status_code
    except httpx.HTTPError as error:
        raise unreachable(url, type(error).__name__) from error
    if status in (401, 403):
        raise refused_key(url)


def refused_key(url: str, said: str = "") -> ConfigurationError:
    """The error for a key that is missing or wrong."""
    return ConfigurationError(
        f"docling-serve at {url} refuses the key{said}.",
        remedy="set the variable DOCLING_SERVE_API_KEY to the server's key.",
    )


def unreachable(url: str, why: str) -> ServiceError:
    """The error for a server that does not answer as it should. why: in a few words."""
    return ServiceError(
        f"docling-serve at {url} does not work: {why}.",
        remedy="start it and look at its log; `aegis doctor` tells whether it answers. The step is tried again.",
    )


def _json(client: httpx.Client, url: str) -> dict[str, Any]:
    """The object at an address; {}: there is none. Raises httpx.HTTPError."""
    with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
        if response.status_code in (429, 500, 502, 503, 504):
            raise httpx.HTTPStatusError(f"status {response.status_code}", request=response.request, response=response)
        body = bytearray()
        for part in response.iter_raw() if response.status_code == 200 else ():
            body += part
            if len(body) > _MOST_BYTES:
                return {}
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _is_version(value: object) -> bool:
    return isinstance(value, str) and _VERSION.fullmatch(value) is not None
