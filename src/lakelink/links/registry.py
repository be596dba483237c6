"""The links of a state directory: which there are, and what each was told. `STATE/links.sqlite`.

A link maps one directory to one prefix, and no two links share a place on either side: both would carry what the other carries. Places are
compared by where they lead when a link is added, declared or updated, inside the transaction that stores it, so that two commands
at once cannot slip past each other. What was agreed is durable when a call returns (synchronous=FULL).
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from lakelink.config.document import Document, nearest
from lakelink.config.links import check_name, declared
from lakelink.errors import ConfigError, NotFound, Refused, StorageError, UsageError
from lakelink.links.known import IMMUTABLE, KnownLink, check_apart, check_same_paths, check_unmoved
from lakelink.links.places import Place, absolute, place_of, relation
from lakelink.model.linkspec import LinkSpec
from lakelink.ports.clock import Clock, SystemClock
from lakelink.state.database import connect, transaction

FILE = "links.sqlite"
_LIVE = "SELECT files, lake, spec, withdrawn_ns FROM link WHERE removed_ns=0 ORDER BY name"


@dataclasses.dataclass(frozen=True, slots=True)
class Reload:
    """What a reading of the settings changed. All is stored already; the daemon only has to follow."""

    added: tuple[LinkSpec, ...] = ()
    updated: tuple[LinkSpec, ...] = ()  # same ident, files and lake; also one whose section came back
    paused: tuple[LinkSpec, ...] = ()  # its section is gone


class Registry:
    """Used from one thread at a time; several processes may hold one each. Close it with `close`."""

    def __init__(self, state_dir: Path, document: Document | None = None, clock: Clock | None = None) -> None:
        """`document`: the settings, for the named locations that links use.

        Raises:
            StorageError: the file cannot be opened, is damaged, or was written by a newer lakelink.
        """
        self._state_dir = os.path.realpath(state_dir)
        self._document = document or Document()
        self._clock = clock or SystemClock()
        self._db = connect(state_dir / FILE, "links", synchronous="FULL")

    def list(self) -> Sequence[LinkSpec]:
        """Every link by name; one whose section is gone from the settings is `paused`."""
        return [row.shown for row in self._rows()]

    def get(self, name: str) -> LinkSpec:
        """The link of that name.

        Raises:
            NotFound: there is none; the hint names the nearest.
        """
        return self._row(name).shown

    def removed(self) -> tuple[str, ...]:
        """The idents of links that were removed: what is left of them in the state directory may go."""
        return tuple(
            ident for (ident,) in self._db.execute("SELECT ident FROM link WHERE removed_ns<>0 ORDER BY ident")
        )

    def add(self, spec: LinkSpec) -> LinkSpec:
        """Store a new link; returns it with the `ident` that it has from now on.

        Raises:
            UsageError, ConfigError: the name or a location is not one.
            Refused: the name is taken, or a side overlaps with another link, which the message names; nothing was stored.
        """
        try:
            check_name(spec.name)
        except ValueError as error:
            raise UsageError(str(error), hint="For example logs, or finance-2026.") from error
        place = place_of(spec.files, spec.lake, self._document)
        spec = dataclasses.replace(spec, files=absolute(spec.files, self._document), declared=False)
        with self._changing():
            return self._insert(spec, place, self._document)

    def update(self, spec: LinkSpec) -> LinkSpec:
        """Store other settings of a link; its name, ident and paths stay. May be repeated.

        A link whose section is gone from the settings is from now on one that commands made.

        Raises:
            NotFound: there is no such link.
            Refused: the paths are others, or the link is declared, which only `paused` may be changed of.
        """
        with self._changing():
            row = self._row(spec.name)
            check_same_paths(row, spec)
            if row.declared and dataclasses.replace(spec, paused=row.spec.paused) != row.spec:
                raise Refused(
                    f"link {spec.name} is declared in the settings file and changed only there",
                    hint=f"Edit [links.{spec.name}], then reload the daemon.",
                )
            spec = dataclasses.replace(spec, declared=row.declared)
            self._store(spec)
        return spec

    def remove(self, name: str) -> LinkSpec:
        """Forget a link; its ident is not given again, so that what it once agreed on is never taken for agreed.

        Raises:
            NotFound: there is no such link.
            Refused: it still stands in the settings file, and would come back.
        """
        with self._changing():
            row = self._row(name)
            if row.declared:
                raise Refused(
                    f"link {name} is declared in the settings file",
                    hint=f"Take [links.{name}] out of it and reload; then the link rests and can be removed.",
                )
            self._db.execute("UPDATE link SET removed_ns=? WHERE ident=?", (self._clock.time_ns(), row.spec.ident))
        return row.spec

    def verify(self, name: str) -> None:
        """The link's locations still lead where they led when it was made. Ask before it is opened: settings and environment may say otherwise now.

        Raises:
            NotFound: there is no such link.
            ConfigError: its lake would be another one now; nothing was touched.
        """
        row = self._row(name)
        check_unmoved(row, self._document, f"link {name}")

    def reload(self, document: Document) -> Reload:
        """Take over what the settings declare: all of it or, when anything is wrong, nothing.

        A link whose section is gone rests (`paused`) until the section comes back or the link is removed.

        Raises:
            ConfigError: a section is wrong, or changes the paths of its link.
            Refused: places overlap; the message names both links.
        """
        specs = declared(document)
        with self._changing():
            rows = {row.spec.name: row for row in self._rows()}
            named = {spec.name for spec in specs}
            gone = [row for name, row in rows.items() if row.declared and name not in named]
            for row in gone:
                self._db.execute(
                    "UPDATE link SET withdrawn_ns=? WHERE ident=?", (self._clock.time_ns(), row.spec.ident)
                )
            stored = [self._declare(spec, rows.get(spec.name), document) for spec in specs]
        self._document = document
        return Reload(
            added=tuple(spec for spec in stored if spec.name not in rows),
            updated=tuple(spec for spec in stored if spec.name in rows and spec != rows[spec.name].shown),
            paused=tuple(dataclasses.replace(row, withdrawn=True).shown for row in gone),
        )

    def close(self) -> None:
        self._db.close()

    def _declare(self, spec: LinkSpec, row: KnownLink | None, document: Document) -> LinkSpec:
        where = document.where("links", spec.name)
        if row is None:
            try:
                return self._insert(spec, place_of(spec.files, spec.lake, document), document)
            except Refused as error:
                raise Refused(f"{where}: {error.message}", hint=error.hint) from error
        if row.spec.files != spec.files and row.files != place_of(spec.files, spec.lake, document).files:
            raise ConfigError(f"{where}: link {spec.name} keeps {row.spec.files}, not {spec.files}", hint=IMMUTABLE)
        check_unmoved(dataclasses.replace(row, spec=spec), document, where)
        spec = dataclasses.replace(spec, ident=row.spec.ident, paused=row.spec.paused)
        self._store(spec)
        return spec

    def _insert(self, spec: LinkSpec, place: Place, document: Document) -> LinkSpec:
        rows = self._rows()
        taken = next((row for row in rows if row.spec.name == spec.name), None)
        if taken is not None:
            raise Refused(
                f"there is a link {spec.name} already: {taken.spec.files} and {taken.spec.lake}",
                hint="Take another name, or change the one there is with `lakelink link update`.",
            )
        if relation(place.path, self._state_dir) in {"lies around", "is the same place as"}:
            raise Refused(
                f"lakelink's own state {self._state_dir} lies inside {spec.files}: it would carry its own journal without end",
                hint="Move the state with LAKELINK_STATE_DIR, or link a directory beside it.",
            )
        for row in rows:
            check_apart(spec, place, row, document)
        spec = dataclasses.replace(spec, ident=spec.ident or self._ident(spec.name, place))
        self._db.execute(
            "INSERT INTO link (ident, name, files, lake, spec) VALUES (?,?,?,?,?)",
            (spec.ident, spec.name, place.files, place.lake, _encoded(spec)),
        )
        return spec

    def _ident(self, name: str, place: Place) -> str:
        """The same for the same link after the state was lost, so that its root knows it; another one after a removal."""
        for generation in range(1 << 32):
            text = "\0".join((self._state_dir, name, place.files, place.lake, str(generation)))
            ident = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
            if not self._db.execute("SELECT 1 FROM link WHERE ident=?", (ident,)).fetchone():
                return ident
        raise AssertionError

    def _row(self, name: str) -> KnownLink:
        rows = self._rows()
        row = next((row for row in rows if row.spec.name == name), None)
        if row is None:
            names = [each.spec.name for each in rows]
            near = nearest(name, names)
            known = f"There are: {', '.join(names)}." if names else "`lakelink link add` makes one."
            raise NotFound(f"there is no link {name!r}", hint=f"Did you mean {near}?" if near else known)
        return row

    def _rows(self) -> tuple[KnownLink, ...]:
        try:
            return tuple(
                KnownLink(msgspec.json.decode(spec, type=LinkSpec), files, lake, bool(withdrawn))
                for files, lake, spec, withdrawn in self._db.execute(_LIVE)
            )
        except (sqlite3.Error, msgspec.DecodeError) as error:
            raise self._unusable(error) from error

    def _store(self, spec: LinkSpec) -> None:
        values = _encoded(spec), spec.ident
        self._db.execute("UPDATE link SET spec=?, withdrawn_ns=0 WHERE ident=?", values)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            with transaction(self._db):
                yield
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> StorageError:
        return StorageError(
            f"the list of links {self._state_dir}/{FILE} cannot be used: {error}",
            hint="Is the disk full, or is it of a newer lakelink?",
        )


def _encoded(spec: LinkSpec) -> bytes:
    try:
        return msgspec.json.encode(spec)
    except UnicodeEncodeError as error:
        raise UsageError(f"a setting of link {spec.name} is not UTF-8", hint="Is it a pattern from a file?") from error
