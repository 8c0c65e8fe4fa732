"""Runs things concurrently, so that a failure leaves nothing running."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
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


async def each(items: Sequence[T], work: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
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
            try:
                await work(item)
            except Exception as error:
                errors.append(error)

    await all_or_stop(worker() for _ in range(min(at_once, len(items))))
    if errors:
        raise errors[0]
