"""Runs one data repository task over the associations of its file system, and writes its completion report."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lakelink.testing.aws.mirror import Failure
from lakelink.testing.aws.records import Association, Task, seconds

_NS_PER_DAY = 86_400 * 1_000_000_000
_ONLY_ONE_DAY_UNIT = "DAYS"


def run(task: Task, links: Sequence[Association], released: set[tuple[str, str]]) -> None:
    """Do all that the task asks for; its counters and its state say how it went. A path that fails does not stop the others.

    `released` collects (association id, path) of released data.
    """
    try:
        for outcome in _steps(task, links, released):
            task.total += 1
            if outcome is None:
                task.succeeded += 1
            else:
                task.failures.append((outcome.path, outcome.code))
    except KeyError as problem:
        task.failure = f"One or more paths are invalid: {problem.args[0]}"
    task.ended = seconds()
    task.lifecycle = "FAILED" if task.failures or task.failure else "SUCCEEDED"
    if task.failures and not task.failure:
        task.failure = f"{len(task.failures)} files failed"
    _report(task, links)


def _steps(task: Task, links: Sequence[Association], released: set[tuple[str, str]]) -> Iterator[Failure | None]:
    """One outcome per path that the task touches."""
    paths = list(task.request.get("Paths", []))
    importing = task.kind == "IMPORT_METADATA_FROM_REPOSITORY"
    chosen = [(link, _wanted(link, paths, importing=importing)) for link in links]
    reached = {path for path in paths for link in links if _reaches(link, path, importing=importing) is not None}
    if unknown := [path for path in paths if path not in reached]:
        raise KeyError(unknown[0])
    for link, wanted in chosen:
        if importing:
            yield from link.mirror.import_all(wanted)
        elif task.kind == "EXPORT_TO_REPOSITORY":
            yield from link.mirror.export_all(wanted)
        else:
            yield from _release(task, link, wanted, released)


def _release(
    task: Task, link: Association, wanted: Callable[[str], bool], released: set[tuple[str, str]]
) -> Iterator[None]:
    """Mark the data of files as released that are exported, unchanged since, and unused for long enough before the task was made."""
    since = task.request.get("ReleaseConfiguration", {}).get("DurationSinceLastAccess", {})
    days = since.get("Value", 0)
    # Zero days means whatever the age, also of a file used after the task was made.
    edge_ns = int(task.created * 1e9) - days * _NS_PER_DAY if days else 1 << 62
    for relative in sorted(link.mirror.files()):
        if wanted(relative) and not relative.endswith("/") and link.mirror.eligible(relative, edge_ns):
            released.add((link.id, relative))
            yield None


def _reaches(link: Association, path: str, *, importing: bool) -> str | None:
    """The part of a task's path below an association, "" for all of it; None if the path lies elsewhere."""
    if importing:
        here, there = link.repository.rstrip("/") + "/", path.rstrip("/") + "/"
    else:
        here, there = f"{link.path.strip('/')}/".lstrip("/"), f"{path.strip('/')}/".lstrip("/")
    if here.startswith(there):
        return ""
    return there[len(here) :].rstrip("/") if there.startswith(here) else None


def _wanted(link: Association, paths: Sequence[str], *, importing: bool) -> Callable[[str], bool]:
    """Which relative paths a task means; all where it names none."""
    below = [part for path in paths if (part := _reaches(link, path, importing=importing)) is not None]

    def wanted(relative: str) -> bool:
        inner = relative.rstrip("/")
        return not paths or any(not part or inner == part or inner.startswith(f"{part}/") for part in below)

    return wanted


def _report(task: Task, links: Sequence[Association]) -> None:
    """The CSV of what failed, where the request asks for one: `PATH/task-ID/failures.csv`, for imports `report.csv`."""
    report = task.request["Report"]
    if not report.get("Enabled") or not task.failures:
        return
    bucket, _, prefix = str(report["Path"]).removeprefix("s3://").partition("/")
    name = "report.csv" if task.kind.startswith("IMPORT") else "failures.csv"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for path, code in task.failures:
        # A path that a spreadsheet would take for a formula is put into quotes of its own.
        writer.writerow([f'"{path}"' if path[:1] in set("@+-=") else path, "failed", code.removeprefix("S3Export")])
    s3: Any = links[0].mirror.s3
    key = "/".join(part for part in (prefix.rstrip("/"), f"task-{task.id.removeprefix('task-')}", name) if part)
    s3.put_object(Bucket=bucket, Key=key, Body=text.getvalue().encode("utf-8", "surrogateescape"))
