"""Where the journals of links are, and what is listed from them: the same with and without a running daemon."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from lakelink.api.answers import HeldPath, LogEntry, PathConflict, PathProblem, TaskInfo, wire_path
from lakelink.daemon.open_link import unopened
from lakelink.links.conflicts import advice, trash_reasons
from lakelink.links.trash import Trashed
from lakelink.model.linkspec import LinkSpec, LinkState, LinkStatus
from lakelink.model.linktask import LinkTask
from lakelink.model.path import display
from lakelink.state.event_log import EventLog
from lakelink.state.journal import Journal
from lakelink.state.task_table import TaskTable

T = TypeVar("T")


def link_directory(state_dir: Path, ident: str) -> Path:
    """What lakelink keeps about one link."""
    return state_dir / "links" / ident


def journal_path(state_dir: Path, spec: LinkSpec) -> Path:
    """The journal of a link."""
    return link_directory(state_dir, spec.ident) / "journal.sqlite"


def resting(state_dir: Path, spec: LinkSpec) -> LinkStatus:
    """How a link stands while no daemon runs: what its journal says."""
    status = unopened(spec, activity="no daemon runs")

    def look(journal: Journal) -> LinkStatus:
        surveyed_ns = int(journal.meta("surveyed_ns", "0"))
        return dataclasses.replace(
            status,
            state=LinkState.AVAILABLE if surveyed_ns else LinkState.CREATING,
            agreed=journal.agreed,
            held=journal.counts["held"],
            conflicts=journal.open_conflicts,
            problems=journal.counts["problem"],
            last_survey_ns=surveyed_ns,
        )

    return _read(state_dir, spec, look, status)


def held(state_dir: Path, spec: LinkSpec, most: int) -> list[HeldPath]:
    """Changes that no policy of the link carries, by path."""

    def look(journal: Journal) -> list[HeldPath]:
        return [HeldPath(wire_path(h.path), h.side, h.event.value, h.since_ns) for h in journal.held(most)]

    return _read(state_dir, spec, look, [])


def problems(state_dir: Path, spec: LinkSpec, most: int) -> list[PathProblem]:
    """Paths that cannot be carried at the moment, by path."""

    def look(journal: Journal) -> list[PathProblem]:
        return [
            PathProblem(
                path=wire_path(trouble.problem.path),
                code=trouble.problem.code,
                message=trouble.problem.message,
                hint=trouble.problem.hint,
                since_ns=trouble.since_ns,
                attempts=trouble.attempts,
            )
            for trouble in journal.problems(most)
        ]

    return _read(state_dir, spec, look, [])


def conflicts(state_dir: Path, spec: LinkSpec, most: int, *, resolved: bool) -> list[PathConflict]:
    """Open conflicts, the oldest first; with `resolved` those that were settled too."""

    def look(journal: Journal) -> list[PathConflict]:
        return [
            PathConflict(
                id=clash.id,
                path=wire_path(clash.path),
                reason=clash.reason,
                files=clash.files,
                lake=clash.lake,
                copy=wire_path(clash.copy),
                rule=clash.rule,
                since_ns=clash.since_ns,
                resolved_ns=clash.resolved_ns,
                resolution=clash.resolution,
                advice=advice(clash, spec.name),
            )
            for clash in journal.conflicts(resolved=resolved, limit=most)
        ]

    return _read(state_dir, spec, look, [])


def why_in_trash(state_dir: Path, spec: LinkSpec) -> Callable[[Trashed], str]:
    """Why something is in the trash, where a conflict is the reason; else ""."""

    def look(journal: Journal) -> Callable[[Trashed], str]:
        return trash_reasons(journal.conflicts(resolved=True))

    return _read(state_dir, spec, look, trash_reasons(()))


def events(state_dir: Path, spec: LinkSpec, most: int) -> list[LogEntry]:
    """The newest lines of the event log, the oldest of them first."""

    def look(journal: Journal) -> list[LogEntry]:
        return [
            LogEntry(
                seq=line.seq, time_ns=line.time_ns, code=line.code, path=wire_path(line.path), message=line.message
            )
            for line in EventLog(journal.db).newest(most)
        ]

    return _read(state_dir, spec, look, [])


def tasks(state_dir: Path, spec: LinkSpec, most: int) -> list[TaskInfo]:
    """The newest tasks, the newest first, as they were written down last."""

    def look(journal: Journal) -> list[TaskInfo]:
        return [task_info(spec.name, task) for task in TaskTable(journal.db).newest(most)]

    return _read(state_dir, spec, look, [])


def task_info(link: str, task: LinkTask) -> TaskInfo:
    """A task for the wire."""
    return TaskInfo(
        id=task.id,
        link=link,
        kind=task.kind.value,
        state=task.state.value,
        paths=[wire_path(path) for path in task.paths],
        report=display(task.report),
        created_ns=task.created_ns,
        started_ns=task.started_ns,
        ended_ns=task.ended_ns,
        total=task.total,
        succeeded=task.succeeded,
        failed=task.failed,
        message=task.message,
    )


def _read(state_dir: Path, spec: LinkSpec, look: Callable[[Journal], T], nothing: T) -> T:
    """Look into the journal of a link; a link that never ran has none, and gets none by being looked at."""
    path = journal_path(state_dir, spec)
    if not path.exists():
        return nothing
    with closing(Journal.open(path)) as journal:
        return look(journal)
