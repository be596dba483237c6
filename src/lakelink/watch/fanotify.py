"""fanotify as a source of hints: events that name a directory by its handle, and the name in it (Linux 5.9, root).

Where the root is a mount that shows a whole file system, one mark covers it. Elsewhere every directory gets a mark of its own. Either way the kernel
tells where a directory is (`open_handle`, /proc): there is no tree of names here that could be wrong, only a cache that a renamed directory empties.

FAN_RENAME (Linux 5.17) brings both names in one event; before that the two halves come apart and nothing says that they belong together.
FAN_REPORT_TARGET_FID is not asked for: it names the child as well, which nothing here needs, and keeps the kernel from merging events.
The queue is not made unlimited: if this process is stopped, the kernel drops events and says so, instead of filling its memory.
"""

from __future__ import annotations

import errno
import os
import struct

from lakelink.errors import RootMissing, Unsupported, WatchLimit
from lakelink.model.path import OWN_DIRECTORY, ROOT, join
from lakelink.ports.kernel import Kernel
from lakelink.ports.notify import (
    FAN_ATTRIB,
    FAN_CLOEXEC,
    FAN_CLOSE_WRITE,
    FAN_CREATE,
    FAN_DELETE,
    FAN_EVENT_ON_CHILD,
    FAN_MARK_ADD,
    FAN_MARK_FILESYSTEM,
    FAN_MARK_REMOVE,
    FAN_MODIFY,
    FAN_MOVED_FROM,
    FAN_MOVED_TO,
    FAN_NONBLOCK,
    FAN_ONDIR,
    FAN_Q_OVERFLOW,
    FAN_RENAME,
    FAN_REPORT_DFID_NAME,
    FAN_UNLIMITED_MARKS,
    Notify,
)
from lakelink.watch.gathering import Gathering
from lakelink.watch.root import GONE, WatchedRoot
from lakelink.watch.survey import Announce, Survey
from lakelink.watch.writing import Writing

GROUPS_HINT = "Raise the limit: sysctl -w fs.fanotify.max_user_groups=1024; or ulimit -n, if descriptors are short."
MARKS_HINT = "Raise the limit: sysctl -w fs.fanotify.max_user_marks=1048576."
READ_BYTES = 65_536
READS = 16
MAX_CACHED = 65_536  # directories whose place is remembered

_GROUP = FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_DFID_NAME | FAN_UNLIMITED_MARKS
_MASK = FAN_MODIFY | FAN_ATTRIB | FAN_CLOSE_WRITE | FAN_CREATE | FAN_DELETE | FAN_ONDIR
_PAIRED = _MASK | FAN_RENAME
_HALVES = _MASK | FAN_MOVED_FROM | FAN_MOVED_TO
_REFUSED = frozenset({errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENODEV, errno.EXDEV})
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OLD_NAME, _NEW_NAME, _NAME = (
    10,
    12,
    2,
)  # linux/fanotify.h: FAN_EVENT_INFO_TYPE_OLD_DFID_NAME, _NEW_DFID_NAME, _DFID_NAME
_metadata = struct.Struct(
    "IBBHQii"
).unpack_from  # length, version, reserved, length of this part, mask, descriptor, pid
_record = struct.Struct(
    "BBH8xI"
).unpack_from  # type, padding, length; file system id; length of the handle behind its type
_HANDLE = 12  # where the handle begins in a record

_File = tuple[bytes, bytes]  # handle of the directory, name in it


class FanotifySource:
    """One group. Everything but the survey's `problems` belongs to the thread that reads."""

    kind = "fanotify"

    def __init__(
        self, kernel: Kernel, notify: Notify, root: WatchedRoot, gathering: Gathering, *, whole_mount: bool
    ) -> None:
        """With `whole_mount` one mark for the file system; the root must be the top of a mount that shows all of it."""
        self._kernel = kernel
        self._notify = notify
        self._root = root
        self._gathering = gathering
        self._whole = whole_mount
        self._mask = _PAIRED
        self._writing = Writing()
        self._adrift = False
        self._places: dict[bytes, str | None] = {}
        self.survey = Survey(kernel, root, self._watch, gathering, MARKS_HINT)
        self._root_handle = b""
        self._fd = -1

    def open(self) -> None:
        """Begin; without one mark for all, the survey then marks every directory.

        Raises:
            WatchLimit: no group is to be had.
            Unsupported: the kernel or the file system does not do this, or not for this user.
            RootMissing: the root is not what it was.
        """
        try:
            self._fd = self._notify.fanotify_init(_GROUP)
            with self._root.open() as fd:
                self._root_handle = self._notify.handle_of(fd)
                os.close(self._notify.open_handle(fd, self._root_handle, _DIRECTORY))
                self._mark(fd, whole=self._whole)
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}:
                raise WatchLimit("no fanotify group is left for this user", hint=GROUPS_HINT) from error
            raise Unsupported(f"fanotify with names is not available here: {error.strerror}") from error
        if not self._whole:
            self.survey.add(ROOT, Announce.NOTHING)

    def _mark(self, directory_fd: int, *, whole: bool) -> None:
        flags = FAN_MARK_ADD | FAN_MARK_FILESYSTEM if whole else FAN_MARK_ADD
        reach = 0 if whole else FAN_EVENT_ON_CHILD
        try:
            self._notify.fanotify_mark(self._fd, flags, self._mask | reach, directory_fd)
        except OSError as error:
            if error.errno != errno.EINVAL or self._mask == _HALVES:
                raise
            self._mask = _HALVES
            self._notify.fanotify_mark(self._fd, flags, self._mask | reach, directory_fd)

    def _watch(self, directory_fd: int, path: str) -> None:
        # Handles are resolved on the mount of the root, so another file system below it is not for this source.
        if self._kernel.fstat(directory_fd).st_dev != self._root.device:
            raise OSError(errno.EXDEV, "it is on another file system than the root, mounted later")
        if not self._whole and path:
            self._mark(directory_fd, whole=False)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def tick(self, _now: float, /) -> None:
        """Notice a root that was made anew with the same inode number: its handle is another, and the mark went with the old one.

        Raises:
            RootMissing: that is so.
        """
        with self._root.open() as fd:
            if self._notify.handle_of(fd) != self._root_handle:
                raise RootMissing(
                    f"{self._root.path} was removed and made anew",
                    hint="Nothing is removed because of that; look at it, and let the link go on.",
                )

    def drain(self) -> None:
        """Note what has happened, at most `READS` buffers of it.

        Raises:
            RootMissing: the root is not what it was.
        """
        for _ in range(READS):
            try:
                events = os.read(self._fd, READ_BYTES)
            except BlockingIOError:
                return
            self._read(events)

    def _read(self, events: bytes) -> None:
        files: dict[_File, int] = {}
        position, end = 0, len(events)
        while position < end:
            length, _, _, start, mask, _, _ = _metadata(events, position)
            if mask & (FAN_Q_OVERFLOW | FAN_ONDIR | FAN_RENAME | FAN_MOVED_FROM | FAN_MOVED_TO):
                self._flush(files)
                files = {}
                self._special(events, position + start, position + length, mask)
            elif length > start:
                file = _file(events, position + start)
                # Events of one process that were merged before they were read have lost their order; a close is taken for the last of them.
                # Should the file be open again, another close will come.
                files[file] = files.get(file, mask) if mask == FAN_ATTRIB else mask
            position += length
        self._flush(files)

    def _flush(self, files: dict[_File, int]) -> None:
        writing, found = self._writing, []
        for file, mask in files.items():
            if mask & FAN_CLOSE_WRITE:
                writing.end(file)
            elif mask & (FAN_MODIFY | FAN_CREATE):
                writing.begin(file)
            elif mask & FAN_DELETE:
                writing.end(file)
            path = self._path(file)
            if path is not None:
                found.append((path, file not in writing))
        if found:
            self._gathering.note_files(found)

    def _special(self, events: bytes, position: int, end: int, mask: int) -> None:
        """Directories, renames and the overflow."""
        if mask & FAN_Q_OVERFLOW:
            self._places.clear()
            self._writing.clear()
            if self._whole:
                self._gathering.note(ROOT, subtree=True)
            else:
                self.survey.restart(Announce.SUBTREE)
            return
        if mask & FAN_RENAME:
            names: dict[int, _File] = {}
            while position < end:
                kind, _, length, _ = _record(events, position)
                names[kind] = _file(events, position)
                position += length
            self._renamed(names.get(_OLD_NAME), names.get(_NEW_NAME), is_directory=bool(mask & FAN_ONDIR))
        elif position < end:
            file = _file(events, position)
            if not mask & FAN_ONDIR:
                self._half(file, mask)
            else:
                self._directory(file, mask)

    def _renamed(self, old: _File | None, new: _File | None, *, is_directory: bool) -> None:
        """Either name is missing where only one of the two directories is marked."""
        before = self._path(old) if old is not None else None
        if is_directory:
            self._places.clear()
        written = old is not None and self._writing.end(old)
        if before is not None:
            self._gathering.note(before, subtree=is_directory)
        if new is None:
            return
        if written:
            self._writing.begin(new)
        after = self._path(new)
        if after is None:
            return
        self._gathering.note(after, subtree=is_directory, settled=not written, moved_from=before)
        if is_directory and not self._whole:
            self.survey.add(after, Announce.SUBTREE)

    def _half(self, file: _File, mask: int) -> None:
        """A file came or went, or both, perhaps merged with what else happened at its name."""
        written = bool(mask & (FAN_MODIFY | FAN_CREATE) and not mask & FAN_CLOSE_WRITE)
        if mask & FAN_MOVED_FROM:
            self._adrift = self._writing.end(file)
        if mask & FAN_MOVED_TO:
            # The halves of a rename follow each other, but nothing pairs them: what the last one that left was is taken to be what comes.
            written, self._adrift = written or self._adrift, False
        if written:
            self._writing.begin(file)
        path = self._path(file)
        if path is not None:
            self._gathering.note(path, settled=not written)

    def _directory(self, directory: _File, mask: int) -> None:
        moved = mask & (FAN_MOVED_FROM | FAN_MOVED_TO)
        if moved:
            self._places.clear()
        path = self._path(directory)
        if path is None:
            return
        self._gathering.note(path, subtree=bool(moved or mask & FAN_DELETE))
        if self._whole:
            return
        if mask & (FAN_CREATE | FAN_MOVED_TO):
            self.survey.add(path, Announce.SUBTREE if moved else Announce.EACH)
        elif self.survey.is_blind(path):
            self.survey.add(path, Announce.SUBTREE)

    def _path(self, file: _File) -> str | None:
        """Where the file is below the root; None: elsewhere, or its directory is gone, or it is ours."""
        handle, raw = file
        if handle in self._places:
            parent = self._places[handle]
        else:
            if len(self._places) >= MAX_CACHED:
                self._places.clear()
            parent = self._places[handle] = self._place(handle)
        if parent is None or raw in {b".", b""}:
            return parent
        name = raw.decode("utf-8", "surrogateescape")
        if name == OWN_DIRECTORY and parent in self.survey.tops:
            return None
        return join(parent, name)

    def _place(self, handle: bytes) -> str | None:
        with self._root.open() as root_fd:
            try:
                fd = self._notify.open_handle(root_fd, handle, _DIRECTORY)
            except OSError as error:
                if error.errno in GONE:
                    return None
                raise
            try:
                if not self._kernel.fstat(fd).st_nlink:
                    return None
                top, place = self._notify.place_of(root_fd), self._notify.place_of(fd)
                if place == top:
                    return ROOT
                prefix = top.rstrip(b"/") + b"/"
                if place.startswith(prefix):
                    path = place[len(prefix) :].decode("utf-8", "surrogateescape")
                    # A directory below our own gets no hints; it is not known here as outside, so that it may be moved out of there.
                    return None if path.partition("/")[0] == OWN_DIRECTORY else path
                self._forget(fd)
                return None
            finally:
                os.close(fd)

    def _forget(self, directory_fd: int) -> None:
        """A directory that has left the root keeps its mark until it shows itself."""
        if self._whole:
            return
        try:
            self._notify.fanotify_mark(self._fd, FAN_MARK_REMOVE, self._mask | FAN_EVENT_ON_CHILD, directory_fd)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise


def _file(events: bytes, position: int) -> _File:
    _, _, length, handle_length = _record(events, position)
    begin = position + _HANDLE
    behind = begin + 8 + handle_length
    return events[begin:behind], events[behind : position + length].rstrip(b"\0")
