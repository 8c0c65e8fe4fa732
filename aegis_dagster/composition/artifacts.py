"""The artifact store as the settings choose it, and an entry for machines that work without the catalog."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from aegis_dagster.errors import ServiceError
from aegis_dagster.stores.artifacts import FolderArtifacts

if TYPE_CHECKING:
    from aegis_dagster.domain.stages import Stage
    from aegis_dagster.ports import Clock, Progress
    from aegis_dagster.settings import Settings
    from aegis_dagster.stores.bucket_artifacts import BucketArtifacts

ArtifactStore: TypeAlias = "FolderArtifacts | BucketArtifacts"
_CACHE_MEGABYTES = 2000
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


def fetch(
    url: str,
    options: Mapping[str, Any],
    stage: Stage,
    fingerprint: str,
    *,
    folder: Path,
    cache_megabytes: int = _CACHE_MEGABYTES,
) -> Path:
    """A local folder with the files of an artifact, verified, by the cache in `folder` of this machine.

    It stays for ten minutes after the last call for it in this process; to read it for longer, use
    `store_of_node(...).reading()`. Raises DocumentError ARTIFACT_DAMAGED (it is gone or damaged), ServiceError.
    """
    from aegis_dagster.stages.reading import damaged

    store = store_of_node(url, options, folder, cache_megabytes)
    if (what := store.damage(stage, fingerprint)) is not None:
        raise damaged(stage, what)
    return store.path(stage, fingerprint)


def publish(
    made: Path,
    url: str,
    options: Mapping[str, Any],
    stage: Stage,
    fingerprint: str,
    *,
    folder: Path,
    replace: bool = False,
    cache_megabytes: int = _CACHE_MEGABYTES,
) -> None:
    """Publish the files of a folder, which is moved away, as an artifact; if there is one already, replace it or not.

    `folder` is on the same disk. Raises DocumentError (it holds something else than files), ServiceError.
    """
    store = store_of_node(url, options, folder, cache_megabytes)
    with store.staging(stage, fingerprint, replace=replace) as staged:
        staged.rmdir()
        made.rename(staged)


def store_of_node(
    url: str, options: Mapping[str, Any], folder: Path, cache_megabytes: int = _CACHE_MEGABYTES
) -> BucketArtifacts:
    """The store of a machine without a catalog; one for each address and process. `close()` it in the end."""
    return _store(url, json.dumps(options, sort_keys=True), folder, cache_megabytes)


@cache
def _store(url: str, options: str, folder: Path, cache_megabytes: int) -> BucketArtifacts:
    from aegis_dagster.stores.bucket_artifacts import BucketArtifacts
    from aegis_dagster.stores.clock import SystemClock
    from aegis_dagster.stores.read_cache import ReadCache

    return BucketArtifacts(
        url,
        options=json.loads(options),
        root=folder / "artifacts",
        cache=ReadCache(folder / "artifact-cache", most_bytes=cache_megabytes * 1_000_000),
        clock=SystemClock(),
    )
