"""Reads the JSON files of artifacts."""

import json
from pathlib import Path
from typing import Any

from aegis_dagster.errors import DocumentError, FailureCode


def read_json(file: Path) -> Any:
    """The values in a file.

    Raises DocumentError ARTIFACT_DAMAGED: it was changed by hand, the disk lost it, or another run is working on the
    document now.
    """
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DocumentError(
            FailureCode.ARTIFACT_DAMAGED,
            f"Its stored result cannot be read: {file}: {error}.",
            remedy="run `aegis ingest` again; if the error stays, run `aegis retry` to start over.",
            retryable=True,
        ) from error
