"""Versions of the libraries that results depend on, as this package pins them.

Fingerprints are made from pins, not from what happens to be installed: a machine without docling (webserver,
exporter) must want the same fingerprints as one with it.
"""

import re
from functools import cache
from importlib.metadata import requires


def pinned(package: str) -> str:
    """The version that pyproject.toml pins exactly, e.g. "2.143.0". Raises LookupError for any other package."""
    return _pins()[package.lower()]


@cache
def _pins() -> dict[str, str]:
    exact = (re.match(r"([A-Za-z0-9_.-]+)==([^;\s]+)", requirement) for requirement in requires("aegis_dagster") or ())
    return {match[1].lower(): match[2] for match in exact if match}
