"""Every write carries a token that no other write carries. The ledger knows which tokens have to be somewhere at the end, and what happened when."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterable

Span = tuple[float, float]
"""From when to when, by `time.monotonic`."""

_TOKEN = re.compile(rb"<(\d{6})>")


def tokens_in(data: bytes) -> set[int]:
    return {int(number) for number in _TOKEN.findall(data)}


def digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


class Ledger:
    """Used by all writers at once.

    A token is *due* from the moment its writer knows that it is written (a file closed, an object acknowledged), and no longer due once somebody
    overwrote or removed it who had seen it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began_s = time.monotonic()
        self._where: dict[int, str] = {}
        self._due: set[int] = set()
        self._overwritten: dict[int, str] = {}
        self._took: dict[int, tuple[str, Span]] = {}
        self._whole: set[bytes] = {digest(b"")}
        self._story: list[str] = []

    def tell(self, who: str, what: str) -> None:
        """A line of the story."""
        with self._lock:
            self._story.append(f"{time.monotonic() - self._began_s:8.3f}  {who:<6} {what}")

    def mint(self, path: str) -> bytes:
        """A new token, as bytes to be written at that path."""
        with self._lock:
            number = len(self._where) + 1
            self._where[number] = path
            return b"<%06d>" % number

    def written(self, data: bytes) -> None:
        """A whole content that somebody may come to see."""
        with self._lock:
            self._whole.add(digest(data))

    def due(self, data: bytes) -> None:
        """It is there for good now: its tokens are to be found at the end."""
        with self._lock:
            self._due |= tokens_in(data)

    def took(self, data: bytes, path: str, span: Span) -> None:
        """When the object with these bytes was put at that path."""
        with self._lock:
            self._took.update(dict.fromkeys(tokens_in(data), (path, span)))

    def overwritten_by_marker(self, markers: Iterable[tuple[str, Span]]) -> None:
        """SeaweedFS keeps `k` and `k/` in one place and locks each by its own name: of an object and a marker put at the same moment one is lost."""
        spans: dict[str, list[Span]] = {}
        for path, span in markers:
            spans.setdefault(path, []).append(span)
        with self._lock:
            for token, (path, (began_s, ended_s)) in self._took.items():
                if any(began_s <= end_s and begin_s <= ended_s for begin_s, end_s in spans.get(path, ())):
                    self._overwritten.setdefault(token, "a marker at the same moment")

    def overwritten(self, data: bytes, how: str) -> None:
        """A writer who saw these bytes is about to put others in their place, or has just done so."""
        with self._lock:
            for token in tokens_in(data):
                self._overwritten.setdefault(token, how)

    def overwritten_at(self, path: str, how: str) -> None:
        """A writer hit something at that path that it had not seen, within the microseconds between looking and acting."""
        with self._lock:
            for token in [token for token, where in self._where.items() if where == path]:
                self._overwritten.setdefault(token, how)

    def lost(self, found: Iterable[int]) -> list[str]:
        """What should be somewhere and is not among `found`."""
        with self._lock:
            missing = sorted(self._due - set(self._overwritten) - set(found))
            return [f"token {token}, written at {self._where[token]!r}, is lost" for token in missing]

    def is_whole(self, data: bytes) -> bool:
        """Whether that is a content which a writer meant."""
        with self._lock:
            return digest(data) in self._whole

    @property
    def figures(self) -> str:
        with self._lock:
            return f"{len(self._where)} writes, {len(self._due)} done, {len(self._overwritten)} overwritten knowingly"

    @property
    def story(self) -> str:
        with self._lock:
            return "\n".join(self._story)
