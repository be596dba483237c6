"""How a session goes through a directory: who opens its files in the order of the listing finds the next ones fetched."""

from __future__ import annotations

from lakelink.gateway.folders.ahead import Ahead, Key
from lakelink.gateway.folders.known import MOST_NAMES, Known
from lakelink.gateway.folders.paths import parent_of
from lakelink.gateway.folders.places import Place
from lakelink.model.entry import Entry, Kind
from lakelink.model.path import join

SMALL_BYTES = 256 << 10
FILES_AHEAD = 16  # of one session
BYTES_AHEAD = 4 << 20
IN_ORDER = 8  # names that may be left out between two openings in order
_NOWHERE = -1 - IN_ORDER


class InOrder:
    """How one session goes through the directory that it has listed last."""

    def __init__(self, ahead: Ahead, known: Known) -> None:
        self._ahead = ahead
        self._known = known
        self._directory: str | None = None
        self._names: list[str] = []
        self._last = _NOWHERE
        self._keys: list[Key] = []  # asked for

    def listing(self, directory: str) -> None:
        """The directory is being listed from its beginning."""
        self._directory, self._names, self._last = directory, [], _NOWHERE

    def listed(self, directory: str, group: list[tuple[str, Entry]]) -> None:
        """These come next in it."""
        if directory == self._directory and len(self._names) < MOST_NAMES:
            self._names += [name for name, entry in group if entry.kind is Kind.FILE]

    def opens(self, place: Place) -> None:
        """A file is being opened for reading: the next ones are fetched, if the one before it was opened too."""
        if place.location.traits.local or parent_of(place.path) != self._directory:
            return
        name = place.path.rpartition("/")[2]
        near = self._names[max(0, self._last + 1) : max(0, self._last + 1 + IN_ORDER)]
        if name not in near:
            self._last = self._names.index(name) if name in self._names else _NOWHERE
            return
        self._last = self._names.index(name, max(0, self._last + 1))
        self._fetch(place)

    def _fetch(self, place: Place) -> None:
        self._keys = [key for key in self._keys if self._ahead.has(key)]
        left = BYTES_AHEAD - sum(self._ahead.size_bytes(key) for key in self._keys)
        above = place.relative.rpartition("/")[0]
        for following in self._names[self._last + 1 : self._last + 1 + FILES_AHEAD]:
            key = (place.text, join(above, following))
            entry = self._known.last(*key)
            if entry is None or entry.kind is not Kind.FILE or entry.size_bytes > SMALL_BYTES or self._ahead.has(key):
                continue
            left -= entry.size_bytes
            if left < 0 or not self._ahead.fetch(key, place.location, entry):
                return
            self._keys.append(key)

    def aclose(self) -> None:
        """What was fetched for this session is let go. Idempotent."""
        while self._keys:
            self._ahead.drop(self._keys.pop())
        self._names = []
