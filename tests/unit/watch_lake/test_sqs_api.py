"""Requests and refusals of the queue service, at the wire."""

import asyncio
import json

import pytest

from lakelink.errors import ConfigError, CredentialsRefused, NotPermitted, QueueMissing, StorageError, Unreachable
from lakelink.watch import sqs_api
from lakelink.watch.sqs_api import Message, SqsApi, parse_queue, queue_endpoint, sqs_endpoint
from tests.unit.watch_lake.answering import Wire

QUEUE = parse_queue("arn:aws:sqs:eu-central-1:123456789012:events")


def api(status, body):
    wire = Wire(status, body)
    return SqsApi(wire, "https://sqs.eu-central-1.amazonaws.com/"), wire


def test_a_poll_is_one_request_and_messages_are_read_leniently():
    async def main():
        told = {"MessageId": "m", "ReceiptHandle": "h", "Body": "b", "Attributes": {"SentTimestamp": "1700000000000"}}
        service, wire = api(200, {"Messages": [told, {"MessageId": "n", "Attributes": {"SentTimestamp": "?"}}, 7]})
        found = await service.receive(QUEUE, wait_s=20, visibility_s=30)
        assert found == [Message("m", "h", "b", 1_700_000_000_000), Message("n", "", "", 0)]
        (request,) = wire.requests
        assert (request.method, request.path, dict(request.headers)["x-amz-target"]) == (
            "POST",
            "/",
            "AmazonSQS.ReceiveMessage",
        )
        assert json.loads(request.body) == {
            "QueueUrl": "https://sqs.eu-central-1.amazonaws.com/123456789012/events",
            "MaxNumberOfMessages": 10,
            "WaitTimeSeconds": 20,
            "VisibilityTimeout": 30,
            "MessageSystemAttributeNames": ["SentTimestamp"],
        }

    asyncio.run(main())


@pytest.mark.parametrize("body", [b"", {}, {"Messages": None}, {"Messages": {}}, []])
def test_an_answer_without_messages_is_none(body):
    assert asyncio.run(api(200, body)[0].receive(QUEUE, wait_s=0, visibility_s=30)) == []


def test_deleting_tells_how_many_went():
    service, wire = api(200, {"Successful": [{"Id": "0"}], "Failed": [{"Id": "1"}]})
    assert asyncio.run(service.delete(QUEUE, ["a", "b"])) == 1
    assert [each["ReceiptHandle"] for each in json.loads(wire.requests[0].body)["Entries"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "com.amazonaws.sqs#QueueDoesNotExist", QueueMissing),
        (400, "AWS.SimpleQueueService.NonExistentQueue", QueueMissing),
        (403, "AccessDenied", NotPermitted),
        (400, "com.amazon.coral.service#AccessDeniedException", NotPermitted),
        (403, "InvalidClientTokenId", CredentialsRefused),
        (403, "SignatureDoesNotMatch", CredentialsRefused),
        (400, "com.amazonaws.sqs#RequestThrottled", Unreachable),
        (503, "", Unreachable),
        (429, "", Unreachable),
        (403, "", NotPermitted),
        (400, "InvalidAttributeName", StorageError),
    ],
)
def test_refusals_become_errors_that_say_what_to_do(status, code, error):
    service, _ = api(status, {"__type": code, "message": "no"})
    with pytest.raises(error) as refusal:
        asyncio.run(service.delete(QUEUE, ["a"]))
    assert "DeleteMessageBatch" in refusal.value.message
    if error is NotPermitted:
        assert "sqs:DeleteMessage " in refusal.value.hint


def test_something_else_than_json_is_refused():
    with pytest.raises(StorageError, match="JSON"):
        asyncio.run(api(200, b"<html>")[0].attributes(QUEUE))


def test_a_service_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(sqs_api, "CALL_TIMEOUT_S", 0.01)

    class Silent(Wire):
        async def send(self, request):
            await asyncio.Event().wait()

    with pytest.raises(Unreachable, match="no answer"):
        asyncio.run(SqsApi(Silent(200, b""), "http://x").attributes(QUEUE))


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({}, "https://sqs.eu-central-1.amazonaws.com"),
        ({"AWS_ENDPOINT_URL": "http://a"}, "http://a"),
        ({"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_SQS": "http://b"}, "http://b"),
    ],
)
def test_where_the_service_is(environ, endpoint):
    assert sqs_endpoint("eu-central-1", environ) == endpoint
    assert sqs_endpoint("cn-north-1", {}).endswith(".amazonaws.com.cn")


@pytest.mark.parametrize(
    ("text", "arn", "endpoint"),
    [
        ("arn:aws:sqs:eu-central-1:123456789012:q", "arn:aws:sqs:eu-central-1:123456789012:q", ""),
        ("https://sqs.eu-central-1.amazonaws.com/123456789012/q", "arn:aws:sqs:eu-central-1:123456789012:q", ""),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q", "arn:aws-cn:sqs:cn-north-1:123456789012:q", ""),
        (
            "https://sqs.us-gov-west-1.amazonaws.com/123456789012/q",
            "arn:aws-us-gov:sqs:us-gov-west-1:123456789012:q",
            "",
        ),
        ("http://127.0.0.1:9324/000000000000/q", "arn:aws:sqs:eu-west-1:000000000000:q", "http://127.0.0.1:9324"),
    ],
)
def test_a_queue_is_named_by_arn_or_url(text, arn, endpoint):
    assert parse_queue(text, "eu-west-1").arn == arn
    assert queue_endpoint(text) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "q",
        "arn:aws:sns:r:1:t",
        "https://sqs.eu-central-1.amazonaws.com/q",
        "https://x/1/2",
        "http://[",
        "arn:aws:sqs:eu-central-1:123456789012:q.fifo",
    ],
)
def test_what_names_no_queue_is_refused(text):
    with pytest.raises(ConfigError):
        parse_queue(text)
