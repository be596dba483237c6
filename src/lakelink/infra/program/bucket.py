"""The lake: a bucket that nobody reads by mistake, or one that is already there and is left as it is."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from lakelink.infra import iam, names
from lakelink.infra.program.scope import Scope


@dataclass(frozen=True, slots=True)
class Bucket:
    """The bucket's name and ARN as outputs, and what must be in place before anything uses it."""

    name: pulumi.Output[str]
    arn: pulumi.Output[str]
    ready: list[pulumi.Resource]


def bucket(scope: Scope) -> Bucket:
    """The bucket of the specification. A created one is protected, and kept even when its stack goes."""
    if scope.spec.bucket.existing:
        found = aws.s3.get_bucket_output(bucket=scope.spec.bucket.name, opts=scope.look())
        return Bucket(found.bucket, found.arn, [])
    made = aws.s3.Bucket(
        scope.named("bucket"),
        bucket=names.bucket_name(scope.spec),
        tags=scope.tags("bucket"),
        opts=pulumi.ResourceOptions(parent=scope.owner, protect=True, retain_on_delete=True),
    )
    return Bucket(made.bucket, made.arn, [made, *_guards(scope, made)])


def _guards(scope: Scope, made: aws.s3.Bucket) -> list[pulumi.Resource]:
    """Versions, encryption, owner and the two locks against the public."""
    spec = scope.spec.bucket
    versioning = aws.s3.BucketVersioning(
        scope.named("bucket-versioning"),
        bucket=made.id,
        versioning_configuration={"status": "Enabled" if spec.versioning else "Suspended"},
        opts=scope.under(),
    )
    algorithm = "aws:kms" if spec.kms_key_id else "AES256"
    encryption = aws.s3.BucketServerSideEncryptionConfiguration(
        scope.named("bucket-encryption"),
        bucket=made.id,
        rules=[
            {
                "apply_server_side_encryption_by_default": {
                    "sse_algorithm": algorithm,
                    "kms_master_key_id": spec.kms_key_id or None,
                },
                "bucket_key_enabled": bool(spec.kms_key_id),
            }
        ],
        opts=scope.under(),
    )
    block = aws.s3.BucketPublicAccessBlock(
        scope.named("bucket-public-access"),
        bucket=made.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=scope.under(),
    )
    owner = aws.s3.BucketOwnershipControls(
        scope.named("bucket-ownership"),
        bucket=made.id,
        rule={"object_ownership": "BucketOwnerEnforced"},
        opts=scope.under(),
    )
    # S3 answers 409 to a policy that arrives while the public access block is being set.
    policy = aws.s3.BucketPolicy(
        scope.named("bucket-policy"),
        bucket=made.id,
        policy=made.arn.apply(lambda arn: iam.to_json(iam.tls_only(arn))),
        opts=scope.under(after=[block]),
    )
    return [versioning, encryption, block, owner, policy]
