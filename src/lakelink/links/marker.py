"""`.lakelink/link.json` in the root of a link: whose root it is, and that it is still the one it was.

{"version": 1, "ident": "…", "name": "…", "lake": "…", "file_system": "uuid:…", "inode": 12345, "handle": "…"}

It appears whole and durable, or not at all, and is never put over that of another link. The directory's own inode and handle stand in it, so that a copy of
the directory is told from the directory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import time

import msgspec

from lakelink.links.placing import place
from lakelink.model.path import OWN_DIRECTORY

NAME = "link.json"
PATH = f"{OWN_DIRECTORY}/{NAME}"
_LARGEST_BYTES = 64 * 1024
_ABANDONED_S = 3600.0
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What stands in a marker."""

    ident: str
    name: str
    lake: str
    file_system: str  # as `watch.mounts` identifies it, "" = unknown
    inode: int
    handle: str = ""  # the directory's file handle in hexadecimal, "" = unknown
    version: int = 1


def read(root_fd: int) -> Marker | None:
    """The marker in the directory open as `root_fd`; None where there is none.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no marker.
    """
    try:
        own_fd = os.open(OWN_DIRECTORY, _OPEN | os.O_DIRECTORY, dir_fd=root_fd)
    except FileNotFoundError:
        return None
    try:
        fd = os.open(NAME, _OPEN | os.O_NONBLOCK, dir_fd=own_fd)
    except FileNotFoundError:
        return None
    finally:
        os.close(own_fd)
    try:
        return msgspec.json.decode(os.read(fd, _LARGEST_BYTES), type=Marker)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    finally:
        os.close(fd)


def put(root_fd: int, marker: Marker, *, replace: bool = False) -> None:
    """Afterwards the directory carries this marker, on stable storage. Without `replace`, only if it carried none.

    Raises:
        FileExistsError: it carried one, which is still there.
        OSError: it cannot be written; what was there before is still there.
    """
    before = os.fstat(root_fd)
    with contextlib.suppress(FileExistsError):
        os.mkdir(OWN_DIRECTORY, 0o700, dir_fd=root_fd)
        with contextlib.suppress(OSError):  # ours alone: the root looks as if `.lakelink` had never been made
            os.utime(root_fd, ns=(before.st_atime_ns, before.st_mtime_ns))
    own_fd = os.open(OWN_DIRECTORY, _OPEN | os.O_DIRECTORY, dir_fd=root_fd)
    try:
        staged = _stage(own_fd, msgspec.json.encode(marker))
        try:
            if replace:
                os.rename(staged, NAME, src_dir_fd=own_fd, dst_dir_fd=own_fd)
            else:
                place(own_fd, staged, NAME)
        except BaseException:
            os.unlink(staged, dir_fd=own_fd)
            raise
        os.fsync(own_fd)
        os.fsync(root_fd)
    finally:
        os.close(own_fd)


def remove(root_fd: int, ident: str) -> bool:
    """Whether a marker of that link was there and is gone now. That of another link stays.

    Raises:
        OSError, ValueError: it cannot be read or removed.
    """
    found = read(root_fd)
    if found is None or found.ident != ident:
        return False
    before = os.fstat(root_fd)
    own_fd = os.open(OWN_DIRECTORY, _OPEN | os.O_DIRECTORY, dir_fd=root_fd)
    try:
        os.unlink(NAME, dir_fd=own_fd)
        os.fsync(own_fd)
    finally:
        os.close(own_fd)
    with contextlib.suppress(OSError):  # it holds a trash, or files of a run
        os.rmdir(OWN_DIRECTORY, dir_fd=root_fd)
        os.utime(root_fd, ns=(before.st_atime_ns, before.st_mtime_ns))
    return True


def _stage(own_fd: int, data: bytes) -> str:
    for name in os.listdir(own_fd):
        if name.startswith("link-") and name.endswith(".new"):
            with contextlib.suppress(FileNotFoundError):
                age_s = time.time() - os.stat(name, dir_fd=own_fd, follow_symlinks=False).st_mtime
                if age_s > _ABANDONED_S:  # of a process that was killed here
                    os.unlink(name, dir_fd=own_fd)
    staged = f"link-{secrets.token_hex(8)}.new"
    fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=own_fd)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    except BaseException:
        os.unlink(staged, dir_fd=own_fd)
        raise
    finally:
        os.close(fd)
    return staged
