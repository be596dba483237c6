# ruff: noqa: C901  # one list of demands per kind of resource
"""What a recorded graph must look like, in figures and words of its own: nothing here is taken from the product's tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lakelink.infra.graph import Graph

EVERYONE = "0.0.0.0/0"
UNTAGGED = {
    "aws", "BucketVersioning", "BucketServerSideEncryptionConfiguration", "BucketPublicAccessBlock", "BucketPolicy",
    "BucketOwnershipControls", "BucketNotification", "Route", "RouteTableAssociation", "RolePolicy",
    "RolePolicyAttachment", "QueuePolicy", "SshKey",
}  # fmt: skip


def complaints(graph: Graph, given: dict[str, Any]) -> list[str]:
    """Everything that is wrong with a graph of the specification `given`; empty if nothing is."""
    return [
        text for rule in (_files, _rules, _links, _bucket, _clients, _network, _tags) for text in rule(graph, given)
    ]


def _files(graph: Graph, given: dict[str, Any]) -> Iterator[str]:
    systems = graph.of("LustreFileSystem")
    if len(systems) != (1 if given.get("file_system", True) else 0):
        yield "file systems"
    for node in systems:
        rules = {n.name for n in graph.nodes if n.kind in {"SecurityGroupIngressRule", "SecurityGroupEgressRule"}}
        if not rules <= set(node.after):
            yield "the file system does not wait for every rule"
        if node.inputs.get("fileSystemTypeVersion") != "2.15":
            yield "the Lustre version is not set"
        if node.timeouts.get("create") != "60m":
            yield "no time to create a file system"
        if node.inputs.get("automaticBackupRetentionDays") != 0:
            yield "backups on a linked file system"
        if (node.protect, node.retain) != (given.get("protect", False),) * 2:
            yield "protection of the file system"
        if node.uses.get("securityGroupIds") != ("lab-file-system-group",):
            yield "the group of the file system is not an output"
        wanted = {
            "deploymentType": given.get("deployment_type", "PERSISTENT_2"),
            "storageType": given.get("storage_type", "SSD"),
            "dataCompressionType": "LZ4",
        }
        if given in ({}, {"network": {"mode": "default"}}):
            wanted |= {"storageCapacity": 1200, "perUnitStorageThroughput": 125}
        if {key: node.inputs.get(key) for key in wanted} != wanted:
            yield "what the file system is"


def _rules(graph: Graph, given: dict[str, Any]) -> Iterator[str]:
    found = set()
    for node in graph.nodes:
        if node.kind in {"SecurityGroupIngressRule", "SecurityGroupEgressRule"}:
            (group,) = node.uses.get("securityGroupId", ("?",))
            peer = (*node.uses.get("referencedSecurityGroupId", ()), node.inputs.get("cidrIpv4"))[0]
            ports = node.inputs.get("ipProtocol"), node.inputs.get("fromPort"), node.inputs.get("toPort")
            found.add((node.kind == "SecurityGroupIngressRule", group, peer, *ports))
    server, client = "lab-file-system-group", "lab-client-group"
    wanted: set[Any] = set()
    if given.get("file_system", True):
        for side in (True, False):
            for group, peer in ((server, server), (server, client), (client, server)):
                wanted |= {(side, group, peer, "tcp", 988, 988), (side, group, peer, "tcp", 1018, 1023)}
                if given.get("efa_enabled"):
                    wanted.add((side, group, peer, "-1", None, None))
        if given.get("client", {}).get("enabled", True):
            wanted.add((False, client, EVERYONE, "tcp", 443, 443))
        if given.get("client", {}).get("http_out"):
            wanted.add((False, client, EVERYONE, "tcp", 80, 80))
    if given.get("agent"):
        wanted.add((False, "lab-agent-group", EVERYONE, "tcp", 443, 443))
    network = given.get("network", {})
    if network.get("interface_endpoints"):
        inside = "10.60.0.0/16" if network.get("mode", "create") == "create" else "<known after creation>"
        for peer in (inside, *network.get("on_premises_cidrs", ())):
            wanted.add((True, "lab-endpoint-group", peer, "tcp", 443, 443))
    if found != wanted:
        yield f"rules: too many {sorted(map(str, found - wanted))}, missing {sorted(map(str, wanted - found))}"


def _links(graph: Graph, given: dict[str, Any]) -> Iterator[str]:
    everything = ["NEW", "CHANGED", "DELETED"]
    wanted = given.get("associations", [{"file_system_path": "/lake"}]) if given.get("file_system", True) else []
    nodes = sorted(graph.of("DataRepositoryAssociation"), key=lambda node: node.name)
    if len(nodes) != len(wanted):
        yield "associations"
    guards = {node.name for node in graph.nodes if node.kind.startswith("Bucket") and node.kind != "BucketNotification"}
    for node, link in zip(nodes, wanted, strict=False):
        policies = node.inputs["s3"]
        if policies["autoExportPolicy"]["events"] != link.get("auto_export", everything):
            yield "export events"
        if policies["autoImportPolicy"]["events"] != link.get("auto_import", everything):
            yield "import events"
        if node.inputs["fileSystemPath"] != link["file_system_path"]:
            yield "the path of the association"
        if node.uses.get("fileSystemId") != ("lab-file-system",):
            yield "the association names its file system by a text"
        if guards and node.uses.get("dataRepositoryPath") != ("lab-bucket",):
            yield "the association names its bucket by a text"
        if not {"lab-file-system", *guards} <= set(node.after):
            yield "the association does not wait for the bucket and what guards it"
        if node.inputs.get("deleteDataInFilesystem") is not False:
            yield "removing the association removes data"
        if node.protect != given.get("protect", False):
            yield "protection of the association"
        inner = link.get("prefix", "").strip("/")
        bucket = given.get("bucket", {}).get("name", "lab-eu-central-1-lake")
        path = (
            "<known after creation>"
            if given.get("bucket", {}).get("existing")
            else f"s3://{bucket}/{inner + '/' if inner else ''}"
        )
        if node.inputs["dataRepositoryPath"] != path:
            yield f"the repository is {node.inputs['dataRepositoryPath']}"


def _bucket(graph: Graph, given: dict[str, Any]) -> Iterator[str]:
    if given.get("bucket", {}).get("existing"):
        if [node.name for node in graph.nodes if node.kind.startswith("Bucket")]:
            yield "an existing bucket is touched"
        return
    bucket = graph.one("Bucket")
    if not bucket.protect or not bucket.retain:
        yield "the bucket is not protected and kept"
    parts = {
        "BucketVersioning": {"versioningConfiguration": {"status": "Enabled"}},
        "BucketOwnershipControls": {"rule": {"objectOwnership": "BucketOwnerEnforced"}},
        "BucketPublicAccessBlock": dict.fromkeys(
            ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True
        ),
    }
    for kind, wanted in parts.items():
        node = graph.one(kind)
        if {key: node.inputs.get(key) for key in wanted} != wanted or node.uses.get("bucket") != ("lab-bucket",):
            yield kind
    (rule,) = graph.one("BucketServerSideEncryptionConfiguration").inputs["rules"]
    algorithm = "aws:kms" if given.get("bucket", {}).get("kms_key_id") else "AES256"
    if rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"] != algorithm:
        yield "encryption"
    policy = graph.one("BucketPolicy")
    if policy.uses.get("policy") != ("lab-bucket",):
        yield "the bucket policy names the bucket by a text"
    if "lab-bucket-public-access" not in policy.after:
        yield "the policy may meet the public access block on its way"


def _clients(graph: Graph, given: dict[str, Any]) -> Iterator[str]:
    links = {node.name for node in graph.of("DataRepositoryAssociation")}
    names = {node.name for node in graph.of("Instance")}
    mounting = given.get("file_system", True) and given.get("client", {}).get("enabled", True)
    if names != ({"lab-client"} if mounting else set()) | ({"lab-agent-agent"} if given.get("agent") else set()):
        yield "instances"
    for node in graph.of("Instance"):
        if node.inputs["metadataOptions"].get("httpTokens") != "required":
            yield "IMDSv1"
        if node.inputs.get("rootBlockDevice") != {"encrypted": True}:
            yield "an open disk"
        if "ami" not in node.ignores:
            yield "a new image replaces the machine"
        if not node.uses.get("iamInstanceProfile"):
            yield "no instance profile"
        if node.name == "lab-agent-agent" and node.uses.get("userData", ()) != (
            ("lab-events-queue",) if given.get("events") else ()
        ):
            yield "the agent does not hear from the queue"
        if node.name == "lab-client":
            if not links <= set(node.after):
                yield "the client does not wait for the associations"
            if node.uses.get("userData") != ("lab-file-system",):
                yield "the script does not come from the file system"
            if node.uses.get("vpcSecurityGroupIds") != ("lab-client-group",):
                yield "the client is in another group"
        made_here = given.get("network", {}).get("mode", "create") == "create"
        if made_here and not {"lab-routes-subnet"} <= set(node.after):
            yield "an instance boots before it has a way out"


def _network(graph: Graph, given: dict[str, Any]) -> Iterator[str]:
    network = given.get("network", {})
    if (len(graph.of("Vpc")), len(graph.of("Subnet"))) != (
        (1, 1) if network.get("mode", "create") == "create" else (0, 0)
    ):
        yield "the network"
    gateways = [node for node in graph.of("VpcEndpoint") if node.inputs["vpcEndpointType"] == "Gateway"]
    if len(gateways) != (1 if network.get("gateway_endpoint", True) else 0):
        yield "the gateway endpoint"
    for node in gateways:
        if node.inputs["serviceName"] != "com.amazonaws.eu-central-1.s3" or not node.inputs.get("routeTableIds"):
            yield "the gateway endpoint leads nowhere"
    private = {node.inputs["serviceName"] for node in graph.of("VpcEndpoint") if node not in gateways}
    if private != {f"com.amazonaws.eu-central-1.{service}" for service in network.get("interface_endpoints", ())}:
        yield "interface endpoints"
    if graph.one("aws").inputs.get("region") != "eu-central-1":
        yield "the region"


def _tags(graph: Graph, given: dict[str, Any]) -> Iterator[str]:
    parts: list[str] = []
    for node in graph.nodes:
        if node.custom and node.kind not in UNTAGGED:
            tags = node.inputs.get("tags", {})
            if (
                tags.get("lakelink:stack") != "lab"
                or tags.get("ManagedBy") != "pulumi"
                or not tags.get("lakelink:part")
            ):
                yield f"tags of {node.name}"
            if any(tags.get(key) != value for key, value in given.get("tags", {}).items()):
                yield f"the user's tags of {node.name}"
            parts.append(tags.get("lakelink:part", ""))
    if len(parts) != len(set(parts)):
        yield "two parts have one name"
