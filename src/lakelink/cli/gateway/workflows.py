"""`lakelink gateway workflows`: what is to be done about files that arrived, and what was."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from lakelink.cli.parameters import POSITIVE, Output

if TYPE_CHECKING:
    from lakelink.gateway.workflows.queue import Job, Queue

ABOUT = """What happens after an upload: commands, webhooks, copies, moves and tags, and how they went.

Workflows are written in the settings ([[gateway.workflows]]) and carried out by the gateway.

For example:

```
lakelink gateway workflows list --state failed
lakelink gateway workflows retry 17
```
"""
app = App(name="workflows", help=ABOUT)


@app.command(name="list")
def list_jobs(
    *,
    state: Annotated[
        Literal["due", "done", "failed"] | None, Parameter(help="Only those that wait, are done, or failed for good.")
    ] = None,
    limit: Annotated[
        int, Parameter(help="At most so many, the newest.", metavar="N", converter=POSITIVE, n_tokens=1)
    ] = 50,
    output: Output = Output(),
) -> int:
    """List the jobs, the newest first: one for each upload and workflow.

    For example:

    ```
    lakelink gateway workflows list
    lakelink gateway workflows list --state failed --json
    ```
    """
    from lakelink.cli.result import print_json, print_lines
    from lakelink.gateway.workflows.queue import State
    from lakelink.model.path import display

    with _queue() as queue:
        jobs = queue.newest(State(state) if state else None, limit)
        counts = queue.counts()
    if output.json:
        print_json(
            {"counts": {str(name): count for name, count in counts.items()}, "jobs": [_fields(job) for job in jobs]}
        )
        return 0
    print_lines(
        f"{job.id:>6}  {_time(job.changed_ns)}  {job.state:<6}  {job.workflow}  {job.upload.user}  {display(job.upload.path)}"
        + (f"  {job.message}" if job.message else "")
        for job in jobs
    )
    if not output.quiet:
        print(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    return 0


@app.command
def retry(
    *jobs: Annotated[int, Parameter(help="Numbers of failed jobs; without one, all of them.", negative=())],
    output: Output = Output(),
) -> int:
    """Give failed jobs new attempts, from the step that failed.

    For example:

    ```
    lakelink gateway workflows retry
    lakelink gateway workflows retry 17 18
    ```
    """
    import time

    from lakelink.cli.result import print_json

    with _queue() as queue:
        count = queue.retry(jobs, time.time_ns())
    if output.json:
        print_json({"retried": count})
    elif not output.quiet:
        print(f"{count:,} jobs are due again")
    return 0


@contextmanager
def _queue() -> Iterator[Queue]:
    from lakelink.config.state_dir import state_dir
    from lakelink.gateway.accounts.store import gateway_dir
    from lakelink.gateway.workflows.queue import Queue

    queue = Queue(gateway_dir(state_dir()))
    try:
        yield queue
    finally:
        queue.close()


def _fields(job: Job) -> dict[str, object]:
    from lakelink.model.path import json_fields

    return {
        "job": job.id,
        "workflow": job.workflow,
        "state": str(job.state),
        "step": job.step,
        "attempts": job.attempts,
        "due": _time(job.due_ns),
        "changed": _time(job.changed_ns),
        "user": job.upload.user,
        **json_fields(job.upload.path),
        "location": job.upload.location,
        "size_bytes": job.upload.size_bytes,
        "message": job.message,
    }


def _time(time_ns: int) -> str:
    return dt.datetime.fromtimestamp(time_ns // 10**9, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
