"""What somebody wants to have surveyed. Outlives a session: what was not done goes on in the next one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from lakelink.errors import LakelinkError


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """Somebody waits until these paths were compared and what was found is carried."""

    paths: tuple[str, ...]
    done: asyncio.Future[None]


class Wants:
    """Requests of people, and subtrees of which a feed has lost the details."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self._requests: list[Request] = []
        self._taken: list[Request] = []
        self._subtrees: dict[tuple[str, str], None] = {}

    @property
    def is_empty(self) -> bool:
        return not (self._requests or self._taken or self._subtrees)

    def ask(self, paths: tuple[str, ...]) -> asyncio.Future[None]:
        """A survey at and below these paths; the future is done when what was found is."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests.append(Request(paths, done))
        self.woken.set()
        return done

    def note_subtree(self, side: str, path: str) -> None:
        """Everything at and below a path may have changed on that side."""
        if (side, "") not in self._subtrees:
            self._subtrees[side, path] = None
        if not path:
            for other in [key for key in self._subtrees if key[0] == side and key[1]]:
                del self._subtrees[other]
        self.woken.set()

    def take_requests(self) -> list[Request]:
        """All that wait; `finish` or `refuse` them."""
        self._taken, self._requests = [*self._taken, *self._requests], []
        return list(self._taken)

    def finish(self, request: Request) -> None:
        self._taken.remove(request)
        if not request.done.done():
            request.done.set_result(None)

    def take_subtree(self) -> tuple[str, str] | None:
        """(side, path) of one of them, which is no longer noted here."""
        key = next(iter(self._subtrees), None)
        if key is not None:
            del self._subtrees[key]
        return key

    def refuse(self, error: LakelinkError) -> None:
        """Whoever waits is told why there is no survey."""
        for request in [*self._taken, *self._requests]:
            if not request.done.done():
                request.done.set_exception(error)
                request.done.exception()  # seen: who asked may have gone
        self._taken, self._requests = [], []
