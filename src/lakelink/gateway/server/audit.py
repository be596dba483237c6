"""The audit log: one JSON object per line, appended by a thread of its own, so that a slow disk never holds a session up.

Several processes append to one file: a line is one write with O_APPEND, which the kernel does not interleave. The file may be renamed or truncated
by whoever rotates logs: before each batch it is looked whether it still is the file of that name.
"""

from __future__ import annotations

import datetime as dt
import os
import queue
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from lakelink.errors import StorageError
from lakelink.gateway.base import AuditRecord

FILE = "audit.log"
WAITING = 20_000
"""So many lines may wait for the disk; what comes beyond is counted and dropped."""
BATCH = 500
GATHER_S = 0.02
"""After it has written, the thread lets so much time pass: woken for each line, it and the sessions would take the interpreter lock from each other."""
FLUSHED_WITHIN_S = 5.0
_encode = msgspec.json.Encoder().encode


class AuditLog:
    """Appends to one file (0600). Call it with a record; it neither waits nor raises."""

    def __init__(self, path: Path) -> None:
        """Open the file; it is there afterwards.

        Raises:
            StorageError: it cannot be written.
        """
        self._path = path
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.dropped = 0
        try:
            self._fd = _open(path)
        except OSError as error:
            raise StorageError(
                f"the audit log {path} cannot be written: {error.strerror}", hint="Check the rights of its directory."
            ) from error
        self._thread = threading.Thread(target=self._write, name="audit", daemon=True)
        self._thread.start()

    def __call__(self, record: AuditRecord) -> None:
        if self._queue.qsize() >= WAITING:
            self.dropped += 1
            return
        self._queue.put(line_of(record))

    def close(self) -> None:
        """What waits is written, unless the disk does not take it within a few seconds."""
        self._queue.put(None)
        self._thread.join(FLUSHED_WITHIN_S)
        if not self._thread.is_alive():
            os.close(self._fd)

    def _write(self) -> None:
        while True:
            lines, ended = self._batch()
            if lines:
                self._append(lines)
            if ended:
                return
            time.sleep(GATHER_S)

    def _batch(self) -> tuple[list[bytes], bool]:
        first = self._queue.get()
        lines: list[bytes] = []
        while first is not None:
            lines.append(first)
            if len(lines) >= BATCH:
                return lines, False
            try:
                first = self._queue.get_nowait()
            except queue.Empty:
                return lines, False
        return lines, True

    def _append(self, lines: list[bytes]) -> None:
        try:
            self._follow()
            for line in lines:  # one write each: whole lines, even when the disk fills up in between
                if os.write(self._fd, line) != len(line):
                    self.dropped += 1
        except OSError:
            self.dropped += len(lines)
            time.sleep(0.2)  # a full disk is not asked ten thousand times a second

    def _follow(self) -> None:
        """The file of that name, also after somebody has put another in its place."""
        try:
            there = self._path.stat()
        except FileNotFoundError:
            there = None
        here = os.fstat(self._fd)
        if there is None or (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
            fd = _open(self._path)
            os.close(self._fd)
            self._fd = fd


def line_of(record: AuditRecord) -> bytes:
    """The record as a line. What is empty is left out."""
    moment = dt.datetime.fromtimestamp(record.time_ns / 1e9, dt.UTC)
    document: dict[str, Any] = {
        "time": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "operation": record.operation,
        "user": record.user,
        "address": record.address,
        "session": record.session,
        "path": record.path,
        "size_bytes": record.size_bytes,
        "code": record.code,
    }
    found = {name: value for name, value in document.items() if value not in {"", 0}} | {
        "result": "failed" if record.code else "done"
    }
    detail = {name: value for name, value in record.detail.items() if value and name not in found}
    return _encode(_clean({**found, **detail})) + b"\n"


def _clean(document: dict[str, Any]) -> dict[str, Any]:
    """Text that JSON can hold: a client may call itself, or a file, anything."""
    return {
        name: value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value
        for name, value in document.items()
    }


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
