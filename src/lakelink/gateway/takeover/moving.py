"""The files of users on their way from the old server to their new places, user by user: what goes wrong with one holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from lakelink.errors import LakelinkError, NameUnsupported, Unsupported, UsageError
from lakelink.gateway.takeover.plan import STAYS_BEHIND, Plan, PlannedUser
from lakelink.model.change import Problem
from lakelink.model.task import SyncOptions, SyncResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """How it went with one user. `behind` stays at the old server, as was accepted in the plan; it counts as no failure."""

    name: str
    result: SyncResult | None = None  # its `failed` without what is in `behind`
    behind: Sequence[Problem] = field(default_factory=tuple)
    error: LakelinkError | None = None  # nothing, or not everything, was moved

    @property
    def exit_code(self) -> int:
        if self.error is not None:
            return self.error.exit_code
        return 1 if self.result and self.result.failed else 0


def move_homes(plan: Plan, names: Sequence[str], options: SyncOptions, config: str | None) -> Iterator[Move]:
    """Bring the homes of these users, of all without a name, as a sync does it; one after the other, each told when it is done.

    Raises:
        UsageError: the homes are on another machine, or a name is not in the plan; nothing was moved.
    """
    if plan.source.startswith("ssh://"):
        raise UsageError(
            "the homes are on another machine", hint="plan.md has the commands that bring them from there."
        )
    if missing := set(names) - {planned.name for planned in plan.users}:
        raise UsageError(f"the plan has no user {min(missing)}", hint="plan.md lists them.")
    return (
        _move(plan, user, options, config) for user in plan.users if user.sync and (not names or user.name in names)
    )


def _move(plan: Plan, user: PlannedUser, options: SyncOptions, config: str | None) -> Move:
    from lakelink.oneway.run import sync

    source, target = user.sync
    try:
        result = asyncio.run(sync(source, target, options, config=config))
    except LakelinkError as error:
        return Move(name=user.name, error=error)
    behind, failed = split(plan, user, result.failed)
    return Move(name=user.name, result=replace(result, failed=failed), behind=behind)


def split(plan: Plan, user: PlannedUser, problems: Sequence[Problem]) -> tuple[list[Problem], list[Problem]]:
    """What stays behind as was accepted, and what should not have happened."""
    idents = [finding.ident for finding in plan.accepted if finding.accepting == STAYS_BEHIND]
    codes = (
        {NameUnsupported.code, Unsupported.code}
        if any(ident.startswith(f"user:{user.name}:") for ident in idents)
        else set()
    )
    return [p for p in problems if p.code in codes], [p for p in problems if p.code not in codes]
