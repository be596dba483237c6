"""Walking two local trees side by side: files that are plainly equal are counted where they are seen, and only the rest becomes rows to compare.

Directory by directory in one thread: two threads would fight for the interpreter, and rows of both sides would wait for each other.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import NamedTuple

from lakelink.locations.base import Batch, Sides
from lakelink.locations.local.scan import BATCH_ROWS, Pending, Scanner
from lakelink.model.entry import Kind, Row
from lakelink.model.task import Symlinks

Pair = tuple[Pending, Pending]
"""The same path on both sides."""


class Side(NamedTuple):
    """One of the two trees, as another process gets it."""

    root_fd: int
    symlinks: Symlinks


class Walk:
    """One walk of two trees. What a directory holds on both sides is joined by name; the difference is handed out."""

    def __init__(self, source: Scanner, target: Scanner, *, owner: bool) -> None:
        self.source = source
        self.target = target
        self.pairs: list[Pair] = []
        # Size, mtime and mode, and with `owner` uid and gid: what makes two files equal when both listings tell everything.
        self._compared = slice(2, 7) if owner else slice(2, 5)
        self._sides = Sides(Batch(), Batch())
        self._handed = 0
        self.seen = 0  # rows so far, of both sides

    def tree(self) -> Generator[Sides, None, None]:
        """All below both roots, and the roots. Memory: what one directory holds at most.

        Raises:
            RootMissing: also at the end, where a root is not what it was: then nothing that was seen counts.
            NotPermitted: a root cannot be read.
        """
        self.pairs = [(self.source.top(), self.target.top())]
        while self.pairs:
            yield from self.pair(*self.pairs.pop())
        yield from self.rest()

    def rest(self) -> Iterator[Sides]:
        """What only one side has, and the end of the walk; errors as `tree`."""
        yield self.take()
        for batch in self.source.rest():
            yield Sides(batch, Batch())
        for batch in self.target.rest():
            yield Sides(Batch(), batch)
        self.source.check()
        self.target.check()
        yield Sides(self.source.take(), self.target.take())

    def pair(self, mine: Pending, theirs: Pending) -> Iterator[Sides]:
        """One directory on both sides. Its directories that both have are in `pairs` then, the others in the `todo` of their side."""
        alone, self.source.todo, other_alone, self.target.todo = self.source.todo, [], self.target.todo, []
        left: dict[str, Row] = {}
        right: dict[str, Row] = {}
        sources, targets = self.source.directory(mine), self.target.directory(theirs)
        going = True
        while going:
            batch, other = next(sources, None), next(targets, None)
            going = batch is not None or other is not None
            self._join(batch or self.source.take(), other or self.target.take(), left, right)
            if self.seen - self._handed >= 2 * BATCH_ROWS:
                yield self.take()
        self._sides.source.rows.extend(left.values())
        self._sides.target.rows.extend(right.values())
        self._match(alone, other_alone)

    def take(self) -> Sides:
        """What was found and not handed out yet."""
        sides, self._sides, self._handed = self._sides, Sides(Batch(), Batch()), self.seen
        return sides

    def _join(self, source: Batch, target: Batch, left: dict[str, Row], right: dict[str, Row]) -> None:
        """The hot loop. What waits for its other side in `left` and `right` is never on both."""
        self.seen += len(source.rows) + len(target.rows)
        sides = self._sides
        mine, theirs = sides.source.rows.append, sides.target.rows.append
        sides.source.add_notes(source)
        sides.target.add_notes(target)
        compared, file_kind, equal = self._compared, Kind.FILE, 0
        for row in source.rows:
            if row[1] is not file_kind:
                mine(row)
            elif right and (other := right.pop(row[0], None)) is not None:
                if row[compared] == other[compared]:
                    equal += 1
                else:
                    mine(row)
                    theirs(other)
            else:
                left[row[0]] = row
        for row in target.rows:
            if row[1] is not file_kind:
                theirs(row)
            elif (other := left.pop(row[0], None)) is None:
                right[row[0]] = row
            elif row[compared] == other[compared]:
                equal += 1
            else:
                mine(other)
                theirs(row)
        sides.equal_files += equal

    def _match(self, alone: list[Pending], other_alone: list[Pending]) -> None:
        """What the last directory held goes where it belongs; `todo` keeps what only one side has."""
        found = {task.path: task for task in self.target.todo}
        for task in self.source.todo:
            other = found.pop(task.path, None)
            if other is None:
                alone.append(task)
            else:
                self.pairs.append((task, other))
        other_alone.extend(found.values())
        self.source.todo, self.target.todo = alone, other_alone
