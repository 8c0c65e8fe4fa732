"""A watched root that is given up when it is silent."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.listing import KnownFile, Listing
from aegis_dagster.domain.stages import Document
from aegis_dagster.errors import RootUnreadable, ServiceError
from aegis_dagster.ports import DocumentSource
from aegis_dagster.remote.hang_guard import Patience


class PatientSource:
    """A watched root that is given up when it is silent; otherwise like the source that it wraps."""

    def __init__(self, source: DocumentSource, patience: Patience) -> None:
        self._source = source
        self._patience = patience

    def scan(
        self, known: Mapping[DocumentId, KnownFile], scope: str = "", *, read_seconds: float | None = None
    ) -> Listing:
        """As the source. Raises RootUnreadable also for silence: a partial result is no listing."""
        return self._patience.ask(lambda: self._source.scan(known, scope, read_seconds=read_seconds))

    def holds(self, scope: str) -> bool:
        """As the source. Raises RootUnreadable."""
        return self._patience.ask(lambda: self._source.holds(scope))

    def is_file(self, scope: str) -> bool:
        """As the source. Raises RootUnreadable."""
        return self._patience.ask(lambda: self._source.is_file(scope))

    @contextmanager
    def local_copy(self, document: Document) -> Iterator[Path]:
        """As the source. Raises ServiceError also for silence: no document is to blame, and the step is retried."""
        copy = self._source.local_copy(document)
        path = self._entered(copy)
        with ExitStack() as leaving:
            leaving.push(copy)
            yield path

    def _entered(self, copy: AbstractContextManager[Path]) -> Path:
        try:
            return self._patience.ask(copy.__enter__, lambda _: copy.__exit__(None, None, None))
        except RootUnreadable as error:
            raise ServiceError(error.message, remedy=error.remedy) from error
