"""HTTP answers from bytes, in whatever pieces they come; and what is no answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.ports.answer import MAX_ERROR_BODY_BYTES, MOST_HEAD_BYTES, Answer, NotHttp

PLAIN = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag:  "e" \r\nX-Empty:\r\n\r\nhello'
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n02;of=this\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n"
)
WHOLE = {
    "length": PLAIN,
    "chunks": CHUNKED,
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + PLAIN,
    "no reason": PLAIN.replace(b" OK", b""),
    "old": PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "closing": PLAIN.replace(b"X-Empty:", b"Connection: Close"),
}


def read(data, cuts=(), *, head=False):
    answer = Answer(head=head)
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        answer.feed(data[start:end])
    return answer


@pytest.mark.parametrize("name", WHOLE)
@given(cuts=st.data())
def test_an_answer_is_the_same_in_whatever_pieces_it_comes(name, cuts):
    data = WHOLE[name]
    answer = read(data, sorted(cuts.draw(st.sets(st.integers(1, len(data) - 1), max_size=8))))
    assert answer.is_over
    assert (answer.status, answer.body, answer.received) == (200, b"hello", 5)
    assert answer.reusable is (name not in {"old", "closing"})


def test_headers_have_small_names_and_no_spaces_around():
    assert read(PLAIN).headers == {"content-length": "5", "etag": '"e"', "x-empty": ""}
    assert read(PLAIN.replace(b'"e"', "ü€".encode())).headers["etag"] == "ü€"


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_no_body_whatever_they_say(status):
    for data, head in (
        (PLAIN.partition(b"hello")[0], True),
        (b"HTTP/1.1 %d X\r\nContent-Length: 9\r\n\r\n" % status, False),
    ):
        answer = read(data, head=head)
        assert (answer.is_over, answer.reusable, answer.body) == (True, True, b"")


def test_without_a_length_the_body_ends_with_the_connection():
    answer = read(b"HTTP/1.1 200 OK\r\n\r\nhello")
    assert not answer.is_over
    answer.end()
    assert (answer.is_over, answer.reusable, answer.body) == (True, False, b"hello")


@pytest.mark.parametrize("data", [b"", PLAIN[:10], PLAIN[:-1], CHUNKED[:-2], CHUNKED[:-20]])
def test_half_an_answer_is_none(data):
    answer = read(data)
    with pytest.raises(NotHttp):
        answer.end()
    assert not answer.is_over


def test_of_a_refusal_only_the_beginning_is_kept():
    size = MAX_ERROR_BODY_BYTES + 10
    head = b"HTTP/1.1 503 Slow\r\nContent-Length: %d\r\n\r\n" % size
    answer = read(head + bytes(size), [len(head) + 100, len(head) + 1000])
    assert (answer.is_over, answer.received, len(answer.body)) == (True, size, 1000)


@pytest.mark.parametrize(
    "data",
    [
        PLAIN + b"H",
        CHUNKED + b"\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nSpace : x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: x\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: x\ny\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: \xff\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + bytes(MOST_HEAD_BYTES),
        CHUNKED.replace(b"3\r\nhel", b"-3\r\nhel"),
        CHUNKED.replace(b"3\r\nhel\r\n", b"3\r\nhello"),
        CHUNKED.replace(b";of=this", b";" + b"x" * MOST_HEAD_BYTES + b"\r\n"),
    ],
)
def test_what_could_be_read_in_two_ways_is_not_read(data):
    with pytest.raises(NotHttp):
        read(data)


def test_nothing_may_follow_an_answer():
    answer = read(PLAIN)
    with pytest.raises(NotHttp):
        answer.feed(b"H")


@given(st.lists(st.binary(max_size=60), max_size=8), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", CHUNKED[:50]]))
def test_bytes_of_any_kind_are_an_answer_or_none(pieces, before):
    answer = Answer(head=False)
    try:
        for piece in [before, *pieces]:
            answer.feed(piece)
        answer.end()
    except NotHttp:
        return
    assert answer.is_over
