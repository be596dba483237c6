"""inotify as a source of hints: one watch for each directory, for any user, on any file system.

Where a directory was is what its watch is known by, and every rename of a directory is followed by a new walk over it: names are right again when
the walk has ended, and one hint for the subtree then covers what was said under an old name meanwhile. After an overflow all begins anew.
A directory that is mounted at two places below the root is known by one of its names only; a scan finds what changed at the other.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from typing import NamedTuple

from lakelink.errors import Unsupported, WatchLimit
from lakelink.model.path import OWN_DIRECTORY, ROOT, join
from lakelink.ports.kernel import Kernel
from lakelink.ports.notify import (
    IN_ATTRIB,
    IN_CLOSE_WRITE,
    IN_CREATE,
    IN_DELETE,
    IN_DELETE_SELF,
    IN_EXCL_UNLINK,
    IN_IGNORED,
    IN_ISDIR,
    IN_MODIFY,
    IN_MOVE_SELF,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    IN_ONLYDIR,
    IN_Q_OVERFLOW,
    IN_UNMOUNT,
    Notify,
)
from lakelink.watch.gathering import Gathering
from lakelink.watch.root import WatchedRoot
from lakelink.watch.survey import Announce, Survey
from lakelink.watch.writing import Writing

WATCHES_HINT = "Raise the limit: sysctl -w fs.inotify.max_user_watches=1048576 (about 1 KB of kernel memory each)."
INSTANCES_HINT = (
    "Raise the limit: sysctl -w fs.inotify.max_user_instances=1024; or ulimit -n, if descriptors are short."
)
READ_BYTES = 65_536
READS = 16  # between two slices of the survey
PAIR_S = 2.0  # the two halves of a rename come together; a directory whose second half does not come has left the root
MAX_MOVES = 16_384

_MASK = (
    IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE
    | IN_ONLYDIR | IN_EXCL_UNLINK
)  # fmt: skip
_SELF = IN_DELETE_SELF | IN_MOVE_SELF
_WRITTEN, _CLOSED, _TOUCHED = 1, 2, 3
_FILE_STATE = {IN_MODIFY: _WRITTEN, IN_CREATE: _WRITTEN, IN_CLOSE_WRITE: _CLOSED, IN_DELETE: _CLOSED}
_event = struct.Struct("iIII").unpack_from  # inotify(7): watch, mask, cookie, length of the name with its padding


class _Watched(NamedTuple):
    path: str
    serial: int  # of the time when it was put there


class _Move(NamedTuple):
    path: str
    is_directory: bool
    written: bool
    serial: int
    until: float


class InotifySource:
    """One instance. Everything but `problems` belongs to the thread that reads."""

    kind = "inotify"

    def __init__(self, kernel: Kernel, notify: Notify, root: WatchedRoot, gathering: Gathering) -> None:
        self._notify = notify
        self._root = root
        self._gathering = gathering
        self.survey = Survey(kernel, root, self._watch, gathering, WATCHES_HINT)
        self._fd = -1
        self._now = 0.0
        self._clear()

    def _clear(self) -> None:
        self._root_watch = -1
        self._serial = 0
        self._paths: dict[int, _Watched] = {}
        self._moves: dict[int, _Move] = {}
        self._writing = Writing()
        self._files: dict[tuple[int, bytes], int] = {}

    def open(self) -> None:
        """Begin; the survey then puts everything under watch.

        Raises:
            WatchLimit: no instance is to be had.
            Unsupported: this kernel has no inotify.
        """
        try:
            self._fd = self._notify.inotify_init()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}:
                raise WatchLimit("no inotify instance is left for this user", hint=INSTANCES_HINT) from error
            raise Unsupported(f"inotify is not available here: {error.strerror}") from error
        self.survey.restart(Announce.NOTHING)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _watch(self, directory_fd: int, path: str) -> None:
        watch = self._notify.inotify_add_watch(self._fd, directory_fd, _MASK if path else _MASK | _SELF)
        self._serial += 1
        self._paths[watch] = _Watched(path, self._serial)
        if not path:
            self._root_watch = watch

    def _start_over(self) -> None:
        # What the queue still held is covered by the hint that the new walk ends with.
        self.close()
        self._clear()
        self.open()
        self.survey.restart(Announce.SUBTREE)

    def drain(self) -> None:
        """Note what has happened, at most `READS` buffers of it.

        Raises:
            RootMissing: the root is not what it was.
            WatchLimit: after an overflow no new instance was to be had.
        """
        for _ in range(READS):
            try:
                events = os.read(self._fd, READ_BYTES)
            except BlockingIOError:
                break
            if not self._read(events):
                return
        self._flush()

    def _read(self, events: bytes) -> bool:
        """Whether the instance that these events came from is still in use."""
        state_of = _FILE_STATE.get
        position, end = 0, len(events)
        while position < end:
            watch, mask, cookie, length = _event(events, position)
            start = position + 16
            position = start + length
            state = state_of(mask)
            if state is not None:
                self._files[watch, events[start:position]] = state
            elif mask == IN_ATTRIB:
                self._files.setdefault((watch, events[start:position]), _TOUCHED)
            elif not self._special(watch, mask, cookie, events[start:position]):
                return False
        return True

    def _flush(self) -> None:
        """Note the files that were touched since, one hint each whatever the number of events."""
        files, self._files = self._files, {}
        tops, writing, found = self.survey.tops, self._writing, []
        for file, state in files.items():
            watched = self._paths.get(file[0])
            if watched is None or not file[1]:
                continue  # its directory went, and the hint for that covers it
            if state == _WRITTEN:
                writing.begin(file)
            elif state == _CLOSED:
                writing.end(file)
            name, path = _name(file[1]), watched.path
            if name == OWN_DIRECTORY and path in tops:
                continue
            found.append((f"{path}/{name}" if path else name, file not in writing))
        if found:
            self._gathering.note_files(found)

    def _special(self, watch: int, mask: int, cookie: int, raw: bytes) -> bool:
        """Directories, renames and what happens to a watch itself. Whether the instance is still in use."""
        self._flush()
        watched = self._paths.get(watch)
        if mask & IN_Q_OVERFLOW or (mask & IN_IGNORED and watch == self._root_watch):
            self._root.check()
            self._start_over()
            return False
        if watched is None:
            return True
        if mask & IN_IGNORED:
            del self._paths[watch]
        elif mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT):
            if watch == self._root_watch:
                self._root.check()
            self._gathering.note(watched.path, subtree=True)
        elif not raw:
            if watch == self._root_watch:
                self._gathering.note(ROOT)
        elif not (_name(raw) == OWN_DIRECTORY and watched.path in self.survey.tops):
            path = join(watched.path, _name(raw))
            if mask & (IN_MOVED_FROM | IN_MOVED_TO):
                self._renamed((watch, raw), path, mask, cookie)
            else:
                self._directory(path, mask)
        return True

    def _directory(self, path: str, mask: int) -> None:
        self._gathering.note(path, subtree=bool(mask & IN_DELETE))
        if mask & IN_CREATE:
            self.survey.add(path, Announce.EACH)
        elif mask & IN_ATTRIB and self.survey.is_blind(path):
            self.survey.add(path, Announce.SUBTREE)  # perhaps it may be read now

    def _renamed(self, file: tuple[int, bytes], path: str, mask: int, cookie: int) -> None:
        is_directory = bool(mask & IN_ISDIR)
        if mask & IN_MOVED_FROM:
            self._gathering.note(path, subtree=is_directory)
            if len(self._moves) >= MAX_MOVES:
                self._departed([self._moves.pop(next(iter(self._moves)))])
            until = self._now + PAIR_S
            self._moves[cookie] = _Move(path, is_directory, self._writing.end(file), self._serial, until)
            return
        move = self._moves.pop(cookie, None)
        written = move is not None and move.written
        if written:
            self._writing.begin(file)
        else:
            self._writing.end(file)
        self._gathering.note(
            path, subtree=is_directory, settled=not written, moved_from=move.path if move is not None else None
        )
        if is_directory:
            self.survey.add(path, Announce.SUBTREE)

    def tick(self, now: float, /) -> None:
        """Let go of the directories that have left the root."""
        self._now = now
        late = [cookie for cookie, move in self._moves.items() if move.until <= now]
        if late:
            self._departed([self._moves.pop(cookie) for cookie in late])

    def _departed(self, moves: list[_Move]) -> None:
        gone = {move.path: move.serial for move in moves if move.is_directory}
        if not gone:
            return
        below = tuple(path + "/" for path in gone)
        for watch, (path, serial) in list(self._paths.items()):
            if not (path in gone or path.startswith(below)):
                continue
            # What was put there since is a directory that took the name, not the one that left.
            if all(serial > left for top, left in gone.items() if path == top or path.startswith(top + "/")):
                continue
            del self._paths[watch]
            with contextlib.suppress(OSError):  # it was deleted there, and its watch with it
                self._notify.inotify_rm_watch(self._fd, watch)


def _name(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode("utf-8", "surrogateescape")
