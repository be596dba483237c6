"""Renaming: at once where the location can, else as copies inside the store and removals, each of the version that was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lakelink.errors import Declined, LakelinkError, NotFound, Unsupported
from lakelink.gateway.folders.places import Place, Places
from lakelink.locations.base import Browsable, Copy, Delete, Location, Renamer, Write
from lakelink.model.entry import Entry, Expect, Kind, Version
from lakelink.model.path import display, join

GROUP = 256  # paths copied or removed at once


@dataclass(frozen=True, slots=True)
class Move:
    """From where to where, and what is there."""

    old: Place
    new: Place
    entry: Entry
    replaced: Entry | None


async def rename(places: Places, move: Move, most_paths: int) -> None:
    """Afterwards it is at its new path and not at its old one; what was replaced is gone.

    Between, and after a failure, a file may be at both paths, whole; never at none.

    Raises:
        Declined: too much would have to be copied. PreconditionFailed: somebody else changed one of the two meanwhile.
    """
    if move.entry.kind is Kind.DIR:
        await _rename_directory(places, move, most_paths)
        return
    location = move.old.location
    version = move.entry.version
    if version is None:
        raise Declined("It cannot be renamed")
    expect = Expect(move.replaced.version if move.replaced else None)
    if isinstance(location, Renamer):
        found = await location.rename(move.old.relative, version, move.new.relative, expect)
    else:
        found = _one(await location.copy([Copy(move.old.relative, version, move.new.relative, expect)]))
        _one(await location.delete([Delete(move.old.relative, move.entry.kind, Expect(version))]))
    known = places.shared.known
    known.forget(move.old.text, move.old.relative)
    known.saw(move.new.text, move.new.relative, found)
    known.made(move.new.text, move.new.relative)


async def _rename_directory(places: Places, move: Move, most_paths: int) -> None:
    if move.replaced is not None:
        raise Declined("It exists already")
    if move.new.relative.startswith(move.old.relative + "/"):
        raise Declined("A directory cannot be moved into itself")
    if places.mapping.holds_folders(move.old.path) or places.mapping.holds_folders(move.new.path):
        raise Declined("A folder is mounted there")
    location = move.old.location
    known = places.shared.known
    if isinstance(location, Renamer) and move.entry.version is not None:
        await location.rename(move.old.relative, move.entry.version, move.new.relative, Expect(None))
    else:
        found = await _tree(location, move.old.relative, most_paths)
        await _copy_tree(location, move, found)
    known.forget_below(move.old.text, move.old.relative)
    known.saw_directory(move.new.text, move.new.relative)
    known.made(move.new.text, move.new.relative)


async def _tree(location: Location, top: str, most_paths: int) -> list[tuple[str, Entry]]:
    """All below the directory with its version, directories before what is in them.

    Raises:
        Declined: there is more than that. Unsupported: something is there that cannot be moved.
    """
    if not isinstance(location, Browsable):
        raise Unsupported("directories cannot be renamed here")
    found: list[tuple[str, Entry]] = []
    todo = [top]
    while todo:
        paths: list[str] = []
        async for batch in location.list_directory(todo.pop()):
            if batch.problems or batch.skipped:
                raise Declined("The directory holds what cannot be moved")
            paths += [row.path for row in batch.rows]
            if len(found) + len(paths) > most_paths:
                raise Declined(f"The directory holds more than {most_paths} paths; it can only be moved file by file")
        for start in range(0, len(paths), GROUP):
            group = paths[start : start + GROUP]
            for path, entry in zip(group, await location.stat(group), strict=True):
                if isinstance(entry, LakelinkError):
                    raise entry
                if entry is not None:
                    found.append((path, entry))
                    todo += [path] if entry.kind is Kind.DIR else []
    return found


async def _copy_tree(location: Location, move: Move, found: Sequence[tuple[str, Entry]]) -> None:
    """Everything is copied before anything is removed. What a failure leaves are copies, which are taken back."""
    top, new_top = move.old.relative, move.new.relative
    made: list[Delete] = []
    try:
        for path, entry in [(top, move.entry), *found]:
            if entry.kind is Kind.DIR:
                target = join(new_top, path[len(top) + 1 :]) if path != top else new_top
                answer = _one(await location.write([Write(target, Kind.DIR, None, entry.posix, Expect(None))]))
                made.append(Delete(target, Kind.DIR, Expect(answer.version)))
        files = [(path, entry) for path, entry in found if entry.kind is not Kind.DIR]
        for start in range(0, len(files), GROUP):
            group = files[start : start + GROUP]
            copies = [
                Copy(path, _version(entry), join(new_top, path[len(top) + 1 :]), Expect(None)) for path, entry in group
            ]
            trouble: LakelinkError | None = None
            for copy, answered in zip(copies, await location.copy(copies), strict=True):
                if isinstance(answered, LakelinkError):
                    trouble = trouble or answered
                else:
                    made.append(Delete(copy.path, answered.kind, Expect(answered.version)))
            if trouble is not None:
                raise trouble
    except LakelinkError:
        await location.delete([each for each in reversed(made) if each.expect.version is not None])
        raise
    # Backwards: what is in a directory before the directory.
    doomed = [Delete(path, entry.kind, Expect(entry.version)) for path, entry in reversed(found)]
    for answered_delete in await location.delete([*doomed, Delete(top, Kind.DIR, Expect(move.entry.version))]):
        if answered_delete is not None:
            raise answered_delete


def _version(entry: Entry) -> Version:
    if entry.version is None:
        raise NotFound(f"a file without a version: {display(str(entry))}")
    return entry.version


def _one(answers: Sequence[Entry | LakelinkError | None]) -> Entry:
    (answer,) = answers
    if isinstance(answer, LakelinkError):
        raise answer
    return answer or Entry(kind=Kind.FILE)
