"""What was seen of paths a moment ago, so that a listing, a look and an opening of the same file need not ask three times.

Nothing that is remembered is trusted on its own: an opening names the version remembered, and a change is noticed by the store; the metadata of
a listing is that of the version which the same listing names.
"""

from __future__ import annotations

from collections import OrderedDict

from lakelink.model.entry import Entry, Row
from lakelink.ports.clock import Clock

PATHS = 50_000
FRESH_S = 5.0  # of metadata
NAMED_FRESH_S = 60.0  # of versions that are named in a request, and so never taken for what is there
DIRECTORY_FRESH_S = 30.0
MOST_NAMES = 10_000  # of one directory
LISTINGS = 200
_SETTLED_NS = 2_000_000_000  # times of versions are whole seconds: two changes within one look the same


class Known:
    """A bounded memory, the oldest forgotten first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: OrderedDict[tuple[str, str], tuple[float, Entry, bool]] = OrderedDict()
        self._directories: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._shown: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._names: OrderedDict[tuple[str, str], tuple[float, set[str]]] = OrderedDict()

    def saw(self, text: str, path: str, entry: Entry) -> None:
        """That is what is at the path of the location."""
        if entry.version is None:
            return
        settled = self._clock.time_ns() - entry.version.time_ns > _SETTLED_NS
        self._seen[text, path] = (self._clock.monotonic(), entry, settled)
        self._seen.move_to_end((text, path))
        if len(self._seen) > PATHS:
            self._seen.popitem(last=False)
        self.made(text, path)

    def listed(self, text: str, directory: str, names: set[str]) -> None:
        """These names, and no others, are in the directory."""
        if len(names) > MOST_NAMES:
            return
        self._names[text, directory] = (self._clock.monotonic(), names)
        self._names.move_to_end((text, directory))
        if len(self._names) > LISTINGS:
            self._names.popitem(last=False)

    def made(self, text: str, path: str) -> None:
        """Something is at the path, or may be."""
        directory, _, name = path.rpartition("/")
        found = self._names.get((text, directory))
        if found is not None:
            found[1].add(name)

    def lacks(self, text: str, path: str) -> bool:
        """Whether the directory was listed not long ago, and had no such name. Who relies on it demands that nothing is there when it writes."""
        directory, _, name = path.rpartition("/")
        found = self._names.get((text, directory))
        return found is not None and name not in found[1] and self._clock.monotonic() - found[0] < DIRECTORY_FRESH_S

    def forget(self, text: str, path: str) -> None:
        """It is not that any more."""
        self._seen.pop((text, path), None)
        self._shown.pop((text, path), None)
        self._directories.pop((text, path), None)

    def forget_below(self, text: str, path: str) -> None:
        """A directory is not there any more."""
        self.forget(text, path)
        self._names.clear()
        for memory in (self._seen, self._shown, self._directories):
            for key in [key for key in memory if key[0] == text and key[1].startswith(path + "/")]:
                del memory[key]

    def fresh(self, text: str, path: str) -> Entry | None:
        """What was seen there not long ago: good enough to name a version, and to be told that it is another."""
        found = self._seen.get((text, path))
        return found[1] if found and self._clock.monotonic() - found[0] < NAMED_FRESH_S else None

    def last(self, text: str, path: str) -> Entry | None:
        """What was seen there, however long ago: only to be named in a request."""
        found = self._seen.get((text, path))
        return found[1] if found else None

    def recent(self, text: str, path: str) -> Entry | None:
        """What was seen, or shown in a listing, within the last seconds."""
        found = self._seen.get((text, path))
        at_s = max(found[0], self._shown.get((text, path), found[0])) if found else 0.0
        return found[1] if found and self._clock.monotonic() - at_s < FRESH_S else None

    def shown(self, text: str, path: str) -> None:
        """A listing has just named the version that is remembered."""
        self._shown[text, path] = self._clock.monotonic()
        if len(self._shown) > PATHS:
            self._shown.popitem(last=False)

    def of_row(self, text: str, row: Row) -> Entry | None:
        """The entry of exactly the version that a listing saw."""
        found = self._seen.get((text, row.path))
        if found is None or found[1].version is None:
            return None
        at_s, entry, settled = found
        seen, wanted = entry.version, row.version
        same = seen is not None and (seen.etag, seen.size_bytes) == (wanted.etag, wanted.size_bytes)
        # The time of an own write is that of the answer, a moment after the one that listings have.
        near = seen is not None and abs(seen.time_ns - wanted.time_ns) <= _SETTLED_NS
        exact = seen is not None and seen.time_ns == wanted.time_ns and settled
        recent = self._clock.monotonic() - at_s < NAMED_FRESH_S
        return entry if same and (exact or (near and recent)) else None

    def saw_directory(self, text: str, path: str) -> None:
        """There is such a directory."""
        self._directories[text, path] = self._clock.monotonic()
        if len(self._directories) > PATHS:
            self._directories.popitem(last=False)

    def has_directory(self, text: str, path: str) -> bool:
        """Whether there was such a directory not long ago."""
        at_s = self._directories.get((text, path))
        return not path or (at_s is not None and self._clock.monotonic() - at_s < DIRECTORY_FRESH_S)
