"""The artifact store behind a URL: a bucket, or anything fsspec reaches.

The files of a result are written under a name that no other write has; then its manifest, one object, makes it visible
in one step (`stored_artifact.py`). Readers see an artifact only through its manifest, compare sizes and SHA-256 of all
that they receive, and read local copies (`read_cache.py`). A write that is killed leaves objects that nobody sees
(`leftovers.py`). Equal pictures of several artifacts are stored several times: who deletes one can so lose none.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import ServiceError
from aegis_dagster.ports import Clock
from aegis_dagster.stores.artifact_files import (
    CHECKSUMS,
    MANIFEST,
    Checksums,
    NoFileError,
    as_text,
    difference,
    in_order,
    measured,
    without_seconds,
)
from aegis_dagster.stores.leftovers import Leftovers
from aegis_dagster.stores.read_cache import ReadCache
from aegis_dagster.stores.remote_objects import AbsentObject, RemoteObjects
from aegis_dagster.stores.stored_artifact import StoredArtifact, manifest_of, read_manifest
from aegis_dagster.stores.unfinished import UnfinishedResults

_LISTED_SECONDS = 60.0  # how long a listing counts for `exists`; a result that is missing in it is looked for singly
_PATIENCE_SECONDS = 60.0


class BucketArtifacts:
    """Artifacts below a URL. Safe in threads."""

    def __init__(
        self,
        url: str,
        *,
        options: Mapping[str, Any],
        root: Path,
        cache: ReadCache,
        clock: Clock,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        """options: arguments of fsspec's filesystem. root: a local folder in which results are made.

        patience_seconds: of silence before a request is given up.
        """
        self.root = root
        self.url = url.rstrip("/")
        self._objects = RemoteObjects(url, options, patience_seconds=patience_seconds)
        self._cache = cache
        self._unfinished = UnfinishedResults(root, clock, lambda folder: shutil.rmtree(folder, ignore_errors=True))
        self._leftovers = Leftovers(self._objects, self._stored)
        self._listings: dict[tuple[Stage, str], tuple[float, set[str]]] = {}  # by the first two characters
        self._withdrawn: list[tuple[str, list[StoredArtifact]]] = []  # with the record that announces it

    def address(self, stage: Stage) -> str:
        """The URL of all artifacts of a stage."""
        return f"{self.url}/{stage}"

    def reading(self) -> AbstractContextManager[None]:
        """As the port."""
        return self._cache.reading()

    def path(self, stage: Stage, fingerprint: str) -> Path:
        """A local folder with the artifact's files; it is not there if the artifact is not, or is damaged.

        It stays until the block of `reading` ends; outside of one for ten minutes. Raises ServiceError.
        """
        try:
            stored = self._cache.known.get((stage, fingerprint)) or self._stored(stage, fingerprint)
        except ValueError:
            stored = None
        if stored is None:
            return self._cache.nowhere(fingerprint)
        with self._in_the_cache():
            held = self._cache.held(stored)
            if held is None and self.damage(stage, fingerprint) is None:
                stored = self._cache.known.get((stage, fingerprint), stored)
                held = self._cache.held(stored)
        return held or self._cache.nowhere(fingerprint)

    def exists(self, stage: Stage, fingerprint: str) -> bool:
        """Whether there is a manifest. Raises ServiceError.

        What a listing of the last minute names counts: who reads it notices if it is gone.
        """
        now, start = monotonic(), fingerprint[:2]
        listed_at, names = self._listings.get((stage, start), (-_LISTED_SECONDS, set()))
        if now - listed_at < _LISTED_SECONDS:
            return fingerprint in names or self._has_manifest(stage, fingerprint)
        names = {name.removesuffix(".json") for name in self._objects.names(f"{stage}/{start}")}
        self._listings[stage, start] = now, names
        return fingerprint in names

    def listed(self) -> Callable[[Stage, str], bool]:
        """`exists` for many calls: 256 listings a stage at most."""
        return self.exists

    @contextmanager
    def staging(self, stage: Stage, fingerprint: str, *, replace: bool) -> Iterator[Path]:
        """An empty local folder for a result; it is published when the block ends without an exception.

        replace: replace an existing result. Raises ServiceError when the disk or the bucket cannot be written,
        DocumentError when the result holds something else than files.
        """
        with self._unfinished.result(stage) as (begun, take):
            yield begun
            folder, checksums = take()
            self._publish(stage, fingerprint, folder, checksums, replace=replace)

    def damage(self, stage: Stage, fingerprint: str, *, in_store: bool = False) -> str | None:
        """What is wrong with an artifact's files; None: nothing, and a sound copy is here. Raises ServiceError.

        in_store: read all of them from the bucket, and keep no copy.
        """
        what: str | None = None
        before: StoredArtifact | None = None
        for _ in range(3):
            try:
                stored = self._stored(stage, fingerprint)
            except ValueError:
                return "its manifest cannot be read"
            if stored is None:
                return "it is gone"
            if stored == before:  # what was missing was not replaced meanwhile
                return what
            with self._in_the_cache():
                what = self._damage_of(stored, in_store=in_store)
            if what is None:
                self._cache.known[stage, fingerprint] = stored
                return None
            before = stored
        return what

    def has_checksums(self, stage: Stage, fingerprint: str) -> bool:
        """Always: there is no artifact without its manifest."""
        return True

    def write_checksums(self, stage: Stage, fingerprint: str) -> None:
        """Nothing: see `has_checksums`."""

    def delete(self, stage: Stage, fingerprint: str) -> None:
        """Delete an artifact. Raises ServiceError."""
        self.withdraw([(stage, fingerprint)])
        self.remove_withdrawn()

    def withdraw(self, artifacts: Collection[tuple[Stage, str]]) -> None:
        """Let artifacts disappear for every reader at once; `remove_withdrawn` deletes their files.

        If this process is killed before, `clean_staging` of another one does. Raises ServiceError.
        """
        names = {manifest_of(stage, fingerprint): (stage, fingerprint) for stage, fingerprint in artifacts}

        def look(name: str) -> StoredArtifact | None:
            with suppress(ValueError):  # damaged: `sweep_unused` removes its objects
                return self._stored(*names[name])
            return None

        found = [stored for stored in self._objects.each(look, list(names)).values() if stored is not None]
        if found:
            self._withdrawn.append((self._leftovers.announce(found), found))
        self._objects.remove(list(names))
        for stage, fingerprint in artifacts:
            self._cache.known.pop((stage, fingerprint), None)
            self._listings.get((stage, fingerprint[:2]), (0.0, set[str]()))[1].discard(fingerprint)

    def remove_withdrawn(self) -> None:
        """Delete the files of the artifacts that this object withdrew. Raises ServiceError."""
        withdrawn, self._withdrawn = self._withdrawn, []
        for record, artifacts in withdrawn:
            self._remove_objects(artifacts)
            self._leftovers.end(record)

    def clean_staging(self) -> None:
        """Remove what killed processes left here and in the bucket; of other hosts once it is older than a day."""
        self._unfinished.clean()
        with self._in_the_cache():
            self._cache.clean()
        self._leftovers.sweep()

    def sweep_unused(self) -> None:
        """Remove every object that no artifact names and that is older than a day. Lists the whole bucket."""
        self._leftovers.sweep_all()

    def check(self) -> None:
        """Raises ServiceError when no result can be written, read and deleted."""
        self._unfinished.check()
        probe, text = f"probes/{uuid4().hex}", uuid4().hex.encode()
        self._objects.write(probe, text)
        try:
            if self._objects.read(probe) != text:
                raise AbsentObject
        except AbsentObject as error:
            raise ServiceError(
                f"The artifact store {self.url} does not give back what was written into it.",
                remedy="use a store that shows an object as soon as it is written, as S3 does.",
            ) from error
        finally:
            self._objects.remove([probe])

    def close(self) -> None:
        """Remove this process's own unfinished results, and what it has in hand."""
        self._unfinished.close()
        self._cache.close()
        self._leftovers.close()
        self._listings.clear()

    def digest(self) -> str:
        """As of a folder: from the manifests' checksums. `aegis audit` tells whether the objects are as they say."""
        hasher = hashlib.sha256()
        for stage in Stage:
            found = [Path(name).stem for name in self._objects.below(str(stage)) if name.endswith(".json")]
            told = self._objects.each(partial(self._contents, stage), found)
            for fingerprint in sorted(told):
                hasher.update(f"{stage} {fingerprint}\n".encode())
                for name, content_hash in told[fingerprint]:
                    hasher.update(f"{name} {content_hash}\n".encode())
        return hasher.hexdigest()

    def _contents(self, stage: Stage, fingerprint: str) -> list[tuple[str, str]]:
        """Every file's path and hash in the order of a folder, as `artifact_files.contents`."""
        try:
            stored = self._stored(stage, fingerprint)
        except ValueError:
            stored = None
        if stored is None:
            return []
        hashes = {name: str(content_hash) for name, (_, content_hash) in stored.files.items()}
        for name in hashes:
            if Path(name).name == MANIFEST:
                with suppress(AbsentObject):
                    data = self._objects.read(stored.object(hashes[name]))
                    hashes[name] = hashlib.sha256(without_seconds(data)).hexdigest()
        return [(name, hashes[name]) for name in in_order(hashes)]

    def _stored(self, stage: Stage, fingerprint: str) -> StoredArtifact | None:
        """What the manifest says now; None: there is none. Raises ValueError for a damaged one, ServiceError."""
        try:
            return read_manifest(stage, fingerprint, self._objects.read(manifest_of(stage, fingerprint)))
        except AbsentObject:
            return None

    def _has_manifest(self, stage: Stage, fingerprint: str) -> bool:
        try:
            return self._stored(stage, fingerprint) is not None
        except ValueError:
            return True

    def _publish(self, stage: Stage, fingerprint: str, folder: Path, checksums: Checksums, *, replace: bool) -> None:
        try:
            before = self._stored(stage, fingerprint)
        except ValueError:
            before = None
        if before is not None and not replace:
            return  # somebody else published it meanwhile: equal fingerprints mean equal results
        with self._leftovers.writing() as own:
            stored = StoredArtifact(stage, fingerprint, f"{own}{stage}-{fingerprint}-{uuid4().hex[:12]}", checksums)
            files = {str(content_hash): name for name, (_, content_hash) in checksums.items()}
            self._objects.each(
                lambda content_hash: self._objects.upload(stored.object(content_hash), folder / files[content_hash]),
                list(files),
            )
            self._objects.write(manifest_of(stage, fingerprint), stored.text())
        self._listings.get((stage, fingerprint[:2]), (0.0, set[str]()))[1].add(fingerprint)
        self._cache.known[stage, fingerprint] = stored
        with suppress(OSError):  # a full disk: it is published, and who reads it fetches it
            (folder / CHECKSUMS).write_text(as_text(checksums), "utf-8")
            self._cache.keep(stored, folder, hold=False)
        if before is not None:
            record = self._leftovers.announce([before])
            self._remove_objects([before])
            self._leftovers.end(record)

    def _remove_objects(self, artifacts: list[StoredArtifact]) -> None:
        self._objects.remove([name for artifact in artifacts for name in artifact.objects])
        with suppress(OSError):
            for artifact in artifacts:
                self._cache.drop(artifact)

    def _damage_of(self, stored: StoredArtifact, *, in_store: bool) -> str | None:
        """Compares the local copy, or fetches one that is compared. Raises OSError of the local disk."""
        if not in_store and (held := self._cache.held(stored)) is not None:
            with suppress(NoFileError, FileNotFoundError):
                if difference(stored.files, measured(held)) is None:
                    return None
            self._cache.drop(stored)
        with self._cache.incoming() as folder:
            what = self._fetch(stored, folder)
            if what is None and not in_store:
                self._cache.keep(stored, folder, hold=True)
        return what

    def _fetch(self, stored: StoredArtifact, folder: Path) -> str | None:
        """Fetch all files into an empty folder. Returns what is wrong with them."""
        sizes = stored.sizes
        parts = folder.with_name(f"{folder.name}.parts")
        parts.mkdir()
        try:
            states = self._objects.each(
                lambda content_hash: self._fetch_object(stored, content_hash, sizes[content_hash], parts), list(sizes)
            )
            for name, (_, content_hash) in sorted(stored.files.items()):
                if states[str(content_hash)]:
                    return f"{name} {states[str(content_hash)]}"
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                _link_or_copy(parts / str(content_hash), folder / name)
            (folder / CHECKSUMS).write_text(as_text(stored.files), "utf-8")
        finally:
            shutil.rmtree(parts, ignore_errors=True)
        return None

    def _fetch_object(self, stored: StoredArtifact, content_hash: str, size: int, parts: Path) -> str:
        """Fetch one object. Returns what is wrong with it, or nothing."""
        hasher, received = hashlib.sha256(), 0
        with (parts / content_hash).open("wb") as file:

            def take(block: bytes) -> None:
                nonlocal received
                received += len(block)
                if received > size:
                    raise _TooMuchError
                hasher.update(block)
                file.write(block)

            try:
                self._objects.fetch(stored.object(content_hash), size, take)
            except AbsentObject:
                return "is missing"
            except _TooMuchError:
                pass
        return "" if hasher.hexdigest() == content_hash else "has changed since it was written"

    @contextmanager
    def _in_the_cache(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unfinished.fault(error) from error


class _TooMuchError(Exception):
    """An object is larger than it was written."""


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
