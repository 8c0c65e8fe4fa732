"""Guards requests that may never be answered, e.g. by a mount whose server is gone: of a watched root, or of a store.

Silence counts, not the duration of a request: the requester calls `answered()` after every answer, however small, so
that a listing may take hours. A thread that waits for a dead mount cannot be ended. It is abandoned, and ends with the
process or at its next `answered()`. Per root and process one thread is abandoned, and one more every ten minutes up to
three, because a connection whose server was replaced hangs forever.
"""

import time
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Any, Generic, TypeVar

from aegis_dagster.errors import AegisError, RootUnreadable, ServiceError

_Answer = TypeVar("_Answer")

LOOKS = 10  # checks without a sign of life before a request is given up; a process that was itself stopped misses one
_ASK_ANEW_SECONDS = 600.0
_HANGING_AT_MOST = 3  # threads per root and process


class GivenUp(BaseException):
    """Ends the thread of a request that nobody waits for any more. No `except Exception` may catch it."""


class Question(Generic[_Answer]):
    """A request that runs in a thread of its own, and its outcome."""

    def __init__(self, ask: Callable[[], _Answer], patience: "Patience") -> None:
        self.patience = patience
        self.ended = Event()
        self.given_up = False  # never both
        self.signs = 0  # of life
        self.resting = False
        self._ask = ask
        self._lock = Lock()
        self._seen = 0  # signs of life at the last check
        self._quiet = 0  # checks without a new sign
        self._answers: list[_Answer] = []  # one, or none
        self._error: BaseException | None = None

    def start(self, then: Callable[[], object]) -> None:
        """Start the thread. then: called in it at the end. It ends with the process, whatever it waits for."""
        Thread(target=copy_context().run, args=(self._run, then), name="aegis-root", daemon=True).start()

    def give_up(self) -> bool:
        """Stop waiting. Returns False if the request has just ended."""
        with self._lock:
            self.given_up = not self.ended.is_set()
        return self.given_up

    def is_silent(self) -> bool:
        """Check for signs of life. Returns whether there were none for too many checks."""
        self._quiet = 0 if self.resting or self.signs != self._seen else self._quiet + 1
        self._seen = self.signs
        return self._quiet >= LOOKS

    def answer(self) -> _Answer:
        """The answer. Raises the request's error."""
        if self._error is not None:
            raise self._error
        return self._answers[0]

    def put_back(self, put: Callable[[_Answer], object]) -> None:
        """Hand over an answer that nobody waited for, if the request was given up and has one."""
        if self.given_up and self._answers:
            put(self._answers[0])

    def _run(self, then: Callable[[], object]) -> None:
        _asked.set(self)
        try:
            self._answers.append(self._ask())
        except BaseException as error:  # the requester raises it
            self._error = error
        with self._lock:
            if not self.given_up:
                self.ended.set()
        then()


@dataclass(slots=True)
class _Root:
    """What this process knows about a root."""

    hanging: list[object] = field(default_factory=list)  # requests that were given up; their threads still live
    silent: bool = False  # the last request was given up
    last: float = 0.0  # when that was, of time.monotonic


_asked: ContextVar[Question[Any] | None] = ContextVar("aegis_asked_root", default=None)
_lock = Lock()  # guards the following fields; held briefly
_roots: dict[str, _Root] = {}


def asked() -> Question[Any] | None:
    """The request of this context."""
    return _asked.get()


def answered() -> None:
    """Report an answer of the root, however small, to the request of this context, if there is one.

    Raises GivenUp if nobody waits any more.
    """
    question = _asked.get()
    if question is None:
        return
    question.signs += 1
    if question.given_up:
        raise GivenUp


def rest(seconds: float) -> None:
    """Sleep; this does not count as silence of the root. Raises GivenUp."""
    question = _asked.get()
    if question is not None:
        question.resting = True
    time.sleep(seconds)
    if question is not None:
        question.resting = False
    answered()


class Patience:
    """Sends requests to one root. All objects for the same root share their knowledge of it."""

    def __init__(self, root: str, *, seconds: float, ask_anew_seconds: float = _ASK_ANEW_SECONDS) -> None:
        """seconds: of silence before a request is given up. ask_anew_seconds: see above."""
        self.root = root
        self.seconds = seconds
        self._ask_anew_seconds = ask_anew_seconds

    def ask(self, ask: Callable[[], _Answer], put_back: Callable[[_Answer], object] | None = None) -> _Answer:
        """The answer. put_back: called with an answer that comes when nobody waits any more.

        Raises the request's error; RootUnreadable after silence, and at once while an earlier request hangs.
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

    def unreadable(self, seconds: float) -> AegisError:
        """The error for a silence of this length."""
        return RootUnreadable(
            f"The watched root {self.root} has not answered for {seconds:.3g} s.",
            remedy="find out why its server or mount is silent; it is asked again once the hanging request has ended "
            "or this process is restarted. If it is only slow, raise listing.patience_seconds. Nothing was deleted.",
        )

    def _hangs(self, known: _Root) -> bool:
        if len(known.hanging) >= _HANGING_AT_MOST:
            return True
        return known.silent and bool(known.hanging) and time.monotonic() - known.last < self._ask_anew_seconds

    def _leave(self, question: Question[_Answer]) -> bool:
        """Abandon a request. Returns False if it has just ended."""
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


class StorePatience(Patience):
    """Sends requests to a store on a server. Its silence is the service's fault: the step is tried again."""

    def unreadable(self, seconds: float) -> AegisError:
        """The error for a silence of this length."""
        return ServiceError(
            f"{self.root} has not answered for {seconds:.3g} s.",
            remedy="find out why its server is silent; it is asked again once the hanging request has ended or this "
            "process is restarted. Nothing is lost; the step is tried again.",
        )
