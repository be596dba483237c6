"""SeaweedFS pushes, a link hears: the store's own notifications into the receiver, end to end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import boto3
import pytest
from botocore.config import Config

from lakelink.config.secret import Secret
from lakelink.errors import Unsupported
from lakelink.locations.embedded import EmbeddedStore
from lakelink.watch.webhook import WebhookOptions, WebhookReceiver
from tests.integration.watch_lake.emulator import free_port
from tests.integration.watch_lake.lake import Reader

TOKEN = "a token that the store knows"


@pytest.fixture(scope="module")
def pushing(tmp_path_factory):
    """A store that posts its events to a port of this machine, and that port."""
    directory, port = tmp_path_factory.mktemp("pushing"), free_port()
    # The server reads this file where it stands (`weed scaffold -config=notification`).
    (directory / "notification.toml").write_text(
        f"""
[notification.webhook]
enabled = true
endpoint = "http://127.0.0.1:{port}/events"
bearer_token = "{TOKEN}"
max_retries = 3
backoff_seconds = 1
path_prefixes = ["/buckets/"]
"""
    )
    store = EmbeddedStore(directory)
    try:
        store.start()
    except Unsupported as error:
        pytest.skip(f"{error} ({error.hint})")
    yield store, port
    store.stop()


@pytest.fixture
def client(pushing):
    store, _ = pushing
    options = Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"})
    session = boto3.session.Session(store.access_key, store.secret_key, region_name="us-east-1")
    return session.client("s3", endpoint_url=store.endpoint, config=options)


@asynccontextmanager
async def listening(port: int, *prefixes: str):
    receiver = WebhookReceiver(WebhookOptions(port=port, token=Secret(TOKEN)))
    readers = [Reader(receiver.subscribe("lake", prefix)) for prefix in prefixes]
    await receiver.start()
    try:
        yield readers
    finally:
        for reader in readers:
            await reader.aclose()
        await receiver.aclose()


def test_every_kind_of_change_is_heard(pushing, client):
    async def main():
        async with listening(pushing[1], "in", "deep/er") as (reader, deeper):

            def change():
                client.put_object(Bucket="lake", Key="in/a b+c%é", Body=b"x")
                client.put_object(Bucket="lake", Key="in/d/e", Body=b"x" * 100_000)
                client.put_object(Bucket="lake", Key="in/marker/", Body=b"")
                client.copy_object(Bucket="lake", Key="in/copied", CopySource="lake/in/d/e")
                made = client.create_multipart_upload(Bucket="lake", Key="in/large")
                where = {"Bucket": "lake", "Key": "in/large", "UploadId": made["UploadId"]}
                part = client.upload_part(**where, PartNumber=1, Body=b"y" * 1000)
                parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
                client.complete_multipart_upload(**where, MultipartUpload=parts)
                client.put_object(Bucket="lake", Key="deep/er/f", Body=b"x")

            await asyncio.to_thread(change)
            await reader.sees("a b+c%é", "d/e", "marker", "copied", "large")
            await deeper.sees("f")
            reader.hints.clear()
            await asyncio.to_thread(client.put_object, Bucket="lake", Key="in/d/e", Body=b"other")
            await reader.sees("d/e")
            reader.hints.clear()
            await asyncio.to_thread(client.delete_object, Bucket="lake", Key="in/d/e")
            both = {"Objects": [{"Key": "in/copied"}, {"Key": "in/large"}]}
            await asyncio.to_thread(client.delete_objects, Bucket="lake", Delete=both)
            await reader.sees("d/e", "copied", "large")
            assert not any(hint.path.startswith(".uploads") for hint in reader.hints)

    asyncio.run(main())


def test_versions_name_their_key(pushing, client):
    async def main():
        client.create_bucket(Bucket="versions")
        client.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
        receiver = WebhookReceiver(WebhookOptions(port=pushing[1], token=Secret(TOKEN)))
        reader = Reader(receiver.subscribe("versions", ""))
        await receiver.start()
        try:
            await asyncio.to_thread(client.put_object, Bucket="versions", Key="a/b", Body=b"1")
            await reader.sees("a/b")
            await reader.until(lambda: not reader.feed.health.counts.malformed)
            reader.hints.clear()
            await asyncio.to_thread(client.delete_object, Bucket="versions", Key="a/b")
            await reader.sees("a/b")
        finally:
            await reader.aclose()
            await receiver.aclose()

    asyncio.run(main())
