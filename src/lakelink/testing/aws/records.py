"""What the fake FSx service keeps: file systems, associations and tasks, and how each is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from lakelink.testing.aws.mirror import Mirror

ACCOUNT: Final = "123456789012"


class FsxError(Exception):
    """An error of the service: the code is the exception's name in the API model."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def seconds() -> float:
    """Now, as the JSON protocol writes times."""
    return datetime.now(UTC).timestamp()


@dataclass(slots=True)
class FileSystem:
    """A Lustre file system: a directory of this machine."""

    id: str
    directory: Path
    region: str
    request: Mapping[str, Any]
    mount_name: str
    vpc_id: str
    tags: dict[str, str]
    lifecycle: str = "CREATING"
    created: float = field(default_factory=seconds)

    @property
    def arn(self) -> str:
        """The name by which it is tagged."""
        return f"arn:aws:fsx:{self.region}:{ACCOUNT}:file-system/{self.id}"

    def answer(self) -> dict[str, Any]:
        """The file system as DescribeFileSystems shows it."""
        lustre = {"DeploymentType": "SCRATCH_1", "DataCompressionType": "NONE"}
        lustre |= dict(self.request.get("LustreConfiguration", {})) | {"MountName": self.mount_name}
        return {
            "OwnerId": ACCOUNT,
            "CreationTime": self.created,
            "FileSystemId": self.id,
            "FileSystemType": "LUSTRE",
            "Lifecycle": self.lifecycle,
            "StorageCapacity": self.request.get("StorageCapacity", 0),
            "StorageType": self.request.get("StorageType", "SSD"),
            "VpcId": self.vpc_id,
            "SubnetIds": list(self.request["SubnetIds"]),
            "NetworkInterfaceIds": [f"eni-{self.id[3:]}"],
            "DNSName": f"{self.id}.fsx.{self.region}.amazonaws.com",
            "KmsKeyId": self.request.get("KmsKeyId", f"arn:aws:kms:{self.region}:{ACCOUNT}:key/aws-fsx"),
            "ResourceARN": self.arn,
            **tagged(self.tags),
            "LustreConfiguration": lustre,
            "FileSystemTypeVersion": self.version,
        }

    @property
    def version(self) -> str:
        """The Lustre version, with the service's own defaults."""
        lustre = self.request.get("LustreConfiguration", {})
        newest = "2.15" if "MetadataConfiguration" in lustre else "2.12"
        default = newest if lustre.get("DeploymentType") == "PERSISTENT_2" else "2.10"
        return str(self.request.get("FileSystemTypeVersion", default))


@dataclass(slots=True)
class Association:
    """A directory of a file system and a prefix, and the mirror that keeps them in step."""

    id: str
    file_system: FileSystem
    path: str
    repository: str
    mirror: Mirror
    chunk_mib: int
    import_events: tuple[str, ...]
    export_events: tuple[str, ...]
    batch_import: bool
    tags: dict[str, str]
    lifecycle: str = "CREATING"
    failure: str = ""
    delete_data: bool = False
    begun: bool = False
    created: float = field(default_factory=seconds)

    @property
    def arn(self) -> str:
        """The name by which it is tagged."""
        return f"arn:aws:fsx:{self.file_system.region}:{ACCOUNT}:association/{self.file_system.id}/{self.id}"

    def answer(self) -> dict[str, Any]:
        """The association as DescribeDataRepositoryAssociations shows it."""
        s3 = {}
        if self.import_events:
            s3["AutoImportPolicy"] = {"Events": list(self.import_events)}
        if self.export_events:
            s3["AutoExportPolicy"] = {"Events": list(self.export_events)}
        found: dict[str, Any] = {
            "AssociationId": self.id,
            "ResourceARN": self.arn,
            "FileSystemId": self.file_system.id,
            "Lifecycle": self.lifecycle,
            "FileSystemPath": self.path,
            "DataRepositoryPath": self.repository,
            "BatchImportMetaDataOnCreate": self.batch_import,
            "ImportedFileChunkSize": self.chunk_mib,
            "S3": s3,
            **tagged(self.tags),
            "CreationTime": self.created,
        }
        if self.failure:
            found["FailureDetails"] = {"Message": self.failure[:256]}
        return found


@dataclass(slots=True)
class Task:
    """A data repository task."""

    id: str
    file_system: FileSystem
    request: Mapping[str, Any]
    tags: dict[str, str]
    lifecycle: str = "PENDING"
    total: int = 0
    succeeded: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)  # path, code
    failure: str = ""
    created: float = field(default_factory=seconds)
    started: float = 0.0
    ended: float = 0.0

    @property
    def arn(self) -> str:
        """The name by which it is tagged."""
        return f"arn:aws:fsx:{self.file_system.region}:{ACCOUNT}:task/{self.id}"

    @property
    def kind(self) -> str:
        """What it does."""
        return str(self.request["Type"])

    def answer(self) -> dict[str, Any]:
        """The task as DescribeDataRepositoryTasks shows it."""
        found: dict[str, Any] = {
            "TaskId": self.id,
            "Lifecycle": self.lifecycle,
            "Type": self.kind,
            "CreationTime": self.created,
            "ResourceARN": self.arn,
            **tagged(self.tags),
            "FileSystemId": self.file_system.id,
            "Paths": list(self.request.get("Paths", [])),
            "Report": dict(self.request["Report"]),
            "Status": {
                "TotalCount": self.total,
                "SucceededCount": self.succeeded,
                "FailedCount": len(self.failures),
                "LastUpdatedTime": self.ended or self.started or self.created,
            },
        }
        if self.started:
            found["StartTime"] = self.started
        if self.ended:
            found["EndTime"] = self.ended
        if self.failure:
            found["FailureDetails"] = {"Message": self.failure}
        if "ReleaseConfiguration" in self.request:
            found["ReleaseConfiguration"] = self.request["ReleaseConfiguration"]
        return found


Side: TypeAlias = Literal["lake", "files"]


@dataclass(slots=True)
class State:
    """Everything the service knows."""

    root: Path
    s3: Any
    region: str
    ec2: Any = None
    first: Side = "lake"
    file_systems: dict[str, FileSystem] = field(default_factory=dict)
    associations: dict[str, Association] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    released: set[tuple[str, str]] = field(default_factory=set)  # association id and path of released data


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as the API writes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tagged(tags: Mapping[str, str]) -> dict[str, list[dict[str, str]]]:
    """The field of an answer; absent without tags, since the model asks for at least one."""
    return {"Tags": tag_list(tags)} if tags else {}


def tag_table(request: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a request."""
    return {tag["Key"]: tag.get("Value", "") for tag in request.get("Tags", [])}
