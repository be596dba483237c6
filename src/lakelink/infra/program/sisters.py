"""The components beside the file system: bucket events for a link, a host that runs lakelink, the managed SFTP server."""

from __future__ import annotations

from dataclasses import replace

import pulumi
import pulumi_aws as aws

from lakelink.errors import UsageError
from lakelink.infra import agent, iam, names, userdata
from lakelink.infra.checks import check
from lakelink.infra.findings import refuse_errors
from lakelink.infra.program.lake import LakeFileSystem, instance
from lakelink.infra.program.scope import Scope
from lakelink.infra.spec import ClientSpec, LakeSpec, TransferUser

RETENTION_S = 14 * 24 * 3600  # the longest that SQS keeps a message


class LakeEvents(pulumi.ComponentResource):
    """The bucket's changes in a queue; what cannot be handled five times lands in a second one.

    It owns the notification configuration of the bucket as a whole: one per bucket.

    Raises:
        Refused: an association of the specification keeps a notification there as well; nothing was registered.
    """

    def __init__(
        self, name: str, spec: LakeSpec, lake: LakeFileSystem, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        refuse_errors(check(replace(spec, events=replace(spec.events, enabled=True))))
        super().__init__("lakelink:infra:LakeEvents", name, None, opts)
        scope = Scope(self, name, spec)
        dead = aws.sqs.Queue(
            scope.named("dead-letters"),
            name=f"{names.queue_name(spec)}-dead",
            message_retention_seconds=RETENTION_S,
            sqs_managed_sse_enabled=True,
            tags=scope.tags("dead-letters"),
            opts=scope.under(),
        )
        self.queue = aws.sqs.Queue(
            scope.named("queue"),
            name=names.queue_name(spec),
            message_retention_seconds=RETENTION_S,
            sqs_managed_sse_enabled=True,
            redrive_policy=dead.arn.apply(lambda arn: iam.to_json({"deadLetterTargetArn": arn, "maxReceiveCount": 5})),
            tags=scope.tags("queue"),
            opts=scope.under(),
        )
        allowed = aws.sqs.QueuePolicy(
            scope.named("queue-policy"),
            queue_url=self.queue.id,
            policy=pulumi.Output.all(self.queue.arn, lake.bucket.arn).apply(
                lambda both: iam.to_json(iam.bucket_may_send(both[0], both[1]))
            ),
            opts=scope.under(),
        )
        # S3 tries the queue when the configuration is written: the permission has to be there before.
        aws.s3.BucketNotification(
            scope.named("notification"),
            bucket=lake.bucket.name,
            queues=[
                {
                    "id": "lakelink",
                    "queue_arn": self.queue.arn,
                    "events": list(names.BUCKET_EVENTS),
                    "filter_prefix": names.prefix_key(spec.events.prefix) or None,
                }
            ],
            opts=scope.under(after=[allowed]),
        )
        self.register_outputs({"queue_url": self.queue.url})


class AgentHost(pulumi.ComponentResource):
    """An instance that runs lakelink on the bucket, with exactly the rights that takes.

    Raises:
        UsageError: the specification has no agent, so the lake made no security group for it.
    """

    def __init__(
        self,
        name: str,
        spec: LakeSpec,
        lake: LakeFileSystem,
        events: LakeEvents | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        if names.AGENT_GROUP not in lake.groups.ids:
            hint = "Set agent.enabled in the specification of the LakeFileSystem."
            raise UsageError("the lake has no security group for an agent", hint=hint)
        super().__init__("lakelink:infra:AgentHost", name, None, opts)
        scope = Scope(self, name, spec)
        role = aws.iam.Role(
            scope.named("role"),
            assume_role_policy=iam.to_json(iam.assumed_by("ec2.amazonaws.com")),
            tags=scope.tags("agent-role"),
            opts=scope.under(),
        )
        queue_arn = pulumi.Output.from_input("") if events is None else events.queue.arn
        rights = aws.iam.RolePolicy(
            scope.named("rights"),
            role=role.name,
            policy=pulumi.Output.all(lake.bucket.arn, queue_arn).apply(
                lambda both: iam.to_json(
                    iam.agent_rights(
                        both[0], names.prefix_key(spec.agent.prefix), both[1], kms_key_arn=spec.bucket.kms_key_id
                    )
                )
            ),
            opts=scope.under(),
        )
        profile = aws.iam.InstanceProfile(
            scope.named("profile"), role=role.name, tags=scope.tags("agent-profile"), opts=scope.under()
        )
        system = ClientSpec(instance_type=spec.agent.instance_type)
        parameter = userdata.image_parameter(system)
        self.host = instance(
            scope,
            part="agent",
            ami=spec.agent.ami or aws.ssm.get_parameter_output(name=parameter, opts=scope.look()).value,
            instance_type=spec.agent.instance_type,
            network=lake.network,
            group_id=lake.groups.ids[names.AGENT_GROUP],
            profile=profile,
            user_data=queue_arn.apply(lambda arn: agent.render(spec, arn)),
            after=[rights, *lake.groups.rules, *lake.network.ready],
        )
        self.register_outputs({"agent_id": self.host.id})


class TransferGateway(pulumi.ComponentResource):
    """The managed SFTP server, each user locked into a prefix: for comparison with lakelink's own gateway."""

    def __init__(
        self, name: str, spec: LakeSpec, lake: LakeFileSystem, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("lakelink:infra:TransferGateway", name, None, opts)
        scope = Scope(self, name, spec)
        self.server = aws.transfer.Server(
            scope.named("server"),
            domain="S3",
            endpoint_type="PUBLIC",
            identity_provider_type="SERVICE_MANAGED",
            protocols=["SFTP"],
            security_policy_name="TransferSecurityPolicy-2024-01",
            tags=scope.tags("sftp-server"),
            opts=scope.under(),
        )
        for user in spec.transfer_users:
            _transfer_user(scope, self.server, lake, user)
        self.register_outputs({"sftp_endpoint": self.server.endpoint})


def _transfer_user(scope: Scope, server: aws.transfer.Server, lake: LakeFileSystem, user: TransferUser) -> None:
    """One user, whose root is its prefix and whose role reaches nothing else."""
    prefix, key = names.prefix_key(user.prefix), scope.spec.bucket.kms_key_id
    role = aws.iam.Role(
        names.logical(scope.named(user.name), "role"),
        assume_role_policy=iam.to_json(iam.assumed_by("transfer.amazonaws.com")),
        tags=scope.tags(f"sftp-{user.name}-role"),
        opts=scope.under(),
    )
    rights = aws.iam.RolePolicy(
        scope.named(f"{user.name}-rights"),
        role=role.name,
        policy=lake.bucket.arn.apply(lambda arn: iam.to_json(iam.transfer_rights(arn, prefix, kms_key_arn=key))),
        opts=scope.under(),
    )
    home: aws.transfer.UserHomeDirectoryMappingArgsDict = {
        "entry": "/",
        "target": lake.bucket.name.apply(lambda bucket: f"/{bucket}/{prefix}".rstrip("/")),
    }
    account = aws.transfer.User(
        scope.named(user.name),
        server_id=server.id,
        user_name=user.name,
        role=role.arn,
        home_directory_type="LOGICAL",
        home_directory_mappings=[home],
        tags=scope.tags(f"sftp-{user.name}"),
        opts=scope.under(after=[rights]),
    )
    aws.transfer.SshKey(
        scope.named(f"{user.name}-key"),
        server_id=server.id,
        user_name=account.user_name,
        body=user.public_key,
        opts=scope.under(),
    )
