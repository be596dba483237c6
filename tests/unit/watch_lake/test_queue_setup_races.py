"""A bucket whose notifications somebody else changes, at the worst moment."""

import asyncio

import pytest

from lakelink.errors import Refused, StorageError
from lakelink.ports.crt_io import Endpoint
from lakelink.ports.wire import WireRequest, WireResponse
from lakelink.watch.notifications import EVENTS, LIFECYCLE, Notification, Notifications
from lakelink.watch.queue_setup import QueueSetup, queue_name
from lakelink.watch.sqs_api import SqsApi, parse_queue
from tests.unit.watch_lake.answering import Wire

QUEUE = parse_queue("arn:aws:sqs:eu-central-1:123456789012:events")
EMPTY = b'<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>'


class Clock:
    now_s = 0.0

    def time_ns(self):
        return int(self.now_s * 1e9)

    def monotonic(self):
        return self.now_s

    async def sleep(self, seconds):
        self.now_s += seconds


class Bucket:
    """Holds the document; `before_get`, `after_get` and `on_put` are what happens meanwhile."""

    bucket = "lake"

    def __init__(self, host="minio.example"):
        self.endpoint = Endpoint(host, 443, True)
        self.document = Notifications(EMPTY, "lake")
        self.gets = self.puts = 0
        self.before_get = self.after_get = lambda: None
        self.on_put = lambda: None

    def request(self, operation, method, key, *, query="", headers=None):
        assert query == "notification"
        return WireRequest(operation, method, "/lake/", query, headers or [])

    async def call(self, request, name):
        if request.method == "GET":
            self.gets += 1
            self.before_get()
            answer = WireResponse(200, {}, self.document.document())
            self.after_get()
            return answer
        self.on_put()
        self.puts += 1
        self.document = Notifications(request.body, "lake")
        assert "content-md5" in dict(request.headers)
        return WireResponse(200)


def setup_of(bucket):
    sqs = SqsApi(Wire(200, {"Attributes": {}}), "https://sqs")
    return QueueSetup("logs", "logs", bucket, sqs, clock=Clock())


def theirs(number):
    return Notification(f"theirs-{number}", "arn:theirs", EVENTS, f"theirs-{number}/")


def ids(bucket):
    return {each.id for each in bucket.document.all}


def test_what_somebody_adds_while_it_is_read_is_kept():
    bucket = Bucket()

    def meanwhile():
        if bucket.gets == 2:  # what was answered is what the change will be made from
            bucket.document.add(theirs(1))

    bucket.after_get = meanwhile
    asyncio.run(setup_of(bucket).install(QUEUE))
    assert ids(bucket) == {"theirs-1", "lakelink-logs"}


def test_overlap_that_appears_meanwhile_is_refused():
    bucket = Bucket()

    def meanwhile():
        if bucket.gets == 1:
            bucket.document.add(Notification("theirs", "arn:theirs", EVENTS))

    bucket.after_get = meanwhile
    with pytest.raises(Refused, match="theirs"):
        asyncio.run(setup_of(bucket).install(QUEUE))
    assert ids(bucket) == {"theirs"}


def test_somebody_who_undoes_it_each_time_is_told_of():
    bucket = Bucket()

    def meanwhile():
        bucket.document.remove("lakelink-logs")

    bucket.before_get = meanwhile
    with pytest.raises(StorageError, match="not what was written"):
        asyncio.run(setup_of(bucket).install(QUEUE))


def test_a_policy_that_s3_does_not_know_yet_is_waited_for():
    bucket = Bucket()
    refusals = [StorageError("InvalidArgument (Unable to validate the following destination configurations)")] * 5

    def on_put():
        if refusals:
            raise refusals.pop()

    bucket.on_put = on_put
    asyncio.run(setup_of(bucket).install(QUEUE))
    assert ids(bucket) == {"lakelink-logs"}


def test_a_policy_that_s3_never_accepts_is_an_error_and_no_endless_wait():
    bucket = Bucket()

    def on_put():
        raise StorageError("InvalidArgument (Unable to validate the following destination configurations)")

    bucket.on_put = on_put
    with pytest.raises(StorageError, match="Unable to validate"):
        asyncio.run(setup_of(bucket).install(QUEUE))
    assert ids(bucket) == set()


@pytest.mark.parametrize(
    ("host", "events"), [("minio.example", EVENTS), ("s3.eu-central-1.amazonaws.com", EVENTS + LIFECYCLE)]
)
def test_expiry_is_asked_for_where_it_is_known(host, events):
    bucket = Bucket(host)
    asyncio.run(setup_of(bucket).install(QUEUE))
    assert bucket.document.find("lakelink-logs") == Notification("lakelink-logs", QUEUE.arn, events, "logs/")
    assert bucket.puts == 1


def test_queues_are_named_apart():
    names = {
        queue_name("logs", "lake", "logs/", "here"),
        queue_name("logs", "lake", "logs/", "there"),
        queue_name("logs", "pond", "logs/", "here"),
        queue_name("logs", "lake", "", "here"),
    }
    assert len(names) == 4
    long = queue_name("ä" * 200, "lake", "", "here")
    assert parse_queue(f"arn:aws:sqs:eu-central-1:123456789012:{long}").name == long
