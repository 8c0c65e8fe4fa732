"""Questions to a watched root that may never be answered: a mount whose server is gone, a server without a word.

What counts is silence, not how long a question takes: whoever asks calls `answered()` after every answer, however
small, so that a listing may take hours. A thread that waits for a dead mount cannot be ended. It is left behind, and
ends with the process or at its next `answered()`. Per root and process one is left behind, and one more every ten
minutes up to three, because a connection whose server was replaced hangs for good.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Generic, TypeVar

from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.listing import KnownFile, Listing
from aegis_dagster.domain.stages import Document
from aegis_dagster.errors import RootUnreadable, ServiceError
from aegis_dagster.ports import DocumentSource

_Answer = TypeVar("_Answer")

LOOKS = 10  # in vain, until a question is given up; a process that was stopped itself has missed one of them
_ASK_ANEW_SECONDS = 600.0
_HANGING_AT_MOST = 3  # threads per root and process


class GivenUp(BaseException):
    """Ends the thread of a question that nobody waits for any more. No `except Exception` may take it for an answer."""


class Question(Generic[_Answer]):
    """Something that is asked in a thread of its own, and what came of it."""

    def __init__(self, ask: Callable[[], _Answer], patience: "Patience") -> None:
        self.patience = patience
        self.ended = Event()
        self.given_up = False  # never both
        self.signs = 0  # of life
        self.resting = False
        self._ask = ask
        self._lock = Lock()
        self._seen = 0  # signs at the last look
        self._quiet = 0  # looks in vain
        self._answers: list[_Answer] = []  # one, or none
        self._error: BaseException | None = None

    def start(self, then: Callable[[], object]) -> None:
        """Ask. then: called at the end, in the thread; it ends with the process, whatever it waits for."""
        Thread(target=copy_context().run, args=(self._run, then), name="aegis-root", daemon=True).start()

    def give_up(self) -> bool:
        """Wait no more. False: it ended in this moment."""
        with self._lock:
            self.given_up = not self.ended.is_set()
        return self.given_up

    def is_silent(self) -> bool:
        """Look for signs of life. Whether there were none for so many looks."""
        self._quiet = 0 if self.resting or self.signs != self._seen else self._quiet + 1
        self._seen = self.signs
        return self._quiet >= LOOKS

    def answer(self) -> _Answer:
        """What was answered. Raises what the question raised."""
        if self._error is not None:
            raise self._error
        return self._answers[0]

    def put_back(self, put: Callable[[_Answer], object]) -> None:
        """Hand an answer over that nobody waited for, if it was given up and there is one."""
        if self.given_up and self._answers:
            put(self._answers[0])

    def _run(self, then: Callable[[], object]) -> None:
        _asked.set(self)
        try:
            self._answers.append(self._ask())
        except BaseException as error:  # whoever asked raises it
            self._error = error
        with self._lock:
            if not self.given_up:
                self.ended.set()
        then()


@dataclass(slots=True)
class _Root:
    """What this process knows of a root."""

    hanging: list[object] = field(default_factory=list)  # questions that were given up; their threads live
    silent: bool = False  # the last question was given up
    last: float = 0.0  # when that was, of time.monotonic


_asked: ContextVar[Question[Any] | None] = ContextVar("aegis_asked_root", default=None)
_lock = Lock()  # of what follows; held for moments
_roots: dict[str, _Root] = {}


def asked() -> Question[Any] | None:
    """The question that is asked in this context."""
    return _asked.get()


def answered() -> None:
    """The root gave an answer, however small; for whatever is asked in this context, if anything is.

    Raises GivenUp when nobody waits for more.
    """
    question = _asked.get()
    if question is None:
        return
    question.signs += 1
    if question.given_up:
        raise GivenUp


def rest(seconds: float) -> None:
    """Sleep, which is no silence of the root. Raises GivenUp."""
    question = _asked.get()
    if question is not None:
        question.resting = True
    time.sleep(seconds)
    if question is not None:
        question.resting = False
    answered()


class Patience:
    """Asks one root. Objects of the same root share what they know of it."""

    def __init__(self, root: str, *, seconds: float, ask_anew_seconds: float = _ASK_ANEW_SECONDS) -> None:
        """seconds: of silence, until a question is given up. ask_anew_seconds: see above."""
        self.root = root
        self.seconds = seconds
        self._ask_anew_seconds = ask_anew_seconds

    def ask(self, ask: Callable[[], _Answer], put_back: Callable[[_Answer], object] | None = None) -> _Answer:
        """The answer. put_back: what to do with one that comes when nobody waits any more.

        Raises what the question raises; RootUnreadable after silence, and at once while an earlier question hangs.
        """
        with _lock:
            known = _roots.setdefault(self.root, _Root())
            if self._hangs(known):
                raise self.unreadable(time.monotonic() - known.last + self.seconds)
        question = Question(ask, self)
        question.start(lambda: self._end(question, put_back))
        try:
            while not question.ended.wait(self.seconds / LOOKS):
                if question.is_silent() and self._leave(question):
                    raise self.unreadable(self.seconds)
        finally:
            question.give_up()  # Ctrl-C
        return question.answer()

    def unreadable(self, seconds: float) -> RootUnreadable:
        """The error for a silence of so long."""
        return RootUnreadable(
            f"The watched root {self.root} has not answered for {seconds:.3g} s.",
            remedy="see why its server or mount is silent; it is asked again once that has ended, or this process is "
            "started anew. Where it is only slow, raise listing.patience_seconds. Nothing was deleted.",
        )

    def _hangs(self, known: _Root) -> bool:
        if len(known.hanging) >= _HANGING_AT_MOST:
            return True
        return known.silent and bool(known.hanging) and time.monotonic() - known.last < self._ask_anew_seconds

    def _leave(self, question: Question[_Answer]) -> bool:
        """Leave a question behind. False: it ended in this moment."""
        with _lock:
            if not question.give_up():
                return False
            known = _roots[self.root]
            known.hanging.append(question)
            known.silent, known.last = True, time.monotonic()
        return True

    def _end(self, question: Question[_Answer], put_back: Callable[[_Answer], object] | None) -> None:
        with _lock:
            known = _roots[self.root]
            if question in known.hanging:
                known.hanging.remove(question)
            if not question.given_up:
                known.silent = False
        if put_back is not None:
            question.put_back(put_back)


class PatientSource:
    """A watched root that is given up when it is silent; otherwise as the source that it asks."""

    def __init__(self, source: DocumentSource, patience: Patience) -> None:
        self._source = source
        self._patience = patience

    def scan(
        self, known: Mapping[DocumentId, KnownFile], scope: str = "", *, read_seconds: float | None = None
    ) -> Listing:
        """As the source. Raises RootUnreadable for silence, too: what was seen until then is no listing."""
        return self._patience.ask(lambda: self._source.scan(known, scope, read_seconds=read_seconds))

    def holds(self, scope: str) -> bool:
        """As the source. Raises RootUnreadable."""
        return self._patience.ask(lambda: self._source.holds(scope))

    def is_file(self, scope: str) -> bool:
        """As the source. Raises RootUnreadable."""
        return self._patience.ask(lambda: self._source.is_file(scope))

    @contextmanager
    def local_copy(self, document: Document) -> Iterator[Path]:
        """As the source. Raises ServiceError for silence, too: no document is to blame, and the step is tried again."""
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
