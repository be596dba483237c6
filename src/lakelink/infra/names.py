"""Physical names and tags: every part of one stack is found again by them, by people and by `drift`."""

from __future__ import annotations

import hashlib
from typing import Final

from lakelink.infra.spec import LakeSpec

STACK_TAG: Final = "lakelink:stack"
PART_TAG: Final = "lakelink:part"
OWN_TAGS: Final = ("Name", STACK_TAG, PART_TAG, "ManagedBy")
FILE_SYSTEM_GROUP: Final = "file-system-group"
CLIENT_GROUP: Final = "client-group"
ENDPOINT_GROUP: Final = "endpoint-group"
AGENT_GROUP: Final = "agent-group"
LOGICAL_LENGTH: Final = 56
# What lakelink's feed reads; objects that a lifecycle rule expires raise no ObjectRemoved.
BUCKET_EVENTS: Final = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*")


def tags(spec: LakeSpec, part: str) -> dict[str, str]:
    """The tags of one part: the user's, then ours, which win because `drift` finds parts by them."""
    return {
        **spec.tags,
        "Name": f"{spec.name}-{part}",
        STACK_TAG: spec.name,
        PART_TAG: part,
        "ManagedBy": "pulumi",
    }


def bucket_name(spec: LakeSpec) -> str:
    """The bucket's name: the one that was asked for, or one derived from stack and region, so that it can be found again."""
    return spec.bucket.name or f"{spec.name}-{spec.region}-lake"


def partition(region: str) -> str:
    """The part of AWS a region belongs to, which every ARN begins with."""
    return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region.rpartition("-")[0].rpartition("-")[0], "aws")


def queue_name(spec: LakeSpec) -> str:
    """The queue of bucket events."""
    return f"{spec.name}-lake-events"


def logical(*words: str) -> str:
    """A name for a resource whose physical name AWS limits to 64 characters, of which Pulumi takes 8.

    A long one keeps its beginning, and a digest of all of it.
    """
    whole = "-".join(words)
    if len(whole) <= LOGICAL_LENGTH:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{whole[: LOGICAL_LENGTH - 9]}-{digest}"


def association_part(index: int) -> str:
    """The part name of an association, by its place in the specification."""
    return f"association-{index}"


def prefix_key(prefix: str) -> str:
    """A prefix as S3 keys have it: no slash in front, one at the end unless it is the whole bucket."""
    inner = prefix.strip("/")
    return f"{inner}/" if inner else ""
