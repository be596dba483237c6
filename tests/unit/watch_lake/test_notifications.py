import pytest

from lakelink.errors import StorageError, Unsupported
from lakelink.watch.notifications import EVENTS, LIFECYCLE, Notification, Notifications, overlapping

NS = "http://s3.amazonaws.com/doc/2006-03-01/"
OURS = Notification("lakelink-logs", "arn:aws:sqs:eu-central-1:123456789012:q", EVENTS, "logs/")
OTHERS = f"""<?xml version="1.0" encoding="UTF-8"?>
<NotificationConfiguration xmlns="{NS}">
  <TopicConfiguration><Id>t</Id><Topic>arn:aws:sns:r:1:t</Topic><Event>s3:ObjectRestore:*</Event></TopicConfiguration>
  <QueueConfiguration><Id>theirs</Id><Queue>arn:aws:sqs:r:1:q</Queue><Event>s3:ObjectCreated:Put</Event>
    <Filter><S3Key><FilterRule><Name>Prefix</Name><Value>in+box%2F/</Value></FilterRule>
    <FilterRule><Name>Suffix</Name><Value>.csv</Value></FilterRule></S3Key></Filter>
    <SomethingOfNextYear mode="x"><Deep>1</Deep></SomethingOfNextYear></QueueConfiguration>
  <CloudFunctionConfiguration><Id>f</Id><CloudFunction>arn:aws:lambda:r:1:f</CloudFunction><Event>s3:Replication:*</Event></CloudFunctionConfiguration>
  <EventBridgeConfiguration/>
</NotificationConfiguration>""".encode()
EMPTY = f'<NotificationConfiguration xmlns="{NS}"/>'.encode()


def test_what_others_wrote_is_read_and_kept_word_for_word():
    document = Notifications(OTHERS, "lake")
    before = document.copy()
    assert [each.id for each in document.all] == ["t", "theirs", "f"]
    assert document.find("theirs") == Notification(
        "theirs", "arn:aws:sqs:r:1:q", ("s3:ObjectCreated:Put",), "in box//", ".csv"
    )
    document.add(OURS)
    assert document != before
    written = document.document().decode()
    assert "SomethingOfNextYear" in written
    assert "EventBridgeConfiguration" in written
    assert document.remove(OURS.id)
    assert document == before
    assert not document.remove(OURS.id)


@pytest.mark.parametrize("body", [EMPTY, OTHERS, b"<NotificationConfiguration/>"])
def test_ours_is_found_again_after_writing_and_only_once(body):
    document = Notifications(body, "lake")
    document.add(Notification(OURS.id, "arn:old", EVENTS))
    document.add(OURS)
    again = Notifications(document.document(), "lake")
    assert again.find(OURS.id) == OURS
    assert [each.id for each in again.all].count(OURS.id) == 1
    assert again == document


def test_the_order_of_the_schema_is_kept():
    document = Notifications(OTHERS, "lake")
    document.add(OURS)
    assert [each.id for each in document.all] == ["t", "theirs", "lakelink-logs", "f"]


@pytest.mark.parametrize("prefix", ["a b/", "a+b/", "é/", "a&b<c>/", "50%/", ""])
def test_prefixes_survive_their_encoding(prefix):
    document = Notifications(EMPTY, "lake")
    ours = Notification("x", "arn:q", EVENTS, prefix)
    document.add(ours)
    assert Notifications(document.document(), "lake").find("x") == ours


@pytest.mark.parametrize("body", [b"", b"  ", b"<Other/>", b"<ListBucketResult xmlns='x'/>"])
def test_another_answer_means_that_the_store_has_no_such_thing(body):
    with pytest.raises(Unsupported):
        Notifications(body, "lake")


@pytest.mark.parametrize("body", [b"<Notif", b"junk", b"<!DOCTYPE a [<!ENTITY b 'c'>]><NotificationConfiguration/>"])
def test_broken_documents_are_refused(body):
    with pytest.raises(StorageError):
        Notifications(body, "lake")


def one(prefix="", suffix="", events=EVENTS):
    return Notification("theirs", "arn", tuple(events), prefix, suffix)


@pytest.mark.parametrize(
    ("theirs", "does"),
    [
        (one(), True),
        (one("logs/"), True),
        (one("lo"), True),
        (one("logs/deep/"), True),
        (one("logs/", ".csv"), True),
        (one("logs-2/"), False),
        (one("other/"), False),
        (one("logs/", events=["s3:ObjectCreated:Copy"]), True),
        (one("logs/", events=["s3:ObjectCreated:*"]), True),
        (one("logs/", events=["s3:*"]), True),
        (one("logs/", events=["s3:ObjectRestore:*"]), False),
        (one("logs/", events=LIFECYCLE), False),
        (one("logs/", events=[]), False),
    ],
)
def test_overlap_is_prefix_suffix_and_event(theirs, does):
    assert OURS.overlaps(theirs) is theirs.overlaps(OURS) is does
    assert bool(overlapping(OURS, [theirs])) is does


def test_one_does_not_overlap_itself():
    assert overlapping(OURS, [OURS]) == []
