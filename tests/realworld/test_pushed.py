"""Changes travel by events alone: the directory is walked and the prefix listed only at the start, and once an hour."""

import os

import pytest
from botocore.exceptions import ClientError

from lakelink.model.linkspec import LinkState
from tests.realworld.ledger import Ledger
from tests.realworld.relay import relay_to
from tests.realworld.world import LINK, World, wait_for

PREFIX = "pushed"


@pytest.fixture
def world(tmp_path, mortal_store):
    with relay_to(mortal_store.endpoint) as relay:
        world = World(tmp_path / "world", mortal_store, relay, Ledger(), PREFIX)
        world.folder.mkdir()
        world.make_tree()
        world.hear_of_events()
        where = f"s3://{mortal_store.bucket}/{PREFIX}"
        world.command("link", "add", LINK, world.root, where, "--scan-interval", "1h", "--list-interval", "1h", "-q")
        world.start()
        wait_for(lambda: world.state() is LinkState.AVAILABLE, "the first survey")
        yield world
        world.close()


def test_files_and_objects_travel_by_events_alone_also_after_a_kill(world):
    client = world.store.client()

    def at(name):
        return {"Bucket": world.store.bucket, "Key": f"{PREFIX}/{name}"}

    def there(name):
        try:
            return client.get_object(**at(name))["Body"].read()
        except ClientError:
            return None

    def here(name):
        place = world.root / name
        return place.read_bytes() if place.is_file() else None

    def both_ways(round_):
        (world.root / "made here").write_bytes(b"one" + round_)
        wait_for(lambda: there("made here") == b"one" + round_, "the closed file to be an object")
        with (world.root / "open").open("wb", buffering=0) as file:
            file.write(b"half")
            file.write(b" and half" + round_)
        wait_for(lambda: there("open") == b"half and half" + round_, "the file to be an object once it is closed")
        os.replace(world.root / "open", world.root / "renamed")  # noqa: PTH105
        wait_for(lambda: there("renamed") == b"half and half" + round_ and there("open") is None, "the rename")
        (world.root / "renamed").unlink()
        wait_for(lambda: there("renamed") is None, "the object to go")

        client.put_object(**at("deep/er/made there"), Body=b"two" + round_)
        wait_for(lambda: here("deep/er/made there") == b"two" + round_, "the object to be a file")
        client.copy_object(**at("copied"), CopySource=at("deep/er/made there"))
        wait_for(lambda: here("copied") == b"two" + round_, "the copy to be a file")
        where = at("in parts")
        where["UploadId"] = client.create_multipart_upload(**where)["UploadId"]
        tag = client.upload_part(**where, PartNumber=1, Body=b"three" + round_)["ETag"]
        client.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]})
        wait_for(lambda: here("in parts") == b"three" + round_, "the upload to be a file")
        client.delete_object(**at("copied"))
        wait_for(lambda: here("copied") is None, "the file to go")

    def listings():
        return sum(f"max-keys=1000&prefix={PREFIX}" in line for line in world.relay.recent)

    both_ways(b" at first")
    listed = listings()
    both_ways(b" again")
    assert listings() == listed, "something of this was found by listing"
    assert listed
    world.kill()
    world.start()
    wait_for(lambda: world.state() is LinkState.AVAILABLE, "the survey after the kill")
    both_ways(b" and after a kill")
