"""A store, or something in front of it, that says what is not so: never believed where bytes or deletes depend on it."""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import os
import time

import pytest
from scripted_http import LISTING, Hang, Reply, ScriptedServer, error
from test_s3_wire_faults import in_turn, listed, scenario, wire_to

from lakelink.errors import ConfigError, Corrupt, CredentialsRefused, LakelinkError, StorageError, Unreachable
from lakelink.locations.base import Read
from lakelink.locations.s3.download import CHUNK_RANGE_BYTES
from lakelink.model.entry import Entry, Version
from lakelink.ports import crt_auth
from lakelink.ports.crt_auth import CredentialSource
from lakelink.ports.wire import WireRequest

BIG = 9 << 20


def listing(*keys, truncated="<IsTruncated>false</IsTruncated>", size="1", modified="2026-11-23T10:00:00.000Z"):
    rows = "".join(
        f"<Contents><Key>p/{key}</Key><LastModified>{modified}</LastModified><ETag>&quot;e&quot;</ETag><Size>{size}</Size></Contents>"
        for key in keys
    )
    return Reply(body=f'<?xml version="1.0"?><ListBucketResult>{truncated}{rows}</ListBucketResult>'.encode())


def goes_on(token):
    return f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"


@pytest.mark.parametrize(
    "pages",
    [
        [listing("a", "b", "a")],
        [listing("a", "a")],
        [listing("a", "b", truncated=goes_on("1")), listing("c", "a")],
        [listing("a", truncated=goes_on("1")), listing("a", truncated=goes_on("2"))],
    ],
    ids=["page", "neighbours", "pages", "for-ever"],
)
def test_a_key_that_is_listed_twice_is_an_error_since_it_would_pass_for_one_to_delete(pages):
    with pytest.raises(StorageError, match="twice"):
        scenario(in_turn(*pages), listed)


def test_a_listing_that_repeats_its_token_ends_with_an_error():
    pages = [listing("a", truncated=goes_on("1")), listing("b", truncated=goes_on("1"))]
    with pytest.raises(StorageError, match="goes on"):
        scenario(in_turn(*pages), listed)


@pytest.mark.parametrize("truncated", ["", "<IsTruncated/>", "<IsTruncated>perhaps</IsTruncated>"])
def test_a_listing_that_does_not_say_that_it_is_complete_is_not(truncated):
    with pytest.raises(StorageError, match="complete"):
        scenario(in_turn(listing("a", truncated=truncated)), listed)


@pytest.mark.parametrize("word", ["True", "TRUE", " true ", "1"])
def test_a_listing_goes_on_however_its_store_spells_true(word):
    first = f"<IsTruncated>{word}</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    assert scenario(in_turn(listing("a", truncated=first), listing("b")), listed) == ["a", "b"]


@pytest.mark.parametrize("odd", [{"size": "many"}, {"size": ""}, {"modified": "yesterday"}, {"modified": ""}])
def test_sizes_and_times_that_are_none_are_an_error_of_the_store(odd):
    with pytest.raises(StorageError):
        scenario(in_turn(listing("a", **odd)), listed)


def ranged(data, *, place=lambda start, end: (start, end), whole=False, etag="e"):
    """A store with one object; `place` is which bytes it sends and says that it sends."""

    def handler(seen):
        headers = {"ETag": f'"{etag}"'}
        if seen.method == "HEAD":
            return Reply(headers=headers | {"Content-Length": str(len(data))})
        if whole or "range" not in seen.headers:
            return Reply(200, data, headers)
        start, end = (int(part) for part in seen.headers["range"].removeprefix("bytes=").split("-"))
        start, end = place(start, end)
        return Reply(206, data[start : end + 1], headers | {"Content-Range": f"bytes {start}-{end}/{len(data)}"})

    return handler


async def poured(content, tmp_path):
    with (tmp_path / "f").open("w+b") as file:
        await content.pour(file.fileno())
        file.seek(0)
        return file.read()


async def streamed(content, _tmp_path):
    return b"".join([chunk async for chunk in content.chunks()])


@pytest.mark.parametrize("take", [poured, streamed])
@pytest.mark.parametrize(
    "store",
    [{"whole": True}, {"place": lambda start, end: (start - 1, end - 1) if start else (start, end)}],
    ids=["whole", "elsewhere"],
)
def test_bytes_from_another_place_than_asked_for_are_refused(tmp_path, take, store):
    data = os.urandom(BIG)

    async def work(location, _server):
        (content,) = await location.read([Read("big", BIG, Version(BIG, 0, etag="e"))])
        with pytest.raises(StorageError, match=r"range|asked for"):
            await take(content, tmp_path)

    scenario(ranged(data, **store), work)


def test_an_object_of_another_size_than_listed_is_not_taken_for_it():
    async def work(location, _server):
        return await location.read([Read("a", 5, Version(5, 0, etag="e"))])

    (answer,) = scenario(in_turn(Reply(200, b"cut", {"ETag": '"e"'})), work)
    assert isinstance(answer, Corrupt)


def garbler(data):
    """Each answer has another byte wrong; the ETag would be an MD5."""
    count = 0
    inner = ranged(data, etag="0" * 32)

    def handler(seen):
        nonlocal count
        reply = inner(seen)
        count += 1
        if reply.body:
            reply.body = bytes([count % 256]) + reply.body[1:]
        return reply

    return handler


@pytest.mark.parametrize("size", [10, BIG])
@pytest.mark.parametrize("take", [poured, streamed])
def test_bytes_that_differ_each_time_are_not_blamed_on_the_etag(tmp_path, take, size):
    async def work(location, _server):
        location.store.md5.trusted = None
        (content,) = await location.read([Read("big", size)])
        if isinstance(content, LakelinkError):
            raise content
        await take(content, tmp_path)

    with pytest.raises(Corrupt):
        scenario(garbler(os.urandom(size)), work)


def test_a_stream_from_a_store_whose_etags_are_no_md5_is_read_twice_once():
    data = os.urandom(BIG)

    async def work(location, server):
        for _ in range(2):
            (content,) = await location.read([Read("big", BIG)])
            assert await streamed(content, None) == data
        return sum(seen.method == "GET" for seen in server.seen)

    parts = -(-BIG // CHUNK_RANGE_BYTES)
    assert scenario(ranged(data, etag="0" * 32), work) == 3 * parts


def test_a_stream_that_was_damaged_is_not_excused_by_a_second_read():
    data = os.urandom(BIG)
    inner = ranged(data, etag=hashlib.md5(data, usedforsecurity=False).hexdigest())
    damaged = []

    def handler(seen):
        reply = inner(seen)
        if seen.method == "GET" and not damaged:
            damaged.append(seen)
            reply.body = b"\0" * len(reply.body)
        return reply

    async def work(location, _server):
        (content,) = await location.read([Read("big", BIG)])
        await streamed(content, None)

    with pytest.raises(Corrupt):
        scenario(handler, work)


def test_many_requests_that_are_sent_elsewhere_at_once_all_follow():
    async def handler(seen):
        await asyncio.sleep(0.05)
        if "/us-east-1/s3/" in seen.headers["authorization"]:
            return Reply(301, headers={"x-amz-bucket-region": "eu-west-3"})
        return Reply(headers={"ETag": '"e"'})

    async def work(location, _server):
        return await location.stat([str(number) for number in range(12)])

    assert [type(answer) for answer in scenario(handler, work)] == [Entry] * 12


@pytest.mark.parametrize("region", ["evil.example/", "a.b", "x@evil", "eu west"])
def test_a_region_that_is_no_region_is_not_followed(region):
    async def work(location, server):
        with pytest.raises(StorageError):
            await listed(location)
        return len(server.seen)

    assert scenario(in_turn(error(301, "PermanentRedirect", **{"x-amz-bucket-region": region})), work) == 1


def test_a_clock_that_is_off_is_noticed_by_a_request_whose_refusal_has_no_body():
    server_now = time.time() - 7200

    def handler(seen):
        signed = time.strptime(seen.headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
        off = abs(time.mktime(signed) - time.timezone - server_now) > 900
        return Reply(
            403 if off else 200, headers={"ETag": '"e"', "Date": email.utils.formatdate(server_now, usegmt=True)}
        )

    async def work(location, _server):
        return await location.stat(["a"])

    (entry,) = scenario(handler, work)
    assert isinstance(entry, Entry)


@pytest.fixture
def shared(tmp_path, monkeypatch):
    path = tmp_path / "credentials"
    path.write_text("[work]\naws_access_key_id = OLD\naws_secret_access_key = s\naws_session_token = t\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    return path


def test_credentials_that_expired_are_fetched_again_after_a_refusal_without_a_body(shared):
    def handler(seen):
        if "Credential=OLD" in seen.headers["authorization"]:
            shared.write_text("[work]\naws_access_key_id = NEW\naws_secret_access_key = s\n")
            return Reply(400)
        return Reply(headers={"ETag": '"e"'})

    async def work(location, _server):
        return await location.stat(["a"])

    (entry,) = scenario(handler, work, credentials=CredentialSource(profile="work"))
    assert isinstance(entry, Entry)


def test_a_renewal_that_fails_does_not_stop_a_run_whose_credentials_still_work(shared, monkeypatch):
    async def work(location, server):
        assert await listed(location) == ["a"]
        shared.write_text("")  # just being written
        assert await listed(location) == ["a"]
        location.client._signer.refresh(0)  # the store says that they ended
        with pytest.raises(CredentialsRefused):
            await listed(location)
        return [seen.headers["authorization"].split("Credential=")[1][:3] for seen in server.seen]

    monkeypatch.setattr(crt_auth, "EXPIRE_AFTER_S", 0.0)
    assert scenario(in_turn(Reply(body=LISTING)), work, credentials=CredentialSource(profile="work")) == ["OLD", "OLD"]


def test_a_setting_that_is_wrong_does_not_use_up_the_connections():
    async def work(location, _server):
        return await location.stat([str(number) for number in range(20)])

    answers = scenario(in_turn(Reply(404)), work, proxy="socks5://127.0.0.1:1", max_connections=4)
    assert {type(answer) for answer in answers} == {ConfigError}


def test_a_closed_wire_sends_nothing_more():
    async def main():
        full = asyncio.Event()

        def handler(_seen):
            if len(server.seen) == 2:
                full.set()
            raise Hang

        async with ScriptedServer(handler) as server:
            wire = wire_to(server, max_connections=2)
            get = WireRequest("GetObject", "GET", "/lake/x")
            asked = [asyncio.ensure_future(wire.send(get)) for _ in range(6)]
            await full.wait()
            await wire.aclose()
            async with asyncio.timeout(60):
                answers = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(answer) for answer in answers] == [Unreachable] * 6
            assert len(server.seen) == 2

    asyncio.run(main())
