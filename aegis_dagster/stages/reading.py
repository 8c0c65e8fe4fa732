"""Reads artifacts, and deletes damaged ones, so that the next run makes them again."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.ports import Artifacts


def usable(artifacts: Artifacts, stage: Stage, fingerprint: str) -> bool:
    """Whether the result exists and its files are as they were written. A damaged one is deleted."""
    if not artifacts.exists(stage, fingerprint):
        return False
    if artifacts.damage(stage, fingerprint) is None:
        return True
    artifacts.delete(stage, fingerprint)
    return False


def sound_folder(artifacts: Artifacts, stage: Stage, fingerprint: str) -> Path:
    """The folder of an artifact whose files are as they were written.

    A damaged one is deleted, and the next run makes it again. Raises DocumentError ARTIFACT_DAMAGED.
    """
    damage = artifacts.damage(stage, fingerprint)
    if damage is not None:
        artifacts.delete(stage, fingerprint)
        raise damaged(stage, damage)
    return artifacts.path(stage, fingerprint)


@asynccontextmanager
async def staged(artifacts: Artifacts, stage: Stage, fingerprint: str, *, replace: bool) -> AsyncIterator[Path]:
    """`artifacts.staging`, whose reading and sending at the end holds up no other document."""
    staging = artifacts.staging(stage, fingerprint, replace=replace)
    folder = staging.__enter__()
    try:
        yield folder
    except BaseException:
        if not await asyncio.to_thread(staging.__exit__, *sys.exc_info()):
            raise
    else:
        await asyncio.to_thread(staging.__exit__, None, None, None)


def damaged(stage: Stage, what: str) -> DocumentError:
    """The error for an artifact that is not as it was written."""
    return DocumentError(
        FailureCode.ARTIFACT_DAMAGED,
        f"The stored result of {stage} is damaged: {what}.",
        remedy="run `aegis ingest`, which makes it again; what models answered is cached and not paid again.",
        retryable=True,
    )


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
            f"Its stored result cannot be read: {file}.",
            remedy="run `aegis ingest` again; if the error stays, run `aegis retry` to start over.",
            retryable=True,
        ) from error
