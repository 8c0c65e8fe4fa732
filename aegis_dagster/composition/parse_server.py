"""Chooses the server that parses, and tells what its results depend on."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from aegis_dagster.errors import ConfigurationError, ServiceError
from aegis_dagster.settings.keys import docling_serve_key

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from aegis_dagster.composition.project import Project
    from aegis_dagster.domain.identifiers import CollectionName
    from aegis_dagster.parsing.serve.conversion import DoclingServe
    from aegis_dagster.settings import Settings

logger = logging.getLogger(__name__)


def parse_server(project: Project) -> DoclingServe | None:
    """The server that parses; None: everything is parsed here. Raises ServiceError: it never answered yet."""
    settings = project.settings
    url = _url(settings)
    if url is None:
        return None
    from aegis_dagster.parsing.serve.conversion import DoclingServe, ServeAccess

    serve, identities = settings.parse.serve, project.identities

    def may_have(collection: CollectionName) -> bool:
        return serve.is_local or not identities.rules_for(collection).local_only

    return DoclingServe(
        ServeAccess(
            url=url,
            versions=_versions(url, project.engine),
            options={**_options(settings), "document_timeout": settings.parse.timeout_seconds},
            suffixes=frozenset(project.served),
            may_have=may_have,
            at_once=serve.concurrency,
            patience_seconds=serve.patience_seconds,
            timeout_seconds=settings.parse.timeout_seconds,
            max_megabytes=settings.parse.max_megabytes,
            fallback=serve.fallback,
            api_key=docling_serve_key(),
        )
    )


def served_identities(settings: Settings, engine: Engine) -> dict[str, str]:
    """What parsing by the server depends on, by suffix of what it parses; {}: everything is parsed here.

    The versions are those that it last told, so that nothing becomes stale while it is down.
    """
    url = _url(settings)
    if url is None:
        return {}
    from aegis_dagster.parsing.formats import IMAGE_FORMATS, SUPPORTED

    identity = f"{_versions(url, engine)}/{json.dumps(_options(settings), sort_keys=True)}"
    return {suffix: identity for suffix, kind in SUPPORTED.items() if kind == "pdf" or kind in IMAGE_FORMATS}


def look(settings: Settings, engine: Engine) -> bool:
    """Ask the server for its versions and remember them. Returns whether they changed.

    Raises ConfigurationError: there is no docling-serve at the address.
    """
    url = _url(settings)
    if url is None:
        return False
    from aegis_dagster.parsing.serve.versions import ask_versions
    from aegis_dagster.stores.catalog.parse_servers import ParseServers

    try:
        now = ask_versions(url)
    except ServiceError:  # a document that needs the server waits for it, and says so
        return False
    servers = ParseServers(engine)
    before = servers.versions(url)
    if before == now:
        return False
    if before is not None:
        logger.warning("docling-serve was %s and is %s: what it parsed is parsed again.", before, now)
    servers.remember(url, now)
    return True


def examine(settings: Settings, engine: Engine) -> str:
    """The server in words, for `aegis doctor`. Raises ServiceError, ConfigurationError."""
    from aegis_dagster.parsing.serve.versions import ask_versions, check_key

    url = _url(settings)
    if url is None:
        return "none"
    now, before = ask_versions(url), _versions(url, engine)
    check_key(url, docling_serve_key())
    changed = (
        "" if before == now else f"; documents rest on {before}: the next ingestion parses PDFs and pictures again"
    )
    kept = "" if settings.parse.serve.is_local else "; files of local_only collections are not sent"
    return f"{url} answers: {now}{changed}{kept}"


def _url(settings: Settings) -> str | None:
    """The server's address; None: everything is parsed here. Raises ConfigurationError: it has none."""
    if settings.parse.route == "local":
        return None
    if settings.parse.serve.url is None:
        raise ConfigurationError(
            "parse.route is `serve`, but there is no address of a docling-serve.",
            remedy="set parse.serve.url in aegis.yaml or AEGIS_PARSE__SERVE__URL, or set parse.route to `local`.",
        )
    return settings.parse.serve.url


def _versions(url: str, engine: Engine) -> str:
    from aegis_dagster.parsing.serve.versions import UNKNOWN
    from aegis_dagster.stores.catalog.parse_servers import ParseServers

    return ParseServers(engine).versions(url) or UNKNOWN


def _options(settings: Settings) -> dict[str, Any]:
    """The options of docling-serve on which results depend."""
    own = {"to_formats": ["json"], "image_export_mode": "placeholder", "do_ocr": settings.parse.ocr}
    chosen = {
        name: list(value) if isinstance(value, tuple) else value for name, value in settings.parse.serve.options.items()
    }
    return {**chosen, **own}
