"""Against a real account, only when asked: creates everything, moves files both ways, removes it again. Costs money and takes long."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lakelink.cli.infra import run
from lakelink.infra.load import load
from lakelink.infra.names import PART_TAG, STACK_TAG, bucket_name

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(4 * 3600),
    pytest.mark.skipif(
        os.environ.get("LAKELINK_AWS_TEST") != "1",
        reason="creates resources in a real account and costs money: set LAKELINK_AWS_TEST=1 and LAKELINK_AWS_TEST_CONFIG",
    ),
]
DEADLINE_S = 600


def eventually(question: Callable[[], bool], what: str) -> None:
    """Wait until the answer is yes."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if question():
            return
        time.sleep(5)
    pytest.fail(f"{what}: not within {DEADLINE_S} s")


def test_everything_is_made_files_travel_both_ways_and_all_goes_again():
    import boto3

    if shutil.which("pulumi") is None:
        pytest.skip("the Pulumi CLI is not on PATH")
    config = os.environ["LAKELINK_AWS_TEST_CONFIG"]
    spec = load(config).spec
    assert spec.client.session_manager, "the test runs commands on the client: set session_manager = true"
    session = boto3.session.Session(region_name=spec.region)
    s3, ssm, ec2 = session.client("s3"), session.client("ssm"), session.client("ec2")
    bucket = bucket_name(spec)
    directory = Path(spec.client.mount_point + spec.links[0].file_system_path)
    arguments = ["--config", config, "--stack", "lakelink-test", "--yes"]
    try:
        assert run(["up", *arguments]) == 0
        assert run(["drift", "--config", config]) == 0
        tags = [{"Name": f"tag:{STACK_TAG}", "Values": [spec.name]}, {"Name": f"tag:{PART_TAG}", "Values": ["client"]}]
        client = ec2.describe_instances(Filters=tags)["Reservations"][0]["Instances"][0]["InstanceId"]

        def on_client(command: str) -> bool:
            sent = ssm.send_command(
                InstanceIds=[client], DocumentName="AWS-RunShellScript", Parameters={"commands": [command]}
            )["Command"]["CommandId"]
            ssm.get_waiter("command_executed").wait(CommandId=sent, InstanceId=client)
            return True

        def there(key: str) -> bool:
            return key in {o["Key"] for o in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}

        def holds(command: str) -> Callable[[], bool]:
            def question() -> bool:
                from botocore.exceptions import ClientError, WaiterError

                try:
                    return on_client(command)
                except (ClientError, WaiterError):
                    return False

            return question

        eventually(holds(f"mountpoint -q {spec.client.mount_point}"), "the client mounts")
        s3.put_object(Bucket=bucket, Key=f"{spec.links[0].prefix}down", Body=b"1")
        eventually(holds(f"test -e {directory}/down"), "an object appears as a file")
        on_client(f"echo 1 > {directory}/up")
        eventually(lambda: there(f"{spec.links[0].prefix}up"), "a file appears as an object")
        on_client(f"rm {directory}/up")
        eventually(lambda: not there(f"{spec.links[0].prefix}up"), "a deleted file's object goes")
        s3.delete_object(Bucket=bucket, Key=f"{spec.links[0].prefix}down")
        eventually(holds(f"test ! -e {directory}/down"), "a deleted object's file goes")
    finally:
        assert run(["destroy", *arguments]) == 0
