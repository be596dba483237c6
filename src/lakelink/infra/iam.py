"""Policy documents: what each part may do, and nothing more. Plain dictionaries; `to_json` makes them comparable texts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from lakelink.infra import names
from lakelink.infra.iam_actions import DEPLOY_ACTIONS, DRIFT_ACTIONS
from lakelink.infra.spec import LakeSpec

Document: TypeAlias = dict[str, Any]
_VERSION: Final = "2012-10-17"


def session_manager_policy(region: str) -> str:
    """The managed policy with which an instance takes part in Session Manager."""
    return f"arn:{names.partition(region)}:iam::aws:policy/AmazonSSMManagedInstanceCore"


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


def literal(text: str) -> str:
    """A text in which the signs that a policy would read as wildcards or variables stand for themselves."""
    return "".join(f"${{{letter}}}" if letter in "*?$" else letter for letter in text)


def _prefix_rights(bucket_arn: str, prefix: str, object_actions: Sequence[str]) -> list[dict[str, Any]]:
    """Listing below the prefix and the object actions below it."""
    prefix = literal(prefix)
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


def _scopes(spec: LakeSpec) -> dict[str, tuple[list[str], dict[str, Any]]]:
    """By service, the resources of one stack and what a request must be for; what is not here has no finer way than everything."""
    arn, region = f"arn:{names.partition(spec.region)}", spec.region
    bucket = f"{arn}:s3:::{names.bucket_name(spec)}"
    stack = f"{spec.name}-*"
    here = {"Condition": {"StringEquals": {"aws:RequestedRegion": region}}}
    roles = [f"{arn}:iam::*:role/{stack}", f"{arn}:iam::*:instance-profile/{stack}"]
    return {
        "s3": ([bucket, f"{bucket}/*"], {}),
        "sqs": ([f"{arn}:sqs:{region}:*:{names.queue_name(spec)}*"], {}),
        # Created names end in characters of Pulumi's, so the stack's name is what they are known by.
        "iam": (roles, {}),
        "ssm": ([f"{arn}:ssm:{region}::parameter/aws/service/*"], {}),
        # Their describing and creating actions know no resources (service authorization reference).
        **dict.fromkeys(("ec2", "fsx", "transfer"), (["*"], here)),
    }


def _grouped(spec: LakeSpec, actions: Sequence[str]) -> list[dict[str, Any]]:
    """One statement per service, confined to what belongs to the stack."""
    scopes = _scopes(spec)
    statements = []
    for service in sorted({action.partition(":")[0] for action in actions}):
        resources, more = scopes.get(service, (["*"], {}))
        own = sorted({action for action in actions if action.partition(":")[0] == service} - set(_SPECIAL))
        if own:
            statements.append(_allow(service.title().replace("-", ""), own, resources, **more))
    return statements


# Handing a role to a machine, attaching policies, and the roles that services make for themselves, are statements of their own:
# within the others they would let whoever deploys become anyone.
_SPECIAL: Final = ("iam:PassRole", "iam:CreateServiceLinkedRole", "iam:AttachRolePolicy", "iam:DetachRolePolicy")
_TAKERS: Final = ("ec2.amazonaws.com", "transfer.amazonaws.com")
_OWN_ROLES: Final = ("fsx.amazonaws.com", "s3.data-source.lustre.fsx.amazonaws.com")


def _special(spec: LakeSpec, actions: Sequence[str]) -> Iterator[dict[str, Any]]:
    arn = f"arn:{names.partition(spec.region)}:iam::*:role"
    if "iam:AttachRolePolicy" in actions:
        only = {"Condition": {"ArnEquals": {"iam:PolicyARN": session_manager_policy(spec.region)}}}
        yield _allow("AttachPolicy", ["iam:AttachRolePolicy", "iam:DetachRolePolicy"], [f"{arn}/{spec.name}-*"], **only)
    if "iam:PassRole" in actions:
        takers = {"Condition": {"StringEquals": {"iam:PassedToService": list(_TAKERS)}}}
        yield _allow("PassRole", ["iam:PassRole"], [f"{arn}/{spec.name}-*"], **takers)
    if "iam:CreateServiceLinkedRole" in actions:
        makers = {"Condition": {"StringEquals": {"iam:AWSServiceName": list(_OWN_ROLES)}}}
        own = [f"{arn}/aws-service-role/{service}/*" for service in _OWN_ROLES]
        yield _allow("CreateServiceRole", ["iam:CreateServiceLinkedRole"], own, **makers)
        yield _allow("ServiceRole", ["iam:AttachRolePolicy", "iam:PutRolePolicy"], own)
    if spec.kms_key_id and "fsx:CreateFileSystem" in actions:
        through = {"Condition": {"StringEquals": {"kms:ViaService": f"fsx.{spec.region}.amazonaws.com"}}}
        yield _allow("FileSystemKey", ["kms:DescribeKey", "kms:CreateGrant"], [spec.kms_key_id], **through)


def deployer(spec: LakeSpec, types: Sequence[str]) -> Document:
    """What whoever runs `lakelink infra up` and `destroy` needs, for the resource types that the specification gives."""
    missing = sorted(set(types) - set(DEPLOY_ACTIONS))
    if missing:
        raise KeyError(f"no IAM actions are known for {', '.join(missing)}")
    actions = [action for kind in types for action in DEPLOY_ACTIONS[kind]]
    return _document(*_grouped(spec, actions), *_special(spec, actions))


def drift_reader(spec: LakeSpec) -> Document:
    """What `lakelink infra drift` reads."""
    return _document(*_grouped(spec, DRIFT_ACTIONS))


def documents(spec: LakeSpec, types: Sequence[str]) -> dict[str, Document]:
    """Every policy of a specification, by the part that holds it."""
    arn = f"arn:{names.partition(spec.region)}"
    bucket = f"{arn}:s3:::{names.bucket_name(spec)}"
    queue = f"{arn}:sqs:{spec.region}:*:{names.queue_name(spec)}"
    key = spec.bucket.kms_key_id
    found = {"deployer": deployer(spec, types), "drift": drift_reader(spec)}
    if spec.agent.enabled:
        prefix = names.prefix_key(spec.agent.prefix)
        found["agent"] = agent_rights(bucket, prefix, queue if spec.events.enabled else "", kms_key_arn=key)
    for user in spec.transfer_users:
        found[f"sftp-{user.name}"] = transfer_rights(bucket, names.prefix_key(user.prefix), kms_key_arn=key)
    return found
