"""Runs things concurrently, so that a failure leaves nothing running and an interrupted process loses no answer."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def all_or_stop(awaitables: Iterable[Awaitable[R]]) -> list[R]:
    """Wait for all and give their results in order; when one fails, cancel the others and raise its error."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class UnderWay:
    """The items that `each` works on in this process: to end it, begin no more and wait until these are finished.

    Used by two threads: the event loop's begins and finishes items, another one ends the process.
    """

    def __init__(self) -> None:
        self.items = 0
        self._closed = False

    def close(self) -> None:
        """From now on no item is begun: who wants to, waits for the end of the process."""
        self._closed = True

    @contextmanager
    def one_more(self) -> Iterator[bool]:
        """Count an item inside the block; False: it must not be begun."""
        self.items += 1  # before the question: so `close` followed by a look at `items` misses none
        try:
            yield not self._closed
        finally:
            self.items -= 1


UNDER_WAY = UnderWay()


async def each(
    items: Sequence[T], work: Callable[[T], Awaitable[None]], *, at_once: int, under_way: UnderWay = UNDER_WAY
) -> None:
    """Work on every item, `at_once` at a time.

    When one fails, no other is started; those in progress are finished, because their model calls are paid for, and
    the first error is raised.
    """
    queue = iter(items)
    errors: list[Exception] = []

    async def worker() -> None:
        for item in queue:
            if errors:
                return
            with under_way.one_more() as may_begin:
                try:
                    if may_begin:
                        await work(item)
                except Exception as error:
                    errors.append(error)
            if not may_begin:
                await asyncio.Event().wait()

    await all_or_stop(worker() for _ in range(min(at_once, len(items))))
    if errors:
        raise errors[0]
