"""Reads what the account holds of one stack, as flat facts. Only describing calls; `iam_actions.DRIFT_ACTIONS` is all it may do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from lakelink.errors import NotPermitted, Unreachable, UsageError
from lakelink.infra import names
from lakelink.infra.drift import ABSENT, Facts, rule_name, squash
from lakelink.infra.network import INSIDE
from lakelink.infra.spec import LakeSpec

Client: TypeAlias = Any  # boto3 makes its clients at run time
_DENIED = {
    "403",
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "OptInRequired",
}
_GONE = {"404", "NoSuchBucket", "NotFound", "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
_UNSET = {
    "NoSuchBucketPolicy",
    "NoSuchTagSet",
    "NoSuchPublicAccessBlockConfiguration",
    "OwnershipControlsNotFoundError",
    "ServerSideEncryptionConfigurationNotFoundError",
}


def observe(spec: LakeSpec, client: Callable[[str], Client] | None = None) -> Facts:
    """The facts of a stack as they are now. Complete or an error: what cannot be read is never taken for absent.

    Raises:
        NotPermitted: credentials are missing or lack a right; the hint names what `lakelink infra iam` grants.
        Unreachable: a service does not answer; try later.
        UsageError: boto3 is not installed.
    """
    if client is None:
        client = _session_client(spec.region)
    with _translated():
        ec2 = client("ec2")
        facts = _bucket(client("s3"), spec)
        facts |= _network(ec2, spec)
        facts |= _instances(ec2, spec)
        facts |= _file_systems(client("fsx"), spec)
        if spec.events.enabled:
            facts |= _queue(client("sqs"), client("s3"), spec)
        return facts


def _session_client(region: str) -> Callable[[str], Client]:
    """Clients by the usual AWS chain."""
    try:
        import boto3
    except ModuleNotFoundError as problem:
        raise UsageError("boto3 is not installed", hint="Run pip install 'lakelink[infra]'.") from problem
    found: Callable[[str], Client] = boto3.session.Session(region_name=region).client
    return found


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of botocore as ours."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except ClientError as problem:
        code = str(problem.response.get("Error", {}).get("Code", ""))
        if code in _DENIED:
            hint = "`lakelink infra iam` prints the policy under `drift`."
            raise NotPermitted(f"{problem.operation_name} is not permitted ({code})", hint=hint) from problem
        raise Unreachable(f"{problem.operation_name} failed: {problem}", hint="Try again later.") from problem
    except NoCredentialsError as problem:
        raise NotPermitted("there are no AWS credentials", hint="Set AWS_PROFILE, or log in.") from problem
    except BotoCoreError as problem:
        raise Unreachable(str(problem), hint="Check the region, the network and AWS_ENDPOINT_URL.") from problem


def _tag_facts(tags: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    return {f"tag {tag['Key']}": tag["Value"] for tag in tags}


def _part(tags: Sequence[Mapping[str, str]]) -> str:
    return next((tag["Value"] for tag in tags if tag["Key"] == names.PART_TAG), "")


def _unless(codes: set[str], call: Callable[[], Any]) -> Any:
    """The answer, or None where the service says, in one of these codes, that there is nothing."""
    from botocore.exceptions import ClientError

    try:
        return call()
    except ClientError as problem:
        if problem.response.get("Error", {}).get("Code") in codes:
            return None
        raise


def _bucket(s3: Client, spec: LakeSpec) -> Facts:
    bucket = {"Bucket": names.bucket_name(spec)}
    head = _unless(_GONE, lambda: s3.head_bucket(**bucket))
    if head is None:
        return {}
    facts: dict[str, Any] = {"versioning": s3.get_bucket_versioning(**bucket).get("Status", ABSENT)}
    facts["region"] = head.get("BucketRegion", ABSENT)
    if spec.bucket.existing:
        return {"bucket": facts}
    encryption = _unless(_UNSET, lambda: s3.get_bucket_encryption(**bucket))
    if encryption is not None:
        rule = encryption["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]
        facts |= {"encryption": rule["SSEAlgorithm"], "kms_key_id": rule.get("KMSMasterKeyID", ABSENT)}
    block = _unless(_UNSET, lambda: s3.get_public_access_block(**bucket))
    if block is not None:
        locks = block["PublicAccessBlockConfiguration"]
        open_ones = sorted(name for name, closed in locks.items() if not closed)
        facts["public_access_block"] = f"without {', '.join(open_ones)}" if open_ones or len(locks) < 4 else "all four"
    ownership = _unless(_UNSET, lambda: s3.get_bucket_ownership_controls(**bucket))
    if ownership is not None:
        facts["ownership"] = ownership["OwnershipControls"]["Rules"][0]["ObjectOwnership"]
    policy = _unless(_UNSET, lambda: s3.get_bucket_policy(**bucket))
    facts["tls_only"] = "yes" if policy is not None and _refuses_plain(policy["Policy"]) else ABSENT
    tags = _unless(_UNSET, lambda: s3.get_bucket_tagging(**bucket))
    return {"bucket": facts | _tag_facts([] if tags is None else tags["TagSet"])}


def _refuses_plain(policy: str) -> bool:
    """Whether some statement denies everyone everything, on the bucket and its objects, that comes without TLS."""
    return any(
        one.get("Effect") == "Deny"
        and one.get("Principal") in ("*", {"AWS": "*"}, {"AWS": ["*"]})
        and {"s3:*", "*"} & set(_several(one.get("Action", [])))
        and any(resource.endswith("/*") for resource in _several(one.get("Resource", [])))
        and any(not resource.endswith("/*") for resource in _several(one.get("Resource", [])))
        and list(one.get("Condition", {})) == ["Bool"]
        and {key.lower(): _several(value) for key, value in one["Condition"]["Bool"].items()}
        == {"aws:securetransport": ["false"]}
        for one in _several(json.loads(policy)["Statement"])
    )


def _several(value: Any) -> list[Any]:
    """What a policy may write as one or as a list of them."""
    return list(value) if isinstance(value, list) else [value]


def _all(ec2: Client, operation: str, key: str, filters: Mapping[str, Sequence[str]]) -> list[Any]:
    """Every page of a describing call; an error on one page is an error."""
    wanted = [{"Name": name, "Values": list(values)} for name, values in filters.items()]
    pages = ec2.get_paginator(operation).paginate(Filters=wanted)
    return [item for page in pages for item in page[key]]


def _network(ec2: Client, spec: LakeSpec) -> Facts:
    ours = {f"tag:{names.STACK_TAG}": [spec.name]}
    facts: Facts = {}
    for vpc in _all(ec2, "describe_vpcs", "Vpcs", ours):
        facts["vpc"] = {"id": vpc["VpcId"], "cidr": vpc["CidrBlock"], **_tag_facts(vpc["Tags"])}
    for subnet in _all(ec2, "describe_subnets", "Subnets", ours):
        zone = subnet["AvailabilityZone"]
        tags = _tag_facts(subnet["Tags"])
        facts["subnet"] = {"id": subnet["SubnetId"], "cidr": subnet["CidrBlock"], "availability_zone": zone, **tags}
    for endpoint in _all(ec2, "describe_vpc_endpoints", "VpcEndpoints", ours):
        if endpoint["State"].lower() not in {"deleted", "deleting"}:
            facts[_part(endpoint["Tags"])] = {
                "id": endpoint["VpcEndpointId"],
                "service": endpoint["ServiceName"],
                "type": endpoint["VpcEndpointType"],
                **_tag_facts(endpoint["Tags"]),
            }
    return facts | _groups(ec2, _all(ec2, "describe_security_groups", "SecurityGroups", ours))


def _groups(ec2: Client, groups: Sequence[Any]) -> Facts:
    if not groups:
        return {}
    parts = {group["GroupId"]: _part(group["Tags"]) for group in groups}
    vpcs = _all(ec2, "describe_vpcs", "Vpcs", {"vpc-id": sorted({group["VpcId"] for group in groups})})
    inside = {vpc["CidrBlock"] for vpc in vpcs}
    facts: Facts = {_part(group["Tags"]): {"id": group["GroupId"], **_tag_facts(group["Tags"])} for group in groups}
    for rule in _all(ec2, "describe_security_group_rules", "SecurityGroupRules", {"group-id": sorted(parts)}):
        other = rule.get("ReferencedGroupInfo", {}).get("GroupId", "")
        block = rule.get("CidrIpv4") or rule.get("CidrIpv6") or rule.get("PrefixListId") or ""
        name = rule_name(
            ingress=not rule["IsEgress"],
            protocol=str(rule["IpProtocol"]),
            ports=(rule.get("FromPort", 0), rule.get("ToPort", 0)),
            peer=parts.get(other, other) or (INSIDE if block in inside else block),
        )
        facts[parts[rule["GroupId"]]][name] = "open"
    return facts


def _instances(ec2: Client, spec: LakeSpec) -> Facts:
    ours = {f"tag:{names.STACK_TAG}": [spec.name], "instance-state-name": ["pending", "running", "stopping", "stopped"]}
    facts: Facts = {}
    for reservation in _all(ec2, "describe_instances", "Reservations", ours):
        for instance in reservation["Instances"]:
            cards = [group for card in instance.get("NetworkInterfaces", []) for group in card.get("Groups", [])]
            ids = sorted({group["GroupId"] for group in [*instance.get("SecurityGroups", []), *cards]})
            found = _all(ec2, "describe_security_groups", "SecurityGroups", {"group-id": ids}) if ids else []
            facts[_part(instance["Tags"])] = {
                "id": instance["InstanceId"],
                "state": instance["State"]["Name"],
                "instance_type": instance["InstanceType"],
                "metadata_tokens": instance.get("MetadataOptions", {}).get("HttpTokens", ABSENT),
                "security_groups": sorted(_part(group.get("Tags", [])) or group["GroupName"] for group in found),
                "instance_profile": "yes" if instance.get("IamInstanceProfile") else ABSENT,
                **_tag_facts(instance["Tags"]),
            }
    return facts


def _file_systems(fsx: Client, spec: LakeSpec) -> Facts:
    pages = fsx.get_paginator("describe_file_systems").paginate()
    facts: Facts = {}
    for system in (system for page in pages for system in page["FileSystems"]):
        tags = system.get("Tags", [])
        if {"Key": names.STACK_TAG, "Value": spec.name} in tags and system.get("Lifecycle") != "DELETING":
            facts["file-system"] = _file_system(system) | _tag_facts(tags)
            facts |= _associations(fsx, system["FileSystemId"])
    return facts


def _file_system(system: Mapping[str, Any]) -> dict[str, Any]:
    lustre = system.get("LustreConfiguration", {})
    meta, cache = lustre.get("MetadataConfiguration", {}), lustre.get("DataReadCacheConfiguration", {})
    found = {
        "id": system["FileSystemId"],
        "lifecycle": system.get("Lifecycle"),
        "storage_capacity_gib": system.get("StorageCapacity"),
        "storage_type": system.get("StorageType"),
        "file_system_type_version": system.get("FileSystemTypeVersion"),
        "kms_key_id": system.get("KmsKeyId"),
        "deployment_type": lustre.get("DeploymentType"),
        "per_unit_storage_throughput": lustre.get("PerUnitStorageThroughput"),
        "throughput_capacity": lustre.get("ThroughputCapacity"),
        "data_compression_type": lustre.get("DataCompressionType", "NONE"),
        "drive_cache_type": lustre.get("DriveCacheType"),
        "efa_enabled": lustre.get("EfaEnabled"),
        "weekly_maintenance_start_time": lustre.get("WeeklyMaintenanceStartTime"),
        "automatic_backup_retention_days": lustre.get("AutomaticBackupRetentionDays", 0),
        "root_squash": squash(lustre.get("RootSquashConfiguration", {}).get("RootSquash", "")),
        "metadata_mode": meta.get("Mode"),
        "metadata_iops": meta.get("Iops"),
        "read_cache_mode": cache.get("SizingMode"),
        "read_cache_gib": cache.get("SizeGiB"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _pages_of_associations(fsx: Client, file_system_id: str) -> Iterator[Any]:
    """Every association, page by page: boto3 has no paginator for them."""
    request: dict[str, Any] = {"Filters": [{"Name": "file-system-id", "Values": [file_system_id]}]}
    while True:
        page = fsx.describe_data_repository_associations(**request)
        yield from page["Associations"]
        if "NextToken" not in page:
            return
        request["NextToken"] = page["NextToken"]


def _associations(fsx: Client, file_system_id: str) -> Facts:
    """All associations of the file system, also those that nobody tagged: somebody made them by hand."""
    facts: Facts = {}
    for link in _pages_of_associations(fsx, file_system_id):
        if link["Lifecycle"] == "DELETING":
            continue
        s3 = link.get("S3", {})
        facts[_part(link.get("Tags", [])) or link["AssociationId"]] = {
            "id": link["AssociationId"],
            "lifecycle": link["Lifecycle"],
            "file_system_path": f"/{link['FileSystemPath'].strip('/')}",
            "data_repository_path": f"{link['DataRepositoryPath'].rstrip('/')}/",
            "auto_import": sorted(s3.get("AutoImportPolicy", {}).get("Events", [])),
            "auto_export": sorted(s3.get("AutoExportPolicy", {}).get("Events", [])),
            "imported_file_chunk_size_mib": link.get("ImportedFileChunkSize", ABSENT),
            **_tag_facts(link.get("Tags", [])),
        }
    return facts


def _queue(sqs: Client, s3: Client, spec: LakeSpec) -> Facts:
    url = _unless(_GONE, lambda: sqs.get_queue_url(QueueName=names.queue_name(spec)))
    if url is None:
        return {}
    attributes = sqs.get_queue_attributes(QueueUrl=url["QueueUrl"], AttributeNames=["QueueArn"])["Attributes"]
    sent = _unless(_GONE, lambda: s3.get_bucket_notification_configuration(Bucket=names.bucket_name(spec))) or {}
    facts = {"id": attributes["QueueArn"], "notification": ABSENT}
    for rule in sent.get("QueueConfigurations", []):
        if rule["QueueArn"] == attributes["QueueArn"]:
            key = rule.get("Filter", {}).get("Key", {}).get("FilterRules", [])
            prefix = next((one["Value"] for one in key if one["Name"].lower() == "prefix"), "")
            facts["notification"] = f"{' '.join(sorted(rule['Events']))} {prefix}".strip()
    return {"queue": facts}
