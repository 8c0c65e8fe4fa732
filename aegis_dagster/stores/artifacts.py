"""The artifact store: results of stages in folders named by fingerprint.

Layout: `<root>/<stage>/<first two characters>/<fingerprint>/FILES`, and `<root>/staging/` for unfinished
results. A folder that exists under its final name is complete.
"""

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import ServiceError
from aegis_dagster.ports import Clock
from aegis_dagster.process_identity import is_dead, new_owner

_ABANDONED_SECONDS = 86_400.0  # no result takes this long to make

MANIFEST = "manifest.json"  # the only file that differs between equal results, in its "seconds"


class FolderArtifacts:
    """Artifacts in a local folder."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root = root
        self._clock = clock
        self._owner = new_owner()

    def path(self, stage: Stage, fingerprint: str) -> Path:
        """The folder of an artifact; it need not exist."""
        return self.root / stage / fingerprint[:2] / fingerprint

    def exists(self, stage: Stage, fingerprint: str) -> bool:
        """Whether the complete result exists."""
        return self.path(stage, fingerprint).is_dir()

    def listed(self) -> Callable[[Stage, str], bool]:
        """`exists` for many calls: each parent folder is listed once, when it is first needed."""

        @cache
        def folders(stage: Stage, start: str) -> frozenset[str]:
            try:
                with os.scandir(self.root / stage / start) as entries:
                    return frozenset(entry.name for entry in entries if entry.is_dir())
            except (FileNotFoundError, NotADirectoryError):
                return frozenset()

        return lambda stage, fingerprint: fingerprint in folders(stage, fingerprint[:2])

    @contextmanager
    def staging(self, stage: Stage, fingerprint: str, *, replace: bool) -> Iterator[Path]:
        """An empty folder for a result; it is published when the block ends without an exception.

        replace: replace an existing result. Raises ServiceError when the disk cannot be written.
        """
        folder = self.root / "staging" / self._owner / f"{stage}-{uuid.uuid4().hex}"
        try:
            folder.mkdir(parents=True)
            yield folder
            target = self.path(stage, fingerprint)
            target.parent.mkdir(parents=True, exist_ok=True)
            if replace:
                self.delete(stage, fingerprint)
            try:
                folder.rename(target)
            except OSError as error:
                # Another process published the same result meanwhile: equal fingerprints mean equal results.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        except OSError as error:
            raise ServiceError(
                f"The artifact store cannot be written: {error.strerror or error}.",
                remedy=f"free space on, or make writable, {self.root}.",
            ) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def delete(self, stage: Stage, fingerprint: str) -> None:
        """Delete an artifact. It is renamed first, so that it disappears for every reader at once."""
        folder = self.path(stage, fingerprint)
        if not folder.is_dir():
            return
        trash = self.root / "staging" / self._owner / f"trash-{uuid.uuid4().hex}"
        trash.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)

    def clean_staging(self) -> None:
        """Remove unfinished results of killed processes; those of other hosts once they are older than a day."""
        staging = self.root / "staging"
        for folder in staging.iterdir() if staging.is_dir() else ():
            abandoned = folder.is_dir() and self._clock.now().timestamp() - folder.stat().st_mtime > _ABANDONED_SECONDS
            if is_dead(folder.name) or abandoned:
                shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove this process's own staging folder."""
        shutil.rmtree(self.root / "staging" / self._owner, ignore_errors=True)

    def digest(self) -> str:
        """A hash of every artifact's stage, fingerprint, file names and contents, without the manifests' seconds."""
        hasher = hashlib.sha256()
        for stage in Stage:
            for folder in sorted((self.root / stage).glob("*/*")):
                hasher.update(f"{stage} {folder.name}\n".encode())
                for name, content_hash in _contents(folder):
                    hasher.update(f"{name} {content_hash}\n".encode())
        return hasher.hexdigest()


def _without_seconds(data: bytes) -> bytes:
    try:
        values = json.loads(data)
    except ValueError:  # damaged: hashed as it is
        return data
    values.pop("seconds", None)
    return json.dumps(values, sort_keys=True).encode()


def _contents(folder: Path) -> Iterator[tuple[str, str]]:
    for base, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            path = Path(base) / file
            data = path.read_bytes()
            if file == MANIFEST:
                data = _without_seconds(data)
            yield str(path.relative_to(folder)), hashlib.sha256(data).hexdigest()
