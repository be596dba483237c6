"""Runs over two memory locations, as the tests of the one-way engine need them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lakelink.core.diff import Rule
from lakelink.locations.memory import MemoryLocation, MemoryStore
from lakelink.model.entry import Kind, Posix
from lakelink.model.task import MaxDelete, Progress, SyncOptions, SyncResult
from lakelink.oneway.ledger import Ledger
from lakelink.oneway.pair import Pair
from lakelink.oneway.run import Run
from lakelink.ports.clock import SystemClock
from lakelink.state.index import SyncIndex

ALL = MaxDelete(percent=100)


class Quick(SystemClock):
    """Pauses cost nothing."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def posix(mtime: int = 1, mode: int = 0o644) -> Posix:
    return Posix(mode, 0, 0, mtime, mtime)


def store(**files: bytes) -> MemoryStore:
    made = MemoryStore()
    made.put("", kind=Kind.DIR, posix=posix(mode=0o755))
    for path, data in files.items():
        made.put(path, data, posix=posix())
    return made


def sync(source, target, options: SyncOptions | None = None, index: Path | None = None, report=None) -> SyncResult:
    options = options or SyncOptions()
    remembered = SyncIndex(index) if index else None

    async def work() -> SyncResult:
        one = source if not isinstance(source, MemoryStore) else MemoryLocation(source)
        other = target if not isinstance(target, MemoryStore) else MemoryLocation(target)
        rule = Rule(posix=options.posix, checksum=options.checksum)
        result = SyncResult(source="source", target="target", dry_run=options.dry_run)
        clock = Quick()
        ledger = Ledger(other, remembered, clock, result, Progress())
        ledger.report = report
        await Run(Pair(one, other, rule, remembered), options, ledger, clock).all()
        return result

    try:
        return asyncio.run(work())
    finally:
        if remembered:
            remembered.close()


def tree(store: MemoryStore) -> dict[str, tuple[Kind, bytes, int, int]]:
    """Everything but versions: kind, content, mode and time by path. A symlink's mode means nothing."""
    found = {}
    for path, node in store.nodes.items():
        if path:
            mode = 0 if node.kind is Kind.SYMLINK else node.posix.mode
            found[path] = (node.kind, node.data, mode, node.posix.mtime_ns)
    return found
