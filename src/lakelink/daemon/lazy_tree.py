"""The tree of a lazy link on this machine: in its place, guarded, and seen by users only while it is."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lakelink.config.document import Document
from lakelink.core.filters import Filter
from lakelink.errors import LakelinkError
from lakelink.links.hsm import backing
from lakelink.links.hsm.base import GuardSpec
from lakelink.links.hsm.files import LazyFiles
from lakelink.links.hsm.guard import KernelGuard
from lakelink.links.hsm.kernel import LazyKernel
from lakelink.links.hsm.lazy import Laziness
from lakelink.links.hsm.needed import LivingStubs
from lakelink.links.hsm.policy import Releaser
from lakelink.links.hsm.tending import Tending
from lakelink.links.runtime import Link
from lakelink.locations.base import Location
from lakelink.locations.local.location import LocalLocation
from lakelink.locations.local.options import LocalOptions
from lakelink.locations.resolve import local_path, parse_location
from lakelink.model.linkspec import Lazy, LinkSpec
from lakelink.state.holdings import Holdings
from lakelink.state.journal_rows import stored


def tree_of(spec: LinkSpec, document: Document) -> str:
    """The directory that a link works on: what its `files` name, or for a lazy link the tree behind it."""
    root = local_path(parse_location(spec.files, document))
    return backing.tree_of(root) if spec.lazy else root


@dataclass(slots=True)
class LazyTree:
    """A tree with its guard. `aclose` takes the view away first."""

    guard: KernelGuard
    laziness: Laziness

    async def aclose(self) -> None:
        await self.guard.stop()


async def open_tree(spec: LinkSpec, lazy: Lazy, document: Document, journal_path: Path) -> LazyTree:
    """The tree is guarded, then users see it.

    Raises:
        Unsupported: this kernel, file system or user cannot have lazy files. Refused: something is in the way of the view.
        RootGone, RootReadOnly: the directory cannot be used.
    """
    root = local_path(parse_location(spec.files, document))
    tree = backing.settle(root)
    lake = parse_location(spec.lake, document)
    room = os.statvfs(tree)
    guard = KernelGuard(
        GuardSpec(
            tree=tree,
            view=root,
            state=backing.backing_of(root),
            locations={spec.lake: (lake.url, lake.name, lake.options)},
            keep_free_bytes=lazy.keep_free.of(room.f_blocks * room.f_frsize),
        )
    )
    guard.set_suspect(_suspect(journal_path))
    await guard.start()
    # A root that is gone is a halt, and never made anew.
    inner = LocalLocation(tree, kernel=LazyKernel(), options=LocalOptions(trash=True, create_root=False))
    files = LazyFiles(inner, guard, spec.lake)
    st = os.stat(tree)  # noqa: PTH116
    laziness = Laziness(guard, files, spec.lake, lazy, st.st_uid, st.st_gid, LivingStubs(guard))
    return LazyTree(guard, laziness)


def tending_of(link: Link, lazy: Laziness, lake: Location, note: Callable[[str, str], None]) -> Tending:
    """What runs beside the link."""
    journal, clock = link.journal, link.parts.clock
    holdings = Holdings(journal)
    releaser = Releaser(lazy, lake, journal, holdings, clock, lambda path: path in link.dirty)
    tending = Tending(lazy, releaser, journal, holdings, clock, lambda: link.dirty, note)
    link.told.append(tending.outcome)
    return tending


def chosen_by(include: Sequence[str]) -> Callable[[str], bool]:
    """Whether a path is among those that patterns (as those of `exclude`) name; without any, each is."""
    if not include:
        return lambda _path: True
    patterns = Filter(tuple(include))
    return lambda path: patterns.excludes(path, False)


def _suspect(journal_path: Path) -> Callable[[str, int], bool]:
    """Whether a hole without a mark may stand for an object. Without a journal that knows, it may: nobody shall read zeros."""

    def asked(path: str, size_bytes: int) -> bool:
        try:
            with closing(sqlite3.connect(f"file:{journal_path}?mode=ro", uri=True)) as db:
                row = db.execute("SELECT l_size FROM base WHERE path=?", (stored(path),)).fetchone()
                empty = db.execute("SELECT 1 FROM base LIMIT 1").fetchone() is None
        except sqlite3.Error:
            return True
        return empty or (row is not None and row[0] == size_bytes)

    return asked


def give_back(spec: LinkSpec, document: Document) -> list[str]:
    """After a lazy link was let go: its files are at ROOT again. What could not be done is a sentence."""
    try:
        backing.give_back(local_path(parse_location(spec.files, document)))
    except LakelinkError as error:
        return [f"{error.message}. {error.hint}"]
    return []
