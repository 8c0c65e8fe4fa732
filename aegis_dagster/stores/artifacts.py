"""The artifact store: results of stages in folders named by fingerprint.

Layout: `<root>/<stage>/<first two characters>/<fingerprint>/FILES`, and `<root>/staging/` for unfinished results, which
workers write. A result is moved to `<root>/moving/`, where no worker can write, before it is looked at, linked or
deleted: so nothing that a worker puts into it leads elsewhere. A folder that exists under its final name is complete.
Its `checksums.json` names size and SHA-256 of every other file in it; artifacts that an older version made have none
until `aegis audit --repair` writes it. `<root>/shared/` holds the pictures that are in several.
"""

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import DocumentError, FailureCode, ServiceError
from aegis_dagster.ports import Clock
from aegis_dagster.process_identity import is_dead, new_owner
from aegis_dagster.stores.artifact_files import (
    CHECKSUMS,
    Checksums,
    NoFileError,
    as_text,
    checksums_in,
    contents,
    difference,
    measured,
    unreadable,
)
from aegis_dagster.stores.faults import Place, service_error
from aegis_dagster.stores.shared_pictures import SharedPictures

_ABANDONED_SECONDS = 86_400.0  # no result takes this long to make
_UNFINISHED, _MOVING = "staging", "moving"
_OF_WORKERS = (Stage.PARSE, Stage.CHUNK)  # whose results workers write


class FolderArtifacts:
    """Artifacts in a local folder."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root = root
        self._clock = clock
        self._owner = new_owner()
        self._pictures = SharedPictures(root)
        self._withdrawn: list[Path] = []

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
                    return frozenset([entry.name for entry in entries if entry.is_dir()])
            except (FileNotFoundError, NotADirectoryError):
                return frozenset()

        return lambda stage, fingerprint: fingerprint in folders(stage, fingerprint[:2])

    @contextmanager
    def staging(self, stage: Stage, fingerprint: str, *, replace: bool) -> Iterator[Path]:
        """An empty folder for a result; it is published when the block ends without an exception.

        replace: replace an existing result. Raises ServiceError when the disk cannot be written, DocumentError when
        the result holds something else than files.
        """
        name = f"{stage}-{uuid.uuid4().hex}"
        folder = self._own(_MOVING) / name
        begun = self._own(_UNFINISHED) / name if stage in _OF_WORKERS else folder
        try:
            begun.mkdir(parents=True)
            yield begun
            if begun != folder:
                folder.parent.mkdir(parents=True, exist_ok=True)
                begun.rename(folder)
            checksums = _measured_safely(folder)
            self._pictures.share(folder, {name: str(content_hash) for name, (_, content_hash) in checksums.items()})
            (folder / CHECKSUMS).write_text(as_text(checksums), "utf-8")
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
            raise self._fault(error) from error
        finally:  # published, neither is there any more
            for place in {begun, folder}:
                if os.path.lexists(place):
                    self._remove(place)

    def damage(self, stage: Stage, fingerprint: str) -> str | None:
        """What is wrong with an artifact's files; None: nothing. Reads all of them. Raises ServiceError.

        Without checksums, JSON that cannot be read is all that is noticed.
        """
        folder = self.path(stage, fingerprint)
        try:
            written = checksums_in(folder)
            return unreadable(folder) if written is None else difference(written, measured(folder))
        except ValueError:
            return f"{CHECKSUMS} cannot be read"
        except NoFileError as error:
            return f"{error} is no file"
        except (FileNotFoundError, NotADirectoryError):  # perhaps deleted or replaced meanwhile
            return "it is gone"
        except OSError as error:
            raise self._fault(error) from error

    def has_checksums(self, stage: Stage, fingerprint: str) -> bool:
        """Whether an artifact's files can be compared with what was written."""
        return (self.path(stage, fingerprint) / CHECKSUMS).is_file()

    def write_checksums(self, stage: Stage, fingerprint: str) -> None:
        """Take the files of an artifact of an older version for right. Raises ServiceError."""
        try:
            folder = self.path(stage, fingerprint)
            unfinished = folder / f".{CHECKSUMS}-{uuid.uuid4().hex}"
            unfinished.write_text(as_text(measured(folder)), "utf-8")
            unfinished.rename(folder / CHECKSUMS)
        except OSError as error:
            raise self._fault(error) from error

    def delete(self, stage: Stage, fingerprint: str) -> None:
        """Delete an artifact."""
        self.withdraw(stage, fingerprint)
        self.remove_withdrawn()

    def withdraw(self, stage: Stage, fingerprint: str) -> None:
        """Let an artifact disappear for every reader at once, by a rename; `remove_withdrawn` deletes its files.

        If this process is killed before, `clean_staging` of another one does.
        """
        folder = self.path(stage, fingerprint)
        if not folder.is_dir():
            return
        trash = self._own(_MOVING) / f"trash-{uuid.uuid4().hex}"
        trash.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another process has just done so
            folder.rename(trash)
            self._withdrawn.append(trash)

    def remove_withdrawn(self) -> None:
        """Delete the files of the artifacts that this object withdrew."""
        withdrawn, self._withdrawn = self._withdrawn, []
        for folder in withdrawn:
            self._remove(folder)

    def clean_staging(self) -> None:
        """Remove unfinished results of killed processes; those of other hosts once they are older than a day."""
        killed = False
        for folder in (*self.root.glob(f"{_UNFINISHED}/*"), *self.root.glob(f"{_MOVING}/*")):
            abandoned = folder.is_dir() and self._clock.now().timestamp() - folder.stat().st_mtime > _ABANDONED_SECONDS
            if is_dead(folder.name) or abandoned:
                shutil.rmtree(folder, ignore_errors=True)
                killed = True
        if killed:
            self._pictures.sweep()

    def sweep_pictures(self) -> None:
        """Remove the pictures that no artifact uses and no backup either. One stat per shared picture."""
        self._pictures.sweep()

    def check(self) -> None:
        """Raises ServiceError when no result can be written."""
        try:
            probe = self._own(_MOVING)
            probe.mkdir(parents=True, exist_ok=True)
            (probe / "probe").write_bytes(b"x")
        except OSError as error:
            raise self._fault(error) from error
        finally:
            self.close()

    def close(self) -> None:
        """Remove this process's own unfinished results."""
        for place in (_UNFINISHED, _MOVING):
            shutil.rmtree(self._own(place), ignore_errors=True)

    def digest(self) -> str:
        """A hash of every artifact's stage, fingerprint, file names and contents, without the manifests' seconds."""
        hasher = hashlib.sha256()
        for stage in Stage:
            for folder in sorted((self.root / stage).glob("*/*")):
                hasher.update(f"{stage} {folder.name}\n".encode())
                for name, content_hash in contents(folder):
                    hasher.update(f"{name} {content_hash}\n".encode())
        return hasher.hexdigest()

    def _remove(self, folder: Path) -> None:
        self._pictures.forget(folder)
        shutil.rmtree(folder, ignore_errors=True)

    def _own(self, place: str) -> Path:
        return self.root / place / self._owner

    def _fault(self, error: OSError) -> ServiceError:
        place = Place(f"The artifact store {self.root}", self.root, "")
        return service_error(error, place) or ServiceError(
            f"{place.what} fails: {error.strerror or error}.", remedy=f"check {self.root} with `ls -ld` and `df`."
        )


def _measured_safely(folder: Path) -> Checksums:
    """The checksums of a worker's result.

    Raises DocumentError for anything but folders and files: a link would lead us out, a pipe would hold us up.
    """
    try:
        if folder.is_symlink():
            raise NoFileError(folder)
        return measured(folder)
    except NoFileError as error:
        raise DocumentError(
            FailureCode.WORKER_CRASHED,
            "The worker's result holds something else than files.",
            remedy="take the document out: it may have taken over its worker.",
        ) from error
