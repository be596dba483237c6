"""One look at the root of a link: which directory it is, what its marker says, whether anything is in it. Blocking calls."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lakelink.errors import Halt, LakelinkError, RootGone, RootReadOnly, RootReplaced, RootTaken
from lakelink.links import marker
from lakelink.links.marker import Marker
from lakelink.model.path import OWN_DIRECTORY, display
from lakelink.ports.notify import LinuxNotify

Identify = Callable[[str], str]
"""The identity of the file system that a directory is on, as `watch.mounts` tells it: "uuid:…", "KIND:SOURCE", "fsid:…" or ""."""

_notify = LinuxNotify()
_AWAY = frozenset({errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT})


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a root stands, told in a way that outlives a remount.

    `handle` is the file handle (name_to_handle_at(2)) in hexadecimal, "" where the file system has no UUID or no handles. It holds the inode's
    generation: a directory that was removed and made again often gets the same inode, and never the same handle.
    """

    file_system: str
    inode: int
    handle: str = ""

    def is_other(self, then: Standing) -> bool:
        """Whether this is surely not where it stood then. Without a UUID a file system is known by its marker alone; FUSE makes inodes up."""
        both_known = self.file_system.startswith("uuid:") and then.file_system.startswith("uuid:")
        if both_known and self.file_system != then.file_system:
            return True
        if self.handle and then.handle and self.handle != then.handle:
            return True
        return self.inode != then.inode and not self.file_system.startswith("fuse")

    def is_surely(self, then: Standing) -> bool:
        """Whether this is where it stood then, without a marker to say so."""
        return bool(self.handle) and self == then


@dataclass(frozen=True, slots=True)
class Sight:
    """One look at a root."""

    standing: Standing
    marker: Marker | None
    is_empty: bool
    is_read_only: bool
    device: int
    handle: str  # whatever the file system is


def look(root: str, identify: Identify, known: Sight | None = None) -> Sight:
    """What is at the path now. `known`: an earlier sight; where marker, inode and device are still its own, the file system is not asked again.

    Raises:
        RootGone: nothing is there that could be looked at.
        RootReplaced: there is a marker that cannot be read.
    """
    fd = _open(root)
    try:
        st = os.fstat(fd)
        found = _marker(fd, root)
        with os.scandir(fd) as entries:
            is_empty = all(entry.name == OWN_DIRECTORY for entry in entries)
        flags = os.fstatvfs(fd).f_flag
        writable = os.access(".", os.W_OK | os.X_OK, dir_fd=fd, effective_ids=True)
        handle = _handle(fd)
    except OSError as error:
        raise gone(root, error) from error
    finally:
        os.close(fd)
    if (
        known
        and found
        and (found, st.st_ino, st.st_dev, handle)
        == (
            known.marker,
            known.standing.inode,
            known.device,
            known.handle,
        )
    ):
        standing = known.standing
    else:
        file_system = _identity(root, identify)
        standing = Standing(file_system, st.st_ino, handle if file_system.startswith("uuid:") else "")
    return Sight(standing, found, is_empty, bool(flags & os.ST_RDONLY) or not writable, st.st_dev, handle)


def mark(root: str, seen: Sight, put: Marker, *, again: bool) -> Marker:
    """Put the marker into the directory that was seen; returns the one that it carries then. With `again`, over one of the same link.

    Raises:
        RootReplaced: another directory is there meanwhile.
        RootReadOnly: it cannot be written to.
        RootTaken: it carries the marker of another link, or lies inside the directory of one.
    """
    fd = _open(root)
    try:
        st = os.fstat(fd)
        if (st.st_ino, st.st_dev) != (seen.standing.inode, seen.device):
            raise RootReplaced(f"{display(root)} was replaced while it was looked at", hint="The link looks again.")
        _check_free(root, fd, put.ident)
        try:
            marker.put(fd, put, replace=again)
        except FileExistsError:
            _check_free(root, fd, put.ident)
            return _marker(fd, root) or put
        except OSError as error:
            hint = "The link keeps its marker, its trash and what is on its way there: its user has to be allowed to write."
            raise RootReadOnly(f"{display(root)} cannot be written to: {error.strerror}", hint=hint) from error
        return put
    finally:
        os.close(fd)


def unmark(root: str, ident: str) -> None:
    """Remove the marker of that link, if it is there.

    Raises:
        RootGone: the root cannot be opened.
        RootReadOnly: the marker cannot be removed.
    """
    fd = _open(root)
    try:
        marker.remove(fd, ident)
    except (OSError, ValueError) as error:
        raise RootReadOnly(
            f"{display(root)}/{marker.PATH} cannot be removed: {error}", hint="Remove it by hand."
        ) from error
    finally:
        os.close(fd)


def taken(root: str, found: Marker) -> RootTaken:
    """The halt of a root that is another link's."""
    return RootTaken(
        f"{display(root)} belongs to link {found.name} ({found.ident}), which keeps it in step with {display(found.lake)}",
        hint=f"Remove one of the two links. If that one no longer exists, remove {display(root)}/{marker.PATH}.",
    )


def gone(root: str, error: OSError) -> RootGone:
    """The halt of a root that cannot be looked at."""
    if error.errno in _AWAY:
        hint = "Is its file server up? The link goes on by itself when it answers again."
        return RootGone(f"{display(root)} does not answer: {error.strerror}", hint=hint)
    hint = "Is its file system mounted, and may this user read it? The link goes on by itself when it is there again."
    return RootGone(f"{display(root)} cannot be opened as a directory: {error.strerror}", hint=hint)


def _open(root: str) -> int:
    try:
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise gone(root, error) from error


def _marker(fd: int, root: str) -> Marker | None:
    try:
        return marker.read(fd)
    except ValueError as error:
        where = f"{display(root)}/{marker.PATH}"
        hint = f"If the directory is the right one, remove {where}, and resume the link with --accept-root."
        raise RootReplaced(f"{where} is damaged: {error}", hint=hint) from error


def _handle(fd: int) -> str:
    try:
        return _notify.handle_of(fd).hex()
    except OSError:
        return ""


def _identity(root: str, identify: Identify) -> str:
    try:
        return identify(root)
    except Halt:
        raise
    except LakelinkError as error:
        raise RootGone(error.message, hint=error.hint) from error


def _check_free(root: str, fd: int, ident: str) -> None:
    """Neither the root nor a directory around it is the root of another link."""
    found = _marker(fd, root)
    if found is not None and found.ident != ident:
        raise taken(root, found)
    for around in _around(root):
        try:
            above = os.open(around, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue  # not ours to look into
        try:
            found = marker.read(above)
        except (OSError, ValueError):
            found = None
        finally:
            os.close(above)
        if found is not None and found.ident != ident:
            raise taken(around, found)


def _around(root: str) -> Iterator[str]:
    path = os.path.realpath(root)
    while (above := os.path.dirname(path)) != path:  # noqa: PTH120  # names are strings with surrogates here
        yield above
        path = above
