"""Policy documents: what each part may do, and nothing more. Plain dictionaries; `to_json` makes them comparable texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from lakelink.infra import names
from lakelink.infra.iam_actions import DEPLOY_ACTIONS, DRIFT_ACTIONS
from lakelink.infra.spec import LakeSpec

Document: TypeAlias = dict[str, Any]
SESSION_MANAGER_POLICY: Final = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
_VERSION: Final = "2012-10-17"


def to_json(document: Mapping[str, Any]) -> str:
    """The document as text, always the same for the same content."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def _document(*statements: Mapping[str, Any] | None) -> Document:
    return {"Version": _VERSION, "Statement": [dict(one) for one in statements if one]}


def _allow(sid: str, actions: Sequence[str], resources: Sequence[str], **more: Any) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(resources), **more}


def assumed_by(service: str) -> Document:
    """Only that AWS service takes the role."""
    return _document({"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"})


def tls_only(bucket_arn: str) -> Document:
    """Nobody reaches the bucket without TLS."""
    return _document(
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [bucket_arn, f"{bucket_arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    )


def bucket_may_send(queue_arn: str, bucket_arn: str) -> Document:
    """S3 may put events into the queue, for this bucket only."""
    return _document(
        {
            "Sid": "BucketEvents",
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue_arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": bucket_arn}},
        }
    )


def _prefix_rights(bucket_arn: str, prefix: str, object_actions: Sequence[str]) -> list[dict[str, Any]]:
    """Listing below the prefix and the object actions below it."""
    below = {"Condition": {"StringLike": {"s3:prefix": [prefix, f"{prefix}*"]}}} if prefix else {}
    return [
        _allow("List", ["s3:ListBucket"], [bucket_arn], **below),
        _allow("Objects", object_actions, [f"{bucket_arn}/{prefix}*"]),
    ]


def _key_rights(kms_key_arn: str) -> dict[str, Any] | None:
    if not kms_key_arn:
        return None
    return _allow("Key", ["kms:Decrypt", "kms:GenerateDataKey"], [kms_key_arn])


def agent_rights(bucket_arn: str, prefix: str, queue_arn: str = "", *, kms_key_arn: str = "") -> Document:
    """What lakelink does on a prefix: list, read, write with conditions, copy, delete, multipart; and drain its queue."""
    objects = (
        "s3:GetObject",
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:GetObjectTagging",
        "s3:PutObjectTagging",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
    )
    queue = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes")
    return _document(
        *_prefix_rights(bucket_arn, prefix, objects),
        _allow("Bucket", ["s3:ListBucketMultipartUploads", "s3:GetBucketVersioning"], [bucket_arn]),
        _allow("Queue", queue, [queue_arn]) if queue_arn else None,
        _key_rights(kms_key_arn),
    )


def transfer_rights(bucket_arn: str, prefix: str, *, kms_key_arn: str = "") -> Document:
    """What an SFTP user of the managed server does below its prefix."""
    objects = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:GetObjectVersion")
    return _document(*_prefix_rights(bucket_arn, prefix, objects), _key_rights(kms_key_arn))


def _grouped(actions: Sequence[str], bucket: str) -> list[dict[str, Any]]:
    """One statement per service; S3 confined to the bucket, the others to everything where AWS has no finer way."""
    services = sorted({action.partition(":")[0] for action in actions})
    return [
        _allow(
            service.title().replace("-", ""),
            sorted({action for action in actions if action.partition(":")[0] == service}),
            [bucket, f"{bucket}/*"] if service == "s3" else ["*"],
        )
        for service in services
    ]


def deployer(spec: LakeSpec, types: Sequence[str]) -> Document:
    """What whoever runs `lakelink infra up` and `destroy` needs, for the resource types that the specification gives."""
    missing = sorted(set(types) - set(DEPLOY_ACTIONS))
    if missing:
        raise KeyError(f"no IAM actions are known for {', '.join(missing)}")
    actions = [action for kind in types for action in DEPLOY_ACTIONS[kind]]
    return _document(*_grouped(actions, f"arn:aws:s3:::{names.bucket_name(spec)}"))


def drift_reader(spec: LakeSpec) -> Document:
    """What `lakelink infra drift` reads."""
    return _document(*_grouped(DRIFT_ACTIONS, f"arn:aws:s3:::{names.bucket_name(spec)}"))


def documents(spec: LakeSpec, types: Sequence[str]) -> dict[str, Document]:
    """Every policy of a specification, by the part that holds it."""
    bucket = f"arn:aws:s3:::{names.bucket_name(spec)}"
    queue = f"arn:aws:sqs:{spec.region}:*:{names.queue_name(spec)}"
    key = spec.bucket.kms_key_id
    found = {"deployer": deployer(spec, types), "drift": drift_reader(spec)}
    if spec.agent.enabled:
        prefix = names.prefix_key(spec.agent.prefix)
        found["agent"] = agent_rights(bucket, prefix, queue if spec.events.enabled else "", kms_key_arn=key)
    for user in spec.transfer_users:
        found[f"sftp-{user.name}"] = transfer_rights(bucket, names.prefix_key(user.prefix), kms_key_arn=key)
    return found
