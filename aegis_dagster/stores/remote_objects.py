"""The objects below one URL, for a store: every request has a time limit, and every error says what helps."""

import os
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from aegis_dagster.errors import AegisError, ConfigurationError, ServiceError
from aegis_dagster.remote.errors import in_our_words, is_of_empty_object, s3_code
from aegis_dagster.remote.hang_guard import StorePatience, answered, asked
from aegis_dagster.remote.modified import modified
from aegis_dagster.remote.opened import HOW_TO, is_object_store, opened
from aegis_dagster.remote.parallel_reads import side_by_side
from aegis_dagster.stores.faults import Place, service_error

_AT_ONCE = 8  # requests of one call; each waits for the network most of the time
_BLOCK_BYTES = 8 * 2**20  # sent or received between two signs of life
_RIGHTS = "s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket (without it a missing object looks forbidden)"
_SERVER = "see that its server runs and is reached from here"
_SAYS = {  # by S3's word: what is wrong, what helps
    "NoSuchBucket": ("the bucket is not there", "create it, or correct artifacts.url; nothing was deleted"),
    "AccessDenied": ("access is denied", f"give the credentials in the environment the rights {_RIGHTS}"),
    "InvalidAccessKeyId": ("the key is not known there", "correct AWS_ACCESS_KEY_ID"),
    "SignatureDoesNotMatch": ("the secret of the key is wrong", "correct AWS_SECRET_ACCESS_KEY"),
    "ExpiredToken": ("the token has expired", "renew the credentials in the environment"),
    "RequestTimeTooSkewed": ("this machine's clock differs too much from the server's", "set the clock (NTP)"),
    "SlowDown": ("it is asked too often", "wait; lower parse.workers if it stays"),
    "403": ("access is denied", f"give the credentials in the environment the rights {_RIGHTS}"),
}

_Name = TypeVar("_Name", bound=str)
_Answer = TypeVar("_Answer")


class AbsentObject(Exception):
    """There is no object of this name."""


class _OfTaker(Exception):
    """An error of whoever takes the bytes of an object."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class RemoteObjects:
    """Objects by their names relative to a URL. Safe in threads."""

    def __init__(self, url: str, options: Mapping[str, Any], *, patience_seconds: float) -> None:
        """options: arguments of fsspec's filesystem. patience_seconds: of silence before a request is given up."""
        self.url = url.rstrip("/")
        self._options = options
        self._patience = StorePatience(f"The artifact store {self.url}", seconds=patience_seconds)
        self._seen = False

    def read(self, name: str) -> bytes:
        """A small object. Raises AbsentObject, ServiceError."""
        return self._ask(lambda: self._first(name, _BLOCK_BYTES), may_be_absent=True)

    def write(self, name: str, data: bytes) -> None:
        """Write a small object in one step. Raises ServiceError."""
        self._ask(lambda: self._put(name, data))

    def upload(self, name: str, file: Path) -> None:
        """Write an object with the bytes of a local file. Raises ServiceError."""
        with _locally(file):
            data = file.read_bytes() if file.stat().st_size <= _BLOCK_BYTES else None
        if data is not None:
            self.write(name, data)
        else:
            self._ask(lambda: self._send(name, file))

    def fetch(self, name: str, size: int, take: Callable[[bytes], object]) -> None:
        """Hand over the bytes of an object, in blocks if there are many. size: what it should have.

        Raises AbsentObject, ServiceError and the errors of `take`.
        """
        if size <= _BLOCK_BYTES:
            take(self._ask(lambda: self._first(name, size + 1), may_be_absent=True))  # of one that has grown not all
            return

        def receive() -> None:
            with self._filesystem.open(self._full(name), "rb", block_size=_BLOCK_BYTES, cache_type="none") as remote:
                answered()
                while block := remote.read(_BLOCK_BYTES):
                    answered()
                    try:
                        take(block)
                    except Exception as error:
                        raise _OfTaker(error) from error

        try:
            self._ask(receive, may_be_absent=True)
        except _OfTaker as error:
            raise error.error from error

    def names(self, folder: str) -> dict[str, float | None]:
        """The objects in a folder, and when each was written by the server's clock. Raises ServiceError."""
        return self._listed(lambda: self._filesystem.ls(self._full(folder), detail=True), folder)

    def below(self, folder: str) -> dict[str, float | None]:
        """The same for everything below a folder."""
        return self._listed(lambda: self._filesystem.find(self._full(folder), detail=True).values(), folder)

    def remove(self, names: Collection[str]) -> None:
        """Remove objects; one that is gone already counts as removed. Raises ServiceError."""
        if names:
            self._ask(lambda: self._remove([self._full(name) for name in names]))

    def each(self, do: Callable[[_Name], _Answer], names: Collection[_Name]) -> dict[_Name, _Answer]:
        """Do something for each name, several at once. Raises ServiceError, and the errors of `do`."""

        def silent(name: _Name) -> _Answer:
            raise self._patience.unreadable(self._patience.seconds)

        return self._guarded(lambda: dict(side_by_side(do, names, at_once=_AT_ONCE, instead=silent)))

    def _ask(self, ask: Callable[[], _Answer], *, may_be_absent: bool = False) -> _Answer:
        """Raises ServiceError for whatever a filesystem raises: each has classes of its own."""

        def told() -> _Answer:
            try:
                return ask()
            except (AegisError, _OfTaker):
                raise
            except FileNotFoundError as error:
                if may_be_absent and self._is_only_absent(error):
                    raise AbsentObject from error
                raise self._fault(error) from error
            except Exception as error:
                raise self._fault(error) from error

        return self._guarded(told)

    def _guarded(self, ask: Callable[[], _Answer]) -> _Answer:
        """With a limit for silence, which counts for all requests of one call."""
        return ask() if asked() is not None else self._patience.ask(ask)

    def _fault(self, error: Exception) -> AegisError:
        if isinstance(error, ImportError | TypeError):  # options are used at the first request
            return self._not_opened(error)
        words, remedy = _SAYS.get(s3_code(error), ("", ""))
        if not words and isinstance(error, FileNotFoundError):
            words, remedy = _SAYS["NoSuchBucket"]
        if not words and isinstance(error, PermissionError):
            words, remedy = _SAYS["AccessDenied"]
        words = words or in_our_words(error)
        remedy = remedy or f"{_SERVER}, and that the credentials in the environment are valid"
        return ServiceError(
            f"The artifact store {self.url} cannot be used: {words}.", remedy=f"{remedy}; the step is tried again."
        )

    def _is_only_absent(self, error: FileNotFoundError) -> bool:
        """Whether the bucket is there. It is looked for once, where the error does not tell."""
        if (code := s3_code(error)) in ("NoSuchKey", "NoSuchBucket") or not is_object_store(self._filesystem):
            return code != "NoSuchBucket"
        if not self._seen:
            try:
                self._seen = bool(self._filesystem.exists(self._top.lstrip("/").split("/")[0]))
            except Exception as unclear:
                raise self._fault(unclear) from unclear
        return self._seen

    @cached_property
    def _opened(self) -> Any:
        try:
            return opened(self.url, self._options)
        except (ImportError, ValueError, TypeError) as error:
            raise self._not_opened(error) from error

    def _not_opened(self, error: Exception) -> ConfigurationError:
        return ConfigurationError(
            f"The artifact store {self.url} cannot be opened: {in_our_words(error)}.",
            remedy=f"{HOW_TO} `artifacts.url` and `artifacts.options`.",
        )

    @property
    def _filesystem(self) -> Any:
        return self._opened.fs

    @cached_property
    def _top(self) -> str:
        return str(self._opened.path).rstrip("/")

    def _full(self, name: str) -> str:
        return f"{self._top}/{name}" if name else self._top

    def _listed(self, ask: Callable[[], Any], folder: str) -> dict[str, float | None]:
        def listing() -> dict[str, float | None]:
            self._filesystem.invalidate_cache()  # fsspec would answer from an earlier listing
            found = [info for info in ask() if info.get("type") != "directory"]
            return {_relative(str(info["name"]), self._full(folder)): modified(info) for info in found}

        try:
            return self._ask(listing, may_be_absent=True)
        except AbsentObject:  # object stores have no empty folders
            return {}

    def _first(self, name: str, most: int) -> bytes:
        """The first bytes of an object. With a range, s3fs does not ask for its size first."""
        try:
            return bytes(self._filesystem.cat_file(self._full(name), start=0, end=most))
        except Exception as error:
            if is_of_empty_object(error):
                return b""
            raise

    def _put(self, name: str, data: bytes) -> None:
        """A reader sees the whole object, or none: in an object store always, elsewhere by a rename."""
        if is_object_store(self._filesystem):
            self._filesystem.pipe_file(self._full(name), data)
            return
        unfinished = self._full(f"{name}.{uuid.uuid4().hex}")
        self._filesystem.makedirs(unfinished.rpartition("/")[0], exist_ok=True)
        self._filesystem.pipe_file(unfinished, data)
        answered()
        self._filesystem.mv(unfinished, self._full(name))

    def _send(self, name: str, file: Path) -> None:
        if not is_object_store(self._filesystem):
            self._filesystem.makedirs(self._full(name).rpartition("/")[0], exist_ok=True)
        with self._filesystem.open(self._full(name), "wb", block_size=_BLOCK_BYTES) as remote:
            with _locally(file):
                local = file.open("rb")
            with local:
                while block := local.read(_BLOCK_BYTES):
                    remote.write(block)
                    answered()

    def _remove(self, paths: list[str]) -> None:
        if is_object_store(self._filesystem):
            with suppress(FileNotFoundError):
                self._filesystem.rm(paths)  # a request for a thousand
                return
        for path in paths:
            answered()
            with suppress(FileNotFoundError):
                self._filesystem.rm_file(path)


def _relative(path: str, folder: str) -> str:
    return path.strip("/").removeprefix(folder.strip("/")).strip("/")


@contextmanager
def _locally(file: Path) -> Iterator[None]:
    """An error of the local disk is not the server's."""
    try:
        yield
    except OSError as error:
        raise service_error(error, Place(str(file), file.parent, "")) or ServiceError(
            f"{file} cannot be read: {os.strerror(error.errno or 0)}.", remedy="check its disk with `ls -ld` and `df`."
        ) from error
