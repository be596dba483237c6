"""What is remembered of paths: never longer than it may be, and never for another version."""

from __future__ import annotations

from dataclasses import replace

from lakelink.gateway.folders.known import DIRECTORY_FRESH_S, FRESH_S, NAMED_FRESH_S, Known
from lakelink.model.entry import Entry, Kind, Posix, Row, Version


class Clock:
    def __init__(self):
        self.now_s = 1_000_000.0

    def monotonic(self):
        return self.now_s

    def time_ns(self):
        return int(self.now_s * 1e9)

    async def sleep(self, seconds):
        raise NotImplementedError


def entry(clock, *, age_s, etag="e"):
    time_ns = int(clock.now_s - age_s) * 10**9
    return Entry(kind=Kind.FILE, size_bytes=3, posix=Posix(0o600, 1, 2, 3, 4), version=Version(3, time_ns, etag=etag))


def row(seen, **changes):
    version = seen.version
    found = Row("d/f", Kind.FILE, version.size_bytes, -1, -1, -1, -1, version.time_ns, version.etag)
    return found._replace(**changes)


def test_a_settled_version_is_known_as_long_as_listings_name_it():
    clock = Clock()
    known, seen = Known(clock), entry(clock, age_s=100)
    known.saw("l", "d/f", seen)
    clock.now_s += 10_000
    assert known.of_row("l", row(seen)) == seen
    assert known.of_row("l", row(seen, ident="other")) is None
    assert known.of_row("l", row(seen, size_bytes=4)) is None
    assert known.of_row("l", row(seen, time_ns=seen.version.time_ns + 10**9)) is None
    assert known.of_row("other", row(seen)) is None


def test_a_version_of_this_moment_is_looked_at_again_later():
    clock = Clock()
    known, seen = Known(clock), entry(clock, age_s=0)
    known.saw("l", "d/f", seen)
    assert known.of_row("l", row(seen, time_ns=seen.version.time_ns - 10**9)) == seen
    clock.now_s += NAMED_FRESH_S
    assert known.of_row("l", row(seen)) is None


def test_a_listing_makes_what_it_shows_recent_and_nothing_older():
    clock = Clock()
    known, seen = Known(clock), entry(clock, age_s=100)
    known.saw("l", "d/f", seen)
    assert known.recent("l", "d/f") == seen
    clock.now_s += FRESH_S
    assert known.recent("l", "d/f") is None
    assert known.fresh("l", "d/f") == seen
    known.shown("l", "d/f")
    assert known.recent("l", "d/f") == seen
    known.forget("l", "d/f")
    assert known.recent("l", "d/f") is None
    clock.now_s += NAMED_FRESH_S
    assert known.fresh("l", "d/f") is None


def test_a_name_is_lacking_only_after_a_listing_and_until_it_is_made():
    clock = Clock()
    known = Known(clock)
    assert not known.lacks("l", "d/f")
    known.listed("l", "d", {"other"})
    assert known.lacks("l", "d/f")
    assert not known.lacks("l", "d/other")
    assert not known.lacks("l", "f")
    known.saw("l", "d/f", replace(entry(clock, age_s=0)))
    assert not known.lacks("l", "d/f")
    known.forget("l", "d/f")
    assert not known.lacks("l", "d/f")
    assert known.lacks("l", "d/g")
    clock.now_s += DIRECTORY_FRESH_S
    assert not known.lacks("l", "d/g")


def test_a_directory_that_is_gone_is_forgotten_with_all_below_it():
    clock = Clock()
    known = Known(clock)
    known.saw("l", "d/e/f", entry(clock, age_s=100))
    known.saw_directory("l", "d/e")
    known.listed("l", "d/e", set())
    known.forget_below("l", "d")
    assert known.fresh("l", "d/e/f") is None
    assert not known.has_directory("l", "d/e")
    assert not known.lacks("l", "d/e/g")
    assert known.has_directory("l", "")
