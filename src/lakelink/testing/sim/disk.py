"""A file system in memory with two states: what is visible, and what a power failure leaves of it.

Names change in atomic steps (one link, one rename, one exchange …), each of which touches directories and inodes. Steps that touch the same thing
reach the disk in their order; beyond that a power failure keeps any part of those that were not synced: the journals of ext4, xfs and btrfs keep
a prefix, POSIX promises no more than this. Sources: ext4 journal (Documentation/filesystems/ext4/journal.rst), fsync(2), syncfs(2).
"""

from __future__ import annotations

import errno
import random
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lakelink.testing.sim.inode import Inode, fail

Assignment: TypeAlias = tuple[Inode, bytes, Inode | None]
"""(directory, name, what it names from now on)."""
ROOT_INO = 2
_FIRST_INO = 11
_PREFIX_ONLY = 0.5  # of the power failures keep a prefix of the steps, as a journal does


@dataclass(frozen=True, slots=True)
class _Step:
    """One atomic change of names."""

    assignments: tuple[Assignment, ...]
    touched: frozenset[int]  # serial numbers of directories and of what they name


class Disk:
    """One file system. `gone` is told of each file whose last name is taken away while nobody has it open."""

    def __init__(self, seed: int, now_ns: Callable[[], int], *, device: int = 1) -> None:
        self._choice = random.Random(seed)
        self.now_ns = now_ns
        self.device = device
        self._next_ino = _FIRST_INO
        self._serials = 0
        self.zeros = True  # a power failure may leave a file its size and time, and zeros for bytes
        self.actor = ""  # who changes something now; "" = the program under test
        self.changes = 0  # that users see, so far
        self._free: list[int] = []
        self._freed: list[int] = []  # free once the removal is on the disk
        self._log: list[_Step] = []
        self._dirty: dict[int, Inode] = {}  # by serial number, since inode numbers are used again
        self.gone: Callable[[Inode], None] | None = None
        self.named: list[Callable[[Sequence[Assignment]], None]] = []  # hear of each change of names
        self.written: list[Callable[[Inode], None]] = []  # hear of each change of an inode, and of each end of writing
        self.top = Inode(ROOT_INO, device, stat.S_IFDIR | 0o755, now_ns())
        self.top.nlink = 1
        self.top.keep()

    # Inodes
    def make(self, mode: int, *, device: int | None = None) -> Inode:
        """A new inode without a name. Numbers of removed files are soon used again, as ext4 does."""
        if self._free and self._choice.random() < 0.7:
            ino = self._free.pop(self._choice.randrange(len(self._free)))
        else:
            ino = self._next_ino
            self._next_ino += 1
        inode = Inode(ino, self.device if device is None else device, mode, self.now_ns())
        self._serials += 1
        inode.serial = self._serials
        self.soil(inode)
        return inode

    def tell(self, inode: Inode) -> None:
        """Somebody changed the inode through a call, or stopped writing to it."""
        for hear in self.written:
            hear(inode)

    def soil(self, inode: Inode) -> None:
        """The inode is not on the disk as it is now."""
        self._dirty[inode.serial] = inode

    def release(self, inode: Inode) -> None:
        """A descriptor was closed or a name removed: without either the inode is free."""
        if inode.nlink == 0 and inode.opens == 0:
            self._freed.append(inode.ino)
            if self.gone is not None:
                self.gone(inode)

    # Names
    def change(self, assignments: Sequence[Assignment]) -> None:
        """One atomic step."""
        now_ns = self.now_ns()
        self.changes += not all(directory.own for directory, _, _ in assignments)
        touched: set[int] = set()
        dropped: list[Inode] = []
        for directory, name, inode in assignments:
            before = directory.entries.pop(name, None)
            if before is not None:
                before.nlink -= 1
                before.ctime_ns = now_ns
                touched.add(before.serial)
                dropped.append(before)
            if inode is not None:
                directory.entries[name] = inode
                inode.nlink += 1
                inode.ctime_ns = now_ns
                touched.add(inode.serial)
            directory.mtime_ns = directory.ctime_ns = now_ns
            touched.add(directory.serial)
            self.soil(directory)
        self._log.append(_Step(tuple(assignments), frozenset(touched)))
        for inode in dropped:
            if not inode.nlink:
                inode.orphaned_by = self.actor
            self.release(inode)
        for hear in self.named:
            hear(assignments)

    # Durability
    def sync_all(self) -> None:
        """Whatever is visible now survives: what syncfs does."""
        for step in self._log:
            _apply(step)
        self._log.clear()
        for inode in self._dirty.values():
            inode.keep()
        self._dirty.clear()
        self._free += self._freed
        self._freed.clear()

    def sync_data(self, inode: Inode) -> None:
        """What fdatasync does. To a file: its bytes, not its name. To a directory: its names, and what had to come before them."""
        if not inode.is_directory:
            inode.keep()
            self._dirty.pop(inode.serial, None)
            return
        wanted = {inode.serial}
        needed: list[bool] = []
        for step in reversed(self._log):
            hit = not wanted.isdisjoint(step.touched)
            if hit:
                wanted |= step.touched
            needed.append(hit)
        kept = [step for step, hit in zip(self._log, reversed(needed), strict=True) if hit]
        self._log = [step for step, hit in zip(self._log, reversed(needed), strict=True) if not hit]
        for step in kept:
            _apply(step)
        inode.keep()

    def power_failure(self, choice: random.Random) -> None:
        """The visible state becomes what was durable, and what of the rest had reached the disk by chance. All descriptors are gone."""
        for step in self._survivors(choice):
            _apply(step)
        self._log.clear()
        dirty, self._dirty = self._dirty, {}
        seen: dict[int, Inode] = {}
        for inode in self._walk(self.top):
            if inode.serial in seen:
                inode.nlink += 1
                continue
            seen[inode.serial] = inode
            inode.nlink = 1
            inode.opens = inode.writers = inode.leases = 0
            inode.locks = {}
            if inode.serial in dirty:
                inode.fall_back(choice.random(), choice.random(), zeros=self.zeros)
                inode.keep()
        self._freed.clear()
        used = {inode.ino for inode in seen.values()}
        self._free = [ino for ino in range(_FIRST_INO, self._next_ino) if ino not in used]

    def _survivors(self, choice: random.Random) -> Iterator[_Step]:
        if choice.random() < _PREFIX_ONLY:
            yield from self._log[: choice.randint(0, len(self._log))]
            return
        lost: set[int] = set()
        odds = choice.random()
        for step in self._log:
            if choice.random() < odds or not lost.isdisjoint(step.touched):
                lost |= step.touched
            else:
                yield step

    def _walk(self, inode: Inode) -> Iterator[Inode]:
        yield inode
        if inode.is_directory:
            inode.entries = dict(inode.stable_entries)
            for below in inode.entries.values():
                yield from self._walk(below)

    # Looking
    def lookup(self, directory: Inode, name: bytes) -> Inode:
        """What the name leads to.

        Raises:
            OSError: ENOENT, ENOTDIR, ENAMETOOLONG.
        """
        directory.require_directory()
        if name in {b".", b""}:
            return directory
        if len(name) > 255:
            fail(errno.ENAMETOOLONG, name)
        found = directory.entries.get(name)
        if found is None:
            fail(errno.ENOENT, name)
        return found

    def tree(self, top: Inode, prefix: bytes = b"") -> Iterator[tuple[bytes, Inode]]:
        """Every path below `top` and what it names, in byte order; without `top`."""
        for name, inode in sorted(top.entries.items(), key=lambda item: item[0]):
            path = prefix + name
            yield path, inode
            if inode.is_directory:
                yield from self.tree(inode, path + b"/")


def _apply(step: _Step) -> None:
    for directory, name, inode in step.assignments:
        if inode is None:
            directory.stable_entries.pop(name, None)
        else:
            directory.stable_entries[name] = inode
