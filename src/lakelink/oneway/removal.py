"""Removing what the source does not have: confirmed absent at the source, named by version at the target, children before parents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lakelink.engine.supervise import workers
from lakelink.errors import LakelinkError, PreconditionFailed
from lakelink.locations.base import Delete, Location
from lakelink.model.entry import Entry, Expect, Kind, Row
from lakelink.oneway.plan import Replacement

_AT_ONCE = 500
_WORKERS = 4

Outcome = Callable[[Row, LakelinkError | None], None]


async def remove(rows: Sequence[Row], source: Location, target: Location, outcome: Outcome) -> None:
    """Delete these rows of the target, files first, then directories from the deepest up.

    Each path is asked for at the source once more, right before: a listing that was stale, or a file that came meanwhile, must not cost the
    target its copy. Such a path is left alone and not reported to `outcome`. May be repeated.
    """
    files = [row for row in rows if row.kind is not Kind.DIR]

    async def batch(some: Sequence[Row]) -> None:
        await _remove_batch(some, source, target, outcome)

    await workers(_cut(files), batch, _WORKERS)
    for level in _levels([row for row in rows if row.kind is Kind.DIR]):
        await workers(_cut(level), batch, _WORKERS)


async def clear(replacements: Sequence[Replacement], source: Location, target: Location, outcome: Outcome) -> set[str]:
    """Delete what stands in the way of another kind of thing; answers the paths where something still does, each of them reported.

    Each path is asked for at the source once more, right before: what is there must still be what is to take the place.
    """
    blocked: set[str] = set()

    async def one(replacement: Replacement) -> None:
        step = replacement.step
        (now,) = await source.stat([step.path])
        if not isinstance(now, Entry) or (now.kind is Kind.DIR) != (step.source.kind is Kind.DIR):
            blocked.add(step.path)
            outcome(step.source, now if isinstance(now, LakelinkError) else _moved())
            return
        for rows in _cut(replacement.clear):
            for row, error in zip(rows, await _delete(rows, target), strict=True):
                if error is not None:
                    blocked.add(step.path)
                if error is not None or row.ident != "":
                    outcome(row, error)

    await workers(replacements, one, _WORKERS)
    return blocked


def _moved() -> PreconditionFailed:
    return PreconditionFailed(
        "it is no longer what it was when the source was listed", hint="The next run looks at it again."
    )


async def _delete(rows: Sequence[Row], target: Location) -> list[LakelinkError | None]:
    return await target.delete([Delete(row.path, row.kind, Expect(row.version)) for row in rows])


async def _remove_batch(rows: Sequence[Row], source: Location, target: Location, outcome: Outcome) -> None:
    gone = []
    for row, there in zip(rows, await source.stat([row.path for row in rows]), strict=True):
        if there is None:
            gone.append(row)
        elif isinstance(there, LakelinkError):
            outcome(row, there)  # unknown never deletes
    for row, error in zip(gone, await _delete(gone, target), strict=True):
        outcome(row, error)


def _levels(directories: list[Row]) -> Iterator[list[Row]]:
    by_depth: dict[int, list[Row]] = {}
    for row in directories:
        by_depth.setdefault(row.path.count("/"), []).append(row)
    for depth in sorted(by_depth, reverse=True):
        yield by_depth[depth]


def _cut(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), _AT_ONCE):
        yield rows[start : start + _AT_ONCE]
