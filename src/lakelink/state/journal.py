"""The journal of one link: what both sides agreed on, what is about to be done, and what could not be done. Observations and intents, never work.

Every change is one transaction on stable storage (`synchronous=FULL`). Losing the file costs no byte: without a base nothing is ever deleted,
what is equal is adopted, and what differs is a conflict.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lakelink.errors import StorageError
from lakelink.model.change import Problem
from lakelink.model.link import Agreed, Event
from lakelink.state.database import connect, transaction
from lakelink.state.findings import Clash, Held, Intent, Result, Trouble
from lakelink.state.journal_rows import BASE_COLUMNS, agreed_of, base_row, bounds_below, loaded, stored

Connect = Callable[[Path, str], sqlite3.Connection]
_LOOKUP = 256
_BASE_MARKS = ",".join("?" * 18)


def connect_durable(path: Path, schema: str) -> sqlite3.Connection:
    """A database whose commits are on stable storage when they return."""
    return connect(path, schema, synchronous="FULL")


class Journal:
    """One SQLite file per link; used from one thread. Every method raises StorageError when the file cannot be read or written."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self.db = db
        self.path = path
        self.agreed = self._count("base")
        self.counts = {name: self._count(name) for name in ("held", "problem", "dirty", "intent")}
        self.open_conflicts = self._open_conflicts()

    @classmethod
    def open(cls, path: Path, connect: Connect = connect_durable) -> Journal:
        """The journal at `path`, made when missing."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(connect(path, "journal"), path)

    def close(self) -> None:
        self.db.close()

    def verify(self) -> None:
        """The file is sound.

        Raises:
            StorageError: it is damaged.
        """
        with self._reading():
            found = [row[0] for row in self.db.execute("PRAGMA integrity_check(1)")]
        if found != ["ok"]:
            raise self._failed("trusted", sqlite3.DatabaseError(found[0]))

    # ── base ──

    def base(self, paths: Sequence[str]) -> dict[str, Agreed]:
        """What was agreed on for those of `paths` that have a base."""
        found: dict[str, Agreed] = {}
        for start in range(0, len(paths), _LOOKUP):
            part = paths[start : start + _LOOKUP]
            for row in self._rows(f"SELECT {BASE_COLUMNS} FROM base WHERE path IN ", part):  # noqa: S608
                found[loaded(row[0])] = agreed_of(row)
        return found

    def below(self, path: str, limit: int = -1) -> list[str]:
        """Agreed paths below a directory, in order; `limit` of them at most."""
        with self._reading():
            rows = self.db.execute(
                "SELECT path FROM base WHERE path > ?1 AND path < ?2 OR path > ?3 AND path < ?4 ORDER BY path LIMIT ?5",
                (*bounds_below(path), limit),
            ).fetchall()
        return [loaded(row[0]) for row in rows]

    def by_inode(self, inodes: Sequence[int]) -> dict[int, list[tuple[str, Agreed]]]:
        """Agreed paths whose file had one of these inodes."""
        found: dict[int, list[tuple[str, Agreed]]] = {}
        for start in range(0, len(inodes), _LOOKUP):
            part = inodes[start : start + _LOOKUP]
            for row in self._rows(f"SELECT {BASE_COLUMNS} FROM base WHERE f_ino IN ", part):  # noqa: S608
                found.setdefault(row[3], []).append((loaded(row[0]), agreed_of(row)))
        return found

    # ── intents and results ──

    def begin(self, intents: Sequence[Intent], now_ns: int) -> None:
        """Note what is about to be done. To be called before the first of the effects."""
        rows = [
            (stored(i.path), i.verb, json.dumps(dict(i.detail)).encode() if i.detail else b"{}", now_ns)
            for i in intents
        ]
        with self._writing() as db:
            db.executemany("INSERT OR REPLACE INTO intent VALUES (?,?,?,?)", rows)
        self.counts["intent"] = self._count("intent")

    def intents(self) -> list[Intent]:
        """What was about to be done when the last process ended."""
        with self._reading():
            rows = self.db.execute("SELECT path, verb, detail FROM intent ORDER BY path").fetchall()
        return [Intent(loaded(path), verb, json.loads(detail)) for path, verb, detail in rows]

    def settle(self, results: Sequence[Result], now_ns: int) -> None:
        """Write what came of these paths, in one transaction. To be called after the effects are on stable storage."""
        results = self._telling(results)
        if not results:
            return
        held = [(stored(r.path), r.held.side, r.held.event, now_ns) for r in results if r.held]
        troubles = [_trouble_row(r.path, r.trouble, now_ns) for r in results if r.trouble]
        clashes = [r.clash for r in results if r.clash]
        removed: dict[str, int] = {}
        with self._writing() as db:
            added = self._move_base(db, [r for r in results if not r.keep_base], now_ns)
            begun = [(stored(r.path),) for r in results if r.keep_intent]
            for table, rows in (("intent", begun), ("dirty", ()), ("held", held), ("problem", troubles)):
                kept = {row[0] for row in rows}
                if self.counts[table]:
                    gone = [(key,) for r in results if (key := stored(r.path)) not in kept]
                    removed[table] = self._clear(db, table, gone)
            for row in held:
                db.execute(
                    "INSERT INTO held VALUES (?,?,?,?) ON CONFLICT (path) DO UPDATE SET side=excluded.side, event=excluded.event",
                    row,
                )
            for row in troubles:
                db.execute(
                    "INSERT INTO problem VALUES (?,?,?,?,?,?,?) ON CONFLICT (path) DO UPDATE SET code=excluded.code, "
                    "message=excluded.message, hint=excluded.hint, attempts=excluded.attempts, again_ns=excluded.again_ns",
                    row,
                )
            if self.open_conflicts:
                self._close_standing(db, [r.path for r in results if not r.clash and not r.trouble], now_ns)
            for clash in clashes:
                self._note_clash(db, clash, now_ns)
        # Only now: what was rolled back counts nothing. The brake takes its share of what is agreed on.
        self.agreed += added
        for table, count in removed.items():
            self.counts[table] -= count
        self._recount("intent", "dirty", *(["held"] if held else []), *(["problem"] if troubles else []))
        if clashes or self.open_conflicts:
            self.open_conflicts = self._open_conflicts()

    def _close_standing(self, db: sqlite3.Connection, paths: Sequence[str], now_ns: int) -> None:
        """What stood there is no conflict any more."""
        db.executemany(
            "UPDATE conflict SET resolved_ns=?, resolution='it is gone' WHERE resolved_ns=0 AND path=? AND copy=''",
            [(now_ns, stored(path)) for path in paths],
        )

    def _clear(self, db: sqlite3.Connection, table: str, keys: Sequence[tuple[str | bytes]]) -> int:
        removed = db.executemany(f"DELETE FROM {table} WHERE path=?", keys).rowcount  # noqa: S608  # one of four names
        return max(0, removed)

    def _telling(self, results: Sequence[Result]) -> list[Result]:
        """Those that change something: most looks find what was known, and cost no transaction."""
        silent = [r.path for r in results if r.keep_base and not (r.held or r.trouble or r.clash)]
        noted: set[str] = set()
        for table, count in (*self.counts.items(), ("conflict", self.open_conflicts)):
            for start in range(0, len(silent) if count else 0, _LOOKUP):
                rows = self._rows(f"SELECT path FROM {table} WHERE path IN ", silent[start : start + _LOOKUP])  # noqa: S608
                noted.update(loaded(row[0]) for row in rows)
        quiet = set(silent) - noted
        return [r for r in results if r.path not in quiet]

    def _recount(self, *tables: str) -> None:
        for table in tables:
            self.counts[table] = self._count(table)

    def _move_base(self, db: sqlite3.Connection, moved: Sequence[Result], now_ns: int) -> int:
        """By how many paths the base grew."""
        if not moved:
            return 0
        known = 0
        for start in range(0, len(moved), _LOOKUP):
            part = [r.path for r in moved[start : start + _LOOKUP]]
            known += len(self._rows("SELECT path FROM base WHERE path IN ", part))
        rows = [base_row(r.path, r.base, now_ns) for r in moved if r.base]
        db.executemany(f"INSERT OR REPLACE INTO base ({BASE_COLUMNS}) VALUES ({_BASE_MARKS})", rows)  # noqa: S608
        db.executemany("DELETE FROM base WHERE path=?", [(stored(r.path),) for r in moved if not r.base])
        return len(rows) - known

    def note_clash(self, clash: Clash, now_ns: int) -> None:
        """List a conflict, unless the same one is listed already."""
        with self._writing() as db:
            self._note_clash(db, clash, now_ns)
        self.open_conflicts = self._open_conflicts()

    def _note_clash(self, db: sqlite3.Connection, clash: Clash, now_ns: int) -> None:
        key = stored(clash.path)
        same = db.execute(
            "SELECT id FROM conflict WHERE path=? AND copy=? AND resolved_ns=0", (key, stored(clash.copy))
        ).fetchone()
        if same is None:
            db.execute(
                "INSERT INTO conflict (path, reason, files, lake, copy, rule, since_ns, resolved_ns, resolution) "
                "VALUES (?,?,?,?,?,?,?,?,?)",
                (
                    key,
                    clash.reason,
                    clash.files,
                    clash.lake,
                    stored(clash.copy),
                    clash.rule,
                    now_ns,
                    now_ns if clash.resolution else 0,
                    clash.resolution,
                ),
            )

    # ── paths to be looked at ──

    def note_dirty(self, marks: Iterable[tuple[str, str, bool]], now_ns: int) -> None:
        """Remember (path, side, subtree) until it was looked at: before a queue message is given back, or an overflow is forgotten."""
        rows = [(stored(path), side, int(subtree), now_ns) for path, side, subtree in marks]
        with self._writing() as db:
            db.executemany(
                "INSERT INTO dirty VALUES (?,?,?,?) ON CONFLICT (path, side) DO UPDATE SET subtree=max(subtree, excluded.subtree)",
                rows,
            )
        self.counts["dirty"] = self._count("dirty")

    def dirty(self) -> list[tuple[str, str, bool]]:
        """What `note_dirty` remembered and nobody has looked at yet."""
        with self._reading():
            rows = self.db.execute("SELECT path, side, subtree FROM dirty").fetchall()
        return [(loaded(path), side, bool(subtree)) for path, side, subtree in rows]

    def clean(self, path: str, side: str) -> None:
        """A subtree was looked at as a whole."""
        with self._writing() as db:
            db.execute("DELETE FROM dirty WHERE path=? AND side=?", (stored(path), side))
        self.counts["dirty"] = self._count("dirty")

    # ── what is listed ──

    def is_held(self, path: str) -> bool:
        """Whether a change at that path is held."""
        return bool(self._rows("SELECT path FROM held WHERE path IN ", [path]))

    def held(self, limit: int = -1) -> list[Held]:
        """Changes that the policies do not carry, by path."""
        with self._reading():
            rows = self.db.execute("SELECT path, side, event, since_ns FROM held ORDER BY path LIMIT ?", (limit,))
            return [Held(loaded(path), side, Event(event), since) for path, side, event, since in rows]

    def problems(self, limit: int = -1) -> list[Trouble]:
        """Paths that could not be carried, by path."""
        return self._troubles("SELECT * FROM problem ORDER BY path LIMIT ?", (limit,))

    def troubles_below(self, path: str) -> list[str]:
        """Paths in trouble below a directory."""
        with self._reading():
            rows = self.db.execute(
                "SELECT path FROM problem WHERE path > ? AND path < ? OR path > ? AND path < ?", bounds_below(path)
            ).fetchall()
        return [loaded(row[0]) for row in rows]

    def trouble_due(self, now_ns: int, limit: int) -> list[Trouble]:
        """Paths that are to be tried again by now."""
        return self._troubles("SELECT * FROM problem WHERE again_ns<=? ORDER BY again_ns LIMIT ?", (now_ns, limit))

    def _troubles(self, statement: str, values: tuple[Any, ...]) -> list[Trouble]:
        with self._reading():
            rows = self.db.execute(statement, values).fetchall()
        return [
            Trouble(Problem(loaded(path), code, message, hint), attempts, again, since)
            for path, code, message, hint, since, attempts, again in rows
        ]

    def conflicts(self, *, resolved: bool = False, limit: int = -1) -> list[Clash]:
        """The open conflicts, or with `resolved` all, the oldest first."""
        statement = (
            "SELECT path, reason, files, lake, copy, rule, id, since_ns, resolved_ns, resolution FROM conflict "
            "WHERE resolved_ns=0 OR ? ORDER BY id LIMIT ?"
        )
        with self._reading():
            rows = self.db.execute(statement, (resolved, limit)).fetchall()
        return [Clash(loaded(row[0]), row[1], row[2], row[3], loaded(row[4]), *row[5:]) for row in rows]

    def resolve(self, conflict_id: int, resolution: str, now_ns: int) -> None:
        """The conflict is no longer open."""
        with self._writing() as db:
            db.execute(
                "UPDATE conflict SET resolved_ns=?, resolution=? WHERE id=? AND resolved_ns=0",
                (now_ns, resolution, conflict_id),
            )
        self.open_conflicts = self._open_conflicts()

    # ── odds ──

    def meta(self, key: str, default: str = "") -> str:
        """A fact about the link as a whole."""
        with self._reading():
            row = self.db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        return default if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (key, value))

    def _count(self, table: str) -> int:
        with self._reading():
            (count,) = self.db.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608  # a name of ours
        return int(count)

    def _open_conflicts(self) -> int:
        with self._reading():
            (count,) = self.db.execute("SELECT count(*) FROM conflict WHERE resolved_ns=0").fetchone()
        return int(count)

    def _rows(self, select: str, keys: Sequence[str] | Sequence[int]) -> list[tuple[Any, ...]]:
        """`select` and a list of paths or numbers. Padded to a power of two, so that few statements exist and SQLite's statement cache serves them all."""
        width = 1 << max(0, len(keys) - 1).bit_length()
        values: list[str | bytes | int | None] = [stored(key) if isinstance(key, str) else key for key in keys]
        values.extend([None] * (width - len(values)))
        with self._reading():
            return self.db.execute(f"{select}({','.join('?' * width)})", values).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._failed("read", error) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            with transaction(self.db):
                yield self.db
        except sqlite3.Error as error:
            raise self._failed("written", error) from error

    def _failed(self, verb: str, error: sqlite3.Error) -> StorageError:
        return StorageError(
            f"the journal {self.path} cannot be {verb}: {error}",
            hint="Is the disk full? A damaged journal may be moved away: nothing is deleted then, equal paths are adopted, others are conflicts.",
        )


def _trouble_row(path: str, trouble: Trouble, now_ns: int) -> tuple[Any, ...]:
    problem = trouble.problem
    since_ns = trouble.since_ns or now_ns
    return (stored(path), problem.code, problem.message, problem.hint, since_ns, trouble.attempts, trouble.again_ns)
