"""Buckets that other clients filled, and objects of ours as other clients see them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from tests.e2e.oddities import THEN_NS
from tests.e2e.program import make_tree

PEERS = Path(sys.executable).parent


def peer(name: str) -> str:
    found = shutil.which(name, path=f"{PEERS}:{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed (make bench installs it)")
    return found


def s5cmd_fills(program, source: Path) -> None:
    command = [peer("s5cmd"), "--endpoint-url", program.env["AWS_ENDPOINT_URL_S3"], "--log", "error"]
    subprocess.run([*command, "sync", f"{source}/*", f"{program.lake}/"], env=program.env, check=True)


def rclone_fills(program, source: Path) -> None:
    settings = {
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_CONFIG_S3_TYPE": "s3",
        "RCLONE_CONFIG_S3_PROVIDER": "SeaweedFS",
        "RCLONE_CONFIG_S3_ENV_AUTH": "true",
        "RCLONE_CONFIG_S3_ENDPOINT": program.env["AWS_ENDPOINT_URL_S3"],
    }
    command = [peer("rclone"), "sync", "--s3-no-check-bucket", "--s3-upload-cutoff", "6Mi"]
    remote = program.lake.replace("s3://", "s3:")
    subprocess.run([*command, source, remote], env=program.env | settings, check=True, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("fill", [s5cmd_fills, rclone_fills])
def test_a_bucket_that_another_tool_filled_comes_down_whole_and_a_second_run_does_nothing(on_lake, tmp_path, fill):
    names = {f"d{n % 7}/file {n} é+%41": "x" * n for n in range(60)}
    source = make_tree(tmp_path / "source", names | {"empty": "", "deep/" * 20 + "end": "deep"})
    (source / "large").write_bytes(os.urandom(12 << 20))
    fill(on_lake, source)
    back = tmp_path / "back"
    down = on_lake("sync", on_lake.lake, back, "--json").json
    assert (down["transferred_files"], down["failed"]) == (63, [])
    # The other tool kept no modes, and times in a way of its own at best: content and names are what came.
    assert subprocess.run(["diff", "-r", source, back], check=False).returncode == 0
    for arguments in ((), ("--delete",), ("--checksum",)):
        again = on_lake("sync", on_lake.lake, back, "--json", *arguments).json
        done = [again[name] for name in ("transferred_files", "updated_metadata", "created_directories", "deleted")]
        assert (done, again["failed"], again["unchanged"]) == ([0, 0, 0, 0], [], 63)
    (back / "empty").write_text("no longer")
    assert on_lake("sync", on_lake.lake, back, "--json").json["transferred_files"] == 1
    assert (back / "empty").read_bytes() == b""


def test_without_an_index_a_foreign_bucket_is_compared_by_content_and_nothing_moves(on_lake, tmp_path):
    client = client_of(on_lake)
    bucket, _, prefix = on_lake.lake.removeprefix("s3://").partition("/")
    for number in range(5):
        client.put_object(Bucket=bucket, Key=f"{prefix}/{number}", Body=b"foreign %d" % number)
    assert on_lake("sync", on_lake.lake, tmp_path / "back", "--json").json["transferred_files"] == 5
    elsewhere = on_lake("sync", on_lake.lake, tmp_path / "back", "--json", LAKELINK_STATE_DIR=str(tmp_path / "other"))
    assert (elsewhere.json["transferred_files"], elsewhere.json["unchanged"]) == (0, 5)


def test_an_object_of_ours_has_exactly_the_metadata_of_fsx_for_an_independent_client(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"file": "text", "large": "x" * (9 << 20)})
    (source / "link").symlink_to("file")
    for name, mode in (("file", 0o4750), ("large", 0o640)):
        (source / name).chmod(mode)
    for name in ("file", "large", "link"):
        os.utime(source / name, ns=(THEN_NS, THEN_NS + 1), follow_symlinks=False)
    assert on_lake("sync", source, on_lake.lake, "-q").code == 0
    client = client_of(on_lake)
    bucket, _, prefix = on_lake.lake.removeprefix("s3://").partition("/")
    for name, permissions in (("file", "0104750"), ("large", "0100640"), ("link", "0120777")):
        head = client.head_object(Bucket=bucket, Key=f"{prefix}/{name}")
        assert head["Metadata"] == {
            "file-permissions": permissions,
            "file-owner": str(os.geteuid()),
            "file-group": str((source / name).lstat().st_gid),
            "file-atime": f"{THEN_NS}ns",
            "file-mtime": f"{THEN_NS + 1}ns",
            "user-agent": "lakelink",
        }
    assert client.get_object(Bucket=bucket, Key=f"{prefix}/link")["Body"].read() == b"file"


def test_metadata_as_the_services_write_it_becomes_modes_and_times(on_lake, tmp_path):
    client = client_of(on_lake)
    bucket, _, prefix = on_lake.lake.removeprefix("s3://").partition("/")
    written = {
        "fsx": ("0100640", "1595002920000000001ns"),
        "gateway": ("0640", "1595002920000ms"),
        "bare": ("640", "1595002920000"),
    }
    for name, (mode, mtime) in written.items():
        metadata = {"file-permissions": mode, "file-mtime": mtime, "file-owner": "0", "file-group": "0"}
        client.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=b"x", Metadata=metadata)
    assert on_lake("sync", on_lake.lake, tmp_path / "back", "-q").code == 0
    for name in written:
        found = (tmp_path / "back" / name).stat()
        assert (oct(found.st_mode), found.st_mtime_ns) == ("0o100640", 1595002920000000000 + (name == "fsx"))


def test_foreign_metadata_and_content_type_survive_a_change_of_mode(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"page": "<p>"})
    client = client_of(on_lake)
    bucket, _, prefix = on_lake.lake.removeprefix("s3://").partition("/")
    key = {"Bucket": bucket, "Key": f"{prefix}/page"}
    client.put_object(**key, Body=b"<p>", ContentType="text/html", CacheControl="no-cache", Metadata={"team": "web"})
    done = on_lake("sync", source, on_lake.lake, "--json").json
    assert (done["transferred_files"], done["updated_metadata"]) == (0, 1)
    head = client.head_object(**key)
    assert (head["ContentType"], head["CacheControl"], head["Metadata"]["team"]) == ("text/html", "no-cache", "web")
    assert head["Metadata"]["file-mtime"] == f"{(source / 'page').stat().st_mtime_ns}ns"


def client_of(program):
    return boto3.client(
        "s3",
        endpoint_url=program.env["AWS_ENDPOINT_URL_S3"],
        region_name="us-east-1",
        aws_access_key_id=program.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=program.env["AWS_SECRET_ACCESS_KEY"],
        config=Config(proxies={}),
    )
