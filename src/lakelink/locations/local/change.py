"""Deletes, metadata, copies and looks: the verbs beside reading and writing, each for one call in one thread."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Sequence

from lakelink.errors import LakelinkError, NotFound, PreconditionFailed
from lakelink.locations.base import Copy, Delete, SetPosix, Write
from lakelink.locations.local.attributes import set_attributes
from lakelink.locations.local.hands import Hands
from lakelink.locations.local.metadata import entry_of, matches
from lakelink.locations.local.oserror import GONE, translate
from lakelink.locations.local.place import Place, look, remove, taken
from lakelink.locations.local.source import LocalSource, changed, open_to_read
from lakelink.locations.local.write import Writer
from lakelink.model.entry import Entry, Kind, kind_of_mode
from lakelink.model.path import display, split
from lakelink.ports.kernel import Kernel


def delete(hands: Hands, deletes: Sequence[Delete]) -> list[LakelinkError | None]:
    """One answer per delete, in order."""
    return [hands.attempt(d.path, lambda d=d: _delete(hands, d)) for d in deletes]  # type: ignore[misc]


def _delete(hands: Hands, wanted: Delete) -> None:
    hands.require_name(wanted.path)
    try:
        place = hands.place(wanted.path, wanted.kind)
        st = look(hands.means.kernel, place)
    except OSError as error:
        if error.errno in GONE:
            return
        raise
    if st is None:
        return
    version = wanted.expect.version
    if version is None or not matches(version, wanted.kind, st):
        raise taken(wanted.path, "is not the version that was to be removed")
    if wanted.kind is Kind.DIR:
        _remove_directory(hands.means.kernel, place)
        return
    area = hands.means.areas.of(place.dir_fd, split(wanted.path)[0])
    try:
        remove(hands.means.kernel, area, place, version, keep=hands.means.trash)
    except FileNotFoundError:
        if look(hands.means.kernel, place) is not None:  # it was not the file that was missing
            raise


def _remove_directory(kernel: Kernel, place: Place) -> None:
    try:
        kernel.rmdir(place.name, dir_fd=place.dir_fd)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            raise PreconditionFailed(
                f"{display(place.path)} is not empty", hint="What is in it was not to be removed, or is new."
            ) from error
        raise


def set_posix(hands: Hands, changes: Sequence[SetPosix]) -> list[Entry | LakelinkError]:
    """One answer per change, in order."""
    return [hands.attempt(c.path, lambda c=c: _set_posix(hands, c)) for c in changes]  # type: ignore[misc]


def _set_posix(hands: Hands, change: SetPosix) -> Entry:
    if change.path:
        hands.require_name(change.path)
    if change.expect.version is None:
        raise taken(change.path, "cannot be absent and get metadata")
    place = hands.place(change.path, change.kind)
    return set_attributes(hands.means.kernel, place, change.posix, change.expect.version, owner=hands.means.owner)


def copy(hands: Hands, copies: Sequence[Copy], stop: threading.Event) -> list[Entry | LakelinkError]:
    """One answer per copy, in order; the copy has the metadata of the origin."""
    writer = Writer(hands, stop)
    return [hands.attempt(c.path, lambda c=c: _copy(hands, writer, c)) for c in copies]  # type: ignore[misc]


def _copy(hands: Hands, writer: Writer, wanted: Copy) -> Entry:
    hands.require_name(wanted.path)
    kernel = hands.means.kernel
    place = hands.place(wanted.origin, Kind.FILE)
    try:
        fd = open_to_read(kernel, place.name, place.dir_fd)
    except OSError as error:
        raise changed(wanted.origin) if error.errno == errno.ELOOP else translate(error, wanted.origin) from error
    source = LocalSource(kernel, fd, wanted.origin, kernel.fstat(fd))
    try:
        if not matches(wanted.origin_version, Kind.FILE, source.st):
            raise changed(wanted.origin)
        posix = entry_of(source.st).posix
        return writer.from_file(Write(wanted.path, Kind.FILE, None, posix, wanted.expect), source)
    finally:
        source.close()


def being_written(hands: Hands, paths: Sequence[str]) -> list[bool]:
    """Whether somebody surely has the file at each path open for writing, or mapped so; not known counts as no."""
    return [_is_being_written(hands, path) for path in paths]


def _is_being_written(hands: Hands, path: str) -> bool:
    kernel = hands.means.kernel
    parent, name = split(path)
    try:
        dir_fd = hands.directories.get(parent)
        # A device or FIFO must not even be opened.
        if kind_of_mode(kernel.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode) is not Kind.FILE:
            return False
        fd = open_to_read(kernel, name, dir_fd)
    except OSError:
        return False
    try:
        return kernel.lease(fd) is False
    finally:
        kernel.close(fd)


def stat(hands: Hands, paths: Sequence[str], *, follow: bool) -> list[Entry | LakelinkError | None]:
    """What is at each path now; None = surely nothing."""
    return [hands.attempt(p, lambda p=p: _stat(hands, p, follow=follow)) for p in paths]  # type: ignore[misc]


def _stat(hands: Hands, path: str, *, follow: bool) -> Entry | None:
    kernel = hands.means.kernel
    try:
        dir_fd, name = hands.directories.get(split(path)[0]), split(path)[1] or "."
        st = kernel.stat(name, dir_fd=dir_fd, follow_symlinks=follow)
    except OSError as error:
        if error.errno in GONE:
            return None
        raise
    if st.st_dev != hands.means.root.device and not follow and kind_of_mode(st.st_mode) is not Kind.DIR:
        # What a caller remembers of it after a flush must outlive a power failure, although it was somebody else who wrote it.
        with contextlib.suppress(OSError):
            hands.means.areas.touch(dir_fd, st.st_dev)
    if kind_of_mode(st.st_mode) is not Kind.SYMLINK:
        return entry_of(st)
    try:
        target = kernel.readlink(name, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in {errno.EINVAL, errno.ENOENT}:  # replaced since the look
            raise NotFound(f"{display(path)} changed while it was looked at") from error
        raise
    return entry_of(st, os.fsdecode(target))
