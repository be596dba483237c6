"""The machine that is looked at: its files and what its programs say. Nothing here changes anything on it."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from lakelink.errors import NotPermitted, StorageError
from lakelink.model.entry import Kind

MOST_BYTES = 64 << 20
"""No settings file, key or log is larger; of a larger one the end is read."""
LINKS = 40
PROGRAM_WITHIN_S = 60.0


class Node(NamedTuple):
    """What is at a path, itself and not what it points at."""

    path: str  # below the tree that was walked; bytes that are not UTF-8 as surrogates
    kind: Kind
    mode: int  # with the bits of the type
    uid: int
    gid: int
    size_bytes: int
    mtime_ns: int
    links: int
    inode: tuple[int, int]
    target: str = ""  # of a symbolic link


@dataclass(frozen=True, slots=True)
class Said:
    """What a program printed and how it ended; `status` 127 = it is not there."""

    status: int
    output: str
    complaint: str = ""


class Source(Protocol):
    """A machine, read only. Every method raises NotPermitted where it may not look, and StorageError or Unreachable where it cannot."""

    @property
    def name(self) -> str:
        """As the user called it: "/", "/mnt/image", "ssh://host"."""
        ...

    @property
    def is_live(self) -> bool:
        """Whether its own programs can be asked."""
        ...

    def read(self, path: str) -> bytes | None:
        """The content of a file, links followed inside the machine; None = there is none."""
        ...

    def names(self, directory: str) -> list[str]:
        """The names in a directory, sorted; [] where there is none."""
        ...

    def look(self, path: str) -> Node | None:
        """What is at a path, links followed; None = nothing."""
        ...

    def walk(self, tree: str) -> Iterator[Node]:
        """Everything below a directory, in any order, links not followed, other file systems included."""
        ...

    def ask(self, command: Sequence[str]) -> Said:
        """Run one of the machine's own programs; on one that is not live every program is missing."""
        ...


class RootSource:
    """A machine whose root is at a directory here: "/" is this machine, anything else an image or a copied tree."""

    def __init__(self, root: str) -> None:
        self._root = os.path.abspath(root)  # noqa: PTH100  # no link is resolved
        if not os.path.isdir(self._root):  # noqa: PTH112
            raise StorageError(
                f"{root} is no directory", hint="--root takes the directory at which the old server's / is."
            )

    @property
    def name(self) -> str:
        return self._root

    @property
    def is_live(self) -> bool:
        return self._root == "/"

    def read(self, path: str) -> bytes | None:
        place = self._place(path)
        try:
            with open(place, "rb") as file:  # noqa: PTH123
                size = os.fstat(file.fileno()).st_size
                if size > MOST_BYTES:
                    file.seek(size - MOST_BYTES)
                return file.read(MOST_BYTES)
        except OSError as error:
            _absent(error, path)
            return None

    def names(self, directory: str) -> list[str]:
        try:
            return sorted(os.listdir(self._place(directory)))  # noqa: PTH208
        except OSError as error:
            _absent(error, directory)
            return []

    def look(self, path: str) -> Node | None:
        place = self._place(path)
        try:
            return _node("", os.lstat(place), place)
        except OSError as error:
            _absent(error, path)
            return None

    def walk(self, tree: str) -> Iterator[Node]:
        queue = [""]
        base = self._place(tree)
        while queue:
            below = queue.pop()
            directory = os.path.join(base, below)  # noqa: PTH118
            try:
                with os.scandir(directory) as entries:
                    for entry in entries:
                        path = f"{below}/{entry.name}" if below else entry.name
                        node = _node(path, entry.stat(follow_symlinks=False), entry.path)
                        if node.kind is Kind.DIR:
                            queue.append(path)
                        yield node
            except OSError as error:
                _absent(error, directory)

    def ask(self, command: Sequence[str]) -> Said:
        if not self.is_live:
            return Said(127, "")
        return run(command)

    def _place(self, path: str) -> str:
        """Where a path of that machine is here. Links are followed as that machine would, so that none leads out of it."""
        parts = path.split("/")[::-1]
        place: list[str] = []
        followed = 0
        while parts:
            part = parts.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                del place[-1:]
                continue
            here = os.path.join(self._root, *place, part)  # noqa: PTH118
            try:
                target = os.readlink(here)  # noqa: PTH115
            except OSError:
                place.append(part)
                continue
            followed += 1
            if followed > LINKS:
                raise StorageError(f"{path}: too many symbolic links", hint="Is it a loop?")
            if target.startswith("/"):
                place.clear()
            parts.extend(target.split("/")[::-1])
        return os.path.join(self._root, *place)  # noqa: PTH118


def run(command: Sequence[str], *, given: bytes = b"", within_s: float = PROGRAM_WITHIN_S) -> Said:
    """Run a program of this machine, found on PATH and in the directories of root's programs.

    Raises:
        StorageError: it did not end in time.
    """
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin:/usr/bin:/bin"
    environ = os.environ | {"PATH": path, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            list(command), input=given, capture_output=True, timeout=within_s, check=False, env=environ
        )
    except FileNotFoundError:
        return Said(127, "")
    except subprocess.TimeoutExpired as error:
        raise StorageError(f"{command[0]} did not end within {within_s:.0f} s", hint="Run it by hand.") from error
    except OSError as error:
        return Said(126, "", str(error))
    return Said(done.returncode, _text(done.stdout), _text(done.stderr))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def kind_of(mode: int) -> Kind:
    """The kind in the type bits of a mode."""
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.DIR
    return Kind.SYMLINK if stat.S_ISLNK(mode) else Kind.OTHER


def _node(path: str, seen: os.stat_result, place: str) -> Node:
    kind = kind_of(seen.st_mode)
    target = os.readlink(place) if kind is Kind.SYMLINK else ""  # noqa: PTH115
    return Node(
        path,
        kind,
        seen.st_mode,
        seen.st_uid,
        seen.st_gid,
        seen.st_size,
        seen.st_mtime_ns,
        seen.st_nlink,
        (seen.st_dev, seen.st_ino),
        target,
    )


def _absent(error: OSError, path: str) -> None:
    """None for what is not there; everything else is told, since a part that cannot be read would be left out of the plan."""
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return
    if error.errno in {errno.EACCES, errno.EPERM}:
        raise NotPermitted(
            f"{path} may not be read", hint="The scan reads shadow, host keys and homes: run it as root."
        ) from error
    raise StorageError(f"{path} cannot be read: {error.strerror}", hint="Is it a file or directory there?") from error
