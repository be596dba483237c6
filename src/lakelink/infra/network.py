"""Who may talk to whom: the one source of the security-group rules, of the policy checks and of the documentation's table."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from lakelink.infra import names
from lakelink.infra.spec import LakeSpec

# LNET: https://docs.aws.amazon.com/fsx/latest/LustreGuide/limit-access-security-groups.html
LUSTRE_PORTS: Final = ((988, 988), (1018, 1023))
ANYWHERE: Final = "0.0.0.0/0"
INSIDE: Final = "vpc"  # as a peer: the VPC's own block, which is looked up where the network is not made here
ENDPOINT_SERVICES: Final = ("s3", "transfer")
SUBNET_PREFIX: Final = 20
# A VPC holds /16 to /28 blocks, and so does a subnet (VPC User Guide, "VPC CIDR blocks").
VPC_PREFIXES: Final = (16, 28)


@dataclass(frozen=True, slots=True)
class Flow:
    """One permission of one group. `peer` is another group's part name, INSIDE or a CIDR; protocol "-1" means everything."""

    group: str
    ingress: bool
    peer: str
    protocol: str
    from_port: int
    to_port: int
    why: str

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups it speaks of."""
        return (self.group,) if self.peer == INSIDE or "/" in self.peer else (self.group, self.peer)

    @property
    def key(self) -> str:
        """A short name, unique within the group."""
        side = "from" if self.ingress else "to"
        peer = "anywhere" if self.peer == ANYWHERE else self.peer.replace("/", "-").replace(".", "-").replace(":", "-")
        ports = "all" if self.protocol == "-1" else str(self.from_port)
        return f"{self.group}-{side}-{peer}-{ports}"


def flows(spec: LakeSpec) -> tuple[Flow, ...]:
    """Every permission that a specification needs, and no other."""
    found: list[Flow] = []
    if spec.file_system:
        found += _lustre(spec)
    if spec.mounts:
        found.append(_out(names.CLIENT_GROUP, 443, "packages, AWS services and S3, all over TLS"))
        if spec.client.http_out:
            found.append(_out(names.CLIENT_GROUP, 80, "package mirrors without TLS, asked for with http_out"))
    if spec.agent.enabled:
        found.append(_out(names.AGENT_GROUP, 443, "packages, S3 and SQS, all over TLS"))
    if spec.network.interface_endpoints:
        found += [
            Flow(names.ENDPOINT_GROUP, True, cidr, "tcp", 443, 443, "clients of the private endpoints")
            for cidr in dict.fromkeys((INSIDE, *spec.network.on_premises_cidrs))
        ]
    return tuple(found)


def _lustre(spec: LakeSpec) -> list[Flow]:
    """LNET both ways between servers and clients, and among the servers; with EFA everything within the pair."""
    server, client = names.FILE_SYSTEM_GROUP, names.CLIENT_GROUP
    pairs = [(server, server), (server, client), (client, server)]
    found = [
        Flow(group, ingress, peer, "tcp", low, high, "Lustre (LNET)")
        for group, peer in pairs
        for ingress in (True, False)
        for low, high in LUSTRE_PORTS
    ]
    if spec.efa_enabled:
        found += [
            Flow(group, ingress, peer, "-1", 0, 0, "EFA needs all traffic within the group")
            for group, peer in pairs
            for ingress in (True, False)
        ]
    return found


def _out(group: str, port: int, why: str) -> Flow:
    return Flow(group, False, ANYWHERE, "tcp", port, port, why)


def subnet_cidr(spec: LakeSpec) -> str:
    """The subnet of a created network: the one asked for, or the first /20 of the VPC (all of it where that is smaller)."""
    if spec.network.subnet_cidr:
        return spec.network.subnet_cidr
    vpc = ipaddress.ip_network(spec.network.cidr)
    return str(vpc) if vpc.prefixlen >= SUBNET_PREFIX else str(next(vpc.subnets(new_prefix=SUBNET_PREFIX)))
