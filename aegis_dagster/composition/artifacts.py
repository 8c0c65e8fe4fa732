"""The artifact store as the settings choose it, and work on many artifacts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from aegis_dagster.errors import ServiceError
from aegis_dagster.stores.artifacts import FolderArtifacts

if TYPE_CHECKING:
    from aegis_dagster.domain.stages import Stage
    from aegis_dagster.ports import Clock, Progress
    from aegis_dagster.settings import Settings
    from aegis_dagster.stores.bucket_artifacts import BucketArtifacts

ArtifactStore: TypeAlias = "FolderArtifacts | BucketArtifacts"
_AT_ONCE = 8  # artifacts

_Result = TypeVar("_Result")


def artifact_store(settings: Settings, clock: Clock) -> ArtifactStore:
    """The store of a home; nothing is opened yet, and without a URL nothing of fsspec is imported."""
    chosen = settings.artifacts
    if chosen.url is None:
        return FolderArtifacts(settings.artifacts_dir, clock)
    from aegis_dagster.stores.bucket_artifacts import BucketArtifacts
    from aegis_dagster.stores.read_cache import ReadCache

    return BucketArtifacts(
        chosen.url,
        options=chosen.options,
        root=settings.artifacts_dir,
        cache=ReadCache(settings.artifact_cache_dir, most_bytes=chosen.cache_megabytes * 1_000_000),
        clock=clock,
    )


def copy_artifacts(
    wanted: Collection[tuple[Stage, str]], source: ArtifactStore, target: ArtifactStore, progress: Progress
) -> int:
    """Publish those of the artifacts that are sound in one store in another one. Returns how many were not.

    One that is sound there already stays: whoever repeats this goes on where it ended. What is published is read back
    and compared. Raises ServiceError.
    """

    def copy(stage: Stage, fingerprint: str) -> bool:
        if target.damage(stage, fingerprint, in_store=True) is None:
            return True
        with source.reading():
            if source.damage(stage, fingerprint) is not None:
                return False
            with target.staging(stage, fingerprint, replace=True) as folder:
                shutil.copytree(source.path(stage, fingerprint), folder, dirs_exist_ok=True)
        if (what := target.damage(stage, fingerprint, in_store=True)) is not None:
            raise ServiceError(
                f"An artifact of {stage} is not as it was sent to {target.address(stage)}: {what}.",
                remedy="repeat this; if it stays, the store loses what is written.",
            )
        return True

    copied = 0
    progress.start("artifacts", len(wanted))
    try:
        for _, done in side_by_side(copy, wanted):
            copied += done
            progress.advance("artifacts")
    finally:
        target.close()
    progress.finish("artifacts")
    return len(wanted) - copied


def side_by_side(
    do: Callable[[Stage, str], _Result], wanted: Collection[tuple[Stage, str]]
) -> Iterator[tuple[tuple[Stage, str], _Result]]:
    """Each artifact with what is done for it, in order, several at once: most wait for a disk or a server."""
    waiting = iter(wanted)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while part := list(islice(waiting, _AT_ONCE * 50)):
            yield from zip(part, pool.map(lambda artifact: do(*artifact), part), strict=True)
