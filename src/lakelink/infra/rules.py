"""What Amazon FSx for Lustre offers, as data: the checks, the documentation tables and the tests' generators all read this.

Source of every figure, unless a line says otherwise: the FSx API model, `CreateFileSystem`,
`CreateFileSystemLustreConfiguration` and `CreateDataRepositoryAssociation` (botocore 1.44, read November 2026), and
https://docs.aws.amazon.com/fsx/latest/APIReference/API_CreateFileSystem.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GIB_PER_TIB: Final = 1024
MAX_ASSOCIATIONS: Final = 8
MAX_TAGS: Final = 50
MAX_PATH: Final = 4096
EVENTS: Final = ("NEW", "CHANGED", "DELETED")
CHUNK_MIB: Final = (1, 512_000)
BACKUP_DAYS: Final = (0, 90)
REGION_QUOTA_GIB: Final = 100_800  # the default quota of a region, for each type (LustreGuide/limits.html)
MAX_UID: Final = 4_294_967_294
MAX_KEY_BYTES: Final = 1024  # an S3 key
TAG_KEY_LENGTH: Final = 128
TAG_VALUE_LENGTH: Final = 256


@dataclass(frozen=True, slots=True)
class Offering:
    """One row of what can be ordered: a deployment, a storage class, a throughput, and the capacities that go with them.

    `throughput` is MB/s per TiB, None where the choice must be absent. A capacity is allowed if it is one of `firsts` or a
    positive multiple of `step_gib`; `step_gib` 0 means that the storage is elastic and no capacity may be chosen.
    """

    deployment_type: str
    storage_type: str
    throughput: int | None
    firsts: tuple[int, ...]
    step_gib: int

    def holds(self, capacity_gib: int) -> bool:
        """Whether that capacity can be ordered."""
        if self.step_gib == 0:
            return False
        return capacity_gib in self.firsts or (capacity_gib > 0 and capacity_gib % self.step_gib == 0)

    def around(self, capacity_gib: int) -> tuple[int, ...]:
        """The next allowed capacities below and above one that is not allowed, in order."""
        if self.step_gib == 0:
            return ()
        below = capacity_gib // self.step_gib * self.step_gib
        steps = {step for step in (below, below + self.step_gib, self.step_gib, *self.firsts) if step > 0}
        lower = [step for step in steps if step < capacity_gib]
        upper = [step for step in steps if step > capacity_gib]
        return tuple(sorted({*([max(lower)] if lower else []), min(upper)}))


OFFERINGS: Final = (
    Offering("SCRATCH_1", "SSD", None, (1200, 2400), 3600),
    Offering("SCRATCH_2", "SSD", None, (1200,), 2400),
    Offering("PERSISTENT_1", "SSD", 50, (1200,), 2400),
    Offering("PERSISTENT_1", "SSD", 100, (1200,), 2400),
    Offering("PERSISTENT_1", "SSD", 200, (1200,), 2400),
    Offering("PERSISTENT_1", "HDD", 12, (), 6000),
    Offering("PERSISTENT_1", "HDD", 40, (), 1800),
    Offering("PERSISTENT_2", "SSD", 125, (1200,), 2400),
    Offering("PERSISTENT_2", "SSD", 250, (1200,), 2400),
    Offering("PERSISTENT_2", "SSD", 500, (1200,), 2400),
    Offering("PERSISTENT_2", "SSD", 1000, (1200,), 2400),
    Offering("PERSISTENT_2", "INTELLIGENT_TIERING", None, (), 0),
)
DEPLOYMENT_TYPES: Final = tuple(dict.fromkeys(row.deployment_type for row in OFFERINGS))
STORAGE_TYPES: Final = tuple(dict.fromkeys(row.storage_type for row in OFFERINGS))

# PERSISTENT_2 SSD with EFA: capacity comes in whole steps that depend on the throughput (LustreGuide/getting-started.html).
EFA_STEP_GIB: Final = {1000: 4800, 500: 9600, 250: 19_200, 125: 38_400}

DEFAULT_THROUGHPUT: Final = {("PERSISTENT_2", "SSD"): 125}
DEFAULT_CAPACITY_GIB: Final = {"SSD": 1200}

VERSIONS: Final = {
    "SCRATCH_1": ("2.10", "2.12", "2.15"),
    "SCRATCH_2": ("2.10", "2.12", "2.15"),
    "PERSISTENT_1": ("2.10", "2.12", "2.15"),
    "PERSISTENT_2": ("2.12", "2.15"),
}
METADATA_VERSIONS: Final = ("2.15",)  # PERSISTENT_2 with a metadata configuration
ASSOCIATION_VERSIONS: Final = ("2.12", "2.15")
DEFAULT_VERSION: Final = "2.15"  # set explicitly: the service's default is 2.10 for all but PERSISTENT_2
NO_ASSOCIATION_DEPLOYMENTS: Final = ("SCRATCH_1",)
NO_ASSOCIATION_STORAGE: Final = ("INTELLIGENT_TIERING",)  # stated only on the page of the association type

DRIVE_CACHE_TYPES: Final = ("NONE", "READ")
COMPRESSION_TYPES: Final = ("NONE", "LZ4")
METADATA_MODES: Final = ("AUTOMATIC", "USER_PROVISIONED")
METADATA_IOPS_FIRSTS: Final = (1500, 3000, 6000)
METADATA_IOPS_STEP: Final = 12_000
METADATA_IOPS_MAX: Final = 192_000
METADATA_IOPS_TIERING: Final = (6000, 12_000)
TIERING_THROUGHPUT_STEP: Final = 4000
TIERING_THROUGHPUT_MAX: Final = 2_000_000
READ_CACHE_MODES: Final = ("NO_CACHE", "USER_PROVISIONED", "PROPORTIONAL_TO_THROUGHPUT_CAPACITY")
READ_CACHE_GIB_PER_STEP: Final = (32, 131_072)  # per 4,000 MB/s of throughput capacity

# Regions in which PERSISTENT_2 file systems with associations are known to be offered. Not a complete list: the service grows
# into new regions, so a region outside of it is a warning and `known_regions` in the specification replaces the table.
REGIONS_AS_OF: Final = "2026-11-23"
PERSISTENT_2_REGIONS: Final = (
    "us-east-1",
    "us-east-2",
    "us-west-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "ap-east-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
)


def offerings(deployment_type: str, storage_type: str) -> tuple[Offering, ...]:
    """The rows of one deployment and storage class; none if the two cannot be combined."""
    return tuple(
        row for row in OFFERINGS if row.deployment_type == deployment_type and row.storage_type == storage_type
    )


def throughput_mb_per_s(capacity_gib: int, per_tib: int) -> float:
    """What a capacity gives: GiB / 1,024 times MB/s/TiB (API page of PerUnitStorageThroughput)."""
    return capacity_gib / GIB_PER_TIB * per_tib


def metadata_iops_allowed(iops: int, storage_type: str) -> bool:
    """Whether that many user-provisioned metadata IOPS can be ordered."""
    if storage_type == "INTELLIGENT_TIERING":
        return iops in METADATA_IOPS_TIERING
    return iops in METADATA_IOPS_FIRSTS or (iops % METADATA_IOPS_STEP == 0 and 0 < iops <= METADATA_IOPS_MAX)
