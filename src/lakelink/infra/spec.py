"""The specification: what `[infra]` in `lakelink.toml` says, as frozen values. Names follow the AWS names; units are added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lakelink.infra import rules


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataConfiguration:
    """Metadata performance of a PERSISTENT_2 file system; `iops` only with USER_PROVISIONED."""

    mode: str
    iops: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCache:
    """The SSD read cache of INTELLIGENT_TIERING storage; `size_gib` only with USER_PROVISIONED."""

    sizing_mode: str
    size_gib: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """One directory of the file system, mapped 1:1 to one prefix of the bucket."""

    file_system_path: str
    prefix: str = ""
    auto_import: tuple[str, ...] = rules.EVENTS
    auto_export: tuple[str, ...] = rules.EVENTS
    batch_import_on_create: bool = True
    imported_file_chunk_size_mib: int = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketSpec:
    """The lake. `existing` takes a bucket that is already there as it is and changes nothing on it."""

    name: str = ""  # "" = derived from the stack's name and region
    existing: bool = False
    versioning: bool = True
    kms_key_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """Where the parts stand. `create` makes a VPC, `default` uses the region's default VPC, `given` the ids below."""

    mode: str = "create"
    cidr: str = "10.60.0.0/16"
    subnet_cidr: str = ""  # "" = the first /20 of `cidr`, or all of it where it is smaller
    availability_zone: str = ""
    internet: bool = True  # create: an internet gateway, and a public address for the client; nothing may come in
    vpc_id: str = ""
    subnet_id: str = ""
    route_table_ids: tuple[str, ...] = ()
    gateway_endpoint: bool = True
    interface_endpoints: tuple[str, ...] = ()  # "s3", "transfer"
    on_premises_cidrs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSpec:
    """The EC2 instance that mounts the file system."""

    enabled: bool = True
    instance_type: str = "c6i.large"
    os: str = "amazon-linux-2023"
    ami: str = ""  # "" = the newest of `os` when the instance is first made, then pinned
    lustre_package: str = ""  # "" = what `os` calls it
    mount_point: str = "/mnt/fsx"
    noatime: bool = False
    http_out: bool = False  # port 80 out, for package mirrors without TLS
    key_name: str = ""
    session_manager: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsSpec:
    """Changes of the bucket as messages in a queue, for a lakelink link."""

    enabled: bool = False
    prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """An instance that runs lakelink itself on the same bucket."""

    enabled: bool = False
    instance_type: str = "t3.medium"
    ami: str = ""
    prefix: str = ""
    files: str = "/srv/lake"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferUser:
    """One SFTP user of the managed server, confined to a prefix of the bucket."""

    name: str
    public_key: str
    prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeSpec:
    """Everything that is to exist. A value: nothing is read from the environment, and equal values give equal graphs."""

    name: str
    region: str
    file_system: bool = True
    deployment_type: str = "PERSISTENT_2"
    storage_type: str = "SSD"
    storage_capacity_gib: int | None = None
    per_unit_storage_throughput: int | None = None
    throughput_capacity: int | None = None  # MB/s, INTELLIGENT_TIERING only
    data_read_cache_configuration: ReadCache | None = None
    data_compression_type: str = "LZ4"
    drive_cache_type: str | None = None
    file_system_type_version: str = rules.DEFAULT_VERSION
    metadata_configuration: MetadataConfiguration | None = None
    efa_enabled: bool = False
    kms_key_id: str = ""
    root_squash: str = ""
    weekly_maintenance_start_time: str = ""
    automatic_backup_retention_days: int = 0
    copy_tags_to_backups: bool = False
    import_path: str = ""  # the four keys of the older file-system-wide link are read only to be refused with a reason
    export_path: str = ""
    auto_import_policy: str = ""
    imported_file_chunk_size: int | None = None
    protect: bool = False  # production: the file system cannot be destroyed by mistake
    i_know_deletes_are_final: bool = False
    known_regions: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    bucket: BucketSpec = BucketSpec()
    network: NetworkSpec = NetworkSpec()
    client: ClientSpec = ClientSpec()
    events: EventsSpec = EventsSpec()
    agent: AgentSpec = AgentSpec()
    associations: tuple[Association, ...] | None = None  # None = one: /lake and the whole bucket
    transfer_users: tuple[TransferUser, ...] = ()

    @property
    def capacity_gib(self) -> int | None:
        """The capacity that is ordered; None where it is elastic or missing."""
        default = rules.DEFAULT_CAPACITY_GIB.get(self.storage_type)
        return default if self.storage_capacity_gib is None else self.storage_capacity_gib

    @property
    def throughput_per_tib(self) -> int | None:
        """The throughput that is ordered, MB/s/TiB; None where there is none to choose or it is missing."""
        default = rules.DEFAULT_THROUGHPUT.get((self.deployment_type, self.storage_type))
        return default if self.per_unit_storage_throughput is None else self.per_unit_storage_throughput

    @property
    def links(self) -> tuple[Association, ...]:
        """The associations that are made."""
        if not self.file_system:
            return ()
        return (Association(file_system_path="/lake"),) if self.associations is None else self.associations

    @property
    def mounts(self) -> bool:
        """Whether there is a client that mounts the file system."""
        return self.file_system and self.client.enabled
