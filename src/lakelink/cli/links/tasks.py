"""`lakelink link import`, `export`, `tasks` and `cancel`: data repository tasks."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from lakelink.cli.parameters import OUTPUT, POSITIVE, Output, flag
from lakelink.model.linkspec import Direction
from lakelink.model.linktask import TaskState

if TYPE_CHECKING:
    from lakelink.api.answers import TaskInfo
    from lakelink.config.document import Document
    from lakelink.links.registry import Registry

MOST = 100
POLL_S = 0.3

Report = Annotated[
    Path | None,
    Parameter(
        help="Write a completion report here when the task ends: .csv as FSx does, what failed; else a JSON line per path. Nothing may be there.",
        metavar="FILE",
        group=OUTPUT,
    ),
]
Background = Annotated[bool, flag(OUTPUT, "Do not wait for its end.", names=["--background", "-b"])]


def import_(
    name: str, /, *paths: str, report: Report = None, background: Background = False, output: Output = Output()
) -> int:
    """Look what the lake has, and carry it here.

    Everything, or what is at and below the paths; deletes too, where the link imports them. One task of a link runs at a time, the others wait.
    Ends when the task does, with 1 when a path failed; Ctrl-C leaves it to go on. Needs the daemon.

    For example:

    ```
    lakelink link import finance
    lakelink link import finance 2026/q3 2026/q4 --report /var/tmp/import.csv
    lakelink link import finance --background --json
    ```

    Args:
        name: of the link.
        paths: relative to the link's directory.
    """
    return _run(Direction.IMPORT, name, paths, report, background, output)


def export(
    name: str, /, *paths: str, report: Report = None, background: Background = False, output: Output = Output()
) -> int:
    """Look what the directory has, and carry it to the lake.

    Everything, or what is at and below the paths; deletes too, where the link exports them. One task of a link runs at a time, the others wait.
    Ends when the task does, with 1 when a path failed; Ctrl-C leaves it to go on. Needs the daemon.

    For example:

    ```
    lakelink link export logs
    lakelink link export logs today --report /var/tmp/export.jsonl
    ```

    Args:
        name: of the link.
        paths: relative to the link's directory.
    """
    return _run(Direction.EXPORT, name, paths, report, background, output)


def tasks(
    name: str,
    /,
    *,
    most: Annotated[
        int, Parameter(help="List so many at most.", metavar="N", group=OUTPUT, converter=POSITIVE, n_tokens=1)
    ] = MOST,
    output: Output = Output(),
) -> int:
    """List the tasks of a link, the newest first.

    For example:

    ```
    lakelink link tasks finance
    lakelink link tasks finance --json
    ```

    Args:
        name: of the link.
    """
    from lakelink.api.calls import ListTasks
    from lakelink.cli.links.reach import either
    from lakelink.cli.result import print_json, print_lines

    def alone(registry: Registry, _document: Document, state_dir: Path) -> list[TaskInfo]:
        from lakelink.daemon import journals

        return journals.tasks(state_dir, registry.get(name), most)

    found = either(ListTasks(link=name, most=most), alone, output.config)
    if output.json:
        print_json({"link": name, "tasks": [_fields(task) for task in found]})
    else:
        print_lines(_line(task) for task in found)
        if not found and not output.quiet:
            print(f"link {name} had no tasks")
    return 0


def cancel(name: str, task: str, /, *, output: Output = Output()) -> int:
    """Cancel a task.

    What is done stays done; what is under way ends. Needs the daemon.

    For example:

    ```
    lakelink link cancel finance task-0123456789abcdef0
    ```

    Args:
        name: of the link.
        task: as `lakelink link tasks` shows it.
    """
    from lakelink.api.calls import CancelTask
    from lakelink.cli.links.reach import ask

    return _tell(ask(CancelTask(link=name, task=task)), output)


def _run(
    kind: Direction, name: str, paths: tuple[str, ...], report: Path | None, background: bool, output: Output
) -> int:
    from lakelink.api.answers import wire_path
    from lakelink.api.calls import ListTasks, StartTask
    from lakelink.cli.links.paths import inside
    from lakelink.cli.links.progress import Beats
    from lakelink.cli.links.reach import ask

    where = os.path.abspath(report) if report else ""  # noqa: PTH100  # the daemon stands elsewhere, and no link is resolved
    wanted = [wire_path(inside(path)) for path in paths]
    task = ask(StartTask(link=name, kind=kind, paths=wanted, report=where))
    if background:
        return _tell(task, output)
    with Beats(quiet=output.quiet or output.json) as beats:
        while not TaskState(task.state).is_final:
            beats.line(_line(task))
            time.sleep(POLL_S)
            (task,) = ask(ListTasks(link=name, task=task.id))
    return _tell(task, output)


def _tell(task: TaskInfo, output: Output) -> int:
    from lakelink.cli.result import print_json

    if output.json:
        print_json(_fields(task))
    elif not output.quiet:
        print(_line(task))
        if task.message:
            print(f"  {task.message}")
    return 1 if task.state == TaskState.FAILED else 0


def _fields(task: TaskInfo) -> dict[str, Any]:
    from lakelink.cli.links.told import path_fields, stamp

    return {
        "id": task.id,
        "link": task.link,
        "kind": task.kind,
        "state": task.state,
        "paths": [path_fields(path)["path"] for path in task.paths],
        "report": task.report,
        "created": stamp(task.created_ns),
        "started": stamp(task.started_ns),
        "ended": stamp(task.ended_ns),
        "total": task.total,
        "succeeded": task.succeeded,
        "failed": task.failed,
        "message": task.message,
    }


def _line(task: TaskInfo) -> str:
    from lakelink.cli.links.told import path_fields

    what = " ".join(path_fields(path)["path"] for path in task.paths) or "everything"
    return f"{task.id}  {task.state:<9}  {task.kind} {what}: {task.succeeded:,} of {task.total:,} carried, {task.failed:,} failed"
