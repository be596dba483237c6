"""The view: a bind mount of the tree at ROOT, there only while the tree is guarded."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lakelink.errors import NotPermitted, Refused, StorageError
from lakelink.ports import permission

_OCTAL = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """A line of mountinfo: what is mounted, where, from which part of which file system."""

    device: bytes
    root: bytes
    point: bytes
    options: bytes


def _lines(table: bytes) -> Iterator[Mount]:
    for line in table.splitlines():
        fields = line.split(b" ")
        yield Mount(fields[2], _plain(fields[3]), _plain(fields[4]), fields[-1])


def _plain(raw: bytes) -> bytes:
    return _OCTAL.sub(lambda match: bytes((int(match[1], 8),)), raw)


def is_mounted(view: str, tree: str) -> bool:
    """Whether the view is that of this tree.

    Raises:
        Refused: something else is mounted there.
    """
    try:
        same = os.path.samefile(view, tree)  # noqa: PTH121
    except FileNotFoundError:
        return False
    if same:
        return True
    if os.path.ismount(view):  # names are strings with surrogates
        raise Refused(f"something else is mounted at {view}", hint="Unmount it, or choose another directory.")
    return False


def expose(view: str, tree: str) -> None:
    """Users see the tree at `view` afterwards; made where it is not there.

    Raises:
        Refused: it has content that the mount would hide. NotPermitted: no CAP_SYS_ADMIN.
    """
    if is_mounted(view, tree):
        return
    os.makedirs(view, mode=0o700, exist_ok=True)  # noqa: PTH103
    if os.listdir(view):  # noqa: PTH208
        raise Refused(
            f"{view} is not empty, and the view would hide what is in it",
            hint="Move it away; what should be in the lake belongs into the view.",
        )
    try:
        permission.bind(tree, view)
    except OSError as error:
        if error.errno == errno.EPERM:
            raise NotPermitted(
                "mounting the view needs CAP_SYS_ADMIN", hint="Run the daemon as its unit does."
            ) from error
        raise StorageError(f"{view} cannot be mounted: {error.strerror}") from error


def withdraw(view: str, tree: str, *, detach: bool = False) -> bool:
    """Take the view away; False: somebody is inside, and it stays. With `detach` it goes all the same, for everybody who is not inside."""
    try:
        while is_mounted(view, tree):
            permission.unmount(view, detach=detach)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        if error.errno != errno.EINVAL:
            raise StorageError(f"{view} cannot be unmounted: {error.strerror}") from error
    return True


def exposed(tree: str) -> list[str]:
    """Where else the tree can be seen: mounts of it, and overlays over it, in any mount namespace of this machine. "PID: PLACE" each."""
    real = os.fsencode(os.path.realpath(tree))
    where = _own_place(real)
    seen: set[int] = set()
    found: list[str] = []
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            namespace = (process / "ns/mnt").stat().st_ino
            if namespace in seen:
                continue
            seen.add(namespace)
            table = (process / "mountinfo").read_bytes()
        except OSError:
            continue
        for mount in _lines(table):
            inside = where is not None and mount.device == where[0] and _below(mount.root, where[1])
            if inside or _below_lower(mount.options, real):
                found.append(f"{process.name}: {os.fsdecode(mount.point)}")
    return found


def _own_place(real: bytes) -> tuple[bytes, bytes] | None:
    """The device of the tree and its path inside that file system."""
    best: Mount | None = None
    for mount in _lines(Path("/proc/self/mountinfo").read_bytes()):
        holds = mount.point == b"/" or _below(real, mount.point)
        if holds and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    if best is None:
        return None
    inner = real[len(best.point.rstrip(b"/")) :]
    return best.device, best.root.rstrip(b"/") + inner


def _below(path: bytes, top: bytes) -> bool:
    return path == top or path.startswith(top.rstrip(b"/") + b"/")


def _below_lower(options: bytes, real: bytes) -> bool:
    return any(
        _below(lower, real)
        for option in options.split(b",")
        if option.startswith(b"lowerdir=")
        for lower in _plain(option[9:]).split(b":")
    )
