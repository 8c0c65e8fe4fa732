"""Copies of remote documents, kept on the disk while they are parsed.

Every copy has a folder of its own, so that no thread or process removes another's copy. Its names are ours: no name
of a server reaches the disk.
"""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aegis_dagster.domain.stages import Document
from aegis_dagster.errors import DocumentError, FailureCode, ServiceError
from aegis_dagster.process_identity import new_folder, remove_folders_of_the_dead


class Downloads:
    """A local folder for copies. Many processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def copy(self, document: Document, blocks: Iterable[bytes], *, most: int) -> Iterator[Path]:
        """A file with these bytes, deleted at the end of the block. Its path has no links.

        most: bytes; no more are taken. Raises DocumentError FILE_CHANGED if the bytes are not the listed ones,
        ServiceError if they cannot be written, and the errors of `blocks`.
        """
        with self._writable():
            remove_folders_of_the_dead(self._folder)
            own = new_folder(self._folder)
        copy = own / document.revision
        try:
            if self._write(blocks, copy, most) != document.revision:
                raise _changed("The file changed after it was listed.")
            yield copy.resolve()
        finally:
            shutil.rmtree(own, ignore_errors=True)

    def _write(self, blocks: Iterable[bytes], copy: Path, most: int) -> str:
        """Returns the sha256 of what was written."""
        hasher, size = hashlib.sha256(), 0
        with self._writable():
            local = copy.open("wb")
        with local:
            for block in blocks:
                size += len(block)
                if size > most:
                    raise _changed(f"The server sends more than the {most:,} bytes that were listed.")
                hasher.update(block)
                with self._writable():
                    local.write(block)
            with self._writable():
                local.flush()
        return hasher.hexdigest()

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ServiceError(
                f"A copy of a document cannot be written to {self._folder}: {error.strerror}.",
                remedy="free space there, or make it a folder that this user may write to; the step is tried again.",
            ) from error


def _changed(message: str) -> DocumentError:
    remedy = "nothing; the next run reads it again."
    return DocumentError(FailureCode.FILE_CHANGED, message, remedy=remedy, retryable=True)
