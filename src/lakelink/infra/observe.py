"""Reads what the account holds of one stack, as flat facts. Only describing calls; `iam_actions.DRIFT_ACTIONS` is all it may do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lakelink.errors import UsageError
from lakelink.infra import names
from lakelink.infra.answers import GONE, Client, part_of, place, tag_facts, translated, unless
from lakelink.infra.drift import ABSENT, Facts, rule_name, squash
from lakelink.infra.network import ANYWHERE, INSIDE
from lakelink.infra.observe_sisters import queue, transfer_server
from lakelink.infra.spec import LakeSpec

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
    with translated():
        ec2 = client("ec2")
        facts = _bucket(client("s3"), spec)
        facts |= _network(ec2, spec)
        facts |= _instances(ec2, spec)
        facts |= _file_systems(client("fsx"), spec)
        if spec.events.enabled:
            facts |= queue(client("sqs"), client("s3"), spec)
        if spec.transfer_users:
            facts |= transfer_server(client("transfer"), spec)
        return facts


def _session_client(region: str) -> Callable[[str], Client]:
    """Clients by the usual AWS chain."""
    try:
        import boto3
    except ModuleNotFoundError as problem:
        raise UsageError("boto3 is not installed", hint="Run pip install 'lakelink[infra]'.") from problem
    found: Callable[[str], Client] = boto3.session.Session(region_name=region).client
    return found


def _bucket(s3: Client, spec: LakeSpec) -> Facts:
    bucket = {"Bucket": names.bucket_name(spec)}
    head = unless(GONE, lambda: s3.head_bucket(**bucket))
    if head is None:
        return {}
    facts: dict[str, Any] = {"versioning": s3.get_bucket_versioning(**bucket).get("Status", ABSENT)}
    facts["region"] = head.get("BucketRegion", ABSENT)
    if spec.bucket.existing:
        return {"bucket": facts}
    encryption = unless(_UNSET, lambda: s3.get_bucket_encryption(**bucket))
    if encryption is not None:
        rule = encryption["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]
        facts |= {"encryption": rule["SSEAlgorithm"], "kms_key_id": rule.get("KMSMasterKeyID", ABSENT)}
    block = unless(_UNSET, lambda: s3.get_public_access_block(**bucket))
    if block is not None:
        locks = block["PublicAccessBlockConfiguration"]
        open_ones = sorted(name for name, closed in locks.items() if not closed)
        facts["public_access_block"] = f"without {', '.join(open_ones)}" if open_ones or len(locks) < 4 else "all four"
    ownership = unless(_UNSET, lambda: s3.get_bucket_ownership_controls(**bucket))
    if ownership is not None:
        facts["ownership"] = ownership["OwnershipControls"]["Rules"][0]["ObjectOwnership"]
    policy = unless(_UNSET, lambda: s3.get_bucket_policy(**bucket))
    facts["tls_only"] = "yes" if policy is not None and refuses_plain(policy["Policy"]) else ABSENT
    tags = unless(_UNSET, lambda: s3.get_bucket_tagging(**bucket))
    return {"bucket": facts | tag_facts([] if tags is None else tags["TagSet"])}


def refuses_plain(policy: str) -> bool:
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
        facts[place(facts, vpc["Tags"], vpc["VpcId"])] = {
            "id": vpc["VpcId"],
            "cidr": vpc["CidrBlock"],
            **tag_facts(vpc["Tags"]),
        }
    for subnet in _all(ec2, "describe_subnets", "Subnets", ours):
        zone = subnet["AvailabilityZone"]
        tags = tag_facts(subnet["Tags"])
        facts[place(facts, subnet["Tags"], subnet["SubnetId"])] = {
            "id": subnet["SubnetId"],
            "cidr": subnet["CidrBlock"],
            "availability_zone": zone,
            **tags,
        }
    for table in _all(ec2, "describe_route_tables", "RouteTables", ours):
        facts[place(facts, table["Tags"], table["RouteTableId"])] = _routes(table)
    for endpoint in _all(ec2, "describe_vpc_endpoints", "VpcEndpoints", ours):
        if endpoint["State"].lower() not in {"deleted", "deleting"}:
            facts[place(facts, endpoint["Tags"], endpoint["VpcEndpointId"])] = {
                "id": endpoint["VpcEndpointId"],
                "service": endpoint["ServiceName"],
                "type": endpoint["VpcEndpointType"],
                "routed": "yes" if endpoint.get("RouteTableIds") else ABSENT,
                **tag_facts(endpoint["Tags"]),
            }
    return facts | _groups(ec2, _all(ec2, "describe_security_groups", "SecurityGroups", ours))


def _routes(table: Mapping[str, Any]) -> dict[str, Any]:
    """A route table: the way to everywhere, and whether it holds for a subnet."""
    everywhere = [route for route in table.get("Routes", []) if route.get("DestinationCidrBlock") == ANYWHERE]
    way = next((route.get("GatewayId") or "another way" for route in everywhere), ABSENT)
    return {
        "id": table["RouteTableId"],
        "internet": "yes" if way.startswith("igw-") else way,
        "subnet": "yes" if any(one.get("SubnetId") for one in table.get("Associations", [])) else ABSENT,
        **tag_facts(table["Tags"]),
    }


def _groups(ec2: Client, groups: Sequence[Any]) -> Facts:
    if not groups:
        return {}
    parts = {group["GroupId"]: part_of(group["Tags"]) for group in groups}
    vpcs = _all(ec2, "describe_vpcs", "Vpcs", {"vpc-id": sorted({group["VpcId"] for group in groups})})
    inside = {vpc["CidrBlock"] for vpc in vpcs}
    facts: Facts = {part_of(group["Tags"]): {"id": group["GroupId"], **tag_facts(group["Tags"])} for group in groups}
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
            facts[place(facts, instance["Tags"], instance["InstanceId"])] = {
                "id": instance["InstanceId"],
                "state": instance["State"]["Name"],
                "instance_type": instance["InstanceType"],
                "metadata_tokens": instance.get("MetadataOptions", {}).get("HttpTokens", ABSENT),
                "security_groups": sorted(part_of(group.get("Tags", [])) or group["GroupName"] for group in found),
                "instance_profile": "yes" if instance.get("IamInstanceProfile") else ABSENT,
                **tag_facts(instance["Tags"]),
            }
    return facts


def _file_systems(fsx: Client, spec: LakeSpec) -> Facts:
    pages = fsx.get_paginator("describe_file_systems").paginate()
    facts: Facts = {}
    for system in (system for page in pages for system in page["FileSystems"]):
        tags = system.get("Tags", [])
        if {"Key": names.STACK_TAG, "Value": spec.name} in tags and system.get("Lifecycle") != "DELETING":
            facts[place(facts, tags, system["FileSystemId"])] = _file_system(system) | tag_facts(tags)
            _associations(facts, fsx, system["FileSystemId"])
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


def _associations(facts: Facts, fsx: Client, file_system_id: str) -> None:
    """All associations of the file system, also those that nobody tagged: somebody made them by hand."""
    for link in _pages_of_associations(fsx, file_system_id):
        if link["Lifecycle"] == "DELETING":
            continue
        s3 = link.get("S3", {})
        facts[place(facts, link.get("Tags", []), link["AssociationId"])] = {
            "id": link["AssociationId"],
            "lifecycle": link["Lifecycle"],
            "file_system_path": f"/{link['FileSystemPath'].strip('/')}",
            "data_repository_path": f"{link['DataRepositoryPath'].rstrip('/')}/",
            "auto_import": sorted(s3.get("AutoImportPolicy", {}).get("Events", [])),
            "auto_export": sorted(s3.get("AutoExportPolicy", {}).get("Events", [])),
            "imported_file_chunk_size_mib": link.get("ImportedFileChunkSize", ABSENT),
            **tag_facts(link.get("Tags", [])),
        }
