"""The file system, its links to the bucket, and the client that mounts it."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws
from pulumi.runtime.settings import get_monitor

from lakelink.errors import UsageError
from lakelink.infra import iam, names, userdata
from lakelink.infra.checks import check
from lakelink.infra.findings import refuse_errors
from lakelink.infra.program.bucket import Bucket, bucket
from lakelink.infra.program.network import Groups, Network, groups, interface_endpoints, network
from lakelink.infra.program.scope import Scope
from lakelink.infra.spec import Association, LakeSpec

# A Lustre file system takes tens of minutes, and the service works on one association at a time.
FILE_SYSTEM_TIMEOUTS = pulumi.CustomTimeouts(create="60m", update="60m", delete="60m")
ASSOCIATION_TIMEOUTS = pulumi.CustomTimeouts(create="90m", update="60m", delete="90m")


class LakeFileSystem(pulumi.ComponentResource):
    """A bucket and, linked to it in both directions, a Lustre file system with a client that mounts it.

    Every child is named after `name`, tagged, and made in an order that waits for what it needs. Nothing is read but `spec`.

    Raises:
        Refused: a rule of the specification is broken; nothing was registered, change the specification.
        UsageError: there is no Pulumi engine; run it through `lakelink infra up` or `pulumi up`.
    """

    def __init__(self, name: str, spec: LakeSpec, opts: pulumi.ResourceOptions | None = None) -> None:
        if get_monitor() is None:
            raise UsageError(
                "there is no Pulumi engine, so nothing would be created",
                hint="Run it through `lakelink infra up` or `pulumi up`.",
            )
        refuse_errors(check(spec))
        super().__init__("lakelink:infra:LakeFileSystem", name, None, opts)
        self.scope = Scope(self, name, spec)
        self.bucket: Bucket = bucket(self.scope)
        self.network: Network = network(self.scope)
        self.groups: Groups = groups(self.scope, self.network)
        self.endpoints = interface_endpoints(self.scope, self.network, self.groups)
        self.file_system: aws.fsx.LustreFileSystem | None = None
        self.associations: list[aws.fsx.DataRepositoryAssociation] = []
        self.client: aws.ec2.Instance | None = None
        if spec.file_system:
            self.file_system = _file_system(self.scope, self.network, self.groups)
            self.associations = [
                _association(self.scope, self.file_system, self.bucket, index, link)
                for index, link in enumerate(spec.links)
            ]
            if spec.client.enabled:
                self.client = _client(self, self.file_system)
        self.register_outputs(self.outputs())

    def outputs(self) -> dict[str, pulumi.Input[object]]:
        """What the stack exports."""
        found: dict[str, pulumi.Input[object]] = {"bucket_name": self.bucket.name}
        for service, endpoint in zip(self.scope.spec.network.interface_endpoints, self.endpoints, strict=True):
            found[f"{service}_endpoint_names"] = endpoint.dns_entries.apply(lambda some: [one.dns_name for one in some])
        if self.file_system is not None:
            found["file_system_id"] = self.file_system.id
            found["dns_name"] = self.file_system.dns_name
            found["mount_name"] = self.file_system.mount_name
            found["association_ids"] = [association.association_id for association in self.associations]
            found["mount_command"] = pulumi.Output.all(self.file_system.dns_name, self.file_system.mount_name).apply(
                lambda both: userdata.mount_command(self.scope.spec.client, both[0], both[1])
            )
        if self.client is not None:
            found["client_id"] = self.client.id
        return found


def _file_system(scope: Scope, net: Network, made: Groups) -> aws.fsx.LustreFileSystem:
    """The file system. It is made after every rule: without port 988 between servers and clients creation fails."""
    spec = scope.spec
    meta, cache = spec.metadata_configuration, spec.data_read_cache_configuration
    squash: aws.fsx.LustreFileSystemRootSquashConfigurationArgsDict = {"root_squash": spec.root_squash}
    return aws.fsx.LustreFileSystem(
        scope.named("file-system"),
        subnet_ids=net.subnet_id,
        security_group_ids=[made.ids[names.FILE_SYSTEM_GROUP]],
        deployment_type=spec.deployment_type,
        storage_type=spec.storage_type,
        storage_capacity=spec.capacity_gib,
        per_unit_storage_throughput=spec.throughput_per_tib,
        throughput_capacity=spec.throughput_capacity,
        data_read_cache_configuration=None
        if cache is None
        else {"sizing_mode": cache.sizing_mode, "size": cache.size_gib},
        data_compression_type=spec.data_compression_type,
        drive_cache_type=spec.drive_cache_type,
        file_system_type_version=spec.file_system_type_version,
        metadata_configuration=None if meta is None else {"mode": meta.mode, "iops": meta.iops},
        efa_enabled=spec.efa_enabled or None,
        kms_key_id=spec.kms_key_id or None,
        root_squash_configuration=squash if spec.root_squash else None,
        weekly_maintenance_start_time=spec.weekly_maintenance_start_time or None,
        automatic_backup_retention_days=spec.automatic_backup_retention_days,
        copy_tags_to_backups=spec.copy_tags_to_backups or None,
        tags=scope.tags("file-system"),
        opts=pulumi.ResourceOptions(
            parent=scope.owner,
            depends_on=made.rules,
            protect=spec.protect,
            retain_on_delete=spec.protect,
            custom_timeouts=FILE_SYSTEM_TIMEOUTS,
        ),
    )


def _association(
    scope: Scope, file_system: aws.fsx.LustreFileSystem, lake: Bucket, index: int, link: Association
) -> aws.fsx.DataRepositoryAssociation:
    """One directory and one prefix. Removing it never removes data from the file system."""
    part, prefix = names.association_part(index), names.prefix_key(link.prefix)
    return aws.fsx.DataRepositoryAssociation(
        scope.named(part),
        file_system_id=file_system.id,
        file_system_path=link.file_system_path,
        data_repository_path=lake.name.apply(lambda bucket_name: f"s3://{bucket_name}/{prefix}"),
        batch_import_meta_data_on_create=link.batch_import_on_create,
        imported_file_chunk_size=link.imported_file_chunk_size_mib,
        delete_data_in_filesystem=False,
        s3={
            "auto_import_policy": {"events": list(link.auto_import)},
            "auto_export_policy": {"events": list(link.auto_export)},
        },
        tags=scope.tags(part),
        opts=pulumi.ResourceOptions(
            parent=scope.owner,
            depends_on=[file_system, *lake.ready],
            protect=scope.spec.protect,
            custom_timeouts=ASSOCIATION_TIMEOUTS,
        ),
    )


def _client(lake: LakeFileSystem, file_system: aws.fsx.LustreFileSystem) -> aws.ec2.Instance:
    """The instance. It waits for the associations, so that what it mounts is linked already."""
    scope, spec = lake.scope, lake.scope.spec.client
    role = aws.iam.Role(
        scope.named("client-role"),
        assume_role_policy=iam.to_json(iam.assumed_by("ec2.amazonaws.com")),
        tags=scope.tags("client-role"),
        opts=scope.under(),
    )
    after: list[pulumi.Resource] = [*lake.associations, file_system, *lake.groups.rules, *lake.network.ready]
    if spec.session_manager:
        after.append(
            aws.iam.RolePolicyAttachment(
                scope.named("client-session-manager"),
                role=role.name,
                policy_arn=iam.session_manager_policy(scope.spec.region),
                opts=scope.under(),
            )
        )
    profile = aws.iam.InstanceProfile(
        scope.named("client-profile"), role=role.name, tags=scope.tags("client-profile"), opts=scope.under()
    )
    return instance(
        scope,
        part="client",
        ami=spec.ami or aws.ssm.get_parameter_output(name=userdata.image_parameter(spec), opts=scope.look()).value,
        instance_type=spec.instance_type,
        network=lake.network,
        group_id=lake.groups.ids[names.CLIENT_GROUP],
        profile=profile,
        key_name=spec.key_name,
        user_data=pulumi.Output.all(file_system.dns_name, file_system.mount_name).apply(
            lambda both: userdata.render(spec, both[0], both[1])
        ),
        after=after,
    )


def instance(  # noqa: PLR0913  # one argument per thing in which the two instances differ
    scope: Scope,
    *,
    part: str,
    ami: pulumi.Input[str],
    instance_type: str,
    network: Network,
    group_id: pulumi.Output[str],
    profile: aws.iam.InstanceProfile,
    user_data: pulumi.Input[str],
    after: list[pulumi.Resource],
    key_name: str = "",
) -> aws.ec2.Instance:
    """An instance with IMDSv2 and an encrypted disk, and a public address only where the network made here has a way out."""
    made_here = scope.spec.network.mode == "create"
    return aws.ec2.Instance(
        scope.named(part),
        ami=ami,
        instance_type=instance_type,
        subnet_id=network.subnet_id,
        vpc_security_group_ids=[group_id],
        iam_instance_profile=profile.name,
        key_name=key_name or None,
        associate_public_ip_address=scope.spec.network.internet if made_here else None,
        metadata_options={"http_endpoint": "enabled", "http_tokens": "required", "http_put_response_hop_limit": 1},
        root_block_device={"encrypted": True},
        user_data=user_data,
        user_data_replace_on_change=True,  # the script runs at first boot only: a changed one needs a new machine
        tags=scope.tags(part),
        # The newest image changes every few weeks; replacing the machine for it is a decision, not a side effect.
        opts=pulumi.ResourceOptions(parent=scope.owner, depends_on=after, ignore_changes=["ami"]),
    )
