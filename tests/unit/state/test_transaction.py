"""One transaction: all of a block or nothing, and whatever fails, the next one can begin."""

import sqlite3

import pytest

from lakelink.state.database import transaction


@pytest.fixture
def db():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    connection.execute("CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
    yield connection
    connection.close()


def children(db):
    return [row[0] for row in db.execute("SELECT id FROM child ORDER BY id")]


def test_what_a_block_changed_is_committed_at_its_end(db):
    with transaction(db) as same:
        same.execute("INSERT INTO parent VALUES (1)")
        same.execute("INSERT INTO child VALUES (1)")
    assert children(db) == [1]
    assert not db.in_transaction


def test_of_a_block_that_fails_nothing_is_left(db):
    def fail():
        with transaction(db):
            db.execute("INSERT INTO parent VALUES (1)")
            db.execute("INSERT INTO child VALUES (1)")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert children(db) == []
    assert not db.in_transaction


def test_after_a_commit_that_was_refused_the_next_transaction_begins(db):
    def refused():
        with transaction(db):
            db.execute("INSERT INTO child VALUES (7)")  # its parent is missed only by the commit

    with pytest.raises(sqlite3.IntegrityError):
        refused()
    assert not db.in_transaction
    with transaction(db):
        db.execute("INSERT INTO parent VALUES (7)")
        db.execute("INSERT INTO child VALUES (7)")
    assert children(db) == [7]


def test_after_an_error_that_rolls_back_by_itself_the_error_itself_is_told(db):
    def rolled_back():
        with transaction(db):
            db.execute("INSERT INTO parent VALUES (1)")
            db.execute("INSERT OR ROLLBACK INTO parent VALUES (1)")

    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        rolled_back()
    assert not db.in_transaction
