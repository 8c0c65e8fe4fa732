"""The artifact store: results of stages in folders named by fingerprint.

Layout: `<root>/<stage>/<first two characters>/<fingerprint>/FILES`; `unfinished.py` says where results are made. A
folder that exists under its final name is complete. Its `checksums.json` names size and SHA-256 of every other file in
it; artifacts that an older version made have none until `aegis audit --repair` writes it. `<root>/shared/` holds the
pictures that are in several.
"""

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path

from aegis_dagster.domain.stages import Stage
from aegis_dagster.ports import Clock
from aegis_dagster.stores.artifact_files import (
    CHECKSUMS,
    NoFileError,
    as_text,
    checksums_in,
    contents,
    difference,
    measured,
    unreadable,
)
from aegis_dagster.stores.shared_pictures import SharedPictures
from aegis_dagster.stores.unfinished import UnfinishedResults


class FolderArtifacts:
    """Artifacts in a local folder."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root = root
        self._pictures = SharedPictures(root)
        self._unfinished = UnfinishedResults(root, clock, self._remove)
        self._withdrawn: list[Path] = []

    def address(self, stage: Stage) -> str:
        """The URL of all artifacts of a stage."""
        return (self.root / stage).absolute().as_uri()

    def reading(self) -> AbstractContextManager[None]:
        """As the port: nothing goes away that somebody reads but by a sweep."""
        return nullcontext()

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
        with self._unfinished.result(stage) as (begun, take):
            yield begun
            folder, checksums = take()
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

    def damage(self, stage: Stage, fingerprint: str, *, in_store: bool = False) -> str | None:
        """What is wrong with an artifact's files; None: nothing. Reads all of them. Raises ServiceError.

        in_store: as the port.

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
            raise self._unfinished.fault(error) from error

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
            raise self._unfinished.fault(error) from error

    def delete(self, stage: Stage, fingerprint: str) -> None:
        """Delete an artifact."""
        self.withdraw([(stage, fingerprint)])
        self.remove_withdrawn()

    def withdraw(self, artifacts: Collection[tuple[Stage, str]]) -> None:
        """Let artifacts disappear for every reader at once, by a rename; `remove_withdrawn` deletes their files.

        If this process is killed before, `clean_staging` of another one does.
        """
        for folder in [self.path(stage, fingerprint) for stage, fingerprint in artifacts]:
            if not folder.is_dir():
                continue
            trash = self._unfinished.own_moving / f"trash-{uuid.uuid4().hex}"
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
        if self._unfinished.clean():
            self._pictures.sweep()

    def sweep_unused(self) -> None:
        """Remove the pictures that no artifact uses and no backup either. One stat per shared picture."""
        self._pictures.sweep()

    def check(self) -> None:
        """Raises ServiceError when no result can be written."""
        self._unfinished.check()

    def close(self) -> None:
        """Remove this process's own unfinished results."""
        self._unfinished.close()

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
