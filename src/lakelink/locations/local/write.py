"""Carrying out writes: stage, fill, give it its metadata, take the place.

Five to six system calls for a new small file: open(O_TMPFILE), write, utimensat, fstat, linkat, close; owner and mode only where the new file
does not have them anyway.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence

from lakelink.errors import Corrupt, LakelinkError, Unsupported
from lakelink.locations.base import Write
from lakelink.locations.content import BytesContent, Placeholder, SourceFile
from lakelink.locations.local.attributes import set_attributes
from lakelink.locations.local.copying import Stopped, copy_file, write_at
from lakelink.locations.local.hands import Hands
from lakelink.locations.local.metadata import entry_of, matches, settle, version_of
from lakelink.locations.local.options import Durability
from lakelink.locations.local.place import Place, look, require, taken
from lakelink.locations.local.stage import Stage
from lakelink.model.entry import Entry, Kind, Posix
from lakelink.model.path import MAX_PATH_BYTES, display, split


class Writer:
    """Answers one `write` call."""

    def __init__(self, hands: Hands, stop: threading.Event) -> None:
        self._hands = hands
        self._means = hands.means
        self._kernel = hands.means.kernel
        self._stop = stop

    def write(self, writes: Sequence[Write]) -> list[Entry | LakelinkError | None]:
        """One answer per write, in order. None: its bytes are neither in memory nor in a file of this machine; nothing was done.

        Raises:
            Stopped: the event was set; what was answered by then is done, the rest is not begun.
        """
        return [self._hands.attempt(write.path, lambda w=write: self._one(w)) for write in writes]  # type: ignore[misc]

    def _one(self, write: Write) -> Entry | None:
        self._hands.require_name(write.path)
        content = write.content
        if write.kind is Kind.DIR:
            return self._directory(write)
        if isinstance(content, Placeholder):
            return self._file(write, content)
        if isinstance(content, BytesContent):
            if write.kind is Kind.SYMLINK:
                return self._symlink(write, content.data)
            return self._file(write, content.data)
        source = content.open_file() if content is not None else None
        if source is None:
            return None
        try:
            return self._file(write, source)
        finally:
            source.close()

    def from_file(self, write: Write, source: SourceFile) -> Entry:
        """As a write of the bytes of an open file; errors are raised."""
        return self._file(write, source)

    def _file(self, write: Write, data: bytes | SourceFile | Placeholder) -> Entry:
        place = self._hands.place(write.path, Kind.FILE, make=True)
        self._before(place, write)
        stage = self._stage(place, write)
        try:
            if isinstance(data, bytes):
                if data:
                    write_at(self._kernel, stage.fd, data, 0)
            elif isinstance(data, Placeholder):
                data.prepare(stage.fd)
            else:
                self._fill(stage, data, write.path)
            return self._finish(stage, place, write)
        finally:
            stage.discard()

    def _fill(self, stage: Stage, source: SourceFile, path: str) -> None:
        st = self._kernel.fstat(source.fd)
        copied_bytes = copy_file(self._kernel, source.fd, stage.fd, st, self._stop)
        source.check()  # first: a source that shrank has changed, and is not corrupt
        require_length(path, copied_bytes, source.size_bytes)

    def _before(self, place: Place, write: Write) -> None:
        """For a new file the call that takes the place asks; an old one is looked at before the work."""
        if write.expect.version is not None:
            require(self._kernel, place, write.expect.version)

    def _stage(self, place: Place, write: Write) -> Stage:
        # Without posix the kernel applies the umask and default ACLs to 0666, as for any new file.
        mode = 0o666 if write.posix is None else write.posix.mode & 0o777
        return self._means.stages.open(place.dir_fd, split(write.path)[0], mode)

    def begin(self, write: Write) -> Stage | LakelinkError:
        """A stage for bytes that come from elsewhere, once nothing speaks against the write."""

        def step() -> Stage:
            self._hands.require_name(write.path)
            place = self._hands.place(write.path, Kind.FILE, make=True)
            if write.expect.version is None and look(self._kernel, place) is not None:
                raise taken(write.path, "is already there")
            self._before(place, write)
            return self._stage(place, write)

        return self._hands.attempt(write.path, step)

    def end(self, write: Write, stage: Stage) -> Entry | LakelinkError:
        """Put a filled stage in place."""
        return self._hands.attempt(
            write.path,
            lambda: self._finish(stage, self._hands.place(write.path, Kind.FILE, make=True), write),
        )

    def _finish(self, stage: Stage, place: Place, write: Write) -> Entry:
        if self._stop.is_set():
            raise Stopped
        kernel, posix = self._kernel, write.posix
        if posix is not None:
            kernel.utime(stage.fd, ns=(posix.atime_ns, posix.mtime_ns))
        st = kernel.fstat(stage.fd)
        if posix is None:
            entry = entry_of(st)
        else:
            held = settle(kernel, stage.fd, st, posix, owner=self._means.owner)
            entry = Entry(kind=Kind.FILE, size_bytes=st.st_size, posix=held, version=version_of(st))
        if self._means.durability is Durability.FILE:
            kernel.fdatasync(stage.fd)
        self._take(stage, place, write, st)
        return entry

    def _take(self, stage: Stage, place: Place, write: Write, st: os.stat_result) -> None:
        displaced = write.expect.version
        if displaced is None:
            stage.create(place)
        else:
            stage.replace(place, version_of(st), displaced, keep=self._means.trash)

    def _symlink(self, write: Write, target: bytes) -> Entry:
        require_target(write.path, len(target), target)
        place = self._hands.place(write.path, Kind.SYMLINK, make=True)
        self._before(place, write)
        stage = self._means.stages.link(place.dir_fd, split(write.path)[0], target)
        try:
            st = stage.settle_link(write.posix, owner=self._means.owner)
            self._take(stage, place, write, st)
        finally:
            stage.discard()
        return entry_of(st, os.fsdecode(target))

    def _directory(self, write: Write) -> Entry:
        """Made, or adopted as it is; with its metadata, though what happens in it later moves its times again."""
        kernel, posix = self._kernel, write.posix
        place = self._hands.place(write.path, Kind.DIR, make=True)
        if write.expect.version is None and write.path:
            with contextlib.suppress(FileExistsError):
                kernel.mkdir(place.name, 0o777 if posix is None else 0o700, dir_fd=place.dir_fd)
        if posix is None:
            st = kernel.stat(place.name, dir_fd=place.dir_fd, follow_symlinks=False)
            if not matches(write.expect.version or version_of(st), Kind.DIR, st):
                raise taken(write.path)
            return entry_of(st)
        # Who is not root needs to write into it next; the mode that was meant comes with `set_posix` at the end.
        if kernel.geteuid():
            posix = Posix(posix.mode | 0o700, posix.uid, posix.gid, posix.mtime_ns, posix.atime_ns)
        return set_attributes(kernel, place, posix, write.expect.version, owner=self._means.owner)


def require_target(path: str, size_bytes: int | None, target: bytes = b"") -> None:
    """A symlink can lead to that target.

    Raises:
        Unsupported: it is empty, too long, or holds a NUL byte.
    """
    if not 0 < (size_bytes or 0) <= MAX_PATH_BYTES or b"\0" in target:
        raise Unsupported(
            f"{display(path)}: no link can have this target", hint="It is empty, too long, or holds a NUL byte."
        )


def require_length(path: str, got_bytes: int, size_bytes: int | None) -> None:
    """As many bytes came as were announced.

    Raises:
        Corrupt: more or fewer.
    """
    if size_bytes is not None and got_bytes != size_bytes:
        raise Corrupt(f"{display(path)}: {got_bytes} bytes arrived, {size_bytes} were announced")
