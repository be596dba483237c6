"""Which stubs still stand for an object that is about to go: asked by inode, since a rename that nobody told of leaves the inode and moves the name."""

from __future__ import annotations

import asyncio
import errno
import os
import struct
from collections.abc import Collection, Sequence

from lakelink.links.hsm.guard import KernelGuard
from lakelink.links.hsm.lazy import Going
from lakelink.links.hsm.stub import Unreadable
from lakelink.links.hsm.tree import Tree
from lakelink.ports import permission

_INO32_GEN = 1  # linux/exportfs.h, FILEID_INO32_GEN: inode and generation; to ext4 a generation of 0 is any
_WALKS = 2


class LivingStubs:
    """`lazy.Needed` over a real tree. On ext4 an inode is opened by its number; elsewhere the tree is walked, by names alone."""

    def __init__(self, guard: KernelGuard) -> None:
        self._guard = guard

    async def living(self, objects: Sequence[Going]) -> list[list[str]]:
        """See `lazy.Needed`."""
        return await asyncio.to_thread(self._living, objects)

    def _living(self, objects: Sequence[Going]) -> list[list[str]]:
        tree = self._guard.tree
        found: list[set[str]] = [set() for _ in objects]
        left: dict[int, list[int]] = {}
        for number, going in enumerate(objects):
            place = _by_number(tree, going)
            if place is None:
                left.setdefault(going.inode, []).append(number)
            elif place:
                found[number].add(place)
        for _ in range(_WALKS if left else 0):
            for place, inode in _walked(tree, left.keys()):
                for number in left[inode]:
                    if _stands_at(tree, place, objects[number]):
                        found[number].add(place)
        return [sorted(places) for places in found]


def _by_number(tree: Tree, going: Going) -> str | None:
    """Where the stub is, by its inode; "" where it is none any more; None where this file system is not asked like that."""
    handle = struct.pack("=Ii", 8, _INO32_GEN) + struct.pack("=II", going.inode & 0xFFFF_FFFF, 0)
    try:
        fd = permission.open_handle(tree.fd, handle, os.O_PATH)
    except OSError as error:
        if error.errno == errno.ESTALE and _is_ext4(tree):
            return ""
        return None
    try:
        if os.fstat(fd).st_ino != going.inode:
            return None
        if not _stands(tree, fd, going) or not os.fstat(fd).st_nlink:
            return ""
        # A file of which no name was looked up since it was last in memory has a descriptor, and no path.
        return tree.path_of(fd) or None
    finally:
        os.close(fd)


def _stands(tree: Tree, path_fd: int, going: Going) -> bool:
    """Whether it is a stub of that object. One that cannot be understood may be."""
    try:
        stub = tree.stub_of_path(path_fd)
    except Unreadable:
        return True
    return stub is not None and stub.flags.is_stub and going.is_origin(stub.origin)


def _is_ext4(tree: Tree) -> bool:
    with open("/proc/self/mountinfo", "rb") as table:  # noqa: PTH123
        device = b"%d:%d" % (os.major(os.fstat(tree.fd).st_dev), os.minor(os.fstat(tree.fd).st_dev))
        return any(b" - ext4 " in line and line.split(b" ")[2] == device for line in table)


def _walked(tree: Tree, inodes: Collection[int]) -> list[tuple[str, int]]:
    """Paths at which these inodes are."""
    found: list[tuple[str, int]] = []
    todo = [""]
    while todo:
        below = todo.pop()
        try:
            fd = os.open(below or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=tree.fd)
        except OSError:
            continue
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    path = f"{below}/{entry.name}" if below else entry.name
                    if entry.inode() in inodes:
                        found.append((path, entry.inode()))
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(path)
        finally:
            os.close(fd)
    return found


def _stands_at(tree: Tree, place: str, going: Going) -> bool:
    """Whether the stub is at that name. Where it was a moment ago and is not now, it moved, and still lives."""
    fd = tree.look(place)
    if fd is None:
        return True
    try:
        return os.fstat(fd).st_ino != going.inode or _stands(tree, fd, going)
    finally:
        os.close(fd)
