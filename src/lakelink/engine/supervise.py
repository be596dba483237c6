"""Running work together: task groups whose failure is one plain error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Run all of it concurrently; the first failure cancels the rest and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for item in work:
                group.create_task(item)
    except BaseExceptionGroup as trouble:
        raise _first(trouble) from trouble


async def workers(items: Iterable[T], work: Callable[[T], Awaitable[None]], count: int) -> None:
    """Feed items to `count` workers, lazily: at most `count` items are taken at a time. The first failure ends all."""
    source: Iterator[T] = iter(items)

    async def worker() -> None:
        for item in source:
            await work(item)

    await together(*(worker() for _ in range(max(1, count))))


def _first(trouble: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = trouble
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
