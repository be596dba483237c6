"""`lakelink verify`: compares two locations by content and metadata, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from lakelink.core.diff import Rule
from lakelink.core.filters import Filter
from lakelink.engine.compare import Comparer
from lakelink.locations.base import Location
from lakelink.model.change import Problem
from lakelink.model.entry import Kind
from lakelink.model.path import json_fields
from lakelink.model.task import Progress, SyncOptions
from lakelink.oneway.decide import Decider
from lakelink.oneway.pair import open_pair


@dataclass(frozen=True, slots=True)
class Found:
    """One difference. `what` is "missing" (at the target), "extra", "kind", "content" or "metadata"."""

    path: str
    what: str


@dataclass(slots=True)
class VerifyResult:
    """What a comparison found. `as_json` is the documented contract of `lakelink verify --json`."""

    source: str = ""
    target: str = ""
    compared: int = 0
    equal: int = 0
    differences: list[Found] = field(default_factory=list)
    failed: list[Problem] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 equal, 1 differences or paths that could not be compared."""
        return 1 if self.differences or self.failed else 0

    def as_json(self) -> dict[str, Any]:
        """The document that `--json` prints."""
        return {
            "source": self.source,
            "target": self.target,
            "compared": self.compared,
            "equal": self.equal,
            "differences": [json_fields(d.path) | {"what": d.what} for d in self.differences],
            "failed": [
                json_fields(p.path) | {"code": p.code, "message": p.message, "hint": p.hint} for p in self.failed
            ],
        }


async def verify(
    source: str, target: str, options: SyncOptions, *, config: str | None = None, progress: Progress | None = None
) -> VerifyResult:
    """Compare every path of both locations: kind, content (by checksum where both sides can tell, else by reading), metadata.

    Raises:
        UsageError, ConfigError, RootMissing, NotPermitted, Unreachable: nothing can be said.
    """
    async with open_pair(source, target, options, config=config, writes=False) as pair:
        result = await differences(pair.source, pair.target, Filter(options.filters), pair.rule, progress)
    result.source, result.target = source, target
    return result


async def differences(
    source: Location, target: Location, filters: Filter, rule: Rule, progress: Progress | None = None
) -> VerifyResult:
    """What differs between two open locations, in path order."""
    rule = replace(rule, checksum=True)
    comparison = await Comparer(source, target, rule, None, progress or Progress()).run(filters)
    total = sum(1 for difference in comparison.changed if difference.target.kind is not Kind.DIR)
    decisions = await Decider(source, target, rule).run(comparison.changed)
    found = [Found(path, "missing") for path, row in comparison.created.items() if row.kind is not Kind.OTHER and path]
    found += [Found(path, "extra") for path, row in comparison.extra.items() if path and row.ident != ""]
    found += [Found(step.path, "kind") for step, _ in decisions.replaces]
    found += [Found(step.path, "content") for step in decisions.copies]
    found += [Found(row.path, "metadata") for row, _ in decisions.metadata]
    found += [Found(step.path, "metadata") for step in decisions.directories]
    return VerifyResult(
        compared=total + comparison.unchanged,
        equal=decisions.same_files + comparison.unchanged,
        differences=sorted(found, key=lambda item: item.path),
        failed=[*comparison.problems, *decisions.problems],
    )
