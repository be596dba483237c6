"""`lakelink link check`: the journal against both sides."""

from __future__ import annotations

from dataclasses import dataclass

from lakelink.core.filters import Filter
from lakelink.engine.supervise import together
from lakelink.links.dirty import FILES, LAKE
from lakelink.links.parts import Parts
from lakelink.links.survey import Pass

MOST_NAMED = 1000


@dataclass(frozen=True, slots=True)
class Finding:
    """A path where a side is not as the journal says: "new", "changed" or "missing"."""

    path: str
    side: str
    what: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What the check found. Differences that a link at work is about to carry are among them."""

    agreed: int
    differences: int
    named: tuple[Finding, ...]  # the first of them

    @property
    def is_clean(self) -> bool:
        return not self.differences


async def check(parts: Parts, filters: Filter) -> CheckResult:
    """Compare both sides with the base, in memory that does not grow with them. Changes nothing.

    Raises:
        StorageError: the journal is damaged. RootMissing, NotPermitted, Unreachable: a side cannot be seen.
    """
    journal = parts.journal
    journal.verify()
    named: list[Finding] = []
    count = 0
    for side, location in ((FILES, parts.files), (LAKE, parts.lake)):
        one = Pass(location, journal, filters, side, "", "check_")
        try:
            await together(one.run())
            for rows in one.seen.differing():
                known = journal.base([row.path for row in rows])
                count += len(rows)
                named += [Finding(row.path, side, "changed" if row.path in known else "new") for row in rows]
                named = named[:MOST_NAMED]
            for paths in one.seen.missing():
                count += len(paths)
                named = [*named, *(Finding(path, side, "missing") for path in paths)][:MOST_NAMED]
        finally:
            one.seen.close()
    return CheckResult(journal.agreed, count, tuple(named))
