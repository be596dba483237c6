"""The journal: what was agreed on comes back as it was, and a result settles all that was noted of its path."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakelink.errors import StorageError
from lakelink.model.change import Problem
from lakelink.model.entry import Entry, Kind, Posix, Row, Version
from lakelink.model.link import Agreed, Event
from lakelink.state.database import connect
from lakelink.state.findings import Clash, Held, Intent, Result, Trouble
from lakelink.state.journal import Journal
from lakelink.state.sightings import Sightings

NOW = 2_000_000_000_000_000_000
THEN = 1_700_000_000_000_000_000
ODD = b"caf\xe9/x".decode("utf-8", "surrogateescape")


@pytest.fixture
def journal(tmp_path):
    opened = Journal.open(tmp_path / "links" / "journal.sqlite")
    yield opened
    opened.close()


def agreed(size: int = 3, ino: int = 7, etag: str = "e1", mtime: int = THEN + 5, mode: int = 0o640) -> Agreed:
    posix = Posix(mode, 1, 2, mtime, mtime)
    files = Entry(kind=Kind.FILE, size_bytes=size, posix=posix, version=Version(size, mtime, ino=ino))
    lake = Entry(kind=Kind.FILE, size_bytes=size, posix=posix, version=Version(size, THEN, etag=etag, version_id="v"))
    return Agreed(files, lake)


def put(journal: Journal, **bases: Agreed) -> None:
    journal.settle([Result(path.replace("__", "/"), keep_base=False, base=base) for path, base in bases.items()], NOW)


def test_what_was_agreed_comes_back_as_it_was(journal):
    directory = Agreed(
        Entry(kind=Kind.DIR, size_bytes=4096, posix=Posix(0o755, 0, 0, 9, 9), version=Version(4096, 9, ino=3)),
        Entry(kind=Kind.DIR),
    )
    link = Agreed(
        Entry(
            kind=Kind.SYMLINK, size_bytes=2, posix=Posix(0o777, 0, 0, 9, 9), version=Version(2, 9, ino=4), target=ODD
        ),
        Entry(kind=Kind.SYMLINK, size_bytes=2, version=Version(2, THEN, etag="e"), target=ODD),
    )
    bases = {"a": agreed(), "d": directory, "l": link, ODD: agreed(size=1)}
    journal.settle([Result(path, keep_base=False, base=base) for path, base in bases.items()], NOW)
    assert journal.base([*bases, "absent"]) == bases
    assert journal.agreed == 4
    put(journal, a=agreed(size=9))
    assert journal.base(["a"])["a"].files.size_bytes == 9
    assert journal.agreed == 4
    journal.settle([Result("a", keep_base=False), Result("never", keep_base=False)], NOW)
    assert journal.base(["a"]) == {}
    assert journal.agreed == 3


@settings(max_examples=60)
@given(
    size=st.integers(0, 2**62),
    mtime=st.integers(-(2**63), 2**63 - 1),
    mode=st.integers(0, 0o7777),
    etag=st.text(min_size=1, max_size=40, alphabet="0123456789abcdef-"),
)
def test_any_version_comes_back(tmp_path_factory, size, mtime, mode, etag):
    journal = Journal.open(tmp_path_factory.mktemp("j") / "journal.sqlite")
    base = agreed(size=size, etag=etag, mtime=mtime, mode=mode)
    put(journal, a=base)
    assert journal.base(["a"]) == {"a": base}
    journal.close()


def test_it_survives_being_closed_and_keeps_what_is_open(tmp_path):
    journal = Journal.open(tmp_path / "j.sqlite")
    put(journal, a=agreed())
    journal.begin([Intent("b", "export", {"bytes": "9"})], NOW)
    journal.note_dirty([("c", "lake", False), ("", "files", True)], NOW)
    journal.close()
    again = Journal.open(tmp_path / "j.sqlite")
    assert again.agreed == 1
    assert again.intents() == [Intent("b", "export", {"bytes": "9"})]
    assert sorted(again.dirty()) == [("", "files", True), ("c", "lake", False)]
    assert again.db.execute("PRAGMA synchronous").fetchone() == (2,)
    again.settle([Result("b"), Result("c")], NOW)
    assert again.intents() == []
    assert again.dirty() == [("", "files", True)]
    again.clean("", "files")
    assert again.dirty() == []
    again.close()


def test_a_look_that_found_nothing_new_writes_nothing(journal):
    put(journal, a=agreed())
    before = journal.db.total_changes
    journal.settle([Result("a"), Result("b")], NOW)
    assert journal.db.total_changes == before
    journal.settle([Result("h", held=Held("h", "files", Event.NEW))], NOW)
    before = journal.db.total_changes
    journal.settle([Result("a")], NOW)
    assert journal.db.total_changes == before


def test_what_is_held_or_in_trouble_is_listed_until_a_look_says_otherwise(journal):
    trouble = Trouble(Problem("t", "LL1", "it is so", "do this"), 2, NOW + 5)
    journal.settle([Result("h", held=Held("h", "files", Event.NEW)), Result("t", trouble=trouble)], NOW)
    journal.settle([Result("h", held=Held("h", "files", Event.CHANGED)), Result("t", trouble=trouble)], NOW + 9)
    assert journal.held() == [Held("h", "files", Event.CHANGED, NOW)]
    (listed,) = journal.problems()
    assert (listed.problem, listed.attempts, listed.since_ns) == (trouble.problem, 2, NOW)
    assert journal.counts["held"] == journal.counts["problem"] == 1
    assert journal.trouble_due(NOW, 9) == []
    assert [one.problem.path for one in journal.trouble_due(NOW + 5, 9)] == ["t"]
    journal.settle([Result("h"), Result("t")], NOW)
    assert journal.held() == journal.problems() == []
    assert journal.counts["held"] == journal.counts["problem"] == 0


def test_a_conflict_is_listed_once_and_resolved_once(journal):
    clash = Clash("c", "both sides changed", "a file", "another", "c.copy", "keep-both")
    journal.note_clash(clash, NOW)
    journal.note_clash(clash, NOW + 1)
    (listed,) = journal.conflicts()
    assert (listed.path, listed.copy, listed.since_ns) == ("c", "c.copy", NOW)
    assert journal.open_conflicts == 1
    journal.settle([Result("c")], NOW)
    assert journal.open_conflicts == 1  # a copy is there until somebody decides
    journal.resolve(listed.id, "both", NOW)
    assert journal.conflicts() == []
    assert [one.resolution for one in journal.conflicts(resolved=True)] == ["both"]


def test_what_stands_is_no_conflict_any_more_when_a_look_does_not_say_so(journal):
    standing = Clash("s", "both sides changed", "a file", "another", "", "keep-both")
    for _ in range(2):
        journal.settle([Result("s", clash=standing)], NOW)
    assert journal.open_conflicts == 1
    journal.settle([Result("s")], NOW)
    assert journal.open_conflicts == 0


def test_what_is_below_a_directory_is_found_whatever_its_bytes(journal):
    odd = b"d/\xff".decode("utf-8", "surrogateescape")
    paths = ["d", "d/a", "d/b/c", "d-e", "d0", "e", odd, b"\xe9/x".decode("utf-8", "surrogateescape")]
    journal.settle([Result(path, keep_base=False, base=agreed()) for path in paths], NOW)
    assert journal.below("d") == ["d/a", "d/b/c", odd]
    assert journal.below(b"\xe9".decode("utf-8", "surrogateescape")) == [paths[-1]]
    assert sorted(journal.below("")) == sorted(paths)
    assert journal.below("d", 1) == ["d/a"]
    assert journal.below("d/a") == []


def test_a_file_is_found_by_its_inode(journal):
    put(journal, a=agreed(ino=5), b=agreed(ino=6), c=agreed(ino=5))
    found = journal.by_inode([5, 9])
    assert sorted(path for path, _ in found[5]) == ["a", "c"]
    assert list(found) == [5]


def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path):
    path = tmp_path / "j.sqlite"
    path.write_bytes(b"this is no database, whatever its name says" * 50)
    with pytest.raises(StorageError, match="cannot be used"):
        Journal.open(path)


def test_a_failed_write_leaves_nothing_of_itself(tmp_path):
    class Failing(sqlite3.Connection):
        broken = False

        def executemany(self, sql, rows):
            if self.broken and "DELETE FROM base" in sql:
                raise sqlite3.OperationalError("disk I/O error")
            return super().executemany(sql, rows)

    made = []

    def open_failing(path, schema):
        connect(path, schema).close()
        made.append(sqlite3.connect(path, isolation_level=None, factory=Failing))
        return made[-1]

    journal = Journal.open(tmp_path / "j.sqlite", open_failing)
    made[0].broken = True
    with pytest.raises(StorageError, match="written"):
        put(journal, a=agreed())
    made[0].broken = False
    assert journal.base(["a"]) == {}
    put(journal, a=agreed())
    assert journal.agreed == 1
    journal.close()


def _files_row(path: str, base: Agreed) -> Row:
    e = base.files
    p = e.posix
    return Row(path, e.kind, e.size_bytes, p.mtime_ns, p.mode, p.uid, p.gid, p.mtime_ns, e.version.ino)


def _lake_row(path: str, base: Agreed, time_ns: int = THEN, etag: str = "e1") -> Row:
    return Row(path, Kind.FILE, base.lake.size_bytes, -1, -1, -1, -1, time_ns, etag)


def test_a_pass_tells_what_differs_and_what_was_not_seen(journal):
    base = agreed()
    put(journal, same=base, edited=base, chmod=base, gone=base, d__gone=base)
    seen = Sightings(journal, "files")
    seen.add([_files_row("same", base), _files_row("new", base), _files_row(ODD, base)])
    seen.add([_files_row("edited", agreed(size=9)), _files_row("chmod", agreed(mode=0o600))])
    assert [row.path for page in seen.differing() for row in page] == ["chmod", "edited", "new", ODD]
    assert [path for page in seen.missing() for path in page] == ["d/gone", "gone"]
    assert [path for page in seen.missing("d") for path in page] == ["d/gone"]
    seen.close()


def test_a_listing_may_be_a_moment_earlier_than_the_answer_of_a_write_but_never_later(journal):
    base = agreed()
    put(journal, same=base, earlier=base, later=base, other=base)
    second = 1_000_000_000
    seen = Sightings(journal, "lake")
    seen.add([_lake_row("same", base), _lake_row("earlier", base, THEN - 2 * second)])
    seen.add([_lake_row("later", base, THEN + second), _lake_row("other", base, etag="e2")])
    assert [row.path for page in seen.differing() for row in page] == ["later", "other"]
    seen.close()


def test_a_young_version_is_asked_for_once_more(journal):
    base = agreed()
    journal.settle([Result("a", keep_base=False, base=base)], THEN + 1)
    seen = Sightings(journal, "lake")
    seen.add([_lake_row("a", base)])
    assert [row.path for page in seen.differing() for row in page] == ["a"]
    journal.settle([Result("a", keep_base=False, base=base)], NOW)
    assert not list(seen.differing())
    seen.close()


def test_what_is_listed_without_a_base_is_looked_at_when_it_was_not_seen(journal):
    never = Trouble(Problem("listed//twice", "LL406", "no name"), 1, 1 << 62)
    later = Trouble(Problem("t", "LL1", "it is so"), 1, NOW)
    held = Held("d/h", "files", Event.NEW)
    journal.settle([Result("d/h", held=held), Result("t", trouble=later), Result("listed//twice", trouble=never)], NOW)
    seen = Sightings(journal, "files")
    assert sorted(seen.orphans()) == ["d/h", "t"]
    assert seen.orphans("d") == ["d/h"]
    seen.close()
