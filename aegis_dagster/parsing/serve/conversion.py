"""Has files converted by a docling-serve: submits them as jobs, waits for these, and fetches what they made.

The server is a service that others use too: it may be down, busy, restarted or wrongly set up, and no document is
blamed for that. A job cannot be cancelled: the server ends it at the time limit that it is given.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.stages import Document
from aegis_dagster.errors import AegisError, ConfigurationError, DocumentError, FailureCode, ServiceError
from aegis_dagster.parsing.serve.failures import failed_inside, of_call, of_job, timed_out
from aegis_dagster.parsing.serve.versions import UNKNOWN, ask_versions, unreachable
from aegis_dagster.parsing.tasks import read_source

if TYPE_CHECKING:
    from docling.datamodel.service.options import ConvertDocumentsOptions
    from docling.datamodel.service.responses import TaskStatusResponse
    from docling.service_client import AsyncConversionJob

    from aegis_dagster.parsing.serve.client import ServeClient

T = TypeVar("T")

_MOST_SUBMISSIONS: Final = 3  # of one file, whose job the server forgets: it may end the server each time
_FAILURES_IN_A_ROW: Final = 5  # jobs of different files that fail inside the server: then it is not the files
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 5.0  # seconds between two looks at a job, and between two tries
_WAITING: Final = "pending"
_ENDED_WELL: Final = ("success", "partial_success")  # as a job; what became of the file stands in its result
_SECONDS_OF_GRACE: Final = 30.0  # beyond the time limit that the server has been given


@dataclass(frozen=True, slots=True)
class ServeAccess:
    """A server, and what is asked of it."""

    url: str
    versions: str  # on which the fingerprints rest
    options: dict[str, Any]  # of docling-serve, complete
    suffixes: Collection[str]  # of files that it parses
    may_have: Callable[[CollectionName], bool]  # whether a collection's files may be sent to it
    at_once: int
    patience_seconds: float
    timeout_seconds: float
    max_megabytes: int  # of a file
    fallback: bool
    api_key: str = field(default="", repr=False)


class DoclingServe:
    """One server, for one event loop. Implements `ports.ParseServer`."""

    def __init__(self, access: ServeAccess) -> None:
        self._access = access
        self._places = asyncio.Semaphore(access.at_once)
        self._opening = asyncio.Lock()
        self._closing = AsyncExitStack()
        self._client: ServeClient | None = None
        self._down_until = 0.0
        self._failed_in_a_row: set[str] = set()
        self.at_once, self.fallback = access.at_once, access.fallback

    def takes(self, document: Document) -> bool:
        """Whether a document is parsed there."""
        return document.suffix in self._access.suffixes and self._access.may_have(document.collection)

    @asynccontextmanager
    async def converted(self, path: Path, document: Document) -> AsyncIterator[Path]:
        """A file with what the server answers for a document, unread, inside the block.

        Raises DocumentError, Deferred, ServiceError, ConfigurationError.
        """
        most = self._access.max_megabytes
        data = await asyncio.to_thread(read_source, path, document.revision, max_megabytes=most)
        with _folder() as folder:
            answer = folder / "answer.json"
            async with self._places:
                await self._written(data, f"{document.revision[:16]}{document.suffix}", answer)
            del data
            yield answer

    async def _written(self, data: bytes, name: str, answer: Path) -> None:
        """Write the answer to a file. name: tells the format, and nothing else."""
        if self.fallback and time.monotonic() < self._down_until:
            raise unreachable(self._access.url, "it did not answer a moment ago")
        try:
            await self._convert(data, name, answer)
        except OSError as error:
            raise _unwritable(error) from error
        except ServiceError:
            # With a fallback, the other files need not wait as long again.
            self._down_until = time.monotonic() + self._access.patience_seconds
            raise

    async def aclose(self) -> None:
        """Close the connections."""
        await self._closing.aclose()

    async def _convert(self, data: bytes, name: str, answer: Path) -> None:
        from docling.service_client import ResultExpiredError, TaskNotFoundError

        client = await self._opened()
        expired = False
        for _ in range(_MOST_SUBMISSIONS):
            await self._require_same_versions()
            job = await self._submitted(client, data, name)
            try:
                status = await self._ended(job)
            except TaskNotFoundError:
                continue  # the server was started again, and has forgotten it
            if status.task_status not in _ENDED_WELL:
                raise self._failed(status, name)
            self._failed_in_a_row.clear()
            try:
                await self._patiently(partial(client.save_result, job.task_id, status, answer))
                return
            except (TaskNotFoundError, ResultExpiredError) as error:
                if expired:
                    raise unreachable(self._access.url, "its results expire before they can be fetched") from error
                expired = True
        raise failed_inside(f"it forgot the job {_MOST_SUBMISSIONS} times, and may have ended over this document.")

    async def _opened(self) -> "ServeClient":
        """The client, made by the first that needs it: docling takes a second to import, so in another thread."""
        async with self._opening:
            if self._client is None:
                made = await asyncio.to_thread(self._made)
                self._client = await self._closing.enter_async_context(made)
            return self._client

    def _made(self) -> "ServeClient":
        from aegis_dagster.parsing.serve.client import ServeClient

        return ServeClient(self._access.url, self._access.api_key, self._options())

    def _options(self) -> "ConvertDocumentsOptions":
        from docling.datamodel.service.options import ConvertDocumentsOptions
        from pydantic import ValidationError

        options = self._access.options
        unknown = sorted(options.keys() - ConvertDocumentsOptions.model_fields.keys())
        remedy = "correct parse.serve.options; the server lists what there is under /docs."
        if unknown:
            raise ConfigurationError(f"docling-serve has no option {unknown[0]}.", remedy=remedy)
        try:
            return ConvertDocumentsOptions.model_validate(options)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise ConfigurationError(f"docling-serve's option {name}: {first['msg']}.", remedy=remedy) from error

    async def _require_same_versions(self) -> None:
        """Raises ServiceError if the server is another one than the fingerprints say: it was replaced meanwhile."""
        now = await self._patiently(lambda: asyncio.to_thread(ask_versions, self._access.url))
        if self._access.versions == UNKNOWN:
            raise unreachable(self._access.url, "it did not answer when the step began")
        if now != self._access.versions:
            raise ServiceError(
                f"docling-serve at {self._access.url} is {now} now, and was {self._access.versions}.",
                remedy="nothing: the step is tried again, and parses by the new version what was parsed by the old.",
            )

    async def _submitted(self, client: "ServeClient", data: bytes, name: str) -> "AsyncConversionJob[Any]":
        from docling.datamodel.service.targets import InBodyTarget
        from docling_core.types.io import DocumentStream

        def submit() -> "Awaitable[AsyncConversionJob[Any]]":
            return client.submit(DocumentStream(name=name, stream=BytesIO(data)), target=InBodyTarget())

        return await self._patiently(submit)

    async def _ended(self, job: "AsyncConversionJob[Any]") -> "TaskStatusResponse":
        """Raises TaskNotFoundError: the server does not know the job any more."""
        begun: float | None = None
        place, moved, wait = job.queue_position, time.monotonic(), _FIRST_WAIT
        while True:
            asked = time.monotonic()
            status = await self._patiently(partial(job.poll, wait))
            if job.done:
                return status
            now = time.monotonic()
            if status.task_status != _WAITING:
                begun = begun or now
                if now - begun > self._access.timeout_seconds + _SECONDS_OF_GRACE:
                    raise timed_out()
            elif status.task_position != place:
                place, moved = status.task_position, now
            elif now - moved > self._access.patience_seconds:
                raise unreachable(self._access.url, f"its queue stands still, with a file at place {place}")
            await asyncio.sleep(max(0.0, wait - (time.monotonic() - asked)))
            wait = min(wait * 1.5, _LONGEST_WAIT)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """What a call gives, as soon as the server works and has time."""
        from docling.service_client import ServiceError as Refused
        from pydantic import ValidationError

        give_up, wait = time.monotonic() + self._access.patience_seconds, _FIRST_WAIT
        while True:
            try:
                return await call()
            except (Refused, ValidationError, ServiceError) as error:
                told = of_call(self._access.url, error)
                if not isinstance(told, ServiceError) or time.monotonic() + wait > give_up:
                    raise told from error
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    def _failed(self, status: "TaskStatusResponse", name: str) -> AegisError:
        """The error for a job that failed inside the server."""
        told = of_job(self._access.url, status)
        if isinstance(told, DocumentError) and told.code is FailureCode.WORKER_CRASHED:
            self._failed_in_a_row.add(name)
            if len(self._failed_in_a_row) >= _FAILURES_IN_A_ROW:
                return unreachable(self._access.url, f"{len(self._failed_in_a_row)} files in a row failed inside it")
        return told


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that only this user may enter."""
    try:
        folder = TemporaryDirectory(prefix="aegis-answer-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _unwritable(error) from error
    with folder as name:
        yield Path(name)


def _unwritable(error: OSError) -> ServiceError:
    return ServiceError(
        f"An answer of docling-serve cannot be written: {error.strerror or error}.",
        remedy="free space in the folder for temporary files, or name another one in TMPDIR; the step is tried again.",
    )
