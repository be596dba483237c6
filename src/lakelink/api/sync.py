"""`lakelink.sync(source, target, …)` and its async form: the same run, the same result as the command line prints."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from lakelink.model.task import Progress, Report, SyncOptions, SyncResult


async def sync_async(
    source: str,
    target: str,
    *,
    config: str | None = None,
    progress: Progress | None = None,
    report: Report | None = None,
    manifest: Path | None = None,
    stop: asyncio.Event | None = None,
    **options: Any,
) -> SyncResult:
    """Make `target` like `source`; keyword arguments are the fields of `SyncOptions` (`delete=True`, `filters=("*.tmp",)` …).

    Safe to repeat. The result lists paths that failed; only what concerns the whole run is raised.

    Raises:
        UsageError, ConfigError: the request is wrong. Refused, Busy: a safety rule says no. Nothing was touched in either case.
        RootMissing, NotPermitted, Unreachable: a side cannot be used.
        TypeError: no such option.
    """
    from lakelink.oneway.run import sync as run

    return await run(
        source,
        target,
        SyncOptions(**options),
        config=config,
        progress=progress,
        report=report,
        manifest=manifest,
        stop=stop,
    )


def sync(source: str, target: str, **arguments: Any) -> SyncResult:
    """`sync_async` for programs without an event loop: it runs its own, and ends when the work has ended."""
    return asyncio.run(sync_async(source, target, **arguments))
