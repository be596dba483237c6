"""Physical names and tags: every part of one stack is found again by them, by people and by `drift`."""

from __future__ import annotations

from typing import Final

from lakelink.infra.spec import LakeSpec

STACK_TAG: Final = "lakelink:stack"
PART_TAG: Final = "lakelink:part"
OWN_TAGS: Final = ("Name", STACK_TAG, PART_TAG, "ManagedBy")
FILE_SYSTEM_GROUP: Final = "file-system-group"
CLIENT_GROUP: Final = "client-group"
ENDPOINT_GROUP: Final = "endpoint-group"
AGENT_GROUP: Final = "agent-group"


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


def queue_name(spec: LakeSpec) -> str:
    """The queue of bucket events."""
    return f"{spec.name}-lake-events"


def association_part(index: int) -> str:
    """The part name of an association, by its place in the specification."""
    return f"association-{index}"


def prefix_key(prefix: str) -> str:
    """A prefix as S3 keys have it: no slash in front, one at the end unless it is the whole bucket."""
    inner = prefix.strip("/")
    return f"{inner}/" if inner else ""
