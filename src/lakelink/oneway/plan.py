"""The plan of a one-way run: everything it will do, known before the first change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lakelink.core import safety
from lakelink.engine.compare import Comparison
from lakelink.engine.transfer import Step
from lakelink.errors import InTheWay, NameUnsupported
from lakelink.locations.base import Location
from lakelink.model.change import Problem
from lakelink.model.entry import Kind, Row
from lakelink.model.path import split
from lakelink.model.task import Action, PlannedStep
from lakelink.oneway.decide import Decisions


@dataclass(frozen=True, slots=True)
class Replacement:
    """A directory that gives way to a file or link, or the other way round. The step itself is among those of the plan."""

    step: Step
    clear: list[Row]  # what stands in the way; children before parents


@dataclass(slots=True)
class Plan:
    """Steps by phase. Within a run the phases are carried out in this order."""

    replacements: list[Replacement] = field(default_factory=list)
    directories: list[Step] = field(default_factory=list)  # parents before children
    created: dict[str, Row] = field(
        default_factory=dict
    )  # files and symlinks that are new; emptied as they are handed out
    copies: list[Step] = field(default_factory=list)
    decisions: Decisions = field(default_factory=Decisions)
    deletes: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    files: int = 0
    bytes: int = 0

    @property
    def removals(self) -> int:
        """How many paths go, for whatever reason; implicit directories of a lake are none."""
        cleared = sum(row.ident != "" for replacement in self.replacements for row in replacement.clear)
        return cleared + len(self.deletes)

    def give_up(self, paths: set[str]) -> None:
        """Do nothing at these paths and below them: what was in the way is still there."""
        if paths:
            self.directories = [step for step in self.directories if not safety.below(step.path, paths)]
            self.copies = [step for step in self.copies if not safety.below(step.path, paths)]
            self.created = {path: row for path, row in self.created.items() if not safety.below(path, paths)}

    def large(self, size_bytes: int) -> Iterator[Step]:
        """Of the new files those that are larger, each once: what is given here is not given by `transfers`, and the other way round."""
        for path in [path for path, row in self.created.items() if row.size_bytes > size_bytes]:
            row = self.created.pop(path, None)
            if row is not None:
                yield Step(path, row, Action.CREATE, "new")

    def transfers(self) -> Iterator[Step]:
        """Every file to be moved, each once. Empties the plan, so that memory shrinks as the run goes on."""
        while self.created:
            path, row = self.created.popitem()
            yield Step(path, row, Action.CREATE, "new")
        self.copies.reverse()
        while self.copies:
            yield self.copies.pop()

    def lines(self) -> Iterator[PlannedStep]:
        """The plan as `--dry-run` shows it, in path order within each phase."""
        for replacement in self.replacements:
            for row in replacement.clear:
                if row.ident != "":
                    yield PlannedStep(row.path, Action.DELETE, row.size_bytes, "another kind of thing takes its place")
        for step in sorted(self.directories, key=lambda s: s.path):
            yield PlannedStep(step.path + "/", step.action, 0, step.reason)
        for path in sorted(self.created):
            yield PlannedStep(path, Action.CREATE, self.created[path].size_bytes, "new")
        for step in sorted(self.copies, key=lambda s: s.path):
            yield PlannedStep(step.path, step.action, step.source.size_bytes, step.reason)
        for row, _ in sorted(self.decisions.metadata, key=lambda item: item[0].path):
            yield PlannedStep(row.path, Action.METADATA, row.size_bytes, "metadata differs")
        for row in sorted(self.deletes):
            yield PlannedStep(
                row.path + ("/" if row.kind is Kind.DIR else ""), Action.DELETE, row.size_bytes, "not in the source"
            )


def make_plan(comparison: Comparison, decisions: Decisions, target: Location, *, delete: bool) -> Plan:
    """Turn what differs into phases. Pure but for `target.name_problem`, which is pure too."""
    plan = Plan(decisions=decisions)
    plan.problems.extend(decisions.problems)
    plan.directories.extend(decisions.directories)
    plan.copies.extend(decisions.copies)
    _plan_created(plan, comparison, target)
    _plan_replacements(plan, comparison, decisions, delete=delete)
    if delete:
        _plan_deletes(plan, comparison)
    plan.directories.sort(key=lambda step: step.path)
    sizes = [row.size_bytes for row in plan.created.values()] + [step.source.size_bytes for step in plan.copies]
    plan.files, plan.bytes = len(sizes), sum(sizes)
    return plan


def _plan_created(plan: Plan, comparison: Comparison, target: Location) -> None:
    refused: set[str] = set()
    for path, row in comparison.created.items():
        if row.kind is Kind.OTHER:
            continue
        trouble = target.name_problem(path, row.kind)
        if trouble:
            plan.problems.append(
                Problem(path, NameUnsupported.code, trouble, "Rename it at the source, or exclude it with --exclude.")
            )
            if row.kind is Kind.DIR:
                refused.add(path)
        elif row.kind is Kind.DIR:
            plan.directories.append(Step(path, row, Action.CREATE, "new"))
        else:
            plan.created[path] = row
    if refused:
        # What lies below a directory whose name cannot be held has been reported with its own name or cannot be placed either.
        plan.created = {path: row for path, row in plan.created.items() if not safety.below(path, refused)}
        plan.directories = [step for step in plan.directories if not safety.below(step.path, refused)]
    comparison.created = {}


def _plan_replacements(plan: Plan, comparison: Comparison, decisions: Decisions, *, delete: bool) -> None:
    full = _parents_of(comparison.extra) if decisions.replaces else set()
    for step, there in decisions.replaces:
        if step.path in comparison.unclear_source:
            continue  # reported with the listing: what else is at this path of the source is not known
        if there.kind is Kind.DIR and step.path in full and not delete:
            plan.problems.append(
                Problem(
                    step.path,
                    InTheWay.code,
                    "the target has a directory with content where the source has a file",
                    "Pass --delete to let the file take its place, or move the directory away.",
                )
            )
            continue
        inside: list[Row] = []
        if there.kind is Kind.DIR:
            front = step.path + "/"
            inside = [row for path, row in comparison.extra.items() if path.startswith(front)]
            for row in inside:
                del comparison.extra[row.path]
        # An implicit directory too: that its removal is refused tells that it still holds something (excluded, unknown, or new).
        plan.replacements.append(Replacement(step, [*sorted(inside, reverse=True), there]))
        if step.source.kind is Kind.DIR:
            plan.directories.append(step)
        else:
            plan.copies.append(step)


def _plan_deletes(plan: Plan, comparison: Comparison) -> None:
    unknown, unclear = comparison.unknown_source, comparison.unclear_source
    for row in comparison.extra.values():
        implicit = row.ident == "" and row.kind is Kind.DIR
        if not row.path or implicit or row.kind is Kind.OTHER:
            continue
        if row.path not in unclear and not safety.below(row.path, unknown):
            plan.deletes.append(row)
    # A directory that holds something unknown is not removed either: rmdir would refuse, and the lake's marker says it exists.
    keep = _parents_of(dict.fromkeys(unknown)) if unknown else set()
    plan.deletes = [row for row in plan.deletes if row.path not in keep]


def _parents_of(paths: dict[str, Row] | dict[str, None]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        parent = split(path)[0]
        while parent and parent not in found:
            found.add(parent)
            parent = split(parent)[0]
    return found
