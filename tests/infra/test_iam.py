"""The policies: what the emulated apply and the comparison really called is allowed by what `iam` prints, and little else is."""

from __future__ import annotations

import pytest

from lakelink.infra import iam
from lakelink.infra.iam_actions import DEPLOY_ACTIONS, DRIFT_ACTIONS
from lakelink.infra.observe import observe
from lakelink.infra.program import deploy
from lakelink.infra.record import record, run
from tests.infra.emulator import Emulator
from tests.infra.matrix import KMS, MATRIX, SSH_KEY, spec

# Where the action is not called like the operation (service authorization reference, Amazon S3).
RENAMED = {
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:PutBucketNotificationConfiguration": "s3:PutBucketNotification",
    "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "s3:HeadBucket": "s3:ListBucket",
}


def action(service: str, operation: str) -> str:
    return RENAMED.get(f"{service}:{operation}", f"{service}:{operation}")


@pytest.mark.parametrize("name", ["defaults", "sisters", "private"])
def test_every_call_of_an_apply_is_allowed_for_the_type_that_made_it(aws, fsx_endpoint, name):
    emulator = Emulator("eu-central-1", aws)
    assert run(lambda: deploy(spec(**MATRIX[name])), emulator).failed == {}
    used = {(kind, action(service, operation)) for kind, service, operation in emulator.calls}
    assert len(used) > 10
    assert {(kind, one) for kind, one in used if one not in DEPLOY_ACTIONS[kind]} == set()


def test_every_call_of_a_comparison_is_allowed_and_only_reads(aws, fsx_endpoint):
    given, called = spec(**MATRIX["sisters"]), set()

    def watching(service):
        client = aws(service)
        client.meta.events.register(
            "before-parameter-build", lambda model, **_: called.add(action(service, model.name))
        )
        return client

    run(lambda: deploy(given), Emulator("eu-central-1", aws))
    observe(given, watching)
    observe(spec(), watching)
    assert called <= set(DRIFT_ACTIONS)
    assert {one.partition(":")[2][:3] for one in called} <= {"Get", "Des", "Lis"}


@pytest.mark.parametrize("name", MATRIX)
def test_every_type_that_a_specification_gives_has_its_actions(graphs, name):
    given = spec(**MATRIX[name])
    statements = iam.documents(given, graphs[name].types())["deployer"]["Statement"]
    assert {one["Sid"] for one in statements} >= {"S3", "Ec2"}
    assert not any("*" in action_ for one in statements for action_ in one["Action"])


def test_the_bucket_rights_of_the_deployer_end_at_the_bucket():
    given = spec()
    (one,) = [s for s in iam.documents(given, record(given).types())["deployer"]["Statement"] if s["Sid"] == "S3"]
    assert one["Resource"] == ["arn:aws:s3:::lab-eu-central-1-lake", "arn:aws:s3:::lab-eu-central-1-lake/*"]


def statements(**keys):
    """The deployer's statements, by name."""
    given = spec(**keys)
    return {one["Sid"]: one for one in iam.documents(given, record(given).types())["deployer"]["Statement"]}


def test_whoever_deploys_cannot_become_anyone_else():
    found = statements(client={"session_manager": True})
    assert found["Iam"]["Resource"] == ["arn:aws:iam::*:role/lab-*", "arn:aws:iam::*:instance-profile/lab-*"]
    assert not {"iam:PassRole", "iam:AttachRolePolicy", "iam:CreateServiceLinkedRole"} & set(found["Iam"]["Action"])
    assert found["PassRole"]["Resource"] == ["arn:aws:iam::*:role/lab-*"]
    assert "ec2.amazonaws.com" in found["PassRole"]["Condition"]["StringEquals"]["iam:PassedToService"]
    assert found["AttachPolicy"]["Condition"]["ArnEquals"]["iam:PolicyARN"].endswith(
        ":policy/AmazonSSMManagedInstanceCore"
    )
    assert all("/aws-service-role/" in one for one in found["ServiceRole"]["Resource"])
    everything = {sid for sid, one in found.items() if one["Resource"] == ["*"] and "Condition" not in one}
    assert everything == {"Sts"}


def test_a_key_of_ones_own_may_be_used_through_fsx_only():
    found = statements(kms_key_id=KMS)["FileSystemKey"]
    assert found["Resource"] == [KMS]
    assert found["Condition"] == {"StringEquals": {"kms:ViaService": "fsx.eu-central-1.amazonaws.com"}}
    assert "FileSystemKey" not in statements()


def test_other_parts_of_aws_have_arns_of_their_own():
    given = spec(region="us-gov-west-1")
    assert "arn:aws:" not in iam.to_json(iam.deployer(given, ["aws:s3/bucket:Bucket", "aws:iam/role:Role"]))


def test_a_prefix_is_never_a_pattern():
    found = iam.agent_rights("arn:b", "in*/$?/")["Statement"]
    assert found[1]["Resource"] == ["arn:b/in${*}/${$}${?}/*"]
    assert found[0]["Condition"]["StringLike"]["s3:prefix"][1] == "in${*}/${$}${?}/*"


def test_an_unknown_type_is_an_error_and_not_a_gap():
    with pytest.raises(KeyError, match="aws:new/thing:Thing"):
        iam.deployer(spec(), ["aws:new/thing:Thing"])


def test_the_agent_reaches_its_prefix_its_queue_and_its_key_and_nothing_else():
    found = iam.agent_rights("arn:b", "in/", "arn:q", kms_key_arn=KMS)["Statement"]
    resources = {one["Sid"]: one["Resource"] for one in found}
    assert resources == {
        "List": ["arn:b"],
        "Objects": ["arn:b/in/*"],
        "Bucket": ["arn:b"],
        "Queue": ["arn:q"],
        "Key": [KMS],
    }
    assert found[0]["Condition"] == {"StringLike": {"s3:prefix": ["in/", "in/*"]}}
    assert "Queue" not in {one["Sid"] for one in iam.agent_rights("arn:b", "in/")["Statement"]}


def test_an_sftp_user_cannot_leave_its_prefix():
    given = spec(file_system=False, transfer_users=[{"name": "anna", "public_key": SSH_KEY, "prefix": "anna"}])
    node = next(node for node in record(given).of("RolePolicy"))
    assert '"Resource":["arn:aws' not in node.inputs["policy"] or "/anna/*" in node.inputs["policy"]
    found = iam.transfer_rights("arn:b", "anna/")["Statement"]
    assert [one["Resource"] for one in found] == [["arn:b"], ["arn:b/anna/*"]]
