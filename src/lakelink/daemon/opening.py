"""A link on the real world: both locations, the journal, the feeds, the root's guard and the brake, put together and closed together."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

from lakelink.config.document import Document
from lakelink.core.brake import Brake
from lakelink.daemon.journals import journal_path
from lakelink.daemon.keeper import Opener, OpenLink
from lakelink.errors import Unsupported
from lakelink.links.identity import RootGuard
from lakelink.links.parts import Parts, SidedFeed
from lakelink.links.runtime import Link
from lakelink.locations.local.location import LocalLocation
from lakelink.locations.local.options import LocalOptions
from lakelink.locations.resolve import OpenOptions, local_path, open_location, parse_location
from lakelink.model.linkspec import LinkSpec
from lakelink.ports.clock import SystemClock
from lakelink.ports.random import SystemRandom
from lakelink.state.journal import Journal
from lakelink.watch.choose import open_local_feed, this_machine
from lakelink.watch.mounts import file_system


class OpenedLink(Link):
    """A link that owns its parts."""

    def __init__(self, spec: LinkSpec, parts: Parts, parts_of: AsyncExitStack) -> None:
        super().__init__(spec, parts)
        self._parts_of = parts_of

    async def resolve(self, conflict_id: int, keep: Literal["files", "lake", "both"]) -> None:
        raise Unsupported(f"conflict {conflict_id} cannot be resolved by command yet ({keep})")

    async def aclose(self) -> None:
        """Close everything. Idempotent."""
        await self._parts_of.aclose()


def opener_of(document: Callable[[], Document], state_dir: Path) -> Opener:
    """Opens links by the settings as they are at that moment."""

    async def open_(spec: LinkSpec) -> OpenLink:
        return await open_link(spec, document(), state_dir)

    return open_


async def open_link(spec: LinkSpec, document: Document, state_dir: Path) -> OpenedLink:
    """Open both sides of a link. The directory is under watch when this returns, so that the first survey misses nothing.

    Raises:
        RootMissing, NotPermitted: the directory is not there, or not for this user. UsageError, ConfigError: a location is wrong.
        StorageError: the journal cannot be opened.
    """
    async with AsyncExitStack() as stack:
        parts = await _open_parts(spec, document, state_dir, stack)
        return OpenedLink(spec, parts, stack.pop_all())


async def _open_parts(spec: LinkSpec, document: Document, state_dir: Path, stack: AsyncExitStack) -> Parts:
    root = local_path(parse_location(spec.files, document))
    machine, clock = this_machine(), SystemClock()
    journal = Journal.open(journal_path(state_dir, spec))
    stack.callback(journal.close)
    chosen = await open_local_feed(root, scan_interval_s=spec.pace.scan_interval_s, machine=machine)
    stack.push_async_callback(chosen.feed.aclose)
    # A root that is gone is a halt, and never made anew.
    files = LocalLocation(root, options=LocalOptions(trash=True, create_root=False))
    stack.push_async_callback(files.aclose)
    travels = spec.transport
    options = OpenOptions(
        writable=True,
        bandwidth_bytes_per_s=travels.bandwidth_bytes_per_s,
        concurrency=travels.concurrency,
        storage_class=travels.storage_class or None,
        sse=travels.sse or None,
    )
    lake = await open_location(parse_location(spec.lake, document), options)
    stack.push_async_callback(lake.aclose)
    guard = RootGuard(
        root,
        spec,
        journal,
        agreed=lambda: journal.agreed,
        identify=lambda path: file_system(machine.kernel, machine.notify, path).identity,
    )
    feeds = [SidedFeed("files", chosen.feed)]
    return Parts(files, lake, journal, feeds, clock, SystemRandom(), guard, Brake(spec.safety), socket.gethostname())
