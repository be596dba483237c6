"""The brakes of a one-way run: pure rules over counts, asked before anything is touched."""

from __future__ import annotations

from lakelink.errors import Refused
from lakelink.model.path import display
from lakelink.model.task import MaxDelete

ALWAYS_ALLOWED = 10
"""Deleting this many paths never needs a word, however small the target."""


def check_source(*, source_paths: int, target_paths: int, delete: bool, allow_empty: bool) -> None:
    """An empty source with --delete would empty the target: refuse unless told.

    Raises:
        Refused: nothing was touched; check the source, or pass --allow-empty-source.
    """
    if delete and not source_paths and target_paths and not allow_empty:
        raise Refused(
            f"the source is empty, and --delete would remove all {target_paths} paths of the target",
            hint="Check that the source is mounted and spelled right. If it really is empty, pass --allow-empty-source.",
        )


def check_deletes(*, deletes: int, target_paths: int, limit: MaxDelete) -> None:
    """More deletions than the brake allows stop the run before its first change.

    Raises:
        Refused: nothing was touched; look at --dry-run, then raise --max-delete.
    """
    if limit.count is None and limit.percent is None:
        allowed = max(ALWAYS_ALLOWED, target_paths // 2)
        words = "half of the target"
    else:
        bounds = []
        if limit.count is not None:
            bounds.append(limit.count)
        if limit.percent is not None:
            bounds.append(int(target_paths * limit.percent / 100))
        allowed = min(bounds)
        words = "--max-delete"
    if deletes > allowed:
        raise Refused(
            f"{deletes} of {target_paths} paths of the target would be deleted; {words} allows {allowed}",
            hint="See what would go with --dry-run; if it is right, allow it with --max-delete N or --max-delete P%.",
        )


def below(path: str, unknown: frozenset[str] | set[str]) -> bool:
    """Whether a path is one of `unknown`, or lies below one: nothing may be concluded from its absence."""
    if not unknown:
        return False
    if path in unknown or "" in unknown:
        return True
    cut = path.rfind("/")
    while cut > 0:
        if path[:cut] in unknown:
            return True
        cut = path.rfind("/", 0, cut)
    return False


def overlap(source_url: str, target_url: str) -> str | None:
    """Why a run between these two locations would read what it writes, or None. URLs are normalised, without a trailing slash."""
    if source_url == target_url:
        return "source and target are the same place"
    if target_url.startswith(source_url.rstrip("/") + "/"):
        return f"the target {display(target_url)} lies inside the source"
    if source_url.startswith(target_url.rstrip("/") + "/"):
        return f"the source {display(source_url)} lies inside the target"
    return None
