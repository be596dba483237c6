"""The whole program, applied: the stand-in engine creates everything in moto and the fake FSx; then the account is compared."""

from __future__ import annotations

from typing import Any

import pytest

from lakelink.infra import iam
from lakelink.infra.drift import Difference, compare, desired
from lakelink.infra.observe import observe, refuses_plain
from lakelink.infra.program import deploy
from lakelink.infra.record import Outcome, run
from lakelink.infra.spec import LakeSpec
from tests.infra.emulator import Emulator
from tests.infra.matrix import REGION, spec

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEo8m0tdNl7VYyjP3bD9m2kCkZ0vYxM5mB3vX1s2c4d5 someone"
SPECS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "default-vpc": {"network": {"mode": "default"}},
    "several-links": {
        "bucket": {"name": "some-lake"},
        "associations": [
            {"file_system_path": "/a", "prefix": "a/", "auto_import": []},
            {"file_system_path": "/b/c", "prefix": "b", "auto_export": ["NEW"]},
        ],
        "metadata_configuration": {"mode": "USER_PROVISIONED", "iops": 3000},
    },
    "private": {
        "network": {"interface_endpoints": ["s3", "transfer"], "on_premises_cidrs": ["192.168.0.0/16"]},
    },
    "sisters": {
        "file_system": False,
        "events": {"enabled": True, "prefix": "in"},
        "agent": {"enabled": True, "prefix": "in"},
        "transfer_users": [{"name": "anna", "public_key": KEY, "prefix": "anna"}],
    },
}


def apply(given: LakeSpec, aws: Any, before: Any = None) -> tuple[Outcome, Emulator]:
    emulator = Emulator(given.region, aws)
    return run(lambda: deploy(given), emulator, before), emulator


@pytest.mark.parametrize("name", SPECS)
def test_what_was_applied_shows_no_drift(aws, fsx_endpoint, name):
    given = spec(**SPECS[name])
    outcome, _ = apply(given, aws)
    assert (outcome.failed, outcome.skipped) == ({}, [])
    assert compare(desired(given), observe(given, aws)) == []


def test_a_given_network_is_used_as_it_is(aws, fsx_endpoint):
    ec2 = aws("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    before = len(ec2.describe_subnets()["Subnets"])
    given = spec(network={"mode": "given", "vpc_id": vpc, "subnet_id": subnet, "interface_endpoints": ["s3"]})
    outcome, _ = apply(given, aws)
    assert outcome.failed == {}
    assert len(ec2.describe_subnets()["Subnets"]) == before
    assert compare(desired(given), observe(given, aws)) == []
    (group,) = ec2.describe_security_groups(Filters=[{"Name": "tag:lakelink:part", "Values": ["endpoint-group"]}])[
        "SecurityGroups"
    ]
    assert group["IpPermissions"][0]["IpRanges"][0]["CidrIp"] == "10.9.0.0/16"


def test_an_existing_bucket_is_linked_and_otherwise_left_alone(aws, fsx_endpoint):
    s3 = aws("s3")
    s3.create_bucket(Bucket="theirs", CreateBucketConfiguration={"LocationConstraint": REGION})
    given = spec(bucket={"name": "theirs", "existing": True})
    outcome, _ = apply(given, aws)
    assert outcome.failed == {}
    assert compare(desired(given), observe(given, aws)) == [Difference("bucket", "versioning", "Enabled", "absent")]
    s3.put_bucket_versioning(Bucket="theirs", VersioningConfiguration={"Status": "Enabled"})
    assert compare(desired(given), observe(given, aws)) == []


def test_ids_flow_into_the_instance_and_the_outputs(aws, fsx_endpoint, fsx_service):
    outcome, _ = apply(spec(), aws)
    (system,) = fsx_service.state.file_systems.values()
    (link,) = fsx_service.state.associations.values()
    found = outcome.outputs
    assert found["file_system_id"] == system.id
    assert found["association_ids"] == [link.id]
    assert found["mount_command"] == (
        f"sudo mount -t lustre -o relatime,flock {system.id}.fsx.{REGION}.amazonaws.com@tcp:/{system.mount_name} /mnt/fsx"
    )
    ec2 = aws("ec2")
    import base64

    text = ec2.describe_instance_attribute(InstanceId=found["client_id"], Attribute="userData")["UserData"]["Value"]
    script = base64.b64decode(text).decode()
    assert f"FSX_DNS_NAME={system.id}.fsx.{REGION}.amazonaws.com" in script
    assert f"FSX_MOUNT_NAME={system.mount_name}" in script


def test_the_linked_file_system_really_carries_files_both_ways(aws, fsx_endpoint, fsx_service):
    outcome, _ = apply(spec(), aws)
    # moto applies the statement that denies requests without TLS, but not its condition, and speaks no TLS here.
    aws("s3").delete_bucket_policy(Bucket=outcome.outputs["bucket_name"])
    data = fsx_service.directory(outcome.outputs["file_system_id"]) / "lake"
    (data / "up").write_bytes(b"1")
    aws("s3").put_object(Bucket=outcome.outputs["bucket_name"], Key="down", Body=b"2")
    fsx_service.settle()
    assert aws("s3").get_object(Bucket=outcome.outputs["bucket_name"], Key="up")["Body"].read() == b"1"
    assert (data / "down").read_bytes() == b"2"


def _suspend(aws, made):
    aws("s3").put_bucket_versioning(Bucket=made["lab-bucket"].id, VersioningConfiguration={"Status": "Suspended"})


def _public(aws, made):
    aws("s3").delete_public_access_block(Bucket=made["lab-bucket"].id)


def _plain(aws, made):
    aws("s3").delete_bucket_policy(Bucket=made["lab-bucket"].id)


def _close(aws, made):
    rule = made["lab-file-system-group-from-client-group-1018"]
    group = made["lab-file-system-group"].id
    aws("ec2").revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule.id])


def _open(aws, made):
    permission = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    aws("ec2").authorize_security_group_ingress(GroupId=made["lab-client-group"].id, IpPermissions=[permission])


def _policy(aws, made):
    aws("fsx").update_data_repository_association(
        AssociationId=made["lab-association-0"].id,
        S3={"AutoImportPolicy": {"Events": ["NEW"]}, "AutoExportPolicy": {"Events": ["NEW", "CHANGED", "DELETED"]}},
    )


def _unlink(aws, made):
    aws("fsx").delete_data_repository_association(AssociationId=made["lab-association-0"].id)


def _second_link(aws, made):
    aws("fsx").create_data_repository_association(
        FileSystemId=made["lab-file-system"].id, FileSystemPath="/other", DataRepositoryPath="s3://elsewhere"
    )


def _stop(aws, made):
    aws("ec2").stop_instances(InstanceIds=[made["lab-client"].id])


def _terminate(aws, made):
    aws("ec2").terminate_instances(InstanceIds=[made["lab-client"].id])


def _metadata(aws, made):
    aws("ec2").modify_instance_metadata_options(InstanceId=made["lab-client"].id, HttpTokens="optional")


def _untag(aws, made):
    aws("ec2").delete_tags(Resources=[made["lab-vpc"].id], Tags=[{"Key": "ManagedBy"}])


def _endpoint(aws, made):
    aws("ec2").delete_vpc_endpoints(VpcEndpointIds=[made["lab-s3-gateway"].id])


def _clone(aws, made):
    tags = [{"Key": "lakelink:stack", "Value": "lab"}, {"Key": "lakelink:part", "Value": "vpc"}]
    vpc = aws("ec2").create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    aws("ec2").create_tags(Resources=[vpc], Tags=tags)


def _strand(aws, made):
    aws("ec2").delete_route(RouteTableId=made["lab-routes"].id, DestinationCidrBlock="0.0.0.0/0")


BY_HAND = [
    (_clone, "vpc-", "exists"),
    (_strand, "routes", "internet"),
    (_suspend, "bucket", "versioning"),
    (_public, "bucket", "public_access_block"),
    (_plain, "bucket", "tls_only"),
    (_close, "file-system-group", "rule tcp 1018-1023 in from client-group"),
    (_open, "client-group", "rule tcp 22-22 in from 0.0.0.0/0"),
    (_policy, "association-0", "auto_import"),
    (_unlink, "association-0", "exists"),
    (_second_link, "dra-", "exists"),
    (_metadata, "client", "metadata_tokens"),
    (_stop, "client", "state"),
    (_terminate, "client", "exists"),
    (_untag, "vpc", "tag ManagedBy"),
    (_endpoint, "s3-gateway", "exists"),
]


def test_drift_names_exactly_what_was_changed_by_hand_one_thing_after_the_other(aws, fsx_endpoint, fsx_service):
    given = spec()
    made = apply(given, aws)[0].made
    before: list[Difference] = []
    for change, part, attribute in BY_HAND:
        change(aws, made)
        fsx_service.settle()
        now = compare(desired(given), observe(given, aws))
        (new,) = [found for found in now if found not in before]
        assert new.part.startswith(part), change.__name__
        assert new.attribute == attribute, change.__name__
        # What is gone as a whole has no attributes left; nothing else is forgotten.
        gone = [found for found in before if found not in now]
        assert [found for found in gone if found.part != new.part or new.attribute != "exists"] == []
        before = now


def test_drift_sees_who_else_may_come_in_over_sftp(aws, fsx_endpoint):
    given = spec(**SPECS["sisters"])
    made = apply(given, aws)[0].made
    transfer, server = aws("transfer"), made["lab-sftp-server"].id
    role = transfer.describe_user(ServerId=server, UserName="anna")["User"]["Role"]
    transfer.import_ssh_public_key(
        ServerId=server, UserName="anna", SshPublicKeyBody=KEY.replace("AAAAIEo8", "AAAAIEo9")
    )
    transfer.create_user(ServerId=server, UserName="mallory", Role=role)
    found = compare(desired(given), observe(given, aws))
    assert [(one.part, one.attribute) for one in found] == [("sftp-anna", "keys"), ("sftp-server", "users")]
    transfer.delete_user(ServerId=server, UserName="anna")
    found = compare(desired(given), observe(given, aws))
    assert [(one.part, one.attribute, one.found) for one in found] == [("sftp-anna", "exists", "absent")]


@pytest.mark.parametrize(
    "change",
    [{"Principal": {"AWS": "arn:aws:iam::123456789012:root"}}, {"Action": "s3:GetObject"}, {"Resource": "arn:aws:s3:::b/*"},
     {"Effect": "Allow"}, {"Condition": {"Bool": {"aws:SecureTransport": "true"}}},
     {"Condition": {"Bool": {"aws:SecureTransport": "false"}, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_a_statement_about_tls_counts_only_if_it_refuses_everyone_everything(change):
    document = iam.tls_only("arn:aws:s3:::b")
    assert refuses_plain(iam.to_json(document))
    (statement,) = document["Statement"]
    assert refuses_plain(iam.to_json({"Statement": statement}))
    assert not refuses_plain(iam.to_json({"Statement": statement | change}))


def test_an_empty_account_is_missing_every_part(aws, fsx_endpoint):
    given = spec()
    found = compare(desired(given), observe(given, aws))
    assert {difference.part for difference in found} == set(desired(given))
    assert {(difference.attribute, difference.found) for difference in found} == {("exists", "absent")}


def test_without_a_right_the_comparison_is_an_error_and_not_a_difference(aws, fsx_endpoint, monkeypatch):
    from lakelink.errors import NotPermitted

    class Denied:
        def head_bucket(self, **_):
            from botocore.exceptions import ClientError

            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "HeadBucket")

    with pytest.raises(NotPermitted) as problem:
        observe(spec(), lambda service: Denied() if service == "s3" else aws(service))
    assert "lakelink infra iam" in problem.value.hint


def test_when_the_subnet_fails_what_does_not_need_it_exists_and_a_second_run_finishes(aws, fsx_endpoint, fsx_service):
    broken = spec(network={"availability_zone": f"{REGION}z"})
    outcome, _ = apply(broken, aws)
    assert list(outcome.failed) == ["lab-subnet"]
    assert {"lab-bucket", "lab-bucket-policy", "lab-vpc", "lab-file-system-group", "lab-client-group"} <= set(
        outcome.made
    )
    assert {"lab-file-system", "lab-association-0", "lab-client"} <= set(outcome.skipped)
    assert fsx_service.state.file_systems == {}
    assert aws("ec2").describe_instances()["Reservations"] == []
    first = {name: made.id for name, made in outcome.made.items()}
    mended = spec(network={"availability_zone": f"{REGION}a"})
    again, _ = apply(mended, aws, outcome.made)
    assert (again.failed, again.skipped) == ({}, [])
    assert {name: made.id for name, made in again.made.items() if name in first} == first
    assert compare(desired(mended), observe(mended, aws)) == []
