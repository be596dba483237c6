"""Findings over a recorded graph: what is wrong with what would be made, whoever wrote the program that makes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from lakelink.infra.findings import Finding, error, warning
from lakelink.infra.graph import UNKNOWN, Graph, Node
from lakelink.infra.names import OWN_TAGS
from lakelink.infra.network import ANYWHERE, LUSTRE_PORTS

_SSH: Final = 22
_EVERYTHING: Final = "-1"
_UNTAGGED: Final = {
    # Types that carry no tags, or only sharpen a resource that does.
    "aws",
    "BucketVersioning",
    "BucketServerSideEncryptionConfiguration",
    "BucketPublicAccessBlock",
    "BucketOwnershipControls",
    "BucketPolicy",
    "BucketNotification",
    "Route",
    "RouteTableAssociation",
    "RolePolicy",
    "RolePolicyAttachment",
    "QueuePolicy",
    "SshKey",
}


def findings(graph: Graph) -> list[Finding]:
    """All findings about a graph; needs no credentials."""
    return [finding for rule in RULES for finding in rule(graph)]


def _bucket(graph: Graph) -> Iterator[Finding]:
    wanted = {
        "BucketServerSideEncryptionConfiguration": ("bucket-encryption", "has no default encryption"),
        "BucketPublicAccessBlock": ("bucket-public", "does not block public access"),
        "BucketOwnershipControls": ("bucket-ownership", "still honours access lists"),
        "BucketVersioning": ("bucket-versioning", "keeps no versions"),
        "BucketPolicy": ("bucket-tls", "can be reached without TLS"),
    }
    for bucket in graph.of("Bucket"):
        for kind, (rule, words) in wanted.items():
            if not any(bucket.name in node.uses.get("bucket", ()) for node in graph.of(kind)):
                yield error(rule, bucket.name, f"the bucket {words}: no {kind} belongs to it")
        if not (bucket.protect and bucket.retain):
            yield error("bucket-protect", bucket.name, "the bucket must be protected and kept when the stack goes")
    for block in graph.of("BucketPublicAccessBlock"):
        locks = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        if open_ones := [lock for lock in locks if block.inputs.get(lock) is not True]:
            yield error("bucket-public", block.name, f"must set {', '.join(open_ones)}")


def _versioning(graph: Graph) -> Iterator[Finding]:
    """Deletes that reach a bucket whose versions are off are final."""
    exports = [
        node.name for node in graph.of("DataRepositoryAssociation") if "DELETED" in _events(node, "autoExportPolicy")
    ]
    for node in graph.of("BucketVersioning"):
        if node.inputs.get("versioningConfiguration", {}).get("status") != "Enabled" and exports:
            yield warning("deletes-unversioned", node.name, f"deletes of {', '.join(exports)} are final: no versions")


def _events(node: Node, policy: str) -> Sequence[str]:
    found: Any = node.inputs.get("s3", {}).get(policy, {}).get("events", [])
    return list(found)


def _open_ports(graph: Graph) -> Iterator[Finding]:
    for rule in graph.of("SecurityGroupIngressRule"):
        if rule.inputs.get("cidrIpv4") == ANYWHERE or rule.inputs.get("cidrIpv6") == "::/0":
            low, high = rule.inputs.get("fromPort", 0), rule.inputs.get("toPort", 65535)
            what = (
                "SSH"
                if low <= _SSH <= high
                else "Lustre"
                if any(low <= b and a <= high for a, b in LUSTRE_PORTS)
                else "a port"
            )
            yield error("open-port", rule.name, f"{what} is open to the whole internet: name the networks that need it")


def _lustre_ports(graph: Graph) -> Iterator[Finding]:
    """Every Lustre port, both ways, between the file system's group and each group that it serves; nothing else to or from it."""
    for file_system in graph.of("LustreFileSystem"):
        servers = set(file_system.uses.get("securityGroupIds", ()))
        rules = [
            (node, node.kind == "SecurityGroupIngressRule")
            for node in graph.nodes
            if node.kind in {"SecurityGroupIngressRule", "SecurityGroupEgressRule"}
        ]
        peers = {name for node, _ in rules if servers & _group(node) for name in _peer(node)} | servers
        for server in servers:
            for peer in peers:
                wanted = {(server, peer, side) for side in (True, False)} | {
                    (peer, server, side) for side in (True, False)
                }
                for group, other, ingress in sorted(wanted):
                    yield from _missing(rules, group, other, ingress=ingress)
        efa = file_system.inputs.get("efaEnabled") is True
        for node in (node for node, _ in rules if servers & _group(node)):
            port = (node.inputs.get("fromPort"), node.inputs.get("toPort"))
            everything = node.inputs.get("ipProtocol") == _EVERYTHING
            if everything and not efa:
                yield error("lustre-ports", node.name, "opens every port, which only EFA needs: 988 and 1018-1023 do")
            elif not everything and port not in LUSTRE_PORTS:
                yield error("lustre-ports", node.name, f"ports {port[0]}-{port[1]} are not Lustre's (988, 1018-1023)")
            if not _peer(node):
                yield error("lustre-peer", node.name, "must name a group: addresses outlive the machines that had them")


def _group(node: Node) -> set[str]:
    return set(node.uses.get("securityGroupId", ()))


def _peer(node: Node) -> set[str]:
    return set(node.uses.get("referencedSecurityGroupId", ()))


def _missing(rules: list[tuple[Node, bool]], group: str, other: str, *, ingress: bool) -> Iterator[Finding]:
    """A finding per Lustre port range that no rule of `group` allows from or to `other`."""
    for low, high in LUSTRE_PORTS:
        allowed = any(
            side == ingress
            and group in _group(node)
            and other in _peer(node)
            and node.inputs.get("ipProtocol") == "tcp"
            and (node.inputs.get("fromPort"), node.inputs.get("toPort")) == (low, high)
            for node, side in rules
        )
        if not allowed:
            way = "from" if ingress else "to"
            yield error(
                "lustre-ports", group, f"ports {low}-{high} {way} {other} are closed: creation of the file system fails"
            )


def _order(graph: Graph) -> Iterator[Finding]:
    """What must exist before what, and which inputs must be outputs of another resource, not typed texts."""
    rules = {n.name for n in graph.nodes if n.kind in {"SecurityGroupIngressRule", "SecurityGroupEgressRule"}}
    for node in graph.of("LustreFileSystem"):
        if late := sorted(rules - graph.waits_for(node.name)):
            yield error("order", node.name, f"must wait for every rule; it does not wait for {', '.join(late)}")
    buckets = {node.name for node in graph.nodes if node.kind.startswith("Bucket")} - {
        node.name for node in graph.of("BucketNotification")
    }
    for node in graph.of("DataRepositoryAssociation"):
        for field, kind in (("fileSystemId", "LustreFileSystem"), ("dataRepositoryPath", "Bucket")):
            made = {other.name for other in graph.of(kind)}
            if made and not made & set(node.uses.get(field, ())):
                yield error(
                    "literal", node.name, f"{field} must come from the {kind}, not from a text: the order is lost"
                )
        if late := sorted(buckets - graph.waits_for(node.name)):
            yield error("order", node.name, f"must wait for {', '.join(late)}")
    links = {node.name for node in graph.of("DataRepositoryAssociation")}
    for node in graph.of("Instance"):
        mounts = any(name in node.uses.get("userData", ()) for name in {n.name for n in graph.of("LustreFileSystem")})
        if mounts and (late := sorted(links - graph.waits_for(node.name))):
            yield error("order", node.name, f"mounts before {', '.join(late)} exist")


def _file_systems(graph: Graph) -> Iterator[Finding]:
    for node in graph.of("LustreFileSystem"):
        if "fileSystemTypeVersion" not in node.inputs:
            yield error(
                "lustre-version", node.name, "must name its Lustre version: the service's default is too old for links"
            )
        if not node.timeouts.get("create"):
            yield error("timeouts", node.name, "needs a longer creation timeout: a file system takes tens of minutes")
    for node in graph.of("DataRepositoryAssociation"):
        if node.inputs.get("deleteDataInFilesystem") is not False:
            yield error("delete-data", node.name, "must not delete the file system's data when it is removed")


def _instances(graph: Graph) -> Iterator[Finding]:
    for node in graph.of("Instance"):
        if node.inputs.get("metadataOptions", {}).get("httpTokens") != "required":
            yield error("imds", node.name, "must require session tokens for instance metadata (IMDSv2)")
        if node.inputs.get("rootBlockDevice", {}).get("encrypted") is not True:
            yield error("disk-encryption", node.name, "needs an encrypted root disk")
        if not node.inputs.get("iamInstanceProfile"):
            yield error("instance-profile", node.name, "needs an instance profile")
        if "ami" not in node.ignores:
            yield error(
                "image-drift", node.name, "must ignore changes of its image, or the next one replaces the machine"
            )
        if not any(_opens_tls(graph, group) for group in node.uses.get("vpcSecurityGroupIds", ())):
            yield error("no-way-out", node.name, "cannot reach its package repository: port 443 out is closed")


def _opens_tls(graph: Graph, group: str) -> bool:
    return any(
        group in _group(node) and node.inputs.get("fromPort") == 443 and node.inputs.get("cidrIpv4") == ANYWHERE
        for node in graph.of("SecurityGroupEgressRule")
    )


def _documents(graph: Graph) -> Iterator[Finding]:
    for node in graph.of("BucketPolicy"):
        text = node.inputs.get("policy", UNKNOWN)
        if text != UNKNOWN and "aws:SecureTransport" not in text:
            yield error("bucket-tls", node.name, "must refuse requests without TLS")
    for node in graph.of("RolePolicy"):
        text = node.inputs.get("policy", UNKNOWN)
        statements = [] if text == UNKNOWN else json.loads(text)["Statement"]
        if any("*" in statement["Action"] or "*" in statement["Resource"] for statement in statements):
            yield error("least-privilege", node.name, "allows every action or every resource: name them")


def _tags(graph: Graph) -> Iterator[Finding]:
    for node in graph.nodes:
        if node.custom and node.kind not in _UNTAGGED:
            missing = [tag for tag in OWN_TAGS if tag not in node.inputs.get("tags", {})]
            if missing:
                yield error("tags", node.name, f"has no tag {', '.join(missing)}: `drift` finds parts by their tags")


RULES: Final[tuple[Callable[[Graph], Iterator[Finding]], ...]] = (
    _bucket,
    _versioning,
    _open_ports,
    _lustre_ports,
    _order,
    _file_systems,
    _instances,
    _documents,
    _tags,
)
