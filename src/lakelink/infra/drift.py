"""What the account should hold, as flat facts, and how it differs from what it holds. Pure; `observe` does the asking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from lakelink.infra import names
from lakelink.infra.network import Flow, flows, subnet_cidr
from lakelink.infra.spec import Association, LakeSpec

ABSENT: Final = "absent"
Facts: TypeAlias = dict[str, dict[str, Any]]  # part name to attribute to value


@dataclass(frozen=True, slots=True)
class Difference:
    """One attribute of one part that is not as the specification says."""

    part: str
    attribute: str
    wanted: Any
    found: Any


def compare(wanted: Facts, found: Facts) -> list[Difference]:
    """Every difference, by part and attribute. A part that is missing as a whole is one difference, not one per attribute.

    Of a part that nobody wants only its existence is a difference; attributes that nobody speaks of are none.
    """
    differences = []
    for part in sorted(wanted.keys() | found.keys()):
        if part not in found:
            differences.append(Difference(part, "exists", "yes", ABSENT))
        elif part not in wanted:
            differences.append(Difference(part, "exists", ABSENT, found[part].get("id", "yes")))
        else:
            differences += _attributes(part, wanted[part], found[part])
    return differences


def _attributes(part: str, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[Difference]:
    # Rules are a set of which nothing may be missing and nothing too many: for them what is found counts as well.
    names_ = sorted(wanted.keys() | {name for name in found if name.startswith("rule ")})
    pairs = [(name, wanted.get(name, ABSENT), found.get(name, ABSENT)) for name in names_]
    return [Difference(part, name, one, two) for name, one, two in pairs if one != two]


def desired(spec: LakeSpec) -> Facts:
    """What a specification promises, in the words of `observe`."""
    facts: Facts = {"bucket": _bucket(spec)}
    facts |= _network(spec)
    if spec.file_system:
        facts["file-system"] = _file_system(spec)
        for index, link in enumerate(spec.links):
            facts[names.association_part(index)] = _association(spec, index, link)
    if spec.mounts:
        facts["client"] = _instance(spec, "client", spec.client.instance_type, names.CLIENT_GROUP)
    if spec.agent.enabled:
        facts["agent"] = _instance(spec, "agent", spec.agent.instance_type, names.AGENT_GROUP)
    if spec.transfer_users:
        facts |= _transfer(spec)
    if spec.events.enabled:
        prefix = names.prefix_key(spec.events.prefix)
        facts["queue"] = {"notification": f"{' '.join(sorted(names.BUCKET_EVENTS))} {prefix}".strip()}
    return facts


def _transfer(spec: LakeSpec) -> Facts:
    """The managed SFTP server: a user that nobody specified shows in their number."""
    bucket = names.bucket_name(spec)
    facts: Facts = {
        "sftp-server": {
            "endpoint_type": "PUBLIC",
            "protocols": ["SFTP"],
            "users": len(spec.transfer_users),
            **_tagged(spec, "sftp-server"),
        }
    }
    for user in spec.transfer_users:
        home = f"/{bucket}/{names.prefix_key(user.prefix)}".rstrip("/")
        key = " ".join(user.public_key.split()[:2])
        part = f"sftp-{user.name}"
        facts[part] = {"home": f"LOGICAL: / is {home}", "keys": [key], **_tagged(spec, part)}
    return facts


def _tagged(spec: LakeSpec, part: str) -> dict[str, Any]:
    return {f"tag {key}": value for key, value in names.tags(spec, part).items()}


def _bucket(spec: LakeSpec) -> dict[str, Any]:
    if spec.bucket.existing:
        finals = any("DELETED" in link.auto_export for link in spec.links)
        # Automatic import asks for the bucket in the same region; export may cross regions.
        imports = any(link.auto_import for link in spec.links)
        return ({"versioning": "Enabled"} if finals else {}) | ({"region": spec.region} if imports else {})
    return {
        "region": spec.region,
        "versioning": "Enabled" if spec.bucket.versioning else "Suspended",
        "encryption": "aws:kms" if spec.bucket.kms_key_id else "AES256",
        "kms_key_id": spec.bucket.kms_key_id or ABSENT,
        "public_access_block": "all four",
        "ownership": "BucketOwnerEnforced",
        "tls_only": "yes",
        **_tagged(spec, "bucket"),
    }


def rule_fact(flow: Flow) -> str:
    """A permission as the name of a fact."""
    return rule_name(ingress=flow.ingress, protocol=flow.protocol, ports=(flow.from_port, flow.to_port), peer=flow.peer)


def rule_name(*, ingress: bool, protocol: str, ports: tuple[int, int], peer: str) -> str:
    """The same for what the account holds."""
    side = "in from" if ingress else "out to"
    where = "everything" if protocol == "-1" else f"{protocol} {ports[0]}-{ports[1]}"
    return f"rule {where} {side} {peer}"


def _network(spec: LakeSpec) -> Facts:
    facts: Facts = {}
    network = spec.network
    if network.mode == "create":
        facts["vpc"] = {"cidr": network.cidr, **_tagged(spec, "vpc")}
        facts["subnet"] = {"cidr": subnet_cidr(spec), **_tagged(spec, "subnet")}
        way = "yes" if network.internet else ABSENT
        facts["routes"] = {"internet": way, "subnet": "yes", **_tagged(spec, "routes")}
        if network.availability_zone:
            facts["subnet"]["availability_zone"] = network.availability_zone
    for flow in flows(spec):
        for group in flow.groups:
            facts.setdefault(group, _tagged(spec, group))
        facts[flow.group][rule_fact(flow)] = "open"
    endpoints = {f"{service}-interface": (service, "Interface") for service in network.interface_endpoints}
    if network.gateway_endpoint:
        endpoints["s3-gateway"] = ("s3", "Gateway")
    for part, (service, kind) in endpoints.items():
        facts[part] = {"service": f"com.amazonaws.{spec.region}.{service}", "type": kind, **_tagged(spec, part)}
        if kind == "Gateway":
            facts[part]["routed"] = "yes"
    return facts


def _file_system(spec: LakeSpec) -> dict[str, Any]:
    meta, cache = spec.metadata_configuration, spec.data_read_cache_configuration
    optional = {
        "storage_capacity_gib": spec.capacity_gib,
        "per_unit_storage_throughput": spec.throughput_per_tib,
        "throughput_capacity": spec.throughput_capacity,
        "drive_cache_type": spec.drive_cache_type,
        "metadata_mode": meta.mode if meta else None,
        "metadata_iops": meta.iops if meta else None,
        "read_cache_mode": cache.sizing_mode if cache else None,
        "read_cache_gib": cache.size_gib if cache else None,
        "kms_key_id": spec.kms_key_id or None,
        "weekly_maintenance_start_time": spec.weekly_maintenance_start_time or None,
        "efa_enabled": spec.efa_enabled or None,
    }
    return {
        "lifecycle": "AVAILABLE",
        "deployment_type": spec.deployment_type,
        "storage_type": spec.storage_type,
        "data_compression_type": spec.data_compression_type,
        "file_system_type_version": spec.file_system_type_version,
        "automatic_backup_retention_days": spec.automatic_backup_retention_days,
        # Off is written in two ways, and as nothing at all.
        "root_squash": squash(spec.root_squash),
        **{key: value for key, value in optional.items() if value is not None},
        **_tagged(spec, "file-system"),
    }


def squash(text: str) -> str:
    """Whose rights a client's root has on the file system, in one spelling."""
    return "off" if text in {"", "0:0"} else text


def _association(spec: LakeSpec, index: int, link: Association) -> dict[str, Any]:
    return {
        "lifecycle": "AVAILABLE",
        "file_system_path": f"/{link.file_system_path.strip('/')}",
        "data_repository_path": f"s3://{names.bucket_name(spec)}/{names.prefix_key(link.prefix)}",
        "auto_import": sorted(link.auto_import),
        "auto_export": sorted(link.auto_export),
        "imported_file_chunk_size_mib": link.imported_file_chunk_size_mib,
        **_tagged(spec, names.association_part(index)),
    }


def _instance(spec: LakeSpec, part: str, instance_type: str, group: str) -> dict[str, Any]:
    return {
        "state": "running",
        "instance_type": instance_type,
        "metadata_tokens": "required",
        "security_groups": [group],
        "instance_profile": "yes",
        **_tagged(spec, part),
    }
