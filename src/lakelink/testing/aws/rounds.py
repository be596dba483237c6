"""One round of time in the fake FSx service: each thing that is under way gets one state further, then both sides are compared."""

from __future__ import annotations

import shutil
import uuid

from lakelink.testing.aws import tasks
from lakelink.testing.aws.records import Association, FileSystem, State, Task, seconds


def advance(state: State) -> bool:
    """One round for every file system; whether anything moved."""
    moved = False
    for system in list(state.file_systems.values()):
        moved |= _step_file_system(state, system)
    return moved


def _step_file_system(state: State, system: FileSystem) -> bool:
    if system.lifecycle == "DELETING":
        _forget(state, system)
        return True
    if system.lifecycle == "CREATING":
        system.lifecycle = "AVAILABLE"
        return True
    links = [link for link in state.associations.values() if link.file_system is system]
    moved = _step_one_association(state, links)
    exporting = _step_tasks(state, system, links)
    for link in links:
        if link.lifecycle in {"AVAILABLE", "MISCONFIGURED"}:
            moved |= _synchronise(state, link, exporting=exporting == "EXPORT_TO_REPOSITORY")
    return moved or exporting is not None


def _step_one_association(state: State, links: list[Association]) -> bool:
    """The service works on one association of a file system at a time; the others wait their turn."""
    for link in links:
        if link.lifecycle in {"CREATING", "UPDATING"}:
            link.lifecycle, link.failure = "AVAILABLE", ""
            if _reachable(state, link):
                _begin(state, link)
            else:
                link.lifecycle, link.failure = "MISCONFIGURED", f"{link.repository} cannot be read"
            return True
        if link.lifecycle == "DELETING":
            del state.associations[link.id]
            if link.delete_data:
                shutil.rmtree(link.mirror.directory)
            return True
    return False


def _begin(state: State, link: Association) -> None:
    """What both sides hold when an association is made is no event; only a task brings it over."""
    if not link.begun:
        link.mirror.directory.mkdir(parents=True, exist_ok=True)
        link.mirror.begin()
        link.begun = True
        if link.batch_import:
            _batch_import(state, link)


def _batch_import(state: State, link: Association) -> None:
    """`BatchImportMetaDataOnCreate` is an import task that nobody asked for."""
    request = {
        "Type": "IMPORT_METADATA_FROM_REPOSITORY",
        "FileSystemId": link.file_system.id,
        "Paths": [link.repository],
        "Report": {"Enabled": False},
    }
    task = Task(f"task-{uuid.uuid4().hex[:17]}", link.file_system, request, {})
    state.tasks[task.id] = task


def _step_tasks(state: State, system: FileSystem, links: list[Association]) -> str | None:
    """At most one task gets one state further; its type, or None."""
    for task in [task for task in state.tasks.values() if task.file_system is system]:
        if task.lifecycle == "CANCELING":
            task.lifecycle, task.ended = "CANCELED", seconds()
            return task.kind
        if task.lifecycle == "PENDING":
            task.lifecycle, task.started = "EXECUTING", seconds()
            return task.kind
        if task.lifecycle == "EXECUTING":
            tasks.run(task, [link for link in links if link.lifecycle == "AVAILABLE"], state.released)
            return task.kind
    return None


def _reachable(state: State, link: Association) -> bool:
    from botocore.exceptions import ClientError

    try:
        state.s3.list_objects_v2(Bucket=link.mirror.bucket, Prefix=link.mirror.prefix, MaxKeys=1)
    except ClientError:
        return False
    return True


def _synchronise(state: State, link: Association, *, exporting: bool) -> bool:
    """One automatic round in both directions. Automatic export waits while an export task runs."""
    if not _reachable(state, link):
        moved = link.lifecycle != "MISCONFIGURED"
        link.lifecycle, link.failure = "MISCONFIGURED", f"{link.repository} cannot be read"
        return moved
    _begin(state, link)
    moved = link.lifecycle == "MISCONFIGURED"
    link.lifecycle, link.failure = "AVAILABLE", ""
    touched = 0
    for side in ("lake", "files") if state.first == "lake" else ("files", "lake"):
        if side == "lake":
            touched += link.mirror.auto_import(link.import_events)
        elif not exporting:
            touched += link.mirror.auto_export(link.export_events)
    return moved or touched > 0


def _forget(state: State, system: FileSystem) -> None:
    del state.file_systems[system.id]
    for link in [link for link in state.associations.values() if link.file_system is system]:
        del state.associations[link.id]
    shutil.rmtree(system.directory, ignore_errors=True)
