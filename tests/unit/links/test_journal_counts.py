"""What the journal counts in memory is what it holds, also after a commit that failed: the brake takes its share of that number."""

import sqlite3

import pytest

from lakelink.errors import StorageError
from lakelink.model.entry import Entry, Kind, Posix, Row, Version
from lakelink.model.link import Agreed
from lakelink.state.findings import Intent, Result
from lakelink.state.journal import Journal
from lakelink.state.sightings import Sightings

FILES = Entry(kind=Kind.FILE, size_bytes=1, posix=Posix(0o644, 0, 0, 1, 1), version=Version(1, 1, ino=1))
LAKE = Entry(kind=Kind.FILE, size_bytes=1, posix=FILES.posix, version=Version(1, 1, etag="e"))


class Full:
    """A connection to a database on a disk that can become full."""

    def __init__(self, db):
        self._db = db
        self.is_full = False

    def __getattr__(self, name):
        return getattr(self._db, name)

    def execute(self, statement, *values):
        if statement == "COMMIT" and self.is_full:
            raise sqlite3.OperationalError("database or disk is full")
        return self._db.execute(statement, *values)


@pytest.fixture
def journal(tmp_path):
    opened = Journal.open(tmp_path / "journal.sqlite")
    opened.db = Full(opened.db)
    yield opened
    opened.close()


def test_a_commit_that_failed_counts_nothing(journal):
    paths = [f"f{number}" for number in range(100)]
    new = [Result(path, keep_base=False, base=Agreed(FILES, LAKE)) for path in paths]
    journal.begin([Intent(path, "export") for path in paths], 1)
    journal.db.is_full = True
    for _ in range(3):
        with pytest.raises(StorageError):
            journal.settle(new, 1)
    assert (journal.agreed, journal.counts["intent"]) == (0, 100)
    journal.db.is_full = False
    journal.settle(new, 1)
    assert (journal.agreed, journal.counts["intent"]) == (100, 0)
    assert not journal.intents()
    journal.db.is_full = True
    with pytest.raises(StorageError):
        journal.settle([Result(path, keep_base=False) for path in paths], 1)
    assert journal.agreed == 100 == len(journal.base(paths))


def test_a_survey_that_cannot_hold_what_it_saw_leaves_the_journal_free_to_write(journal):
    seen = Sightings(journal, "files")
    journal.db.is_full = True
    with pytest.raises(StorageError):
        seen.add([Row("a", Kind.FILE, 1, 1, 1, 1, 1, 1, 1)])
    journal.db.is_full = False
    seen.close()
    journal.settle([Result("f", keep_base=False, base=Agreed(FILES, LAKE))], 1)
    assert journal.agreed == 1
