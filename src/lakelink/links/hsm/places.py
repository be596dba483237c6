"""The table of places: numbers for (location, directory), so that a stub's attribute stays small.

`BACKING/places`: a line of JSON each, only ever appended, durable before a stub refers to it. Several processes append: each under a lock, and
after reading what the others wrote. A stub whose number is not in the table is lost, so the file is as much the truth as the attributes are.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from typing import TypeAlias

from lakelink.links.hsm.stub import Coded, Origin, Stub, Unreadable, decode, encode

NAME = "places"
_Place: TypeAlias = tuple[str, str]


class Places:
    """The table in a directory. Safe from any thread; the same file may be open in several processes."""

    def __init__(self, directory: str) -> None:
        self._fd = os.open(os.path.join(directory, NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)  # noqa: PTH118
        self._numbers: dict[_Place, int] = {}
        self._places: dict[int, _Place] = {}
        self._read_bytes = 0
        self._lock = threading.Lock()

    def encode(self, stub: Stub) -> bytes:
        """The attribute's value; a new place is on stable storage when this returns."""
        directory = stub.origin.path.rpartition("/")[0]
        return encode(stub, self.number(stub.origin.location, directory))

    def decode(self, value: bytes) -> Stub:
        """What the attribute says.

        Raises:
            Unreadable: it is not ours, or its place is not known.
        """
        coded = decode(value)
        location, directory = self._place(coded)
        path = f"{directory}/{coded.name}" if directory else coded.name
        return Stub(Origin(location, path, coded.version), coded.mtime_ns, coded.flags)

    def number(self, location: str, directory: str) -> int:
        """The number of a place, made where there is none."""
        number = self._numbers.get((location, directory))
        return number if number is not None else self._add([(location, directory)])

    def add(self, places: list[tuple[str, str]]) -> None:
        """Make numbers for many at once: one flush."""
        missing = [place for place in dict.fromkeys(places) if place not in self._numbers]
        if missing:
            self._add(missing)

    def close(self) -> None:
        os.close(self._fd)

    def _place(self, coded: Coded) -> _Place:
        place = self._places.get(coded.place)
        if place is None:
            with self._lock:
                self._catch_up()
            place = self._places.get(coded.place)
        if place is None:
            raise Unreadable(f"place {coded.place} is not in the table")
        return place

    def _add(self, places: list[_Place]) -> int:
        with self._lock:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                self._catch_up()
                self._append([place for place in places if place not in self._numbers])
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        return self._numbers[places[-1]]

    def _append(self, places: list[_Place]) -> None:
        first = max(self._places, default=0) + 1
        lines = [
            json.dumps({"place": number, "location": location, "directory": directory}) + "\n"
            for number, (location, directory) in enumerate(places, first)
        ]
        if not lines:
            return
        # What a power failure left of a line ends without a newline; nothing refers to it.
        os.ftruncate(self._fd, self._read_bytes)
        data = memoryview("".join(lines).encode())
        at = self._read_bytes
        while data:
            written = os.pwrite(self._fd, data, at)
            at, data = at + written, data[written:]
        os.fsync(self._fd)
        self._catch_up()

    def _catch_up(self) -> None:
        size = os.fstat(self._fd).st_size
        if size <= self._read_bytes:
            return
        data = os.pread(self._fd, size - self._read_bytes, self._read_bytes)
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].splitlines():
            row = json.loads(line)
            place = (row["location"], row["directory"])
            self._places[row["place"]] = place
            self._numbers.setdefault(place, row["place"])
        self._read_bytes += whole
