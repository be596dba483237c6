import asyncio
import os
from pathlib import Path

import pytest

from lakelink.config.document import Document, parse_document
from lakelink.errors import ConfigError, NotPermitted, RootMissing, StorageError, Unreachable, UsageError
from lakelink.locations.base import LocationSpec
from lakelink.locations.memory import MemoryLocation, MemoryStore
from lakelink.locations.resolve import (
    OpenOptions,
    _is_one_object,
    canonical_url,
    local_path,
    open_location,
    parse_location,
)
from lakelink.locations.wrap.delegating import unwrapped
from lakelink.locations.wrap.faulty import Fault, FaultKind, Faulty
from lakelink.locations.wrap.throttled import Throttled
from lakelink.ports.clock import SystemClock
from lakelink.testing.faults import Always
from lakelink.testing.hand import Hand

TEXT = """[locations.lake]
url = "s3://bucket/base/"
endpoint = "http://127.0.0.1:9"
region = "eu-north-1"

[locations.disk]
url = "/srv/data"

[locations.mem]
url = "memory:m"

[locations.bad]
url = "relative"
"""


@pytest.fixture
def document(tmp_path):
    return parse_document(TEXT, tmp_path / "f.toml")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("/srv/data", "file:///srv/data"),
        ("/srv//data/../x/", "file:///srv/x"),
        ("/", "file:///"),
        ("/with space/ä%", "file:///with%20space/%C3%A4%25"),
        ("/latin1-\udce4", "file:///latin1-%E4"),
        ("./a:b", "file://CWD/a:b"),
        ("sub/a:b", "file://CWD/sub/a:b"),
        ("plain", "file://CWD/plain"),
        (".", "file://CWD"),
        ("file:///srv/with%20space", "file:///srv/with%20space"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("s3://bucket/a:b c", "s3://bucket/a:b c"),
        ("memory:x", "memory:x"),
        ("lake:", "s3://bucket/base"),
        ("lake:sub/path", "s3://bucket/base/sub/path"),
        ("lake:/sub/", "s3://bucket/base/sub"),
        ("disk:with space/x", "file:///srv/data/with%20space/x"),
        ("mem:", "memory:m"),
    ],
)
def test_a_location_is_written_in_one_of_these_ways(document, text, url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = parse_location(text, document)
    assert spec.url.replace("%3A", ":") == url.replace("CWD", str(Path.cwd()))


def test_a_named_location_brings_its_access_and_keeps_its_name(document):
    spec = parse_location("lake:x", document)
    assert spec == LocationSpec(
        "s3://bucket/base/x", "lake", {"endpoint": "http://127.0.0.1:9", "region": "eu-north-1"}
    )


def test_the_bytes_of_a_local_name_survive(document):
    name = os.fsdecode(b"/tmp/\xff %41\n")
    assert local_path(parse_location(name, document)) == name


@pytest.mark.parametrize(
    ("text", "sentence", "hint"),
    [
        ("", "cannot be empty", "Write . for"),
        ("a\0b", "NUL", ""),
        ("laek:x", "there is no location 'laek'", "Did you mean lake:?"),
        ("s4://x", "begins with s4://", "s3://"),
        ("s3:///x", "names no bucket", "s3://BUCKET/PREFIX"),
        ("s3://bucket//x", "empty name", "cannot be files"),
        ("s3://bucket/a//x", "empty name", "cannot be files"),
        ("file://host/x", "names another machine", "file:///absolute"),
        ("lake:a/../../b", "leads out of the location", ".."),
        ("disk:..", "leads out of the location", ".."),
    ],
)
def test_what_is_no_location_says_how_one_is_written(document, text, sentence, hint):
    with pytest.raises(UsageError, match=sentence) as caught:
        parse_location(text, document)
    assert hint in caught.value.hint


def test_a_named_location_has_to_be_absolute(document):
    with pytest.raises(ConfigError, match=r"f.toml:13: 'relative' is no absolute path"):
        parse_location("bad:", document)


def test_one_place_has_one_canonical_name(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    names = {canonical_url(parse_location(t, Document())) for t in ("real", "link", "./link/", str(tmp_path / "real"))}
    assert names == {f"file://{os.path.realpath(tmp_path)}/real"}


def test_the_same_bucket_at_two_endpoints_is_two_places(monkeypatch):
    for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")

    def named(**options):
        return canonical_url(LocationSpec("s3://b/p", "", options))

    assert named(endpoint="http://one:9000") == "s3://one:9000/b/p" != named(endpoint="http://two:9000")
    assert named(region="eu-west-1") == named(region="us-west-2") == "s3://s3.amazonaws.com/b/p"
    assert canonical_url(LocationSpec("memory:x")) == "memory:x"


def opened(text, document=Document(), **options):  # noqa: B008  # frozen
    async def use():
        location = await open_location(parse_location(text, document), OpenOptions(**options))
        await location.aclose()
        return location

    return asyncio.run(use())


def test_a_local_target_is_made_and_a_local_source_has_to_be_there(tmp_path):
    async def write():
        location = await open_location(parse_location(str(tmp_path / "a" / "b"), Document()), OpenOptions())
        await Hand(location).put("f", b"x")
        await location.aclose()

    asyncio.run(write())
    assert (tmp_path / "a" / "b" / "f").read_bytes() == b"x"
    with pytest.raises(RootMissing, match="is not there"):
        opened(str(tmp_path / "missing"), writable=False)
    assert not (tmp_path / "missing").exists()


def test_a_source_that_is_one_file_holds_just_that_file(tmp_path):
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "g").write_bytes(b"y")

    async def read():
        location = await open_location(parse_location(str(tmp_path / "f"), Document()), OpenOptions(writable=False))
        hand = Hand(location)
        seen = (await hand.files(), await hand.get("f"))
        await location.aclose()
        return seen

    assert asyncio.run(read()) == ({"f"}, b"x")


def test_a_target_is_throttled_and_a_source_is_not(tmp_path):
    target = opened(str(tmp_path), bandwidth_bytes_per_s=1000)
    assert isinstance(target, Throttled)
    assert unwrapped(target) is not target
    assert not isinstance(opened(str(tmp_path), bandwidth_bytes_per_s=1000, writable=False), Throttled)


def test_memory_is_shared_by_name():
    async def use():
        one = await open_location(LocationSpec("memory:shared-by-name"), OpenOptions())
        two = await open_location(LocationSpec("memory:shared-by-name"), OpenOptions())
        await Hand(one).put("f", b"x")
        return await Hand(two).get("f")

    assert asyncio.run(use()) == b"x"


def test_an_s3_location_takes_keys_from_the_variables_named_and_reads_one_object_or_a_tree(
    seaweed, s3_prefix, tmp_path, monkeypatch
):
    monkeypatch.setenv("LAKE_KEY", seaweed.access_key)
    monkeypatch.setenv("LAKE_SECRET", seaweed.secret_key)
    document = parse_document(
        f'[locations.lake]\nurl = "s3://{seaweed.bucket}/{s3_prefix}"\nendpoint = "{seaweed.endpoint}"\nproxy = ""\n'
        'access_key_env = "LAKE_KEY"\nsecret_key_env = "LAKE_SECRET"\n',
        tmp_path / "f.toml",
    )

    async def on(text, action, **options):
        location = await open_location(parse_location(text, document), OpenOptions(**options))
        try:
            return await action(Hand(location))
        finally:
            await location.aclose()

    async def use():
        await on("lake:", lambda hand: hand.put("d/one", b"1"))
        await on("lake:", lambda hand: hand.put("d/two", b"2"))
        tree = await on("lake:d", lambda hand: hand.files(), writable=False)
        single = await on("lake:d/one", lambda hand: hand.files(), writable=False)
        data = await on("lake:d/one", lambda hand: hand.get("one"), writable=False)
        nothing = await on("lake:none", lambda hand: hand.files(), writable=False)
        return tree, single, data, nothing

    assert asyncio.run(use()) == ({"one", "two"}, {"one"}, b"1", set())


@pytest.mark.parametrize(("error", "is_prefix"), [(StorageError, False), (Unreachable, False), (NotPermitted, True)])
def test_only_a_missing_right_to_look_lets_a_source_pass_for_a_tree(error, is_prefix):
    async def use():
        parent, tree = MemoryLocation(MemoryStore()), MemoryLocation(MemoryStore())
        await Hand(parent).put("one", b"1")
        script = Always(Fault(FaultKind.BEFORE, lambda: error("by script")), verb="stat")
        return await _is_one_object(Faulty(parent, script, SystemClock()), "one", tree)

    if is_prefix:
        assert asyncio.run(use()) is False
    else:
        with pytest.raises(error):
            asyncio.run(use())
