"""What daemon and worker say to each other, over a pair of sockets that only these two have.

Messages are pickled values behind four bytes of length: paths that are not UTF-8 and errors travel as they are. Both ends are lakelink's own processes of
one user, and the socket has no name: nobody else can write to it.
"""

from __future__ import annotations

import asyncio
import pickle
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from lakelink.links.hsm.base import Candidate, Event, NewStub, Result, Tier
from lakelink.links.hsm.stub import Flags

MAX_MESSAGE_BYTES = 64 << 20
_length = struct.Struct("=I")


class Verb(Enum):
    """What the daemon asks of the worker."""

    RESTORE = "restore"
    RELEASE = "release"
    RESTUB = "restub"
    FLAG = "flag"
    ACCEPT = "accept"
    SETTLE = "settle"
    QUIT = "quit"


@dataclass(frozen=True, slots=True)
class Setup:
    """The first message: what the worker needs to know."""

    tree: str
    state: str
    tier: Tier
    locations: Mapping[str, tuple[str, str, Mapping[str, str]]]
    keep_free_bytes: int
    load_timeout_s: float
    loads_at_once: int
    fresh: bool  # the group is new: nobody waits from before


@dataclass(frozen=True, slots=True)
class Ask:
    """Daemon to worker; answered by `Answer` of the same number."""

    number: int
    verb: Verb
    paths: Sequence[str] = ()
    candidates: Sequence[Candidate] = ()
    stubs: Sequence[NewStub] = ()
    add: Flags = Flags(0)  # noqa: RUF009  # a frozen value
    remove: Flags = Flags(0)  # noqa: RUF009


@dataclass(frozen=True, slots=True)
class Answer:
    """Worker to daemon."""

    number: int
    results: Sequence[Result]


@dataclass(frozen=True, slots=True)
class Happening:
    """Worker to daemon: things that happened without being asked for, in their order."""

    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class NeedRoom:
    """Worker to daemon: so many bytes are missing. Answered by `Roomed` once something was released, or nothing may be."""

    number: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Roomed:
    """Daemon to worker: whether anything was released."""

    number: int
    released: bool


class Channel:
    """One end, for one event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, message: Any) -> None:
        """Put it on its way; a peer that is gone is noticed by `receive`."""
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        if not self._writer.is_closing():
            self._writer.write(_length.pack(len(data)) + data)

    @property
    def backlog_bytes(self) -> int:
        """What the peer has not taken yet."""
        return self._writer.transport.get_write_buffer_size()

    async def receive(self) -> Any:
        """The next message; None when the peer is gone."""
        try:
            (length,) = _length.unpack(await self._reader.readexactly(_length.size))
            if length > MAX_MESSAGE_BYTES:
                return None
            return pickle.loads(await self._reader.readexactly(length))  # noqa: S301  # see above: from our own process
        except (asyncio.IncompleteReadError, ConnectionError, OSError):
            return None

    def close(self) -> None:
        self._writer.close()
