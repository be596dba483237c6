"""The S3 location against real servers: SeaweedFS (races, folding, tree order) and moto (every key of S3)."""

from __future__ import annotations

import asyncio
import os
import random

import boto3
import pytest
from botocore.config import Config

from lakelink.errors import (
    ChangedWhileRead,
    CredentialsRefused,
    LakelinkError,
    NameUnsupported,
    NotFound,
    PreconditionFailed,
    RootMissing,
    Unreachable,
)
from lakelink.locations.base import Copy, Delete, Read, SetPosix, Write
from lakelink.locations.content import BytesContent, StreamContent
from lakelink.locations.s3 import markers
from lakelink.locations.s3.open import S3Access, open_s3
from lakelink.locations.s3.options import MIB, S3Options
from lakelink.model.entry import Entry, Expect, Kind, Posix, Version
from lakelink.ports.crt_auth import CredentialSource

POSIX = Posix(mode=0o640, uid=7, gid=8, mtime_ns=1_700_000_000_123_456_789, atime_ns=1_700_000_001_000_000_001)
NOTHING = Expect(None)


def access_of(store, **changes) -> S3Access:
    source = CredentialSource(store.access_key, store.secret_key)
    return S3Access(endpoint=store.endpoint, region="us-east-1", credentials=source, proxy="", **changes)


def boto(store):
    """An independent client."""
    return boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        region_name="us-east-1",
        aws_access_key_id=store.access_key,
        aws_secret_access_key=store.secret_key,
        config=Config(proxies={}, s3={"addressing_style": "path"}),
    )


@pytest.fixture(params=["seaweed", "moto_server"])
def store(request):
    return request.getfixturevalue(request.param)


def on(store, prefix, work, options=None):
    """Run `work(location)` and close the location."""

    async def main():
        location = open_s3(f"s3://{store.bucket}/{prefix}", access_of(store), options)
        try:
            return await work(location)
        finally:
            await location.aclose()

    return asyncio.run(main())


def file_write(path, data, expect=NOTHING, posix=POSIX, attributes=None):
    return Write(path, Kind.FILE, BytesContent(data), posix, expect, attributes)


async def rows_of(location, excludes=None):
    batches = [batch async for batch in location.scan(excludes)]
    return {row.path: row for batch in batches for row in batch.rows}, [p for batch in batches for p in batch.problems]


ODD_NAMES = [
    "plain",
    "with blank",
    "plus+percent%20",
    "é/ü",
    "日本語",
    "quote\"'<&>;",
    "tab\tnewline\nend",
    "control\x01\x1f",
    "~tilde/-_.",
    "a=b&c?d#e",
    "x" * 255,
    "*?[]{}|^`",
    " lead and trail ",
    "deep/" * 40 + "end",
]


def test_every_odd_name_comes_back_with_content_and_metadata(store, s3_prefix):
    names = [
        name for name in ODD_NAMES if "\n" not in name or store.access_key != "moto"
    ]  # moto loses white space in paths

    async def work(location):
        data = {name: name.encode() * 3 for name in names}
        written = await location.write([file_write(name, body) for name, body in data.items()])
        assert [entry for entry in written if not isinstance(entry, Entry)] == []
        rows, problems = await rows_of(location)
        assert problems == []
        assert {path for path, row in rows.items() if row.kind is Kind.FILE} == set(names)
        contents = await location.read([Read(name, len(data[name])) for name in names])
        for name, content, entry in zip(names, contents, written, strict=True):
            assert await content.load() == data[name]
            assert content.entry.posix == POSIX
            assert content.entry.version.etag == entry.version.etag == rows[name].ident
            assert content.entry.version == rows[name].version
        removed = await location.delete([Delete(row.path, row.kind, Expect(row.version)) for row in rows.values()])
        assert removed == [None] * len(rows)
        left, _ = await rows_of(location)
        assert {path for path, row in left.items() if row.kind is Kind.FILE} == set()

    on(store, s3_prefix, work)


def test_an_object_carries_exactly_the_fsx_metadata(store, s3_prefix):
    async def work(location):
        await location.write(
            [
                file_write("f", b"x"),
                Write("d", Kind.DIR, None, POSIX, NOTHING),
                Write("l", Kind.SYMLINK, BytesContent(b"../t\xc3\xa9"), POSIX, NOTHING),
                file_write("bare", b"x", posix=None),
            ]
        )

    on(store, s3_prefix, work)

    client = boto(store)
    kept = (("f", "0100640"), ("l", "0120640")) + ((("d/", "0040640"),) if store.access_key == "moto" else ())
    common = {
        "file-owner": "7",
        "file-group": "8",
        "file-mtime": "1700000000123456789ns",
        "file-atime": "1700000001000000001ns",
        "user-agent": "lakelink",
    }
    for key, permissions in kept:
        head = client.head_object(Bucket=store.bucket, Key=f"{s3_prefix}/{key}")
        assert head["Metadata"] == common | {"file-permissions": permissions}
    assert client.head_object(Bucket=store.bucket, Key=f"{s3_prefix}/bare")["Metadata"] == {}
    assert client.get_object(Bucket=store.bucket, Key=f"{s3_prefix}/l")["Body"].read() == "../té".encode()


def test_stat_finds_objects_then_markers_then_prefixes(store, s3_prefix):
    async def work(location):
        link = Write("l", Kind.SYMLINK, BytesContent(b"target"), POSIX, NOTHING)
        await location.write(
            [file_write("f", b"abc"), Write("d", Kind.DIR, None, POSIX, NOTHING), link, file_write("i/x", b"")]
        )

        found = await location.stat(["f", "d", "l", "i", "none", ""])

        assert (found[0].kind, found[0].size_bytes, found[0].posix) == (Kind.FILE, 3, POSIX)
        assert (found[1].kind, found[1].posix) == (Kind.DIR, POSIX)
        assert (found[2].kind, found[2].target) == (Kind.SYMLINK, "target")
        assert found[3].kind is Kind.DIR
        assert found[4] is None
        assert found[5].kind is Kind.DIR
        (content,) = await location.read([Read("l", 6)])
        assert (content.entry.kind, content.entry.target) == (Kind.SYMLINK, "target")

    on(store, s3_prefix, work)


def test_writes_name_what_they_replace(store, s3_prefix):
    async def work(location):
        (first,) = await location.write([file_write("a", b"one")])
        again, stale, absent = await location.write(
            [
                file_write("a", b"two"),
                file_write("a", b"two", Expect(Version(3, 0, etag="0" * 32))),
                file_write("gone", b"two", Expect(first.version)),
            ]
        )
        assert [type(error) for error in (again, stale, absent)] == [PreconditionFailed] * 3
        (second,) = await location.write([file_write("a", b"two", Expect(first.version))])
        assert second.version.etag != first.version.etag
        (content,) = await location.read([Read("a", 3)])
        assert await content.load() == b"two"
        old, missing = await location.read([Read("a", 3, first.version), Read("nothing", 3)])
        assert isinstance(old, ChangedWhileRead)
        assert isinstance(missing, NotFound)

    on(store, s3_prefix, work)


def test_deletes_name_what_they_remove(store, s3_prefix):
    async def work(location):
        entries = await location.write([file_write("a", b"1"), file_write("d/b", b"2"), file_write("c", b"3")])
        stale = Expect(Version(1, 0, etag="0" * 32))
        answers = await location.delete(
            [
                Delete("a", Kind.FILE, stale),
                Delete("never", Kind.FILE, stale),
                Delete("d/b", Kind.FILE, Expect(entries[1].version)),
                Delete("c", Kind.FILE, NOTHING),
                Delete("d", Kind.DIR, Expect(Version(0, 0))),
            ]
        )
        assert [type(answer) for answer in answers] == [
            PreconditionFailed,
            type(None),
            type(None),
            PreconditionFailed,
            type(None),
        ]
        assert await location.delete([Delete("d/b", Kind.FILE, Expect(entries[1].version))]) == [None]
        rows, _ = await rows_of(location)
        assert {"a", "c"} <= set(rows)
        assert "d/b" not in rows

    on(store, s3_prefix, work)


def test_a_directory_is_deleted_only_when_it_is_empty(seaweed, s3_prefix):
    async def work(location):
        (marker,) = await location.write([Write("d", Kind.DIR, None, POSIX, NOTHING)])
        (child,) = await location.write([file_write("d/x", b"1")])  # at once, SeaweedFS may refuse the marker
        delete_marker = Delete("d", Kind.DIR, Expect(marker.version))
        (refused,) = await location.delete([delete_marker])
        assert isinstance(refused, PreconditionFailed)
        both = await location.delete([delete_marker, Delete("d/x", Kind.FILE, Expect(child.version))])
        assert both == [None, None]
        assert (await rows_of(location))[0] == {}

    on(seaweed, s3_prefix, work)


def test_metadata_changes_keep_content_foreign_metadata_and_tags(store, s3_prefix):
    client = boto(store)
    key = f"{s3_prefix}/f"
    client.put_object(
        Bucket=store.bucket,
        Key=key,
        Body=b"abc",
        ContentType="text/csv",
        Metadata={"colour": "blue"},
        Tagging="team=a%2Bb",
    )

    async def work(location):
        (entry,) = await location.stat(["f"])
        assert entry.posix is None
        (changed,) = await location.set_posix([SetPosix("f", Kind.FILE, POSIX, Expect(entry.version))])
        assert changed.version.etag == entry.version.etag
        (stale,) = await location.set_posix([SetPosix("f", Kind.FILE, POSIX, Expect(Version(3, 0, etag="0" * 32)))])
        assert isinstance(stale, PreconditionFailed)
        (rewritten,) = await location.write([file_write("f", b"defg", Expect(changed.version))])
        assert isinstance(rewritten, Entry)

    on(store, s3_prefix, work)

    head = client.head_object(Bucket=store.bucket, Key=key)
    assert head["ContentType"] == "text/csv"
    assert head["Metadata"]["colour"] == "blue"
    assert head["Metadata"]["file-permissions"] == "0100640"
    assert client.get_object_tagging(Bucket=store.bucket, Key=key)["TagSet"] == [{"Key": "team", "Value": "a+b"}]


def test_directories_without_a_marker_get_one_when_their_metadata_is_set(store, s3_prefix):
    async def work(location):
        await location.write([file_write("d/x", b"1")])
        rows, _ = await rows_of(location)
        (made,) = await location.set_posix([SetPosix("d", Kind.DIR, POSIX, Expect(rows["d"].version))])
        assert made.posix == POSIX
        (entry,) = await location.stat(["d"])
        assert entry.posix == POSIX
        (again,) = await location.set_posix([SetPosix("d", Kind.DIR, Posix(0o700, 1, 2, 3, 4), Expect(entry.version))])
        assert isinstance(again, Entry)
        assert (await location.stat(["d"]))[0].posix == Posix(0o700, 1, 2, 3, 4)

    on(store, s3_prefix, work)


def test_a_stream_of_unknown_length_becomes_one_object(store, s3_prefix):
    blocks = [os.urandom(3 * MIB + 7) for _ in range(7)]

    async def stream():
        for block in blocks:
            yield block

    async def work(location):
        small, large, empty = await location.write(
            [
                Write("small", Kind.FILE, StreamContent(lambda: one(b"abc")), POSIX, NOTHING),
                Write("large", Kind.FILE, StreamContent(stream), POSIX, NOTHING),
                Write("empty", Kind.FILE, StreamContent(lambda: one(b"")), POSIX, NOTHING),
            ]
        )
        whole = b"".join(blocks)
        assert (small.size_bytes, large.size_bytes, empty.size_bytes) == (3, len(whole), 0)
        (entry,) = await location.stat(["large"])
        assert entry.version.etag == large.version.etag
        (content,) = await location.read([Read("large", entry.size_bytes, entry.version)])
        assert b"".join([chunk async for chunk in content.chunks()]) == whole
        assert b"".join([c async for c in content.chunks(5 * MIB - 1, 14 * MIB)]) == whole[5 * MIB - 1 : 14 * MIB]
        (clash,) = await location.write([Write("large", Kind.FILE, StreamContent(stream), POSIX, NOTHING)])
        assert isinstance(clash, PreconditionFailed)

    async def one(data):
        yield data

    on(store, s3_prefix, work)
    uploads = boto(store).list_multipart_uploads(Bucket=store.bucket, Prefix=s3_prefix).get("Uploads", [])
    assert uploads == []


def test_a_large_object_is_poured_into_a_file_in_ranges(store, s3_prefix, tmp_path):
    data = os.urandom(20 * MIB + 11)

    async def work(location):
        (entry,) = await location.write([file_write("big", data)])
        (content,) = await location.read([Read("big", len(data), entry.version)])
        with (tmp_path / "out").open("w+b") as file:
            file.write(b"longer than nothing" * 10)
            file.flush()
            assert await content.pour(file.fileno()) == len(data)
            file.seek(0)
            assert file.read() == data
        assert content.entry.posix == POSIX
        (other,) = await location.write([file_write("big", data[::-1], Expect(entry.version))])
        assert isinstance(other, Entry)
        (old,) = await location.read([Read("big", len(data), entry.version)])
        with (tmp_path / "old").open("w+b") as file, pytest.raises(ChangedWhileRead):
            await old.pour(file.fileno())

    on(store, s3_prefix, work)


def test_content_of_the_same_store_is_copied_by_the_server(store, s3_prefix):
    async def work(location):
        (entry,) = await location.write([file_write("a", b"x" * 1000, attributes={"content-type": "text/csv"})])
        (content,) = await location.read([Read("a", 1000, entry.version)])
        before = location.requests.get("PutObject", 0)
        (copied,) = await location.write([Write("b", Kind.FILE, content, Posix(0o600, 1, 2, 3, 4), NOTHING)])
        assert isinstance(copied, Entry)
        (renamed,) = await location.copy([Copy("a", entry.version, "c", NOTHING)])
        assert isinstance(renamed, Entry)
        assert location.requests["PutObject"] == before
        found = await location.stat(["b", "c"])
        assert [e.posix for e in found] == [Posix(0o600, 1, 2, 3, 4), POSIX]
        clash, gone = await location.copy(
            [Copy("a", entry.version, "b", NOTHING), Copy("none", entry.version, "d", NOTHING)]
        )
        assert isinstance(clash, PreconditionFailed)
        assert isinstance(gone, NotFound)
        (changed,) = await location.copy([Copy("a", Version(1000, 0, etag="0" * 32), "e", NOTHING)])
        assert isinstance(changed, ChangedWhileRead)

    on(store, s3_prefix, work)


def test_copies_above_the_limit_go_in_parts_and_keep_everything(store, s3_prefix):
    data = os.urandom(12 * MIB + 5)
    options = S3Options(copy_limit_bytes=8 * MIB, part_bytes=5 * MIB)

    async def work(location):
        (entry,) = await location.write([file_write("a", data, attributes={"content-type": "text/csv"})])
        (renamed,) = await location.copy([Copy("a", entry.version, "b", NOTHING)])
        assert isinstance(renamed, Entry)
        assert location.requests["UploadPartCopy"] == 3
        (changed,) = await location.set_posix(
            [SetPosix("b", Kind.FILE, Posix(0o600, 1, 2, 3, 4), Expect(renamed.version))]
        )
        assert isinstance(changed, Entry)
        (found,) = await location.stat(["b"])
        assert found.posix == Posix(0o600, 1, 2, 3, 4)
        (content,) = await location.read([Read("b", len(data), found.version)])
        assert b"".join([chunk async for chunk in content.chunks()]) == data
        assert content.entry.attributes["content-type"] == "text/csv"
        (clash,) = await location.copy([Copy("a", entry.version, "b", NOTHING)])
        assert isinstance(clash, PreconditionFailed)

    on(store, s3_prefix, work, options)


def test_content_of_another_store_is_streamed(seaweed, moto_server, s3_prefix):
    data = os.urandom(9 * MIB)

    async def main():
        source = open_s3(f"s3://{seaweed.bucket}/{s3_prefix}", access_of(seaweed))
        target = open_s3(f"s3://{moto_server.bucket}/{s3_prefix}", access_of(moto_server))
        try:
            entries = await source.write([file_write("big", data), file_write("small", b"s")])
            contents = await source.read(
                [Read("big", len(data), entries[0].version), Read("small", 1, entries[1].version)]
            )
            made = await target.write(
                [Write(name, Kind.FILE, c, POSIX, NOTHING) for name, c in zip(["big", "small"], contents, strict=True)]
            )
            assert [type(entry) for entry in made] == [Entry, Entry]
            back = await target.read([Read("big", len(data), made[0].version)])
            assert b"".join([chunk async for chunk in back[0].chunks()]) == data
        finally:
            await source.aclose()
            await target.aclose()

    asyncio.run(main())


def test_a_scan_sees_everything_that_an_independent_client_put(store, s3_prefix):
    numbers = random.Random(5)
    names = {
        "/".join(f"{numbers.randrange(12):x}" + "-."[numbers.randrange(2)] for _ in range(numbers.randrange(1, 4)))
        + f"/k{i}"
        for i in range(1100)
    }

    async def work(location):
        await location.write([file_write(name, b"") for name in names])
        rows, problems = await rows_of(location)
        assert problems == []
        return {path for path, row in rows.items() if row.kind is Kind.FILE}

    found = on(store, s3_prefix, work)

    pages = boto(store).get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix=f"{s3_prefix}/")
    assert found == names == {o["Key"][len(s3_prefix) + 1 :] for page in pages for o in page.get("Contents", [])}


def test_keys_that_cannot_be_files_are_reported_and_the_rest_is_listed(moto_server, s3_prefix):
    client = boto(moto_server)
    for key in ("ok", "a//b", "both", "both/x", "dir/", "dir/y", "n" * 256):
        client.put_object(Bucket="lake", Key=f"{s3_prefix}/{key}", Body=b"1")

    rows, problems = on(moto_server, s3_prefix, rows_of)

    assert {row.path: row.kind for row in rows.values()} == {
        "ok": Kind.FILE,
        "both": Kind.DIR,
        "both/x": Kind.FILE,
        "dir": Kind.DIR,
        "dir/y": Kind.FILE,
    }
    assert sorted((problem.path, problem.code) for problem in problems) == sorted(
        [("a//b", "LL406"), ("both", "LL406"), ("n" * 256, "LL406")]
    )


def test_an_empty_prefix_is_empty_and_a_missing_bucket_is_an_error(store, s3_prefix):
    assert on(store, s3_prefix, rows_of) == ({}, [])

    async def main():
        location = open_s3("s3://no-such-bucket-here/x", access_of(store))
        try:
            with pytest.raises(RootMissing):
                await rows_of(location)
            with pytest.raises(RootMissing):
                await location.write([file_write("a", b""), file_write("b", b"")])
            with pytest.raises(RootMissing):
                await location.stat(["a"])
        finally:
            await location.aclose()

    asyncio.run(main())


def test_wrong_credentials_stop_the_whole_location_with_a_hint(seaweed, s3_prefix):
    async def main(source):
        access = S3Access(endpoint=seaweed.endpoint, credentials=source, proxy="")
        location = open_s3(f"s3://lake/{s3_prefix}", access)
        try:
            with pytest.raises(CredentialsRefused) as error:
                await location.write([file_write("a", b"")])
            assert error.value.hint
            with pytest.raises(CredentialsRefused):
                await rows_of(location)
        finally:
            await location.aclose()

    asyncio.run(main(CredentialSource("WRONG", "WRONG")))
    asyncio.run(main(CredentialSource(seaweed.access_key, "WRONG")))


def test_nobody_listening_is_unreachable_and_says_where():
    async def main():
        access = S3Access(endpoint="http://127.0.0.1:9", credentials=CredentialSource("a", "b"), proxy="")
        from lakelink.core.backoff import Backoff
        from lakelink.locations.s3.open import Traffic

        location = open_s3("s3://lake/x", access, traffic=Traffic(backoff=Backoff(attempts=2, base_s=0.01)))
        try:
            with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
                await rows_of(location)
        finally:
            await location.aclose()

    asyncio.run(main())


def test_names_that_no_key_can_hold_are_refused_one_by_one(seaweed, s3_prefix):
    async def work(location):
        answers = await location.write(
            [file_write("bad\udcff", b""), file_write("k" * 1024, b""), file_write("good", b"")]
        )
        assert [type(a) for a in answers] == [NameUnsupported, NameUnsupported, Entry]
        (refused,) = await location.write([file_write("c" * 300, b"")])
        assert isinstance(refused, LakelinkError)

    on(seaweed, s3_prefix, work)


def test_what_a_killed_upload_left_is_removed_by_age(seaweed, s3_prefix):
    store = seaweed
    client = boto(store)
    client.create_multipart_upload(Bucket=store.bucket, Key=f"{s3_prefix}/left")
    client.create_multipart_upload(Bucket=store.bucket, Key=f"{s3_prefix}-other/left")

    async def work(location):
        assert await location.abort_abandoned(older_than_s=3600) == 0
        assert await location.abort_abandoned(older_than_s=-3600) == 1
        return await location.abort_abandoned(older_than_s=-3600)

    assert on(store, s3_prefix, work) == 0
    left = client.list_multipart_uploads(Bucket=store.bucket, Prefix=f"{s3_prefix}-other/").get("Uploads", [])
    assert len(left) == 1
    client.abort_multipart_upload(Bucket=store.bucket, Key=left[0]["Key"], UploadId=left[0]["UploadId"])


def test_small_writes_work_with_every_checksum(store, s3_prefix):
    from lakelink.locations.s3.options import Checksum

    for algorithm in Checksum:

        async def work(location, name=algorithm.value):
            (entry,) = await location.write([file_write(name, b"abc")])
            assert isinstance(entry, Entry)
            (content,) = await location.read([Read(name, 3)])
            assert await content.load() == b"abc"

        on(store, s3_prefix, work, S3Options(checksum=algorithm))


def test_many_first_markers_at_once_keep_their_metadata(store):
    """Whether the store drops the metadata of markers is found out with the first one, while others are on their way."""
    names = [f"d{number}" for number in range(24)]

    async def work(location):
        await location.stat(["warm"])
        made = await location.write([Write(name, Kind.DIR, None, POSIX, NOTHING) for name in names])
        assert not [each for each in made if isinstance(each, LakelinkError)]
        return [entry.posix for entry in await location.stat(names)]

    assert on(store, "markers-at-once", work) == [POSIX] * len(names)


def test_a_marker_does_not_take_the_place_of_an_object_put_after_the_look_at_its_prefix(
    seaweed, s3_prefix, monkeypatch
):
    """SeaweedFS keeps `k` and `k/` in one place."""
    client, key = boto(seaweed), f"{s3_prefix}/k"
    client.put_object(Bucket=seaweed.bucket, Key=f"{key}/and/below", Body=b"below")
    look = markers.head

    async def then_somebody_writes(*asked, **how):
        monkeypatch.setattr(markers, "head", look)  # once
        found = await look(*asked, **how)
        client.put_object(Bucket=seaweed.bucket, Key=key, Body=b"a stranger's")
        return found

    monkeypatch.setattr(markers, "head", then_somebody_writes)

    async def work(location):
        return await location.write([Write("k", Kind.DIR, None, POSIX, NOTHING)])

    (answer,) = on(seaweed, s3_prefix, work)
    assert isinstance(answer, PreconditionFailed)
    assert client.get_object(Bucket=seaweed.bucket, Key=key)["Body"].read() == b"a stranger's"
