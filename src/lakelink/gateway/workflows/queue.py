"""The jobs of workflows in `STATE/gateway/workflows.sqlite` (0600). All workers of a gateway record there; one of them at a time carries out.

A job is on stable storage before the client is told that its file is there (synchronous=FULL). So is each step that was done before the
next begins: after a crash a step may be done twice, never not at all.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from lakelink.errors import NoSpace, NotFound, StorageError
from lakelink.gateway.workflows.upload import Upload
from lakelink.state.database import connect, transaction

FILE = "workflows.sqlite"
MOST_WAITING = 100_000
"""Beyond so many jobs that wait, uploads with a workflow are refused: a hook that is down for days must not fill the disk."""
KEPT = 10_000
"""So many finished jobs are kept, the newest; failed ones are kept until they are retried, up to the same number."""


class State(StrEnum):
    """Where a job stands."""

    DUE = "due"
    DONE = "done"
    FAILED = "failed"  # all attempts are used up; `retry` gives it new ones


@dataclass(frozen=True, slots=True)
class Job:
    """`step` is the last one done; `attempts` those of the next."""

    id: int
    workflow: str
    state: State
    step: str
    attempts: int
    due_ns: int
    changed_ns: int
    upload: Upload
    message: str


class Queue:
    """May be used from several threads and processes. Every method raises StorageError when the file cannot be used."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._lock = threading.Lock()
        self._db = connect(self._path, "workflows", synchronous="FULL")

    def record(self, workflows: Sequence[str], upload: Upload) -> None:
        """A job for each workflow, all or none, durable.

        Raises:
            NoSpace: too many jobs wait.
        """
        with self._changing():
            (waiting,) = self._db.execute("SELECT count(*) FROM job WHERE state='due'").fetchone()
            if waiting >= MOST_WAITING:
                raise NoSpace(
                    f"{waiting:,} workflows wait to be carried out",
                    hint="lakelink gateway workflows list says what they wait for.",
                )
            now, path = upload.stored_ns, upload.path.encode("utf-8", "surrogateescape")
            rows = [(name, now, now, now, upload.user, path, msgspec.json.encode(upload)) for name in workflows]
            self._db.executemany(
                "INSERT INTO job (workflow, state, due_ns, stored_ns, changed_ns, user, path, upload) VALUES (?,'due',?,?,?,?,?,?)",
                rows,
            )

    def due(self, now_ns: int, limit: int, beside: Sequence[int] = ()) -> list[Job]:
        """The jobs that are to be carried out now, the longest due first, without those `beside`."""
        marks = ",".join("?" * len(beside))
        return self._select(
            f"state='due' AND due_ns<=? AND id NOT IN ({marks}) ORDER BY due_ns, id LIMIT ?", (now_ns, *beside, limit)
        )

    def stepped(self, job: Job, step: str, now_ns: int) -> None:
        """A step was done; the attempts of the next count anew."""
        self._update("step=?, attempts=0, message='', changed_ns=?", (step, now_ns), job.id)

    def done(self, job: Job, message: str, now_ns: int) -> None:
        """All steps were done."""
        self._update("state='done', message=?, changed_ns=?", (message, now_ns), job.id)
        with self._changing():
            for state in (State.DONE, State.FAILED):
                self._db.execute(
                    "DELETE FROM job WHERE state=? AND id <= (SELECT id FROM job WHERE state=? ORDER BY id DESC LIMIT 1 OFFSET ?)",
                    (state, state, KEPT),
                )

    def again(self, job: Job, due_ns: int, message: str, now_ns: int) -> None:
        """An attempt failed; another comes then."""
        self._update("attempts=attempts+1, due_ns=?, message=?, changed_ns=?", (due_ns, message, now_ns), job.id)

    def failed(self, job: Job, message: str, now_ns: int) -> None:
        """The last attempt failed."""
        self._update("state='failed', attempts=attempts+1, message=?, changed_ns=?", (message, now_ns), job.id)

    def retry(self, ids: Sequence[int], now_ns: int) -> int:
        """Failed jobs are due again, from the step that failed; without ids all of them. Returns how many.

        Raises:
            NotFound: one of the ids is no failed job; nothing was changed.
        """
        with self._changing():
            if not ids:
                change = self._db.execute(
                    "UPDATE job SET state='due', attempts=0, due_ns=?, changed_ns=? WHERE state='failed'",
                    (now_ns, now_ns),
                )
                return change.rowcount
            for number in ids:
                change = self._db.execute(
                    "UPDATE job SET state='due', attempts=0, due_ns=?, changed_ns=? WHERE id=? AND state='failed'",
                    (now_ns, now_ns, number),
                )
                if not change.rowcount:
                    raise NotFound(
                        f"{number} is no failed job", hint="lakelink gateway workflows list --state failed names them."
                    )
            return len(ids)

    def newest(self, state: State | None, limit: int) -> list[Job]:
        """The newest jobs, in that state if one is named."""
        if state is None:
            return self._select("1 ORDER BY id DESC LIMIT ?", (limit,))
        return self._select("state=? ORDER BY id DESC LIMIT ?", (state, limit))

    def counts(self) -> dict[State, int]:
        """How many jobs there are in each state."""
        with self._reading():
            found = {
                State(row[0]): int(row[1]) for row in self._db.execute("SELECT state, count(*) FROM job GROUP BY state")
            }
        return {state: found.get(state, 0) for state in State}

    def close(self) -> None:
        """Whoever comes later gets StorageError. A thread whose task was cancelled may be in the middle of a change: it ends first, since the
        library does not survive a connection that is closed under it.
        """
        with self._lock:
            self._db.close()

    def _select(self, condition: str, values: tuple[object, ...]) -> list[Job]:
        query = f"SELECT id, workflow, state, step, attempts, due_ns, changed_ns, upload, message FROM job WHERE {condition}"  # noqa: S608
        with self._reading():
            rows = self._db.execute(query, values).fetchall()
            return [_job(row) for row in rows]

    def _update(self, change: str, values: tuple[object, ...], number: int) -> None:
        with self._changing():
            self._db.execute(f"UPDATE job SET {change} WHERE id=?", (*values, number))  # noqa: S608

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (sqlite3.Error, msgspec.MsgspecError) as error:
                raise self._unusable(error) from error

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            try:
                with transaction(self._db):
                    yield
            except sqlite3.Error as error:
                raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> StorageError:
        return StorageError(f"the workflows in {self._path} cannot be used: {error}", hint="Is the disk full?")


def _job(row: tuple[int, str, str, str, int, int, int, bytes, str]) -> Job:
    upload = msgspec.json.decode(row[7], type=Upload)
    return Job(row[0], row[1], State(row[2]), row[3], row[4], row[5], row[6], upload, row[8])
