"""Rules over the network: its blocks, zones and ids, and the private ways to S3."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Generator, Iterator

from lakelink.infra.findings import Finding, error, listed, warning
from lakelink.infra.network import ENDPOINT_SERVICES, VPC_PREFIXES
from lakelink.infra.spec import LakeSpec

MODES = ("create", "default", "given")


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
    if spec.network.mode != "given":
        return
    for field, sign in (("vpc_id", "vpc-"), ("subnet_id", "subnet-")):
        value = getattr(spec.network, field)
        if not value:
            yield error("network-given", f"network.{field}", "is required with mode = given")
        elif not is_id(sign, value):
            yield error("network-given", f"network.{field}", f"{value!r} must be an id such as {sign}0123456789abcdef0")
    for index, value in enumerate(spec.network.route_table_ids):
        if not is_id("rtb-", value):
            field = f"network.route_table_ids[{index}]"
            yield error("network-given", field, f"{value!r} must be an id such as rtb-0123456789abcdef0")


def is_id(sign: str, value: str) -> bool:
    """Whether a text can be an id of AWS with that beginning."""
    return re.fullmatch(re.escape(sign) + r"[0-9a-f]{1,32}", value) is not None


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
        elif block is not None and _is_inside(spec, block):
            text = f"{block} and the VPC's {network.cidr} overlap, so no route leads there: choose another network.cidr"
            yield error("cidr", field, text)
        elif cidr in network.on_premises_cidrs[:index]:
            yield error("cidr", field, f"{cidr} stands there twice: name each network once")
    if network.on_premises_cidrs and not network.interface_endpoints:
        yield error(
            "endpoint",
            "network.interface_endpoints",
            'is required with on_premises_cidrs: a gateway endpoint is not reachable from outside of the VPC; add "s3"',
        )


def _is_inside(spec: LakeSpec, block: ipaddress.IPv4Network) -> bool:
    """Whether a network of others shares addresses with the VPC that is made here."""
    try:
        return spec.network.mode == "create" and block.overlaps(ipaddress.IPv4Network(spec.network.cidr))
    except ValueError:
        return False  # said where the VPC's own block is looked at


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
        block = ipaddress.IPv4Network(cidr)
    except ValueError as problem:
        yield error("cidr", field, f"{cidr!r} is not an IPv4 network such as 10.60.0.0/16 ({problem})")
        return None
    # AWS takes neither a bare address nor a netmask; as texts they would also hide that two rules are the same.
    if str(block) != cidr:
        yield error("cidr", field, f"{cidr!r} must be written as AWS takes it: {block}")
        return None
    return block
