"""Reading the JSON files of artifacts."""

import json
from pathlib import Path
from typing import Any

from aegis_dagster.errors import DocumentError, FailureCode


def read_json(file: Path) -> Any:
    """The values of a file.

    Raises DocumentError ARTIFACT_DAMAGED: somebody changed it by hand, the disk lost it, or another run works
    on the document now.
    """
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DocumentError(
            FailureCode.ARTIFACT_DAMAGED,
            f"What was stored of it cannot be read: {file}: {error}.",
            remedy="run `aegis ingest` again; if it stays, `aegis retry` starts anew.",
            retryable=True,
        ) from error
