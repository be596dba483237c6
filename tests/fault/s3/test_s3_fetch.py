"""The short way to a small object: one question and one plain answer, or nothing; the long way then says what is wrong."""

from __future__ import annotations

import asyncio
import hashlib
import os

import pytest
from scripted_http import Reply, ScriptedServer, error

from lakelink.core.backoff import Backoff
from lakelink.errors import ChangedWhileRead, LakelinkError
from lakelink.locations.base import Prompt, Read
from lakelink.locations.s3.open import S3Access, Traffic, open_s3
from lakelink.model.entry import Version
from lakelink.ports.crt_auth import CredentialSource

DATA = os.urandom(4096)
MD5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
OTHER = hashlib.md5(b"other", usedforsecurity=False).hexdigest()
QUICK = Traffic(backoff=Backoff(base_s=0.005, cap_s=0.02, attempts=3))


def asked(handler, *, traffic=QUICK):
    """What the short way and the long way give, and how many requests the first took."""

    async def main():
        async with ScriptedServer(handler) as server:
            access = S3Access(
                endpoint=server.url, credentials=CredentialSource("AK", "SK"), proxy="", region="us-east-1"
            )
            location = open_s3("s3://lake/p", access, traffic=traffic, environ={})
            try:
                read = Read("k", len(DATA), Version(len(DATA), 0, etag=MD5))
                assert isinstance(location, Prompt)
                short = await location.fetch(read)
                first = len(server.seen)
                (content,) = await location.read([read])
                long = content if isinstance(content, LakelinkError) else await content.load()
                return short, first, long, server.seen
            finally:
                await location.aclose()

    return asyncio.run(main())


def whole(seen):
    return Reply(body=DATA, headers={"ETag": f'"{MD5}"'})


def test_one_signed_question_for_the_version_that_is_expected():
    short, count, long, seen = asked(whole)
    assert (short, count, long) == (DATA, 1, DATA)
    assert seen[0].headers["if-match"] == f'"{MD5}"'
    assert "authorization" in seen[0].headers


def test_an_object_that_changed_is_told_by_the_long_way():
    short, count, long, _ = asked(lambda seen: error(412, "PreconditionFailed"))
    assert (short, count) == (None, 1)
    assert isinstance(long, ChangedWhileRead)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=DATA, headers={"ETag": f'"{OTHER}"'}),
        Reply(body=DATA[:-1], headers={"ETag": f'"{MD5}"'}),
        Reply(body=bytes(4096), headers={"ETag": f'"{MD5}"'}),
        error(503, "SlowDown"),
    ],
    ids=["another-version", "too-short", "other-bytes", "held-back"],
)
def test_whatever_is_not_the_plain_answer_is_nothing_and_not_asked_for_again(reply):
    replies = iter([reply])
    short, count, long, _ = asked(lambda seen: next(replies, None) or whole(seen))
    assert (short, count, long) == (None, 1, DATA)


def test_an_etag_that_is_no_digest_is_found_out_by_the_long_way_and_then_goes_the_short_one():
    async def main():
        async with ScriptedServer(lambda seen: Reply(body=DATA, headers={"ETag": f'"{OTHER}"'})) as server:
            access = S3Access(
                endpoint=server.url, credentials=CredentialSource("AK", "SK"), proxy="", region="us-east-1"
            )
            location = open_s3("s3://lake/p", access, traffic=QUICK, environ={})
            try:
                read = Read("k", len(DATA), Version(len(DATA), 0, etag=OTHER))
                first = await location.fetch(read)
                await location.read([read])
                return first, await location.fetch(read)
            finally:
                await location.aclose()

    assert asyncio.run(main()) == (None, DATA)


def test_no_way_past_what_holds_requests_back():
    short, count, long, _ = asked(whole, traffic=Traffic(requests_per_s=1000.0))
    assert (short, count, long) == (None, 0, DATA)


def test_a_version_without_a_name_or_a_large_one_goes_the_long_way():
    async def main():
        location = open_s3("s3://lake/p", S3Access(endpoint="http://127.0.0.1:9", region="us-east-1"), environ={})
        large, nameless = Read("k", 1 << 30, Version(1 << 30, 0, etag="e")), Read("k", 5, Version(5, 0))
        found = [await location.fetch(read) for read in (large, nameless, Read("k", 5))]
        await location.aclose()
        return found

    assert asyncio.run(main()) == [None, None, None]


def test_a_store_that_is_not_there_is_nothing():
    async def main():
        access = S3Access(
            endpoint="http://127.0.0.1:9", credentials=CredentialSource("AK", "SK"), proxy="", region="us-east-1"
        )
        location = open_s3("s3://lake/p", access, environ={})
        found = await location.fetch(Read("k", 5, Version(5, 0, etag="e")))
        await location.aclose()
        return found

    assert asyncio.run(main()) is None
