"""Files, directories and links of the simulated disk, and what of each of them survives a power failure."""

from __future__ import annotations

import errno
import os
import stat
from typing import NoReturn

from lakelink.links.hsm.stub import Stub

_SECOND_NS = 1_000_000_000
_BLOCK_BYTES = 4096
DIRECTORY_BYTES = 4096


class Crash(BaseException):
    """The simulated process is gone, by a kill or by a power failure: nothing of it goes on, and what it asks for now is never done."""


def fail(number: int, name: object = None) -> NoReturn:
    """Raise the OSError of that errno, of the subclass that Python gives it."""
    raise OSError(number, os.strerror(number), name)


class Stable:
    """What of an inode is on the disk for sure."""

    __slots__ = ("atime_ns", "data", "gid", "hole", "mode", "mtime_ns", "stub", "uid")

    def __init__(self, inode: Inode) -> None:
        self.mode, self.uid, self.gid = inode.mode, inode.uid, inode.gid
        self.mtime_ns, self.atime_ns = inode.mtime_ns, inode.atime_ns
        self.data = bytes(inode.data)
        self.stub, self.hole = inode.stub, inode.hole


class Inode:
    """One file, directory or symlink. `data` holds the bytes of a file or the target of a link; `entries` the names of a directory."""

    __slots__ = (
        "atime_ns",
        "ctime_ns",
        "data",
        "dev",
        "entries",
        "gid",
        "hole",
        "ino",
        "leases",
        "locks",
        "mode",
        "mtime_ns",
        "nlink",
        "opens",
        "orphaned_by",
        "own",
        "serial",
        "stable",
        "stable_entries",
        "stub",
        "uid",
        "writers",
    )

    def __init__(self, ino: int, dev: int, mode: int, now_ns: int) -> None:
        self.ino, self.dev, self.mode = ino, dev, mode
        self.uid = self.gid = 0
        self.atime_ns = self.mtime_ns = self.ctime_ns = now_ns
        self.nlink = self.serial = 0
        self.data = bytearray()
        self.entries: dict[bytes, Inode] = {}
        self.stable: Stable | None = None
        self.stable_entries: dict[bytes, Inode] = {}
        self.opens = 0  # descriptors that keep it alive without a name
        self.writers = 0  # descriptors open for writing, and writable mappings
        self.leases = 0
        self.orphaned_by = ""  # who took its last name away
        self.own = False  # a directory of lakelink's own: `.lakelink`, or below it
        self.stub: Stub | None = None  # the attribute of a lazy tree's file
        self.hole = False  # of a file: it has no block, and all that is read of it is zeros
        self.locks: dict[int, int] = {}  # flock: open file -> LOCK_SH or LOCK_EX

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    def stat(self) -> os.stat_result:
        """As fstat(2). A file has all its blocks, or is one hole."""
        size = DIRECTORY_BYTES if self.is_directory else len(self.data)
        a, m, c = self.atime_ns, self.mtime_ns, self.ctime_ns
        seconds = (a // _SECOND_NS, m // _SECOND_NS, c // _SECOND_NS)
        nlink = self.nlink + 1 if self.is_directory else self.nlink
        return os.stat_result(
            (self.mode, self.ino, self.dev, nlink, self.uid, self.gid, size, *seconds),
            {
                "st_atime_ns": a,
                "st_mtime_ns": m,
                "st_ctime_ns": c,
                "st_blksize": _BLOCK_BYTES,
                "st_blocks": 0 if self.hole else -(-size // 512),
            },
        )

    def keep(self) -> None:
        """What it is now is on the disk."""
        self.stable = Stable(self)

    def fall_back(self, chance: float, cut: float, *, zeros: bool) -> None:
        """After a power failure: what was synced, or more. `chance` and `cut` in [0, 1) decide how much of what was not.

        The outcomes are those seen with ext4, xfs and btrfs: the old state, the new one, a file that is empty, one that ends early, and (`zeros`) one
        that has its new size and zeros in it.
        """
        synced = self.hole or (self.stable is not None and self.stable.data == self.data)
        if not self.is_file or synced:  # no bytes are under way: what was done to its metadata is there, or is not
            if self.stable is not None and chance < 0.5:
                self._restore(self.stable)
            return
        size = len(self.data)
        if self.stable is not None and 0 < len(self.stable.data) <= size:
            # Written over in place, or longer than before: blocks that the file had are the old or the new ones.
            if chance < 0.4:
                self._restore(self.stable)
            elif chance < 0.6:
                kept = int(cut * size)
                self.data = self.data[:kept] + bytearray(self.stable.data[kept:])
        elif chance < 0.2 and self.stable is not None:
            self._restore(self.stable)
        elif chance < (0.35 if zeros else 0.6):
            self.data = bytearray()
        elif chance < (0.45 if zeros else 0.75):
            self.data = self.data[: int(cut * size)]
        elif chance < 0.75:
            self.data = bytearray(size)

    def _restore(self, kept: Stable) -> None:
        self.mode, self.uid, self.gid = kept.mode, kept.uid, kept.gid
        self.mtime_ns, self.atime_ns = kept.mtime_ns, kept.atime_ns
        self.data = bytearray(kept.data)
        self.stub, self.hole = kept.stub, kept.hole

    @property
    def has_no_bytes(self) -> bool:
        """Whether it is a stub."""
        return self.stub is not None and self.stub.flags.is_stub

    def require_directory(self) -> None:
        if not self.is_directory:
            fail(errno.ENOTDIR)
