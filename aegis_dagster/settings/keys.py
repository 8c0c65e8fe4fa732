"""Keys, passwords and addresses that hold them: read from the environment, and never part of the settings."""

import os
from dataclasses import dataclass, field

from aegis_dagster.errors import ConfigurationError
from aegis_dagster.settings.llm import ProviderSettings


@dataclass(frozen=True, slots=True)
class ProviderAccess:
    """Where a provider is and what opens it. Never part of the settings, so that no dump shows a key."""

    base_url: str
    api_key: str = field(repr=False)


def provider_access(provider: ProviderSettings) -> ProviderAccess | None:
    """How to reach a provider that is configured; None: it is switched off, or has no key or no address."""
    address = os.environ.get(provider.base_url_variable or "") or provider.base_url or ""
    key = os.environ.get(provider.api_key_variable or "", "").strip()
    ready = bool(address) and (bool(key) or provider.api_key_variable is None)
    if provider.enabled is False or (provider.enabled is None and not ready) or not address:
        return None
    return ProviderAccess(_full_address(address), key or "none")


def neo4j_password() -> str:
    """The password of the Neo4j view; "": it asks for none. Never part of the settings, as keys are not."""
    return os.environ.get("AEGIS_NEO4J_PASSWORD", "")


def qdrant_api_key() -> str:
    """The key of the Qdrant server; "": it asks for none. Raises ConfigurationError, which does not repeat it."""
    return _key_alone("AEGIS_QDRANT_API_KEY")


def docling_serve_key() -> str:
    """The key of docling-serve; "": it asks for none. Raises ConfigurationError, which does not repeat it."""
    return _key_alone("DOCLING_SERVE_API_KEY")


def _key_alone(variable: str) -> str:
    """A key that can be sent in a header."""
    key = os.environ.get(variable, "").strip()
    if not key.isascii() or not key.isprintable():
        raise ConfigurationError(
            f"{variable} holds characters that no key has.", remedy="set it to the key alone, in one line."
        )
    return key


def _full_address(address: str) -> str:
    """`OLLAMA_HOST` may be a host, a host and port, or 0.0.0.0; an address with a path stays as it is."""
    if "://" not in address:
        host, port = (address, "") if address.endswith("]") else address.rpartition(":")[::2]
        if ":" not in address:
            host, port = address, ""
        address = f"http://{'127.0.0.1' if host in ('', '0.0.0.0') else host}:{port or '11434'}"
    return address.rstrip("/") if address.rstrip("/").count("/") > 2 else f"{address.rstrip('/')}/v1"


def notify_addresses() -> tuple[str, ...]:
    """Who is paged through Apprise: the addresses in AEGIS_NOTIFY. They hold secrets, so they are no setting."""
    return tuple(os.environ.get("AEGIS_NOTIFY", "").split())
