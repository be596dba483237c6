"""Objects that are about to go, and those that somebody is about to rely on: never one and the same.

A file may be released to an object, or a stub made to stand for it, while the link is about to replace or remove that very object, since nobody had stood
for it when it was asked. So both say what they are about to do first: who comes to rely on an object that is going is refused, and who lets one go
waits until nobody is about to rely on it, and looks for stubs only then.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager


class Leaving:
    """For one lake and one event loop. Objects are named by their paths."""

    def __init__(self) -> None:
        self._going: Counter[str] = Counter()
        self._relied: Counter[str] = Counter()
        self._less = asyncio.Event()

    def __contains__(self, path: str) -> bool:
        """Whether the object is about to go."""
        return path in self._going

    @asynccontextmanager
    async def going(self, paths: Iterable[str]) -> AsyncIterator[None]:
        """These are about to go; from here on nobody begins to rely on one of them. Waits for those who had begun, each of whom ends."""
        mine = Counter(set(paths))
        self._going += mine
        try:
            while any(path in self._relied for path in mine):
                self._less.clear()
                await self._less.wait()
            yield
        finally:
            self._going -= mine

    @contextmanager
    def relying(self, paths: Iterable[str]) -> Iterator[frozenset[str]]:
        """Those of them that are not about to go, and will not until this ends."""
        sure = frozenset(path for path in paths if path not in self._going)
        mine = Counter(sure)
        self._relied += mine
        try:
            yield sure
        finally:
            self._relied -= mine
            self._less.set()
