"""Which stubs still stand for an object that is about to go: asked by inode, since a rename that nobody told of leaves the inode and moves the name."""

from __future__ import annotations

import asyncio
import errno
import os
import struct
from collections.abc import Collection, Sequence

from lakelink.links.hsm.guard import KernelGuard
from lakelink.links.hsm.lazy import Going, Living
from lakelink.links.hsm.stub import Unreadable
from lakelink.links.hsm.tree import Tree
from lakelink.ports import permission

_INO32_GEN = 1  # linux/exportfs.h, FILEID_INO32_GEN: inode and generation; to ext4 a generation of 0 is any
_WALKS = 2


class LivingStubs:
    """`lazy.Needed` over a real tree. On ext4 an inode is opened by its number; elsewhere the tree is walked, by names alone."""

    def __init__(self, guard: KernelGuard) -> None:
        self._guard = guard

    async def living(self, objects: Sequence[Going]) -> list[list[Living]]:
        """See `lazy.Needed`."""
        return await asyncio.to_thread(self._living, objects)

    def _living(self, objects: Sequence[Going]) -> list[list[Living]]:
        tree = self._guard.tree
        found: list[dict[str, Living]] = [{} for _ in objects]
        left: dict[int, list[int]] = {}
        for number, going in enumerate(objects):
            lives = _by_number(tree, going.inode)
            if lives is None:
                left.setdefault(going.inode, []).append(number)
            else:
                found[number] |= {one.place: one for one in lives}
        for _ in range(_WALKS if left else 0):
            for place, inode in _walked(tree, left.keys()):
                for one in _at(tree, place, inode):
                    for number in left[inode]:
                        found[number][place] = one
        return [[lives[place] for place in sorted(lives)] for lives in found]


def _by_number(tree: Tree, inode: int) -> list[Living] | None:
    """The stub with that inode, if it is one; None where this file system is not asked like that, or does not say where it is."""
    handle = struct.pack("=Ii", 8, _INO32_GEN) + struct.pack("=II", inode & 0xFFFF_FFFF, 0)
    try:
        fd = permission.open_handle(tree.fd, handle, os.O_PATH)
    except OSError as error:
        if error.errno == errno.ESTALE and _is_ext4(tree):
            return []
        return None
    try:
        found = os.fstat(fd)
        if found.st_ino != inode:
            return None
        # A file of which no name was looked up since it was last in memory has a descriptor, and no path.
        lives = _living_by(tree, fd, tree.path_of(fd)) if found.st_nlink else []
        return None if lives and not lives[0].place else lives
    finally:
        os.close(fd)


def _living_by(tree: Tree, path_fd: int, place: str) -> list[Living]:
    """What an open file is, if it is a stub, or may be one."""
    try:
        stub = tree.stub_of_path(path_fd)
    except Unreadable:
        return [Living(place, None)]
    return [Living(place, stub.origin)] if stub is not None and stub.flags.is_stub else []


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


def _at(tree: Tree, place: str, inode: int) -> list[Living]:
    """The stub at that name. Where the file was a moment ago and is not now, it moved, and still lives."""
    fd = tree.look(place)
    if fd is None:
        return [Living(place, None)]
    try:
        return _living_by(tree, fd, place) if os.fstat(fd).st_ino == inode else [Living(place, None)]
    finally:
        os.close(fd)
