"""A descriptor that asks nobody: what is done through it raises no event, so that it can be used under a lease while the ear of the worker waits.

The kernel gives such descriptors with events only. So the worker has a second group with event descriptors open for writing: a file that is marked
in it is opened, and the descriptor of that event is kept.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import threading

from lakelink.links.hsm.probe import PRE_CONTENT_GROUP, open_group
from lakelink.links.hsm.tree import Tree
from lakelink.ports import permission

WITHIN_S = 10.0
_EVENT_BYTES = 4096


class Quiet:
    """Makes quiet descriptors, one at a time. For worker threads; the main group's ear has to be listening."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        try:
            self._group_fd = permission.group(PRE_CONTENT_GROUP, os.O_RDWR | os.O_NOATIME)
        except OSError:
            self._group_fd = open_group()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._wanted: bytes | None = None
        self._found: queue.SimpleQueue[int] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="quiet", daemon=True).start()

    def open(self, handle: bytes) -> int:
        """A quiet descriptor of the file, open for reading and writing; close it.

        Raises:
            OSError: ETXTBSY: it runs. EWOULDBLOCK: somebody has a lease. ESTALE: it is gone. ETIMEDOUT: its event did not come.
        """
        with self._lock:
            path_fd = self._tree.open(handle, os.O_PATH)
            name = b"/proc/self/fd/%d" % path_fd
            try:
                permission.mark_path(self._group_fd, name, permission.FAN_OPEN_PERM)
                try:
                    return self._open(handle)
                finally:
                    permission.unmark_path(self._group_fd, name, permission.FAN_OPEN_PERM)
            finally:
                os.close(path_fd)

    def _open(self, handle: bytes) -> int:
        self._wanted = handle
        try:
            opened = self._tree.open(handle, os.O_RDWR | os.O_NOATIME)
        finally:
            self._wanted = None
        os.close(opened)
        try:
            return self._found.get(timeout=WITHIN_S)
        except queue.Empty:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None

    def _listen(self) -> None:
        while True:
            try:
                events = os.read(self._group_fd, _EVENT_BYTES)
            except OSError:
                continue  # one event could not be had: whoever asked was refused by the kernel, as `open` will be
            for question in permission.questions(events):
                self._hear(question)

    def _hear(self, question: permission.Permission) -> None:
        if question.fd < 0:
            return
        keep = False
        with contextlib.suppress(OSError):
            keep = question.pid == self._pid and permission.handle_of(question.fd) == self._wanted
        if keep:
            self._wanted = None
            self._found.put(question.fd)
        permission.allow(self._group_fd, question.fd)
        if not keep:
            os.close(question.fd)
