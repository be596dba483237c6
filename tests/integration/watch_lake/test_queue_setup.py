"""Queue, policy and notifications on a service that checks them, beside those of others."""

import asyncio
import json

import pytest

from lakelink.errors import ConfigError, NotFound, Refused, Unsupported
from lakelink.locations.s3.open import S3Access, open_s3
from lakelink.ports.crt_auth import CredentialSource
from lakelink.watch.queue_setup import QueueSetup
from lakelink.watch.sqs_api import parse_queue
from tests.integration.watch_lake.lake import polling

CREATED = ["s3:ObjectCreated:*"]


def others(lake, name="others"):
    """Another program's queue that S3 may send to, and its ARN."""
    url = lake.sqs.create_queue(QueueName=f"{lake.bucket}-{name}")["QueueUrl"]
    arn = lake.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allow = {"Sid": "theirs", "Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    lake.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    return arn


def configured(lake, *configurations):
    document = {"QueueConfigurations": list(configurations)}
    lake.s3.put_bucket_notification_configuration(Bucket=lake.bucket, NotificationConfiguration=document)


def theirs(arn, prefix, name="theirs"):
    rules = [{"Name": "prefix", "Value": prefix}, {"Name": "suffix", "Value": ".csv"}]
    return {"Id": name, "QueueArn": arn, "Events": CREATED, "Filter": {"Key": {"FilterRules": rules}}}


def ids(lake):
    return sorted(each["Id"] for each in lake.notifications().get("QueueConfigurations", []))


def policy(lake, queue):
    told = lake.sqs.get_queue_attributes(QueueUrl=lake.url(queue), AttributeNames=["Policy"]).get("Attributes", {})
    return [each["Sid"] for each in json.loads(told.get("Policy") or '{"Statement": []}')["Statement"]]


def test_ours_is_added_checked_and_removed_and_the_rest_stays(lake):
    async def main():
        arn = others(lake)
        configured(lake, theirs(arn, "reports/"))
        before = lake.notifications()
        queue = await lake.queue("logs", "logs")
        assert ids(lake) == ["lakelink-logs", "theirs"]
        async with lake.setup("logs", "logs") as setup:
            found = await setup.check(queue)
            assert all(each.ok for each in found), found
            await setup.remove(queue)
            assert lake.notifications() == before
            assert not all(each.ok for each in await setup.check(queue))
            await setup.remove(queue)  # again: nothing to do
        with pytest.raises(lake.sqs.exceptions.QueueDoesNotExist):
            lake.waiting(queue)

    asyncio.run(main())


def test_the_policy_lets_in_this_bucket_of_this_account_only(lake):
    async def main():
        queue = await lake.queue("logs", "logs")
        told = lake.sqs.get_queue_attributes(QueueUrl=lake.url(queue), AttributeNames=["Policy"])["Attributes"][
            "Policy"
        ]
        (statement,) = json.loads(told)["Statement"]
        assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
        assert statement["Condition"] == {
            "ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{lake.bucket}"},
            "StringEquals": {"aws:SourceAccount": queue.account},
        }

    asyncio.run(main())


def test_setting_up_twice_changes_nothing(lake):
    async def main():
        queue = await lake.queue("logs", "logs")
        before, allowed = lake.notifications(), policy(lake, queue)
        assert await lake.queue("logs", "logs") == queue
        assert (lake.notifications(), policy(lake, queue)) == (before, allowed)

    asyncio.run(main())


def test_links_share_a_queue_that_somebody_else_made_and_that_stays(lake):
    async def main():
        queue = parse_queue(others(lake))
        for link in ("a", "b"):
            async with lake.setup(link, link) as setup:
                await setup.install(queue)
        assert ids(lake) == ["lakelink-a", "lakelink-b"]
        async with polling(lake, queue, "a", "b") as (one, two):
            await asyncio.to_thread(lake.put, "a/1")
            await asyncio.to_thread(lake.put, "b/2")
            await one.sees("1")
            await two.sees("2")
            assert (one.paths, two.paths) == ({"1"}, {"2"})
        for link, left in (("a", 2), ("b", 1)):
            async with lake.setup(link, link) as setup:
                await setup.remove(queue)
            assert len(policy(lake, queue)) == left  # ours goes with the last link of the bucket
        assert ids(lake) == []
        assert policy(lake, queue) == ["theirs"]

    asyncio.run(main())


@pytest.mark.parametrize("prefix", ["", "lo", "logs/", "logs/deep/"])
def test_overlap_with_others_is_refused_before_anything_is_touched(lake, prefix):
    async def main():
        configured(lake, theirs(others(lake), prefix))
        before, queues = lake.notifications(), lake.sqs.list_queues().get("QueueUrls")
        async with lake.setup("logs", "logs") as setup:
            with pytest.raises(Refused, match="theirs"):
                await setup.create("here")
            queue = parse_queue(others(lake, "second"))
            queues = lake.sqs.list_queues().get("QueueUrls")
            with pytest.raises(Refused, match="theirs"):
                await setup.install(queue)
        assert (lake.notifications(), lake.sqs.list_queues().get("QueueUrls")) == (before, queues)
        assert policy(lake, queue) == ["theirs"]

    asyncio.run(main())


def test_another_installations_notifications_of_that_name_are_not_taken_over(lake):
    async def main():
        queue = await lake.queue("logs", "logs")
        before = lake.notifications()
        async with lake.setup("logs", "logs") as setup:
            with pytest.raises(Refused, match="lakelink-logs"):
                await setup.create("another machine")
            second = parse_queue(others(lake))
            with pytest.raises(Refused, match="lakelink-logs"):
                await setup.install(second)
            with pytest.raises(Refused, match=queue.name):
                await setup.remove(second)
            assert not all(each.ok for each in await setup.check(second))
        assert lake.notifications() == before

    asyncio.run(main())


def test_notifications_with_eventbridge_keep_it(lake):
    async def main():
        lake.s3.put_bucket_notification_configuration(
            Bucket=lake.bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        queue = await lake.queue("logs", "logs")
        assert set(lake.notifications()) == {"QueueConfigurations", "EventBridgeConfiguration"}
        async with lake.setup("logs", "logs") as setup:
            await setup.remove(queue)
        assert set(lake.notifications()) == {"EventBridgeConfiguration"}

    asyncio.run(main())


def test_a_prefix_with_unusual_characters_is_found_again(lake):
    async def main():
        prefix = "a b/c&d"
        await lake.queue("logs", prefix)
        before = lake.notifications()
        await lake.queue("logs", prefix)
        assert lake.notifications() == before

    asyncio.run(main())


def test_a_queue_or_bucket_that_is_gone_is_a_finding_and_no_obstacle_to_removing(lake):
    async def main():
        queue = await lake.queue("logs", "logs")
        lake.sqs.delete_queue(QueueUrl=lake.url(queue))
        async with lake.setup("logs", "logs") as setup:
            assert [each.ok for each in await setup.check(queue)] == [True, False]
            with pytest.raises(NotFound):
                await setup.install(queue)
            await setup.remove(queue)
            assert ids(lake) == []
            lake.s3.delete_bucket(Bucket=lake.bucket)
            assert [each.ok for each in await setup.check(queue)] == [False, False]
            await setup.remove(queue)

    asyncio.run(main())


def test_a_store_without_the_api_is_told_by_reading_and_never_written(seaweed):
    async def main():
        access = S3Access(
            endpoint=seaweed.endpoint,
            region="us-east-1",
            credentials=CredentialSource(seaweed.access_key, seaweed.secret_key),
        )
        location = open_s3(f"s3://{seaweed.bucket}/x", access, environ={})
        queue = parse_queue("arn:aws:sqs:us-east-1:000000000000:none")

        class Untouched:
            def __getattr__(self, name):
                raise AssertionError(name)

        setup = QueueSetup("logs", "x", location.client, Untouched())
        try:
            with pytest.raises(Unsupported):
                await setup.create("here")
            with pytest.raises(Unsupported):
                await setup.install(queue)
            assert "PutBucketNotificationConfiguration" not in location.requests
        finally:
            await location.aclose()

    asyncio.run(main())


@pytest.mark.parametrize(
    "arn", ["", "arn:aws:sns:us-east-1:000000000000:t", "https://sqs/1/q", "arn:aws:sqs:us-east-1:000000000000:q.fifo"]
)
def test_what_is_no_queue_is_refused(arn):
    with pytest.raises(ConfigError):
        parse_queue(arn)
