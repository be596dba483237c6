"""The decisions of a one-way run, as tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.core.diff import (
    LAKE_TIME_SLACK_NS,
    Rule,
    Verdict,
    compare_entries,
    compare_rows,
    entry_of,
    matches,
    row_of,
    same_metadata,
    seal,
    sealed,
    settled,
)
from lakelink.model.entry import Entry, Kind, Posix, Row, Version


def local(
    kind: Kind = Kind.FILE, size: int = 3, mtime: int = 10, mode: int = 0o644, uid: int = 1, gid: int = 1, ino: int = 7
) -> Row:
    return Row("p", kind, size, mtime, mode, uid, gid, mtime, ino)


def lake(kind: Kind = Kind.FILE, size: int = 3, etag: str = "e", time: int = 99) -> Row:
    return Row("p", kind, size, -1, -1, -1, -1, time, etag)


P = Posix(0o644, 1, 1, 10, 10)


def entry(kind: Kind = Kind.FILE, size: int = 3, posix: Posix | None = P, target: str | None = None) -> Entry:
    return Entry(kind=kind, size_bytes=size, posix=posix, version=Version(size, 10), target=target)


ROWS = [
    ("equal files that list everything", local(), local(ino=8), Rule(), Verdict.SAME),
    ("another size", local(size=4), local(), Rule(), Verdict.COPY),
    ("another size in the lake", local(size=4), lake(), Rule(), Verdict.COPY),
    ("another time", local(mtime=11), local(), Rule(), Verdict.COPY),
    ("another mode", local(mode=0o600), local(), Rule(), Verdict.METADATA),
    ("another owner", local(uid=2), local(), Rule(), Verdict.METADATA),
    ("another group", local(gid=2), local(), Rule(), Verdict.METADATA),
    ("another owner that cannot be set", local(uid=2), local(), Rule(owner=False), Verdict.SAME),
    ("a listing without metadata", local(), lake(), Rule(), Verdict.LOOK),
    ("a lake as the source", lake(), local(), Rule(), Verdict.LOOK),
    ("two lakes", lake(), lake(etag="f"), Rule(), Verdict.LOOK),
    ("a directory where a file is", local(), local(Kind.DIR), Rule(), Verdict.REPLACE),
    ("a symlink where a file is", local(Kind.SYMLINK), local(), Rule(), Verdict.REPLACE),
    ("a symlink listed as a file", local(Kind.SYMLINK), lake(), Rule(), Verdict.LOOK),
    ("a symlink of another length listed as a file", local(Kind.SYMLINK, size=9), lake(), Rule(), Verdict.LOOK),
    ("a directory marker where a file is", local(), lake(Kind.DIR), Rule(), Verdict.REPLACE),
    ("two symlinks", local(Kind.SYMLINK), local(Kind.SYMLINK), Rule(), Verdict.LOOK),
    ("directories with other times", local(Kind.DIR, mtime=11), local(Kind.DIR), Rule(), Verdict.METADATA),
    ("directories with other sizes", local(Kind.DIR, size=9), local(Kind.DIR), Rule(), Verdict.SAME),
    ("directories without metadata kept", local(Kind.DIR, mtime=11), local(Kind.DIR), Rule(posix=False), Verdict.SAME),
    ("an implicit directory of the lake", lake(Kind.DIR, etag=""), local(Kind.DIR), Rule(), Verdict.SAME),
    ("a directory that the lake has no marker for", local(Kind.DIR), lake(Kind.DIR, etag=""), Rule(), Verdict.LOOK),
    ("equal files under --checksum", local(), local(), Rule(checksum=True), Verdict.LOOK),
    ("equal sizes without metadata kept", local(mtime=11), local(), Rule(posix=False), Verdict.LOOK),
]


@pytest.mark.parametrize(
    ("source", "target", "rule", "verdict"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_rows_alone_decide_what_listings_can_tell(source, target, rule, verdict):
    assert compare_rows(source, target, rule) is verdict


ENTRIES = [
    ("equal files", entry(), entry(), Rule(), Verdict.SAME),
    ("kinds differ", entry(), entry(Kind.SYMLINK, target="x"), Rule(), Verdict.REPLACE),
    ("equal symlinks", entry(Kind.SYMLINK, target="x"), entry(Kind.SYMLINK, target="x"), Rule(), Verdict.SAME),
    ("retargeted symlink", entry(Kind.SYMLINK, target="x"), entry(Kind.SYMLINK, target="y"), Rule(), Verdict.COPY),
    ("another size", entry(size=4), entry(), Rule(), Verdict.COPY),
    ("another time", entry(posix=Posix(0o644, 1, 1, 11, 10)), entry(), Rule(), Verdict.COPY),
    ("another mode", entry(posix=Posix(0o600, 1, 1, 10, 10)), entry(), Rule(), Verdict.METADATA),
    ("another access time only", entry(posix=Posix(0o644, 1, 1, 10, 99)), entry(), Rule(), Verdict.SAME),
    ("a foreign object at the target", entry(), entry(posix=None), Rule(), Verdict.CONTENT),
    ("a foreign object at the source", entry(posix=None), entry(), Rule(), Verdict.CONTENT),
    ("--checksum", entry(), entry(), Rule(checksum=True), Verdict.CONTENT),
    ("--no-posix", entry(), entry(posix=None), Rule(posix=False), Verdict.CONTENT),
    (
        "--no-posix on a symlink",
        entry(Kind.SYMLINK, target="x", posix=None),
        entry(Kind.SYMLINK, target="x"),
        Rule(posix=False),
        Verdict.SAME,
    ),
    ("a directory without a marker", entry(Kind.DIR), entry(Kind.DIR, posix=None), Rule(), Verdict.METADATA),
    (
        "a directory with other times",
        entry(Kind.DIR, posix=Posix(0o644, 1, 1, 11, 10)),
        entry(Kind.DIR),
        Rule(),
        Verdict.METADATA,
    ),
]


@pytest.mark.parametrize(
    ("source", "target", "rule", "verdict"), [row[1:] for row in ENTRIES], ids=[row[0] for row in ENTRIES]
)
def test_entries_decide_what_rows_cannot(source, target, rule, verdict):
    assert compare_entries(source, target, rule) is verdict


def test_a_source_without_metadata_demands_none():
    assert same_metadata(entry(posix=None), entry(), Rule())


def test_the_mode_of_a_symlink_means_nothing():
    mine = entry(Kind.SYMLINK, posix=Posix(0o777, 1, 1, 10, 10), target="x")
    theirs = entry(Kind.SYMLINK, posix=Posix(0o755, 1, 1, 10, 10), target="x")
    assert same_metadata(mine, theirs, Rule())


def test_an_owner_counts_only_where_it_can_be_set():
    assert not same_metadata(entry(posix=Posix(0o644, 2, 1, 10, 10)), entry(), Rule())
    assert same_metadata(entry(posix=Posix(0o644, 2, 1, 10, 10)), entry(), Rule(owner=False))


def test_a_lake_state_is_remembered_across_the_rounding_of_its_time_and_no_further():
    then = lake(time=10 * 10**9)
    assert matches(lake(time=10 * 10**9 - LAKE_TIME_SLACK_NS), then)
    assert not matches(lake(time=10 * 10**9 - LAKE_TIME_SLACK_NS - 1), then)
    assert not matches(lake(time=10 * 10**9 + 10**9), then)  # somebody set its metadata right after
    assert not matches(lake(etag="f", time=10 * 10**9), then)
    assert not matches(lake(size=4, time=10 * 10**9), then)


def test_a_file_state_is_remembered_exactly():
    assert matches(local(), local())
    assert not matches(local(ino=8), local())
    assert not matches(local(mtime=11), local())


def test_implicit_directories_match_only_themselves():
    assert matches(lake(Kind.DIR, etag="", time=0), lake(Kind.DIR, etag="", time=0))
    assert not matches(lake(Kind.DIR, etag="", time=0), lake(Kind.DIR, etag="", time=1))


numbers = st.integers(min_value=0, max_value=2**63)


@given(
    st.sampled_from([Kind.FILE, Kind.DIR, Kind.SYMLINK]),
    numbers,
    numbers,
    st.integers(0, 0o7777),
    numbers,
    st.one_of(numbers, st.text("0123456789abcdef-", min_size=0)),
)
def test_a_seal_reads_back_as_the_row_it_was_made_from(kind, size, time, mode, uid, ident):
    row = (
        Row("a/b", kind, size, time, mode, uid, uid, time, ident)
        if isinstance(ident, int)
        else Row("a/b", kind, size, -1, -1, -1, -1, time, ident)
    )
    assert sealed("a/b", seal(row)) == row


def test_an_entry_and_a_row_describe_the_same_state():
    assert row_of("p", entry_of(local()), listed=True) == local()
    written = Entry(kind=Kind.SYMLINK, size_bytes=3, posix=P, version=Version(3, 99, etag="e"))
    assert row_of("p", written, listed=False) == lake()
    assert entry_of(lake()).posix is None
    assert row_of("p", Entry(kind=Kind.DIR), listed=True) == Row("p", Kind.DIR, 0, -1, -1, -1, -1, 0, "")


def test_a_version_of_the_lake_that_was_just_written_is_looked_at_once_more():
    young, old = lake(time=10 * 10**9), lake(time=10 * 10**9 - 1)
    assert not matches(young, sealed("p", settled(seal(young), 10 * 10**9)))
    assert matches(old, sealed("p", settled(seal(old), 10 * 10**9)))
    assert matches(local(), sealed("p", settled(seal(local()), 0)))
