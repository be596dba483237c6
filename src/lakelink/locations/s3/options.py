"""How one S3 location is used; every default is what AWS does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MIB = 1 << 20
SMALL_BYTES = 8 * MIB  # up to this one PUT, one GET, in memory; above parts
MIN_PART_BYTES = 5 * MIB  # Amazon S3 User Guide, Multipart upload limits
MAX_PARTS = 10_000
MAX_OBJECT_BYTES = 5 << 40
MAX_COPY_BYTES = 5 << 30  # CopyObject; above UploadPartCopy


class Addressing(StrEnum):
    """Where the bucket is named. AUTO: in the host on AWS, in the path elsewhere."""

    AUTO = "auto"
    PATH = "path"
    VIRTUAL = "virtual"


class Checksum(StrEnum):
    """The checksum sent with each body. A store that refuses one is remembered and gets the next."""

    CRC64NVME = "crc64nvme"
    CRC32C = "crc32c"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """Settings of a location, all optional."""

    addressing: Addressing = Addressing.AUTO
    storage_class: str = ""
    sse: str = ""  # "AES256", "aws:kms", "aws:kms:KEY"; "" = what the bucket does by default
    requester_pays: bool = False
    checksum: Checksum = Checksum.CRC64NVME
    part_bytes: int = 0  # 0 = chosen by size
    copy_limit_bytes: int = MAX_COPY_BYTES  # above it a server-side copy goes in parts
    parts_at_once: int = 6  # of one object
    tasks: int = 256  # paths of one batch worked on at once; the requests in flight are limited at the wire
    buffer_bytes: int = 64 * MIB  # bodies held in memory at once, together
    staged_completion: bool = False  # large objects by way of a staged one: for stores that may race at Complete
    keep_attributes: bool = (
        True  # an overwrite keeps foreign metadata and tags of what it replaces, at the price of one HEAD
    )

    def part_size(self, size_bytes: int) -> int:
        """The size of each part so that the object fits in 10,000 of them: whole MiB, 8 MiB at the least unless set."""
        needed = -(-size_bytes // MAX_PARTS)
        wanted = self.part_bytes or (SMALL_BYTES if size_bytes < 1 << 30 else 2 * SMALL_BYTES)
        return max(MIN_PART_BYTES, wanted, -(-needed // MIB) * MIB)

    def placement_headers(self) -> list[tuple[str, str]]:
        """Headers of a new object: storage class and encryption."""
        headers = []
        if self.storage_class:
            headers.append(("x-amz-storage-class", self.storage_class))
        if self.sse:
            algorithm, key = self.sse, ""
            if self.sse.startswith("aws:kms:"):
                algorithm, key = "aws:kms", self.sse[len("aws:kms:") :]
            headers.append(("x-amz-server-side-encryption", algorithm))
            if key:
                headers.append(("x-amz-server-side-encryption-aws-kms-key-id", key))
        return headers
