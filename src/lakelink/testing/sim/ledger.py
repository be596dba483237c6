"""Every write of a user carries a token that no other write carries. The ledger knows which of them may be gone at the end, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

_TOKEN = re.compile(rb"<(\d{6})>")
CONFLICT = ".lakelink-conflict-"


def tokens_in(data: bytes | bytearray) -> set[int]:
    """The tokens that these bytes hold, whole."""
    return {int(number) for number in _TOKEN.findall(data)}


def _counts(places: Mapping[str, set[int]]) -> Counter[int]:
    return Counter(token for tokens in places.values() for token in tokens)


class Ledger:
    """Tokens that were written, and those that somebody threw away knowingly."""

    def __init__(self) -> None:
        self._written: dict[int, str] = {}
        self._excused: dict[int, str] = {}
        self._copied: set[int] = set()  # by users
        self._destroyed: dict[int, list[str]] = {}

    def mint(self, where: str) -> bytes:
        """A new token, as bytes to be written."""
        number = len(self._written) + 1
        self._written[number] = where
        return b"<%06d>" % number

    def excuse(self, tokens: Iterable[int], why: str) -> None:
        """These may be gone: a user removed them who saw them, or the machine that alone had them lost power before they were synced."""
        for token in tokens:
            self._excused.setdefault(token, why)

    def act(self, before: Mapping[str, set[int]], after: Mapping[str, set[int]], why: str) -> None:
        """A user acted, and saw these tokens at these places before and after. What is nowhere any more, the user threw away. So is a token of
        which one copy went, if it was a user who had made copies, or if that copy was the one that a conflict had left.
        """
        had, has = _counts(before), _counts(after)
        self.excuse((token for token in had if token not in has), why)
        fewer = {token for token in had if has[token] < had[token]}
        kept_twice = {
            token for place, tokens in before.items() if CONFLICT in place for token in tokens - after.get(place, set())
        }
        self.excuse(fewer & (self._copied | kept_twice), why)
        self._copied |= {token for token in had if has[token] > had[token]}

    def destroyed(self, tokens: Iterable[int], how: str) -> None:
        """The program under test took away a copy of these; told where they turn out to be lost."""
        for token in tokens:
            self._destroyed.setdefault(token, []).append(how)

    def lost(self, found: set[int]) -> list[str]:
        """What should be there and is not among `found`."""
        missing = sorted(set(self._written) - set(self._excused) - found)
        return [
            f"token {token} ({self._written[token]}) is lost: {self._destroyed.get(token, [])}" for token in missing
        ]

    def since(self, first: int) -> set[int]:
        """The tokens written after the first so many."""
        return set(range(first + 1, len(self._written) + 1))

    def written_by(self, writer: str) -> set[int]:
        """The tokens of this writer."""
        return {token for token, where in self._written.items() if where.startswith(writer)}

    @property
    def count(self) -> int:
        return len(self._written)
