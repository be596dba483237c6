"""Rules over the network, the client and the components beside the file system."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Generator, Iterator

from lakelink.infra.check_links import link_overlaps
from lakelink.infra.findings import Finding, error, listed, warning
from lakelink.infra.names import bucket_name
from lakelink.infra.network import ENDPOINT_SERVICES, VPC_PREFIXES
from lakelink.infra.spec import LakeSpec
from lakelink.infra.userdata import RETIRED_PACKAGES, SYSTEMS

MODES = ("create", "default", "given")
_MOUNT = re.compile(r"(/[A-Za-z0-9._-]+)+")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_@.-]{2,99}")  # Transfer Family, CreateUser, UserName
_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/=]+( .*)?")


def network_checks(spec: LakeSpec) -> Iterator[Finding]:
    """CIDRs, zones and ids of the network."""
    network = spec.network
    if network.mode not in MODES:
        yield error("network-mode", "network.mode", f"{network.mode!r}: choose {listed(MODES)}")
        return
    if network.mode == "create":
        yield from _created(spec)
    else:
        yield from _given(spec)
    yield from _zone(spec)
    yield from _private_ways(spec)


def _given(spec: LakeSpec) -> Iterator[Finding]:
    """The ids of a network that is there already."""
    for field in ("vpc_id", "subnet_id"):
        if spec.network.mode == "given" and not getattr(spec.network, field):
            yield error("network-given", f"network.{field}", "is required with mode = given")


def _zone(spec: LakeSpec) -> Iterator[Finding]:
    network, field = spec.network, "network.availability_zone"
    zone = network.availability_zone
    if zone and network.mode == "given":
        yield error("zone", field, "must be absent with mode = given: the subnet stands in a zone")
    elif zone and not re.fullmatch(re.escape(spec.region) + r"[a-z]", zone):
        yield error("zone", field, f"{zone!r} is not a zone of {spec.region} such as {spec.region}a")
    if network.mode != "given":
        for other in ("vpc_id", "subnet_id", "route_table_ids"):
            if getattr(network, other):
                yield error("network-given", f"network.{other}", f"belongs to mode = given, not to {network.mode}")


def _private_ways(spec: LakeSpec) -> Iterator[Finding]:
    """Interface endpoints, and who may use them from outside of the VPC."""
    network = spec.network
    for index, service in enumerate(network.interface_endpoints):
        if service not in ENDPOINT_SERVICES or service in network.interface_endpoints[:index]:
            field = f"network.interface_endpoints[{index}]"
            yield error("endpoint", field, f"{service!r}: choose any of {listed(ENDPOINT_SERVICES)}, each once")
    for index, cidr in enumerate(network.on_premises_cidrs):
        field = f"network.on_premises_cidrs[{index}]"
        block = yield from _block(field, cidr)
        if block is not None and block.prefixlen == 0:
            yield error("cidr", field, "0.0.0.0/0 is everyone: name the networks behind Direct Connect or the VPN")
    if network.on_premises_cidrs and not network.interface_endpoints:
        yield error(
            "endpoint",
            "network.interface_endpoints",
            'is required with on_premises_cidrs: a gateway endpoint is not reachable from outside of the VPC; add "s3"',
        )


def _created(spec: LakeSpec) -> Iterator[Finding]:
    """A VPC block and a subnet within it."""
    vpc = yield from _block("network.cidr", spec.network.cidr)
    if vpc is not None:
        low, high = VPC_PREFIXES
        if not low <= vpc.prefixlen <= high:
            yield error("cidr", "network.cidr", f"/{vpc.prefixlen}: a VPC takes /{low} to /{high}")
        if not vpc.is_private:
            yield warning(
                "cidr", "network.cidr", f"{vpc} is not private: its owner on the internet becomes unreachable"
            )
    if spec.network.subnet_cidr and vpc is not None:
        subnet = yield from _block("network.subnet_cidr", spec.network.subnet_cidr)
        if subnet is not None and not subnet.subnet_of(vpc):
            yield error("cidr", "network.subnet_cidr", f"{subnet} is not within {vpc}")
        elif subnet is not None and subnet.prefixlen > VPC_PREFIXES[1]:
            yield error(
                "cidr", "network.subnet_cidr", f"/{subnet.prefixlen}: a subnet takes at most /{VPC_PREFIXES[1]}"
            )
    if not spec.network.gateway_endpoint and not spec.network.internet:
        yield error(
            "endpoint", "network.gateway_endpoint", "without it and without internet nothing reaches S3: turn one on"
        )


def _block(field: str, cidr: str) -> Generator[Finding, None, ipaddress.IPv4Network | None]:
    """The network a text names; yields a finding and returns None if it names none."""
    try:
        return ipaddress.IPv4Network(cidr)
    except ValueError as problem:
        yield error("cidr", field, f"{cidr!r} is not an IPv4 network such as 10.60.0.0/16 ({problem})")
        return None


def client_checks(spec: LakeSpec) -> Iterator[Finding]:
    """The client, the agent, the event queue and the SFTP users."""
    if spec.mounts:
        yield from _client(spec)
    if spec.events.enabled and any(link.auto_import for link in spec.links):
        yield error(
            "events-beside-import",
            "events.enabled",
            "FSx keeps its own notification in the bucket's one notification configuration for auto_import, and a second "
            "owner of it stops the association (MISCONFIGURED): use another bucket, or associations without auto_import",
        )
    if spec.events.enabled and spec.bucket.existing:
        yield warning(
            "events-existing",
            "events.enabled",
            "the notification configuration of the existing bucket is replaced as a whole",
        )
    if spec.agent.enabled:
        yield from _agent(spec)
    yield from _transfer(spec)


def _agent(spec: LakeSpec) -> Iterator[Finding]:
    if not _MOUNT.fullmatch(spec.agent.files):
        yield error("agent-files", "agent.files", f"{spec.agent.files!r} must be absolute, of A-Z, a-z, 0-9, . _ and -")
    yield from link_overlaps(spec, {"agent": f"s3://{bucket_name(spec)}/{spec.agent.prefix}"})


def _client(spec: LakeSpec) -> Iterator[Finding]:
    client = spec.client
    if client.os not in SYSTEMS:
        yield error("client-os", "client.os", f"{client.os!r}: choose {listed(tuple(SYSTEMS))}")
        return
    system = SYSTEMS[client.os]
    if client.os == "amazon-linux-2":
        yield warning(
            "client-os", "client.os", "Amazon Linux 2 has reached its end; its successor is amazon-linux-2023"
        )
    if successor := RETIRED_PACKAGES.get(client.lustre_package):
        yield warning(
            "client-package",
            "client.lustre_package",
            f"{client.lustre_package!r} is the name on Amazon Linux 2; the successor on Amazon Linux 2023 is "
            f"{successor!r} (dnf install {successor}), which is taken",
        )
    elif client.lustre_package and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", client.lustre_package):
        yield error("client-package", "client.lustre_package", f"{client.lustre_package!r} is not a package name")
    if not client.ami and not system.image:
        yield error(
            "client-ami", "client.ami", f"is required for {client.os}: there is no public parameter to look it up"
        )
    if system.http_mirrors and not client.http_out:
        yield warning(
            "client-http",
            "client.http_out",
            f"the package mirrors of {client.os} answer on port 80: set http_out = true",
        )
    if not _MOUNT.fullmatch(client.mount_point):
        yield error(
            "mount-point", "client.mount_point", f"{client.mount_point!r} must be absolute, of A-Z, a-z, 0-9, . _ and -"
        )
    if client.noatime:
        yield warning(
            "noatime",
            "client.noatime",
            "releasing data by age goes by access times, which noatime stops; relatime is safe",
        )
    if spec.network.mode == "create" and not spec.network.internet and not system.packages_in_s3:
        yield error(
            "client-offline",
            "network.internet",
            f"without internet the client cannot install from the mirrors of {client.os}; amazon-linux-2023 can, from S3",
        )


def _transfer(spec: LakeSpec) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, user in enumerate(spec.transfer_users):
        field = f"transfer_users[{index}]"
        if not _USER.fullmatch(user.name) or user.name in seen:
            yield error(
                "transfer-user", f"{field}.name", f"{user.name!r} must be unique, 3 to 100 of A-Z a-z 0-9 _ @ . -"
            )
        seen.add(user.name)
        if not _KEY.fullmatch(user.public_key):
            yield error("transfer-key", f"{field}.public_key", "must be one OpenSSH public key (ed25519, RSA or ECDSA)")
