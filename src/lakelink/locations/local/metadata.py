"""Between `stat` results and the model's values, and back onto open files."""

from __future__ import annotations

import os
import stat

from lakelink.model.entry import Entry, Kind, Posix, Version, kind_of_mode
from lakelink.ports.kernel import Kernel


def version_of(st: os.stat_result) -> Version:
    """The version that names what `st` saw."""
    return Version(st.st_size, st.st_mtime_ns, st.st_ino)


def matches(version: Version, kind: Kind, st: os.stat_result) -> bool:
    """Whether `st` is still that version.

    A directory is known by its inode alone, since whatever happens in it moves its time and its size. Never ctime: a rename moves it.
    """
    if kind_of_mode(st.st_mode) is not kind:
        return False
    return st.st_ino == version.ino if kind is Kind.DIR else is_version(version, st)


def is_version(version: Version, st: os.stat_result) -> bool:
    """As `matches`, of whatever kind but a directory: an inode is of one kind for life."""
    seen = (st.st_ino, st.st_size, st.st_mtime_ns)
    return seen == (version.ino, version.size_bytes, version.time_ns) and not stat.S_ISDIR(st.st_mode)


def entry_of(st: os.stat_result, target: str | None = None) -> Entry:
    """What `st` saw, as an entry."""
    posix = Posix(stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_mtime_ns, st.st_atime_ns)
    return Entry(
        kind=kind_of_mode(st.st_mode), size_bytes=st.st_size, posix=posix, version=version_of(st), target=target
    )


def settle(kernel: Kernel, fd: int | str, st: os.stat_result, posix: Posix, *, owner: bool) -> Posix:
    """Give the open file `fd`, seen as `st`, the owner (with `owner`) and mode of `posix`; times are the caller's. Returns what holds then.

    The mode comes after the owner, because a change of owner clears setuid and setgid; both are left out where the owner they would
    grant is not the one that was meant. A `str` is the /proc path of a descriptor that only O_PATH could open.
    """
    uid, gid, mode_now = st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)
    if owner and (uid, gid) != (posix.uid, posix.gid):
        uid, gid = posix.uid, posix.gid
        if isinstance(fd, int):
            kernel.fchown(fd, uid, gid)
        else:
            kernel.chown(fd, uid, gid)
        mode_now = -1
    mode = posix.mode & 0o7777
    if not stat.S_ISDIR(st.st_mode):
        if uid != posix.uid:
            mode &= ~stat.S_ISUID
        if gid != posix.gid:
            mode &= ~stat.S_ISGID
    if mode != mode_now:
        if isinstance(fd, int):
            kernel.fchmod(fd, mode)
        else:
            kernel.chmod(fd, mode)
    return Posix(mode, uid, gid, st.st_mtime_ns, st.st_atime_ns)
