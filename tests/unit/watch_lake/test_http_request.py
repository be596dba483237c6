import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.watch.http_request import MAX_BODY_BYTES, Rejected, parse_head


def head(*lines):
    return parse_head("\r\n".join([*lines, "", ""]).encode("latin-1"))


def test_request_line_and_fields():
    found = head("POST /events?x=1 HTTP/1.1", "Host: a", "content-LENGTH:  12 ", "Authorization: Bearer x")
    assert (found.method, found.path, found.length, found.keep_alive) == ("POST", "/events", 12, True)
    assert found.headers["authorization"] == "Bearer x"


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [
        ("1.1", "", True),
        ("1.1", "close", False),
        ("1.1", "Close", False),
        ("1.0", "", False),
        ("1.0", "keep-alive", True),
    ],
)
def test_whether_the_connection_stays(version, connection, keeps):
    assert head(f"POST / HTTP/{version}", f"Connection: {connection}").keep_alive is keeps


@pytest.mark.parametrize(
    "lines",
    [
        ("POST /events",),
        ("POST /events HTTP/2.0",),
        ("P0ST /events HTTP/1.1",),
        (" /events HTTP/1.1",),
        ("POST events HTTP/1.1",),
        ("POST /events HTTP/1.1", "no colon"),
        ("POST /events HTTP/1.1", "Name : x"),
        ("POST /events HTTP/1.1", " folded: x"),
        ("POST /events HTTP/1.1", ": x"),
        ("POST /events HTTP/1.1", "Content-Length: 1", "Content-Length: 2"),
        ("POST /events HTTP/1.1", "Authorization: a", "authorization: b"),
        ("POST /events HTTP/1.1", "X: a\nY: b"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(lines):
    with pytest.raises(Rejected) as refusal:
        head(*lines)
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    ("field", "status"),
    [
        ("X: y", 411),
        ("Transfer-Encoding: chunked", 411),
        ("Content-Length: -1", 400),
        ("Content-Length: 1e3", 400),
        ("Content-Length: ²", 400),
        (f"Content-Length: {MAX_BODY_BYTES + 1}", 413),
        ("Content-Length: 99999999999999999999999999", 400),
    ],
)
def test_the_length_is_known_and_bounded(field, status):
    with pytest.raises(Rejected) as refusal:
        _ = head("POST /events HTTP/1.1", field).length
    assert refusal.value.status == status


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_or_refused(raw):
    with contextlib.suppress(Rejected):
        _ = parse_head(b"POST / HTTP/1.1\r\n" + raw + b"\r\n\r\n").length
    with contextlib.suppress(Rejected):
        parse_head(raw)
