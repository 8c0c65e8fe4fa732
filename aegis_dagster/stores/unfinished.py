"""The local folders in which results are made, of every kind of artifact store.

Workers write into `<root>/staging/`. A result is moved to `<root>/moving/`, where no worker can write, before it is
looked at, linked, sent or deleted: so nothing that a worker puts into it leads elsewhere.
"""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import DocumentError, FailureCode, ServiceError
from aegis_dagster.ports import Clock
from aegis_dagster.process_identity import is_dead, new_owner
from aegis_dagster.stores.artifact_files import Checksums, NoFileError, measured
from aegis_dagster.stores.faults import Place, service_error

ABANDONED_SECONDS = 86_400.0  # no result takes this long to make
_UNFINISHED, _MOVING = "staging", "moving"
_OF_WORKERS = (Stage.PARSE, Stage.CHUNK)  # whose results workers write


class UnfinishedResults:
    """This process's results that are not published yet, and those that killed processes left."""

    def __init__(self, root: Path, clock: Clock, remove: Callable[[Path], object]) -> None:
        """remove: deletes a folder; it does not raise."""
        self._root, self._clock, self._remove = root, clock, remove
        self._owner = new_owner()

    @contextmanager
    def result(self, stage: Stage) -> Iterator[tuple[Path, Callable[[], tuple[Path, Checksums]]]]:
        """An empty folder for a result, deleted at the end of the block, and what takes it from its worker.

        That returns the folder's new place and its checksums. It raises DocumentError when the result holds something
        else than files. Raises ServiceError when the disk cannot be written.
        """
        name = f"{stage}-{uuid.uuid4().hex}"
        folder = self.own_moving / name
        begun = self._root / _UNFINISHED / self._owner / name if stage in _OF_WORKERS else folder

        def taken() -> tuple[Path, Checksums]:
            if begun != folder:
                folder.parent.mkdir(parents=True, exist_ok=True)
                begun.rename(folder)
            return folder, _measured_safely(folder)

        try:
            begun.mkdir(parents=True)
            yield begun, taken
        except OSError as error:
            raise self.fault(error) from error
        finally:  # published, neither is there any more
            for place in {begun, folder}:
                if os.path.lexists(place):
                    self._remove(place)

    @property
    def own_moving(self) -> Path:
        """Where this process moves folders that no worker and no reader may see any more."""
        return self._root / _MOVING / self._owner

    def clean(self) -> bool:
        """Remove what killed processes left; of other hosts once it is older than a day. Returns whether it did."""
        killed = False
        for folder in (*self._root.glob(f"{_UNFINISHED}/*"), *self._root.glob(f"{_MOVING}/*")):
            abandoned = folder.is_dir() and self._clock.now().timestamp() - folder.stat().st_mtime > ABANDONED_SECONDS
            if is_dead(folder.name) or abandoned:
                shutil.rmtree(folder, ignore_errors=True)
                killed = True
        return killed

    def check(self) -> None:
        """Raises ServiceError when no result can be written."""
        try:
            self.own_moving.mkdir(parents=True, exist_ok=True)
            (self.own_moving / "probe").write_bytes(b"x")
        except OSError as error:
            raise self.fault(error) from error
        finally:
            self.close()

    def close(self) -> None:
        """Remove this process's own unfinished results."""
        for place in (_UNFINISHED, _MOVING):
            shutil.rmtree(self._root / place / self._owner, ignore_errors=True)

    def fault(self, error: OSError) -> ServiceError:
        """The error that tells what is wrong with the local folder."""
        place = Place(f"The artifact store {self._root}", self._root, "")
        return service_error(error, place) or ServiceError(
            f"{place.what} fails: {error.strerror or error}.",
            remedy=f"check {self._root} with `ls -ld` and `df`.",
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
