"""Whatever bytes arrive, the parser gives a request, nothing, or its own refusal."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from lakelink.daemon.http import HEAD_BYTES, BadRequest, HttpRequest, read_request

PIECES = st.sampled_from(
    [b"GET ", b"POST ", b"/v1/x", b" HTTP/1.1", b"\r\n", b"\r\n\r\n", b"Content-Length: 3", b"Content-Length: x",
     b"Host: a", b"Transfer-Encoding: chunked", b": ", b"\x00", b"\xff", b"abc", b"\n", b" "]
)  # fmt: skip


def parse(data):
    async def main():
        reader = asyncio.StreamReader(limit=HEAD_BYTES)
        reader.feed_data(data)
        reader.feed_eof()
        try:
            return await read_request(reader)
        except BadRequest as error:
            return error

    return asyncio.run(main())


@given(st.lists(PIECES | st.binary(max_size=20), max_size=12).map(b"".join))
def test_any_bytes_give_a_request_or_a_refusal(data):
    found = parse(data)
    assert isinstance(found, HttpRequest | BadRequest) or (found is None and data == b"")
    if isinstance(found, HttpRequest):
        assert len(found.body) == int(found.fields.get("content-length", "0"))


def test_a_request_is_read_as_it_is():
    found = parse(b"POST /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nX-Y:\t z \r\n\r\nabc")
    assert found == HttpRequest("POST", "/v1/a", {"host": "x", "content-length": "3", "x-y": "z"}, b"abc")
