"""The section `parse.serve` of the settings: a server of docling-serve that parses PDFs and pictures."""

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from aegis_dagster.domain.addresses import holds_secret
from aegis_dagster.settings.section import Section

Scalar = bool | int | float | str
# What this project decides itself: by other settings, or because the rest of it depends on it.
_DECIDED = frozenset(
    (
        *("abort_on_error", "do_ocr", "document_timeout", "from_formats", "image_export_mode", "include_images"),
        *("include_page_images", "images_scale", "page_range", "to_formats"),
    )
)


def _address(url: str) -> str:
    """Refuses what is no address of a server, and one that holds a credential; the error does not repeat it."""
    if holds_secret(url):
        raise ValueError("it holds a user, a password or a key: put the key into DOCLING_SERVE_API_KEY")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("it must be an address such as http://docling:5001, without a query")
    if parts.path.rstrip("/").endswith("/v1"):
        raise ValueError("it must be the address of the server, without /v1")
    return url.rstrip("/")


def _undecided(options: dict[str, Scalar | tuple[Scalar, ...]]) -> dict[str, Scalar | tuple[Scalar, ...]]:
    if decided := sorted(_DECIDED & options.keys()):
        raise ValueError(f"{decided[0]} cannot be chosen here: this project or another setting decides it")
    return options


class ServeSettings(Section):
    """A server of docling-serve, for `parse.route: serve`. Its key is in the variable DOCLING_SERVE_API_KEY."""

    url: Annotated[str, AfterValidator(_address)] | None = Field(
        default=None, description="Its address, e.g. `http://docling:5001`. Proxies of the environment are not used."
    )
    local: bool | None = Field(
        default=None,
        description="Whether content sent to it stays in the company; files of `local_only` collections are sent only then, otherwise parsed here. Default: if its address is `localhost` or an IP address that is private.",
    )
    fallback: bool = Field(
        default=False,
        description="Whether a file that the server cannot parse, or a server that does not answer, is parsed here instead, which is recorded. If not, a server that does not answer stops the step, which is tried again.",
    )
    concurrency: int = Field(default=4, ge=1, description="Files that are at the server at once, of each process.")
    patience_seconds: float = Field(
        default=120.0,
        gt=0,
        description="How long to wait for a server that does not answer or is too busy (429, 503), and for a file that does not move up in its queue.",
    )
    options: Annotated[dict[str, Scalar | tuple[Scalar, ...]], AfterValidator(_undecided)] = Field(
        default_factory=dict,
        description="Options of docling-serve for every file, e.g. `{table_mode: fast, do_formula_enrichment: true}`: yes or no, numbers, words and lists of these. After a change the files are parsed again.",
    )

    @property
    def is_local(self) -> bool:
        """Whether files of `local_only` collections may be sent to it."""
        if self.local is not None or self.url is None:
            return bool(self.local)
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_private
        except ValueError:
            return host == "localhost"
