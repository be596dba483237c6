"""The demonstration's live link: a daemon of its own, edits on both sides, and how long each change took to arrive."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lakelink.api.calls import AddLink, GetStatus, PauseLink, ReconcileLink, ResumeLink, SettleLink
from lakelink.config.document import Document
from lakelink.daemon.client import Client
from lakelink.errors import Corrupt, InternalError, LakelinkError, NoDaemon
from lakelink.locations.base import Delete, Location, Write
from lakelink.locations.content import BytesContent
from lakelink.locations.resolve import OpenOptions, open_location, parse_location
from lakelink.model.entry import Entry, Expect, Kind, Posix, Version
from lakelink.model.linkspec import LinkSpec, Pace
from lakelink.model.units import format_duration

NAME = "live"
SERVED_WITHIN_S = 30.0
ARRIVED_WITHIN_S = 30.0
POLL_S = 0.002


@dataclass(frozen=True, slots=True)
class Arrival:
    """A change, and how long it took to be seen on the other side."""

    what: str
    seconds: float


@contextmanager
def serving(state: Path, env: Mapping[str, str], log: Path, port: int) -> Iterator[Client]:
    """`lakelink serve` while the block lasts, with a webhook on `port` of loopback."""
    settings = state.parent / "lakelink.toml"
    settings.write_text(f'[serve]\nwebhook = "127.0.0.1:{port}"\n', encoding="utf-8")
    command = [sys.executable, "-P", "-m", "lakelink", "serve", "--config", str(settings)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=os.environ | dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        client = Client(state)
        deadline_s = time.monotonic() + SERVED_WITHIN_S
        while not _answers(client):
            if process.poll() is not None or time.monotonic() > deadline_s:
                words = log.read_text(encoding="utf-8", errors="replace")[-500:]
                raise InternalError(f"the demonstration's daemon does not serve: {words}")
            time.sleep(0.02)
        yield client
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _answers(client: Client) -> bool:
    try:
        client.ask(GetStatus())
    except NoDaemon:
        return False
    return True


def push_events(store: Path, port: int, path: str) -> None:
    """Have a SeaweedFS that is started in `store` post what happens below `/BUCKET/PREFIX` to the webhook on that port.

    The file is described by `weed scaffold -config=notification`.
    """
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    (store / "notification.toml").write_text(
        f"""[notification.webhook]
enabled = true
endpoint = "http://127.0.0.1:{port}/events"
max_retries = 3
backoff_seconds = 1
path_prefixes = ["/buckets{path}/"]
""",
        encoding="utf-8",
    )


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


def add(client: Client, files: Path, lake: str) -> None:
    """Make the link, and wait until both sides are equal for the first time."""
    spec = LinkSpec(name=NAME, ident="", files=str(files), lake=lake, pace=Pace(list_interval_s=5.0))
    client.ask(AddLink(spec=spec))
    client.ask(ReconcileLink(link=NAME))
    settle(client)


def settle(client: Client) -> None:
    """Wait until nothing is pending.

    Raises:
        InternalError: something still is, after a while.
    """
    settled = client.ask(SettleLink(link=NAME, timeout_s=ARRIVED_WITHIN_S))
    if not settled.settled:
        status = settled.status
        raise InternalError(f"the demonstration's link does not come to rest: {status.activity} {status.reason}")


class Edits:
    """Changes something here and there, one after the other, and sees each arrive on the other side."""

    def __init__(self, root: Path, lake: Location) -> None:
        self._root = root
        self._lake = lake

    async def here(self) -> AsyncIterator[Arrival]:
        """In the directory; seen in the lake."""
        note, renamed = self._root / "note.txt", self._root / "renamed.txt"
        _write(note, "written here\n")
        yield await self._arrived("a new file", lambda: self._holds("note.txt", 13))
        _write(note, "written here, twice\n")
        yield await self._arrived("the file changed", lambda: self._holds("note.txt", 20))
        note.rename(renamed)
        yield await self._arrived("the file renamed", lambda: self._holds("renamed.txt", 20))
        renamed.unlink()
        yield await self._arrived("the file deleted", lambda: self._holds("renamed.txt", None))

    async def there(self) -> AsyncIterator[Arrival]:
        """In the lake; seen in the directory."""
        path = self._root / "report.txt"
        first = await self.put("report.txt", b"from the lake\n", None)
        yield await self._arrived("a new object", lambda: asyncio.to_thread(_reads, path, b"from the lake\n"))
        second = await self.put("report.txt", b"from the lake, again\n", first.version)
        yield await self._arrived(
            "the object replaced", lambda: asyncio.to_thread(_reads, path, b"from the lake, again\n")
        )
        (gone,) = await self._lake.delete([Delete("report.txt", Kind.FILE, Expect(second.version))])
        if gone is not None:
            raise gone
        yield await self._arrived("the object deleted", lambda: asyncio.to_thread(_reads, path, None))

    async def put(self, path: str, body: bytes, version: Version | None) -> Entry:
        """Store an object in place of that version."""
        now = Posix(0o644, os.getuid(), os.getgid(), mtime_ns=time.time_ns(), atime_ns=time.time_ns())
        (stored,) = await self._lake.write([Write(path, Kind.FILE, BytesContent(body), now, Expect(version))])
        if isinstance(stored, LakelinkError):
            raise stored
        return stored

    async def version(self, path: str) -> Version | None:
        """What is in the lake at the path now."""
        (found,) = await self._lake.stat([path])
        return found.version if isinstance(found, Entry) else None

    async def _holds(self, path: str, size_bytes: int | None) -> bool:
        (found,) = await self._lake.stat([path])
        return (found.size_bytes if isinstance(found, Entry) else found) == size_bytes

    async def _arrived(self, what: str, seen: Callable[[], Awaitable[bool]]) -> Arrival:
        began_s = time.monotonic()
        while not await seen():
            if time.monotonic() - began_s > ARRIVED_WITHIN_S:
                raise InternalError(f"the demonstration's link did not carry {what}")
            await asyncio.sleep(POLL_S)
        return Arrival(what, time.monotonic() - began_s)


def _reads(path: Path, body: bytes | None) -> bool:
    try:
        return path.read_bytes() == body
    except FileNotFoundError:
        return body is None


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


async def play(client: Client, root: Path, lake_url: str, say: Callable[[str], None]) -> None:
    """Edit both sides and tell how long each change took; then the same file on both at once."""
    # The store's access is in the environment, as for every command.
    lake = await open_location(parse_location(lake_url, Document()), OpenOptions(writable=True))
    try:
        edits = Edits(root, lake)
        for where, other, arrivals in (("here", "in the lake", edits.here()), ("there", "here", edits.there())):
            async for arrival in arrivals:
                say(f"  {where:<6} {arrival.what:<20} {other} after {format_duration(arrival.seconds)}")
        await _both_at_once(client, edits, root, say)
    finally:
        await lake.aclose()


async def _both_at_once(client: Client, edits: Edits, root: Path, say: Callable[[str], None]) -> None:
    path = root / "both.txt"
    _write(path, "agreed\n")
    await asyncio.to_thread(settle, client)
    client.ask(PauseLink(link=NAME))
    _write(path, "changed here\n")
    await edits.put("both.txt", b"changed in the lake\n", await edits.version("both.txt"))
    client.ask(ResumeLink(link=NAME))
    await asyncio.to_thread(client.ask, ReconcileLink(link=NAME))
    await asyncio.to_thread(settle, client)
    held = await asyncio.to_thread(_versions, root)
    if set(held.values()) != {b"changed here\n", b"changed in the lake\n"}:
        raise Corrupt(f"a change that was made on both sides was lost: {held}")
    copy = next(name for name in held if name != path.name)
    say(f"  both   the same file at once: both versions are kept, one as {copy}")


def _versions(root: Path) -> dict[str, bytes]:
    return {found.name: found.read_bytes() for found in root.glob("both*")}
