"""The tasks of a link, in its journal."""

from __future__ import annotations

import sqlite3

from lakelink.errors import StorageError
from lakelink.model.linkspec import Direction
from lakelink.model.linktask import LinkTask, TaskState
from lakelink.model.path import to_bytes

KEPT = 500
"""So many ended tasks are remembered."""

_COLUMNS = "id, kind, paths, state, report, created_ns, started_ns, ended_ns, total, succeeded, failed, message"
_FINAL = ("SUCCEEDED", "FAILED", "CANCELED")


class TaskTable:
    """The table `task`. Used from the thread that the journal is used from; every method raises StorageError when it cannot be read or written."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def put(self, task: LinkTask) -> None:
        """Remember the task as it is now; durable when it returns."""
        row = (
            task.id,
            task.kind.value,
            b"\0".join(map(to_bytes, task.paths)),
            task.state.value,
            to_bytes(task.report),
            task.created_ns,
            task.started_ns,
            task.ended_ns,
            task.total,
            task.succeeded,
            task.failed,
            task.message,
        )
        try:
            self._db.execute(f"INSERT OR REPLACE INTO task ({_COLUMNS}) VALUES ({','.join('?' * len(row))})", row)  # noqa: S608
        except sqlite3.Error as error:
            raise StorageError(f"a task cannot be remembered: {error}", hint="Is the disk full?") from error

    def prune(self) -> None:
        """Forget the oldest ended tasks beyond `KEPT`."""
        try:
            self._db.execute(
                "DELETE FROM task WHERE id IN (SELECT id FROM task WHERE state IN (?,?,?) ORDER BY created_ns DESC LIMIT -1 OFFSET ?)",
                (*_FINAL, KEPT),
            )
        except sqlite3.Error as error:
            raise StorageError(f"old tasks cannot be forgotten: {error}", hint="Is the disk full?") from error

    def unfinished(self) -> list[LinkTask]:
        """Those that have not ended, the oldest first."""
        return self._tasks("WHERE state NOT IN (?,?,?) ORDER BY created_ns, id", _FINAL)

    def newest(self, limit: int) -> list[LinkTask]:
        """The newest first."""
        return self._tasks("ORDER BY created_ns DESC, id LIMIT ?", (limit,))

    def get(self, task_id: str) -> LinkTask | None:
        return next(iter(self._tasks("WHERE id=?", (task_id,))), None)

    def _tasks(self, rest: str, values: tuple[object, ...]) -> list[LinkTask]:
        try:
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM task {rest}", values).fetchall()  # noqa: S608  # constants above
        except sqlite3.Error as error:
            raise StorageError(f"the tasks cannot be read: {error}", hint="Is the journal damaged?") from error
        return [
            LinkTask(
                id=row[0],
                kind=Direction(row[1]),
                paths=tuple(raw.decode("utf-8", "surrogateescape") for raw in row[2].split(b"\0")) if row[2] else (),
                state=TaskState(row[3]),
                report=row[4].decode("utf-8", "surrogateescape"),
                created_ns=row[5],
                started_ns=row[6],
                ended_ns=row[7],
                total=row[8],
                succeeded=row[9],
                failed=row[10],
                message=row[11],
            )
            for row in rows
        ]
