"""Reads many objects at once, some of which may never arrive.

An object that hangs is passed over, and not requested again while it hangs. If as many objects hang as are read at
once, the whole root counts as silent.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any, TypeVar

from aegis_dagster.remote.hang_guard import LOOKS, Patience, Question, answered, asked

_Name = TypeVar("_Name", bound=str)
_Result = TypeVar("_Result")

_ENDLESS = Patience("", seconds=float("inf"))
_lock = Lock()  # guards the following; held briefly
_hanging: dict[tuple[str, str], Question[Any]] = {}  # given up, by root and name; their threads still live


def side_by_side(
    read: Callable[[_Name], _Result],
    names: Collection[_Name],
    *,
    at_once: int,
    instead: Callable[[_Name], _Result],
    put_back: Callable[[_Result], object] | None = None,
) -> Iterator[tuple[_Name, _Result]]:
    """Each name with its result, as results arrive. instead: the result for a silent object.

    put_back: called with a result that comes when nobody waits any more. The surrounding request sets how long an
    object may be silent; without one there is no limit. Raises the errors of `read`, RootUnreadable.
    """
    question = asked()
    patience = question.patience if question else _ENDLESS
    waiting, under_way = deque(names), dict[_Name, Question[_Result]]()
    ended: SimpleQueue[_Name] = SimpleQueue()
    look_at = time.monotonic() + patience.seconds / LOOKS
    try:
        while waiting or under_way:
            room = at_once - _count(patience.root)
            if room <= 0 and not under_way:
                raise patience.unreadable(patience.seconds)
            while waiting and len(under_way) < room:
                name = waiting.popleft()
                if (patience.root, name) in _hanging:
                    yield name, instead(name)
                else:
                    under_way[name] = _begin(read, name, patience, ended, put_back)
            answered()  # or given up: the silence of each object is handled here
            for name in _next(ended, look_at):
                yield name, under_way.pop(name).answer()
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + patience.seconds / LOOKS
                for name in [name for name, one in under_way.items() if one.is_silent() and _leave(name, one)]:
                    del under_way[name]
                    yield name, instead(name)
    finally:
        for one in under_way.values():
            one.give_up()


def _begin(
    read: Callable[[_Name], _Result],
    name: _Name,
    patience: Patience,
    ended: SimpleQueue[_Name],
    put_back: Callable[[_Result], object] | None,
) -> Question[_Result]:
    question = Question(lambda: read(name), patience)

    def end() -> None:
        with _lock:
            if _hanging.get((patience.root, name)) is question:
                del _hanging[patience.root, name]
        if not question.given_up:
            ended.put(name)
        elif put_back is not None:
            question.put_back(put_back)

    question.start(end)
    return question


def _next(ended: SimpleQueue[_Name], until: float) -> Iterator[_Name]:
    """A read that ended, if one does by this time of time.monotonic."""
    try:
        yield ended.get(timeout=None if until == float("inf") else max(0.0, until - time.monotonic()))
    except Empty:
        return


def _leave(name: str, question: Question[Any]) -> bool:
    """Abandon a read. Returns False if it has just ended."""
    with _lock:
        if not question.give_up():
            return False
        _hanging[question.patience.root, name] = question
    return True


def _count(root: str) -> int:
    with _lock:
        return sum(1 for of_root, _ in _hanging if of_root == root)
