"""The API operations of the fake FSx service: what each refuses, and what each records. Time passes in `rounds`."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from lakelink.testing.aws.mirror import Mirror
from lakelink.testing.aws.records import Association, FileSystem, FsxError, State, Task, tag_list, tag_table

MAX_ASSOCIATIONS: Final = 8
LNET: Final = ((988, 988), (1018, 1023))
_WORKING = {"PENDING", "EXECUTING", "CANCELING"}


def _create_file_system(state: State, request: Mapping[str, Any]) -> dict[str, Any]:
    if request["FileSystemType"] != "LUSTRE":
        raise FsxError("UnsupportedOperation", "only LUSTRE is emulated")
    if len(request["SubnetIds"]) != 1:
        raise FsxError("InvalidNetworkSettings", "exactly one subnet is needed")
    vpc_id = _network(state, request)
    identity = f"fs-{uuid.uuid4().hex[:17]}"
    directory = state.root / identity
    directory.mkdir(parents=True)
    system = FileSystem(
        identity, directory, state.region, dict(request), uuid.uuid4().hex[:8], vpc_id, tag_table(request)
    )
    state.file_systems[identity] = system
    return {"FileSystem": system.answer()}


def _network(state: State, request: Mapping[str, Any]) -> str:
    """The VPC; refuses as the service does when the groups keep LNET closed."""
    if state.ec2 is None:
        return "vpc-00000000"
    groups = list(request.get("SecurityGroupIds", []))
    pages = state.ec2.get_paginator("describe_security_group_rules").paginate(
        Filters=[{"Name": "group-id", "Values": groups}]
    )
    rules = [rule for page in pages for rule in page["SecurityGroupRules"]]
    for low, high in LNET:
        for egress in (False, True):
            if not any(
                rule["IsEgress"] == egress
                and (rule["IpProtocol"] == "-1" or (rule["FromPort"] <= low and rule["ToPort"] >= high))
                for rule in rules
            ):
                raise FsxError(
                    "InvalidNetworkSettings",
                    f"The security groups {groups} do not permit Lustre LNET network traffic on port {low}",
                )
    subnet = state.ec2.describe_subnets(SubnetIds=list(request["SubnetIds"]))["Subnets"][0]
    return str(subnet["VpcId"])


def _describe_file_systems(state: State, request: Mapping[str, Any]) -> dict[str, Any]:
    wanted = request.get("FileSystemIds", [])
    for identity in wanted:
        _file_system(state, identity)
    found = [system.answer() for system in state.file_systems.values() if not wanted or system.id in wanted]
    return _page("FileSystems", found, request)


def _file_system(state: State, identity: str) -> FileSystem:
    if identity not in state.file_systems:
        raise FsxError("FileSystemNotFound", f"there is no file system {identity}")
    return state.file_systems[identity]


def _delete_file_system(state: State, request: Mapping[str, Any]) -> dict[str, Any]:
    system = _file_system(state, request["FileSystemId"])
    if any(task.file_system is system and task.lifecycle in _WORKING for task in state.tasks.values()):
        raise FsxError("BadRequest", "a file system with a running data repository task cannot be deleted")
    system.lifecycle = "DELETING"
    return {"FileSystemId": system.id, "Lifecycle": system.lifecycle}


def _create_association(state: State, request: Mapping[str, Any]) -> dict[str, Any]:
    system = _file_system(state, request["FileSystemId"])
    if system.lifecycle != "AVAILABLE":
        raise FsxError("BadRequest", f"the file system is {system.lifecycle}")
    lustre = system.request.get("LustreConfiguration", {})
    tiering = system.request.get("StorageType") == "INTELLIGENT_TIERING"
    if system.version == "2.10" or tiering or lustre.get("DeploymentType", "SCRATCH_1") == "SCRATCH_1":
        raise FsxError("UnsupportedOperation", "this file system cannot have data repository associations")
    links = [link for link in state.associations.values() if link.file_system is system]
    if len(links) >= MAX_ASSOCIATIONS:
        raise FsxError("ServiceLimitExceeded", f"a file system has at most {MAX_ASSOCIATIONS} associations")
    path, repository = request.get("FileSystemPath", "/"), request["DataRepositoryPath"].rstrip("/") + "/"
    if not path.startswith("/") or not repository.startswith("s3://"):
        raise FsxError("BadRequest", "FileSystemPath begins with /, DataRepositoryPath with s3://")
    for link in links:
        for one, two in ((path, link.path), (repository, link.repository)):
            if _overlap(one, two):
                raise FsxError("BadRequest", f"{one} overlaps {two} of {link.id}")
    bucket, _, prefix = repository.removeprefix("s3://").partition("/")
    policies = request.get("S3", {})
    made = Association(
        id=f"dra-{uuid.uuid4().hex[:17]}",
        file_system=system,
        path=path,
        repository=repository,
        mirror=Mirror(state.s3, bucket, prefix, system.directory / path.strip("/")),
        chunk_mib=request.get("ImportedFileChunkSize", 1024),
        import_events=tuple(policies.get("AutoImportPolicy", {}).get("Events", [])),
        export_events=tuple(policies.get("AutoExportPolicy", {}).get("Events", [])),
        batch_import=request.get("BatchImportMetaDataOnCreate", False),
        tags=tag_table(request),
    )
    state.associations[made.id] = made
    return {"Association": made.answer()}


def _association(state: State, identity: str) -> Association:
    if identity not in state.associations:
        raise FsxError("DataRepositoryAssociationNotFound", f"there is no association {identity}")
    return state.associations[identity]


def _describe_associations(state: State, request: Mapping[str, Any]) -> dict[str, Any]:
    wanted = request.get("AssociationIds", [])
    for identity in wanted:
        _association(state, identity)
    systems = [v for f in request.get("Filters", []) if f["Name"] == "file-system-id" for v in f["Values"]]
    found = [
        link.answer()
        for link in state.associations.values()
        if (not wanted or link.id in wanted) and (not systems or link.file_system.id in systems)
    ]
    return _page("Associations", found, request)


def _update_association(state: State, request: Mapping[str, Any]) -> dict[str, Any]:
    link = _association(state, request["AssociationId"])
    if "S3" in request:
        policies = request["S3"]
        link.import_events = tuple(policies.get("AutoImportPolicy", {}).get("Events", []))
        link.export_events = tuple(policies.get("AutoExportPolicy", {}).get("Events", []))
    link.chunk_mib = request.get("ImportedFileChunkSize", link.chunk_mib)
    link.lifecycle = "UPDATING"
    return {"Association": link.answer()}


def _delete_association(state: State, request: Mapping[str, Any]) -> dict[str, Any]:
    link = _association(state, request["AssociationId"])
    link.lifecycle, link.delete_data = "DELETING", request.get("DeleteDataInFileSystem", False)
    answer = {"AssociationId": link.id, "Lifecycle": link.lifecycle}
    return answer | {"DeleteDataInFileSystem": link.delete_data}


def _create_task(state: State, request: Mapping[str, Any]) -> dict[str, Any]:
    system, kind = _file_system(state, request["FileSystemId"]), request["Type"]
    if kind == "AUTO_RELEASE_DATA":
        raise FsxError("UnsupportedOperation", "AUTO_RELEASE_DATA belongs to Amazon File Cache")
    if request["Report"].get("Enabled") and "Path" not in request["Report"]:
        raise FsxError("BadRequest", "an enabled report needs a Path")
    running = [t for t in state.tasks.values() if t.file_system is system and t.lifecycle in _WORKING]
    if any(t.kind == kind and t.request.get("Paths", []) == request.get("Paths", []) for t in running):
        raise FsxError("DataRepositoryTaskExecuting", "the same task is under way")
    task = Task(f"task-{uuid.uuid4().hex[:17]}", system, dict(request), tag_table(request))
    state.tasks[task.id] = task
    return {"DataRepositoryTask": task.answer()}


def _task(state: State, identity: str) -> Task:
    if identity not in state.tasks:
        raise FsxError("DataRepositoryTaskNotFound", f"there is no task {identity}")
    return state.tasks[identity]


def _describe_tasks(state: State, request: Mapping[str, Any]) -> dict[str, Any]:
    wanted = request.get("TaskIds", [])
    for identity in wanted:
        _task(state, identity)
    found = [task for task in state.tasks.values() if not wanted or task.id in wanted]
    for one in request.get("Filters", []):
        keys = {"file-system-id": lambda t: t.file_system.id, "task-lifecycle": lambda t: t.lifecycle}
        if one["Name"] not in keys:
            raise FsxError("BadRequest", f"the filter {one['Name']} is not emulated")
        found = [task for task in found if keys[one["Name"]](task) in one["Values"]]
    return _page("DataRepositoryTasks", [task.answer() for task in found], request)


def _cancel_task(state: State, request: Mapping[str, Any]) -> dict[str, Any]:
    task = _task(state, request["TaskId"])
    if task.lifecycle not in _WORKING:
        raise FsxError("DataRepositoryTaskEnded", f"the task is {task.lifecycle}")
    task.lifecycle = "CANCELING"
    return {"Lifecycle": task.lifecycle, "TaskId": task.id}


def _tagged(state: State, arn: str) -> dict[str, str]:
    things: list[FileSystem | Association | Task] = [
        *state.file_systems.values(),
        *state.associations.values(),
        *state.tasks.values(),
    ]
    for thing in things:
        if thing.arn == arn:
            return thing.tags
    raise FsxError("ResourceNotFound", f"there is no {arn}")


def _tag(state: State, request: Mapping[str, Any]) -> dict[str, Any]:
    _tagged(state, request["ResourceARN"]).update(tag_table(request))
    return {}


def _untag(state: State, request: Mapping[str, Any]) -> dict[str, Any]:
    tags = _tagged(state, request["ResourceARN"])
    for key in request["TagKeys"]:
        tags.pop(key, None)
    return {}


def _list_tags(state: State, request: Mapping[str, Any]) -> dict[str, Any]:
    return _page("Tags", tag_list(_tagged(state, request["ResourceARN"])), request)


def _overlap(one: str, two: str) -> bool:
    """Whether one path holds the other."""
    a, b = f"{one.strip('/')}/".lstrip("/"), f"{two.strip('/')}/".lstrip("/")
    return a.startswith(b) or b.startswith(a)


def _page(key: str, found: list[Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """One page of a list. The token is the place to go on from."""
    start = int(base64.b64decode(request["NextToken"])) if "NextToken" in request else 0
    end = start + int(request.get("MaxResults", len(found) or 1))
    return {key: found[start:end]} | ({"NextToken": base64.b64encode(b"%d" % end).decode()} if end < len(found) else {})


HANDLERS: Final[dict[str, Callable[[State, Mapping[str, Any]], dict[str, Any]]]] = {
    "CreateFileSystem": _create_file_system,
    "DescribeFileSystems": _describe_file_systems,
    "DeleteFileSystem": _delete_file_system,
    "CreateDataRepositoryAssociation": _create_association,
    "DescribeDataRepositoryAssociations": _describe_associations,
    "UpdateDataRepositoryAssociation": _update_association,
    "DeleteDataRepositoryAssociation": _delete_association,
    "CreateDataRepositoryTask": _create_task,
    "DescribeDataRepositoryTasks": _describe_tasks,
    "CancelDataRepositoryTask": _cancel_task,
    "TagResource": _tag,
    "UntagResource": _untag,
    "ListTagsForResource": _list_tags,
}
