"""Each option of `lakelink sync`, through the program."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from tests.e2e.oddities import THEN_NS, make_oddities, rsync_differences
from tests.e2e.program import Program, make_tree
from tests.e2e.relay import relay_to


def files_of(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_symlink() or not path.is_dir())


def freeze(path: Path) -> None:
    os.utime(path, ns=(THEN_NS, THEN_NS))


def test_checksum_finds_what_size_and_time_hide_and_says_beforehand_what_it_asks(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"small": "one", "same": "same"})
    (source / "large").write_bytes(b"a" * (9 << 20))
    for path in source.iterdir():
        freeze(path)
    on_lake("sync", source, on_lake.lake, "-q")
    (source / "small").write_text("two", encoding="utf-8")
    (source / "large").write_bytes(b"b" * (9 << 20))
    for path in source.iterdir():
        freeze(path)
    assert on_lake("sync", source, on_lake.lake, "--json").json["unchanged"] >= 1
    (source / "small").write_text("tri", encoding="utf-8")
    freeze(source / "small")
    done = on_lake("sync", source, on_lake.lake, "--checksum", "--report", tmp_path / "report")
    assert done.code == 0
    assert "--checksum compares 3 files of 9437191 bytes: 3 HEAD requests" in done.err
    changed = {json.loads(line)["path"] for line in (tmp_path / "report").read_text(encoding="utf-8").splitlines()}
    assert {"small", "same", "large"} & changed >= {"small"}
    assert on_lake("cat", f"{on_lake.lake}/small").out == "tri"
    assert on_lake("verify", source, on_lake.lake).code == 0


def test_filters_from_a_file_and_from_the_command_line_apply_to_both_sides(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"a.tmp": "1", "keep.tmp": "2", "cache/x": "3", "sub/c": "4", "#odd": "5"})
    (tmp_path / "filters").write_text("# a comment\n*.tmp\n!keep.tmp\n/cache/\n", encoding="utf-8")
    assert on_lake("put", "-", f"{on_lake.lake}/old.tmp", "-q", stdin=b"stays").code == 0
    assert on_lake("put", "-", f"{on_lake.lake}/old", "-q", stdin=b"goes").code == 0
    options = ("--filter-from", tmp_path / "filters", "--exclude", "#odd", "--delete")
    done = on_lake("sync", source, on_lake.lake, "--json", *options)
    assert done.code == 0
    assert {s["path"] for s in done.json["skipped"] if s["reason"] == "excluded"} >= {"a.tmp", "cache/x", "#odd"}
    names = [e["path"] for e in on_lake("ls", on_lake.lake, "--json").json["entries"] if e["kind"] == "file"]
    assert sorted(names) == ["keep.tmp", "old.tmp", "sub/c"]


@pytest.mark.parametrize(("limit", "code", "left"), [("3", 3, 8), ("49%", 3, 8), ("4", 0, 4), ("50%", 0, 4)])
def test_max_delete_stops_a_run_before_its_first_change(program, tmp_path, limit, code, left):
    source = make_tree(tmp_path / "source", {f"f{n}": "x" for n in range(4)} | {"new": "x"})
    target = make_tree(tmp_path / "target", {f"f{n}": "x" for n in range(8)})
    done = program("sync", source, target, "--delete", "--max-delete", limit)
    assert done.code == code
    assert len(files_of(target)) == left + (code == 0)
    assert ("--max-delete allows" in done.err) == (code == 3)


def test_without_posix_only_content_counts_and_no_metadata_is_written(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "one", "b": "two"})
    (source / "a").chmod(0o600)
    assert on_lake("sync", source, on_lake.lake, "--no-posix", "-q").code == 0
    bucket, _, prefix = on_lake.lake.removeprefix("s3://").partition("/")
    assert client_of(on_lake.env).head_object(Bucket=bucket, Key=f"{prefix}/a")["Metadata"] == {}
    (source / "a").chmod(0o644)
    freeze(source / "a")
    again = on_lake("sync", source, on_lake.lake, "--no-posix", "--json").json
    assert (again["transferred_files"], again["updated_metadata"]) == (0, 0)
    (source / "b").write_text("TWO", encoding="utf-8")
    assert on_lake("sync", source, on_lake.lake, "--no-posix", "--json").json["transferred_files"] == 1


@pytest.mark.parametrize(
    ("how", "there", "failed", "skipped"),
    [
        ("keep", {"file": False, "link": True, "dangling": True, "dir/f": False, "to-dir": True}, [], []),
        ("follow", {"file": False, "link": False, "dir/f": False, "to-dir/f": False}, ["dangling"], []),
        ("skip", {"file": False, "dir/f": False}, [], ["dangling", "link", "to-dir"]),
    ],
)
def test_symlinks_are_kept_followed_or_skipped(on_lake, tmp_path, how, there, failed, skipped):
    source = make_tree(tmp_path / "source", {"file": "text", "dir/f": "inside"})
    for name, target in {"link": "file", "dangling": "nowhere", "to-dir": "dir"}.items():
        (source / name).symlink_to(target)
    done = on_lake("sync", source, on_lake.lake, "--symlinks", how, "--json")
    assert [f["path"] for f in done.json["failed"]] == failed
    assert sorted(s["path"] for s in done.json["skipped"]) == skipped
    assert on_lake("sync", on_lake.lake, tmp_path / "back", "-q").code == 0
    back = tmp_path / "back"
    assert {name: (back / name).is_symlink() for name in files_of(back)} == there


def test_verify_counts_what_it_compared_and_finds_what_hides(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "one", "b": "two"})
    assert on_lake("sync", source, on_lake.lake, "--json", "--verify", "none").json["verified"] == 0
    (source / "a").write_text("ONE", encoding="utf-8")
    assert on_lake("sync", source, on_lake.lake, "--json").json["verified"] == 1
    assert on_lake("sync", source, on_lake.lake, "--json", "--verify", "all").json["verified"] == 2
    # Size and time as before: only --verify all sees that the content is another one.
    seen = (source / "b").stat()
    with (source / "b").open("r+", encoding="utf-8") as file:
        file.write("TWO")
    os.utime(source / "b", ns=(seen.st_atime_ns, seen.st_mtime_ns))
    done = on_lake("sync", source, on_lake.lake, "--json", "--verify", "all")
    assert done.code == 1
    assert [(f["path"], f["code"]) for f in done.json["failed"]] == [("b", "LL402")]


def test_with_trash_what_is_replaced_or_removed_is_kept_aside_and_never_synced(program, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "new", "sub/kept": "x"})
    target = make_tree(tmp_path / "target", {"a": "old!", "gone": "removed", "sub/kept": "x"})
    for root in (source, target):
        freeze(root / "sub/kept")
    done = program("sync", source, target, "--delete", "--trash", "--json")
    assert (done.code, done.json["deleted"]) == (0, 1)
    kept = {
        path.name: path.read_text(encoding="utf-8")
        for path in (target / ".lakelink/trash").rglob("*")
        if path.is_file()
    }
    assert kept == {"a": "old!", "gone": "removed"}
    again = program("sync", source, target, "--delete", "--json").json
    assert (again["deleted"], again["transferred_files"]) == (0, 0)
    assert program("sync", target, tmp_path / "copy", "-q").code == 0
    assert files_of(tmp_path / "copy") == ["a", "sub/kept"]


def test_bandwidth_holds_in_both_directions(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {})
    for number in range(3):
        (source / str(number)).write_bytes(os.urandom(1 << 20))
    for one, other in ((source, on_lake.lake), (on_lake.lake, tmp_path / "back")):
        began = time.monotonic()
        assert on_lake("sync", one, other, "--bandwidth", "2MiB/s", "-q").code == 0
        # A second's worth may be a burst; the rest cannot have come sooner, on however slow a machine.
        assert time.monotonic() - began > (3 - 2) / 2


def test_concurrency_is_a_bound_on_connections(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {f"f{n:03}": "x" * 100 for n in range(150)})
    with relay_to(on_lake.env["AWS_ENDPOINT_URL_S3"]) as relay:
        on_lake("sync", source, on_lake.lake, "--concurrency", "3", "-q", AWS_ENDPOINT_URL_S3=relay.endpoint)
        assert 1 <= relay.most_connections <= 3
    assert on_lake("verify", source, on_lake.lake).code == 0


def test_storage_class_and_encryption_reach_the_store(tmp_path, moto_server, s3_prefix):
    on_moto = Program(tmp_path, moto_server, s3_prefix)
    source = make_tree(tmp_path / "source", {"small": "x"})
    (source / "large").write_bytes(b"y" * (9 << 20))
    done = on_moto("sync", source, on_moto.lake, "--storage-class", "STANDARD_IA", "--sse", "aws:kms:key-1")
    assert done.code == 0
    client = client_of(on_moto.env)
    bucket, _, prefix = on_moto.lake.removeprefix("s3://").partition("/")
    for name in ("small", "large"):
        head = client.head_object(Bucket=bucket, Key=f"{prefix}/{name}")
        assert (head["StorageClass"], head["ServerSideEncryption"]) == ("STANDARD_IA", "aws:kms")
        assert head["SSEKMSKeyId"].endswith("key-1")
    (source / "small").chmod(0o600)  # a change of metadata is a copy onto itself: it must not lose them
    assert on_moto("sync", source, on_moto.lake, "--json").json["updated_metadata"] == 1
    head = client.head_object(Bucket=bucket, Key=f"{prefix}/small")
    assert (head["StorageClass"], head["ServerSideEncryption"]) == ("STANDARD_IA", "aws:kms")


def test_within_one_store_the_server_copies_and_no_bytes_come_through_us(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {f"f{n}": "x" * 50_000 for n in range(20)})
    (source / "large").write_bytes(os.urandom(12 << 20))
    on_lake("sync", source, f"{on_lake.lake}/one", "-q")
    with relay_to(on_lake.env["AWS_ENDPOINT_URL_S3"]) as relay:
        through = {"AWS_ENDPOINT_URL_S3": relay.endpoint}
        done = on_lake("sync", f"{on_lake.lake}/one", f"{on_lake.lake}/two", "--json", **through)
        assert done.json["failed"] == []
        assert done.json["transferred_files"] == 21
        assert relay.from_store_bytes + relay.to_store_bytes < 1 << 20
        again = on_lake("sync", f"{on_lake.lake}/one", f"{on_lake.lake}/two", "--json", **through).json
    assert done.json["requests"].get("GetObject", 0) == 0
    assert done.json["requests"]["CopyObject"] >= 20
    assert (again["transferred_files"], again["updated_metadata"]) == (0, 0)
    assert set(again["requests"]) <= {"ListObjectsV2", "HeadObject"}
    assert on_lake("verify", f"{on_lake.lake}/one", f"{on_lake.lake}/two").code == 0
    assert on_lake("sync", f"{on_lake.lake}/two", tmp_path / "back", "-q").code == 0
    assert rsync_differences(source, tmp_path / "back") == []


def test_one_run_crosses_two_stores_each_with_its_own_keys(program, tmp_path, seaweed, moto_server, s3_prefix):
    settings = ""
    for name, store in (("one", seaweed), ("other", moto_server)):
        keys = tmp_path / f"{name}.keys"
        keys.write_text(f"aws_access_key_id = {store.access_key}\naws_secret_access_key = {store.secret_key}\n")
        keys.chmod(0o600)
        settings += (
            f"[locations.{name}]\nurl = 's3://{store.bucket}/{s3_prefix}'\nendpoint = '{store.endpoint}'\n"
            f"region = 'us-east-1'\ncredentials_file = '{keys}'\n"
        )
    (tmp_path / "lakelink.toml").write_text(settings, encoding="utf-8")
    source = make_tree(tmp_path / "source", {"a": "one", "sub/b": "two", "empty": ""})
    (source / "large").write_bytes(os.urandom(10 << 20))
    (source / "link").symlink_to("a")
    (source / "a").chmod(0o4711)
    assert program("sync", source, "one:deep", "-q").code == 0
    time.sleep(3.1)  # younger versions of a lake are looked at once more
    across = program("sync", "one:deep", "other:copy", "--json")
    assert (across.json["failed"], across.json["transferred_files"]) == ([], 5)
    again = program("sync", "one:deep", "other:copy", "--json").json
    assert (again["transferred_files"], again["updated_metadata"], set(again["requests"])) == (0, 0, {"ListObjectsV2"})
    assert program("sync", "other:copy", tmp_path / "back", "-q").code == 0
    assert rsync_differences(source, tmp_path / "back") == []
    assert program("verify", "one:deep", "other:copy").code == 0
    for secret in (seaweed.secret_key, moto_server.secret_key + "\n"):
        assert secret not in across.err + across.out


def test_a_manifest_of_odd_names_passes_sha256sum(program, tmp_path):
    source = make_oddities(tmp_path / "source")
    manifest = tmp_path / "manifest"
    assert program("sync", source, tmp_path / "target", "--manifest", manifest, "-q").code == 0
    subprocess.run(["sha256sum", "--strict", "--quiet", "-c", manifest], cwd=tmp_path / "target", check=True)
    regular = [p for p in (tmp_path / "target").rglob("*") if p.is_file() and not p.is_symlink()]
    assert len(manifest.read_bytes().splitlines()) == len(regular)
    (tmp_path / "target/links/file").write_bytes(b"damage")
    broken = subprocess.run(
        ["sha256sum", "--quiet", "-c", manifest], cwd=tmp_path / "target", capture_output=True, check=False
    )
    assert broken.returncode == 1


def test_one_file_and_a_trailing_slash_are_sources_too(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "one"})
    assert on_lake("sync", f"{source}/a", f"{on_lake.lake}/x/", "-q").code == 0
    assert on_lake("cat", f"{on_lake.lake}/x/a").out == "one"
    assert on_lake("sync", f"{on_lake.lake}/x/a", tmp_path / "back/", "-q").code == 0
    assert files_of(tmp_path / "back") == ["a"]
    assert on_lake("sync", f"{source}/", tmp_path / "other", "-q").code == 0
    assert files_of(tmp_path / "other") == ["a"]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--max-delete", "many"],
        ["--bandwidth", "fast"],
        ["--symlinks", "burn"],
        ["--deltee"],
        ["--concurrency", "0"],
        ["--sse", "rot13"],
    ],
)
def test_a_wrong_option_is_a_usage_error_and_nothing_is_touched(program, tmp_path, wrong):
    source = make_tree(tmp_path / "source", {"a": "one"})
    done = program("sync", source, tmp_path / "target", *wrong)
    assert (done.code, done.out) == (2, "")
    assert done.trouble.startswith("error[LL100]: ")
    assert not (tmp_path / "target").exists()


def client_of(env):
    return boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL_S3"],
        region_name="us-east-1",
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        config=Config(proxies={}),
    )
