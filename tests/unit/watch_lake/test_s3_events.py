import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.watch.s3_events import Duplicates, KeyEvent, compare_sequencers, decode, decode_key


def record(key, *, source="aws:s3", name="ObjectCreated:Put", bucket="lake", **seen):
    return {
        "eventVersion": "2.1",
        "eventSource": source,
        "eventName": name,
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, **seen}},
    }


def keys(message):
    decoded = decode(json.dumps(message))
    assert not decoded.problems
    return [event.key for event in decoded.events]


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("plain/key.txt", "plain/key.txt"),
        ("red+flower.jpg", "red flower.jpg"),
        ("a%2Fb%2Bc%25", "a/b+c%"),  # as MinIO writes slashes
        ("%C3%A9t%C3%A9", "été"),
        ("été", "été"),
        ("%FF", "\udcff"),  # not UTF-8: kept as the bytes that it was
        ("%zz%", "%zz%"),
        ("dir/", "dir/"),
    ],
)
def test_keys_of_records_are_form_encoded(written, key):
    assert decode_key(written) == key
    assert keys({"Records": [record(written)]}) == [key]


def test_all_records_of_a_message_are_read_with_what_tells_them_apart():
    message = {"Records": [record("a", sequencer="01", versionId="v1"), record("b", name="ObjectRemoved:Delete")]}
    assert decode(json.dumps(message)).events == (
        KeyEvent("lake", "a", "ObjectCreated:Put", "01", "v1"),
        KeyEvent("lake", "b", "ObjectRemoved:Delete"),
    )


def test_minio_puts_names_beside_the_records_and_reports_reading_too():
    message = {
        "EventName": "s3:ObjectCreated:Put",
        "Key": "lake/x%2Fy",
        "Records": [record("x%2Fy", source="minio:s3")],
    }
    assert keys(message) == ["x/y"]
    assert keys({"Records": [record("x", source="minio:s3", name="s3:ObjectAccessed:Get")]}) == []


def test_a_store_that_may_not_encode_keys_makes_us_look_at_both_readings():
    assert keys({"Records": [record("a+b", source="ceph:s3")]}) == ["a b", "a+b"]
    assert keys({"Records": [record("plain", source="ceph:s3")]}) == ["plain"]


def test_eventbridge_does_not_encode_keys():
    message = {
        "version": "0",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "detail": {"bucket": {"name": "lake"}, "object": {"key": "a+b%20", "sequencer": "0A", "version-id": "v"}},
    }
    assert decode(json.dumps(message)).events == (KeyEvent("lake", "a+b%20", "Object Created", "0A", "v"),)


def test_an_sns_envelope_is_opened():
    inner = json.dumps({"Records": [record("a")]})
    assert keys({"Type": "Notification", "Message": inner}) == ["a"]
    deep = inner
    for _ in range(10):
        deep = json.dumps({"Type": "Notification", "Message": deep})
    assert decode(deep).problems


def test_the_test_event_says_nothing_about_keys():
    assert decode('{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"lake"}') == decode(b"[]")


def test_one_bad_record_does_not_hide_the_others():
    decoded = decode(json.dumps({"Records": [None, record("a"), {"s3": []}, record(""), record("b", bucket=7)]}))
    assert [event.key for event in decoded.events] == ["a"]
    assert len(decoded.problems) == 4


@pytest.mark.parametrize(
    "junk",
    [b"", b"\xff\xfe", b"{", b"[" * 100_000, b"1" * 10_000, b'"\\ud800"', b"null", b"7", b'{"Records": 7}', b'{"detail": {}}',
     b'{"Type": "SubscriptionConfirmation", "SubscribeURL": "http://127.0.0.1/"}', b'{"event_type": "create"}'],
)  # fmt: skip
def test_junk_is_a_problem_and_no_error(junk):
    decoded = decode(junk)
    assert not decoded.events
    assert decoded.problems


words = st.sampled_from(
    ["Records", "s3", "bucket", "object", "name", "key", "detail", "Type", "Notification", "Message", "event_type",
     "message", "old_entry", "new_entry", "new_parent_path", "is_directory", "eventName", "/buckets/lake/a", "sequencer"]
)  # fmt: skip
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | words
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=4), inner, max_size=6)
)


@given(anything)
def test_whatever_json_comes_nothing_is_raised(document):
    decode(json.dumps(document))


@given(st.binary(max_size=64))
def test_whatever_bytes_come_nothing_is_raised(body):
    decode(body)


@given(st.text())
def test_whatever_key_is_written_it_is_decoded(text):
    decode_key(text).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    ("older", "newer"),
    [("0055AED6", "0055AED7"), ("0055AED6DCD90281E5", "0055AED6DCD90281E6"), ("00", "0001"), ("9", "A")],
)
def test_sequencers_are_compared_as_if_padded_on_the_right(older, newer):
    assert compare_sequencers(older, newer) < 0 < compare_sequencers(newer, older)


def test_sequencers_that_differ_in_case_or_trailing_zeros_are_the_same():
    assert compare_sequencers("0aF", "0AF000") == 0


def test_only_what_was_noted_before_is_a_duplicate():
    duplicates = Duplicates()
    event = KeyEvent("lake", "a", "ObjectCreated:Put", "0A")
    assert not duplicates.holds(event)
    duplicates.note(event)
    assert duplicates.holds(event)
    assert duplicates.holds(KeyEvent("lake", "a", "ObjectCreated:Put", "0A00"))


def test_an_older_newer_or_other_event_is_never_a_duplicate():
    duplicates = Duplicates()
    duplicates.note(KeyEvent("lake", "a", "ObjectCreated:Put", "0B", "v1"))
    for other in (
        KeyEvent("lake", "a", "ObjectCreated:Put", "0A", "v1"),
        KeyEvent("lake", "a", "ObjectCreated:Put", "0C", "v1"),
        KeyEvent("lake", "a", "ObjectCreated:Put", "0B", "v2"),
        KeyEvent("lake", "a", "ObjectRemoved:Delete", "0B", "v1"),
        KeyEvent("lake", "b", "ObjectCreated:Put", "0B", "v1"),
        KeyEvent("pond", "a", "ObjectCreated:Put", "0B", "v1"),
        KeyEvent("lake", "a", "ObjectCreated:Put", "", "v1"),
    ):
        assert not duplicates.holds(other)


def test_what_is_remembered_is_bounded():
    duplicates = Duplicates(limit=10)
    events = [KeyEvent("lake", f"{number}", "ObjectCreated:Put", "0A") for number in range(50)]
    for event in events:
        duplicates.note(event)
    assert len(duplicates) == 10
    assert not duplicates.holds(events[0])
    assert duplicates.holds(events[-1])
