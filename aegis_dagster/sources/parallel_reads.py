"""Reading many objects at once, of which some may never come.

One object that hangs is passed over, and not asked for again while it does. A root of which as many hang as are read at
once is silent as a whole.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any, TypeVar

from aegis_dagster.sources.hang_guard import LOOKS, Patience, Question, answered, asked

_Name = TypeVar("_Name", bound=str)
_Result = TypeVar("_Result")

_ENDLESS = Patience("", seconds=float("inf"))
_lock = Lock()  # of what follows; held for moments
_hanging: dict[tuple[str, str], Question[Any]] = {}  # by root and name: given up; their threads live


def side_by_side(
    read: Callable[[_Name], _Result], names: Collection[_Name], *, at_once: int, instead: Callable[[_Name], _Result]
) -> Iterator[tuple[_Name, _Result]]:
    """Each name with what was read, as it comes. instead: the result for one that is silent.

    The question that this is part of says for how long one may be; without a question, for ever. Raises what `read`
    raises, RootUnreadable.
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
                    under_way[name] = _begin(read, name, patience, ended)
            answered()  # or given up: of the silence of each is taken care here
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
    read: Callable[[_Name], _Result], name: _Name, patience: Patience, ended: SimpleQueue[_Name]
) -> Question[_Result]:
    question = Question(lambda: read(name), patience)

    def end() -> None:
        with _lock:
            if _hanging.get((patience.root, name)) is question:
                del _hanging[patience.root, name]
        if not question.given_up:
            ended.put(name)

    question.start(end)
    return question


def _next(ended: SimpleQueue[_Name], until: float) -> Iterator[_Name]:
    """One that ended, if there is one until then, of time.monotonic."""
    try:
        yield ended.get(timeout=None if until == float("inf") else max(0.0, until - time.monotonic()))
    except Empty:
        return


def _leave(name: str, question: Question[Any]) -> bool:
    """Leave one behind. False: it ended in this moment."""
    with _lock:
        if not question.give_up():
            return False
        _hanging[question.patience.root, name] = question
    return True


def _count(root: str) -> int:
    with _lock:
        return sum(1 for of_root, _ in _hanging if of_root == root)
