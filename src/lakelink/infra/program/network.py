"""The network the parts stand in, the groups that say who may talk to whom, and the private ways to S3."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from lakelink.infra import names
from lakelink.infra.network import ANYWHERE, INSIDE, Flow, flows, subnet_cidr
from lakelink.infra.program.scope import Scope


@dataclass(frozen=True, slots=True)
class Network:
    """One VPC, one subnet, the route tables of the gateway endpoint. `ready` are what outgoing traffic needs."""

    vpc_id: pulumi.Output[str]
    vpc_cidr: pulumi.Output[str]
    subnet_id: pulumi.Output[str]
    route_table_ids: pulumi.Output[list[str]]
    ready: list[pulumi.Resource]


def network(scope: Scope) -> Network:
    """The network that the specification asks for, with its S3 endpoints."""
    makers = {"create": _created, "default": _default, "given": _given}
    made = makers[scope.spec.network.mode](scope)
    if scope.spec.network.gateway_endpoint:
        gateway = aws.ec2.VpcEndpoint(
            scope.named("s3-gateway"),
            vpc_id=made.vpc_id,
            service_name=f"com.amazonaws.{scope.spec.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=made.route_table_ids,
            tags=scope.tags("s3-gateway"),
            opts=scope.under(),
        )
        made.ready.append(gateway)
    return made


def _created(scope: Scope) -> Network:
    spec = scope.spec.network
    vpc = aws.ec2.Vpc(
        scope.named("vpc"),
        cidr_block=spec.cidr,
        enable_dns_support=True,
        enable_dns_hostnames=True,  # the file system's name and interface endpoints are resolved within the VPC
        tags=scope.tags("vpc"),
        opts=scope.under(),
    )
    subnet = aws.ec2.Subnet(
        scope.named("subnet"),
        vpc_id=vpc.id,
        cidr_block=subnet_cidr(scope.spec),
        availability_zone=spec.availability_zone or None,
        tags=scope.tags("subnet"),
        opts=scope.under(),
    )
    table = aws.ec2.RouteTable(scope.named("routes"), vpc_id=vpc.id, tags=scope.tags("routes"), opts=scope.under())
    joined = aws.ec2.RouteTableAssociation(
        scope.named("routes-subnet"), route_table_id=table.id, subnet_id=subnet.id, opts=scope.under()
    )
    ready: list[pulumi.Resource] = [joined]
    if spec.internet:
        gateway = aws.ec2.InternetGateway(
            scope.named("internet"), vpc_id=vpc.id, tags=scope.tags("internet"), opts=scope.under()
        )
        route = aws.ec2.Route(
            scope.named("internet-route"),
            route_table_id=table.id,
            destination_cidr_block=ANYWHERE,
            gateway_id=gateway.id,
            opts=scope.under(),
        )
        ready.append(route)
    return Network(vpc.id, vpc.cidr_block, subnet.id, pulumi.Output.all(table.id), ready)


def _default(scope: Scope) -> Network:
    vpc = aws.ec2.get_vpc_output(default=True, opts=scope.look())
    filters: list[aws.ec2.GetSubnetsFilterArgsDict] = [
        {"name": "vpc-id", "values": [vpc.id]},  # type: ignore[list-item]  # outputs in arguments are resolved
        {"name": "default-for-az", "values": ["true"]},
    ]
    if zone := scope.spec.network.availability_zone:
        filters.append({"name": "availability-zone", "values": [zone]})
    found = aws.ec2.get_subnets_output(filters=filters, opts=scope.look())
    # The service answers in no order: taking the first could make the next preview want to replace everything.
    subnet_id = found.ids.apply(min)
    return Network(vpc.id, vpc.cidr_block, subnet_id, _tables(scope, vpc.id), [])


def _given(scope: Scope) -> Network:
    spec = scope.spec.network
    vpc = aws.ec2.get_vpc_output(id=spec.vpc_id, opts=scope.look())
    subnet = aws.ec2.get_subnet_output(id=spec.subnet_id, vpc_id=spec.vpc_id, opts=scope.look())
    return Network(vpc.id, vpc.cidr_block, subnet.id, _tables(scope, vpc.id), [])


def _tables(scope: Scope, vpc_id: pulumi.Output[str]) -> pulumi.Output[list[str]]:
    """The route tables of a network that is already there: the ones named, or all of its VPC."""
    if scope.spec.network.route_table_ids:
        return pulumi.Output.from_input(list(scope.spec.network.route_table_ids))
    found = aws.ec2.get_route_tables_output(vpc_id=vpc_id, opts=scope.look())
    return found.ids.apply(sorted)


@dataclass(frozen=True, slots=True)
class Groups:
    """Security groups by part name, and their rules: nothing that uses a group may be made before all of them."""

    ids: dict[str, pulumi.Output[str]]
    rules: list[pulumi.Resource]


def groups(scope: Scope, net: Network) -> Groups:
    """One group per role and one rule per permission of the matrix.

    A group made here has no rule of its own: the provider takes away the allow-all that AWS puts into outgoing traffic.
    """
    wanted = flows(scope.spec)
    made = {
        part: aws.ec2.SecurityGroup(
            scope.named(part),
            vpc_id=net.vpc_id,
            description=f"lakelink {scope.spec.name}: {part}",
            tags=scope.tags(part),
            opts=scope.under(),
        ).id
        for part in dict.fromkeys(part for flow in wanted for part in flow.groups)
    }
    return Groups(made, [_rule(scope, flow, made, net) for flow in wanted])


def _rule(scope: Scope, flow: Flow, ids: dict[str, pulumi.Output[str]], net: Network) -> pulumi.Resource:
    """One permission."""
    make = aws.vpc.SecurityGroupIngressRule if flow.ingress else aws.vpc.SecurityGroupEgressRule
    everything = flow.protocol == "-1"
    peer = ids.get(flow.peer)
    address: pulumi.Input[str] = net.vpc_cidr if flow.peer == INSIDE else flow.peer
    return make(
        scope.named(flow.key),
        security_group_id=ids[flow.group],
        referenced_security_group_id=peer,
        cidr_ipv4=address if peer is None else None,
        ip_protocol=flow.protocol,
        from_port=None if everything else flow.from_port,
        to_port=None if everything else flow.to_port,
        description=flow.why,
        tags=scope.tags(flow.key),
        opts=scope.under(),
    )


def interface_endpoints(scope: Scope, net: Network, made: Groups) -> list[aws.ec2.VpcEndpoint]:
    """Private addresses of S3 and Transfer, which networks on Direct Connect or a VPN reach as well."""
    return [
        aws.ec2.VpcEndpoint(
            scope.named(f"{service}-interface"),
            vpc_id=net.vpc_id,
            service_name=f"com.amazonaws.{scope.spec.region}.{service}",
            vpc_endpoint_type="Interface",
            subnet_ids=[net.subnet_id],
            security_group_ids=[made.ids[names.ENDPOINT_GROUP]],
            # S3 within the VPC goes through the free gateway; from outside the endpoint's own name is used.
            private_dns_enabled=service != "s3",
            tags=scope.tags(f"{service}-interface"),
            opts=scope.under(after=made.rules),
        )
        for service in scope.spec.network.interface_endpoints
    ]
