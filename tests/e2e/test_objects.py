"""Single objects and pipes as a program."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.e2e.program import PATIENCE_S, make_tree


def test_what_is_piped_in_comes_out_again(on_lake):
    data = bytes(range(256)) * 40_000  # 10 MB: more than one part
    put = on_lake("put", "-", f"{on_lake.lake}/pipe", "--json", stdin=data)
    assert put.code == 0
    assert put.json["size_bytes"] == len(data)
    got = subprocess.run(
        on_lake.command("cat", f"{on_lake.lake}/pipe"), env=on_lake.env, capture_output=True, check=True
    )
    assert hashlib.sha256(got.stdout).digest() == hashlib.sha256(data).digest()


def test_an_empty_pipe_is_an_empty_object(on_lake):
    assert on_lake("put", "-", f"{on_lake.lake}/empty", stdin=b"").out.startswith("stored ")
    done = on_lake("cat", f"{on_lake.lake}/empty")
    assert (done.code, done.out) == (0, "")


def test_a_file_is_put_with_its_metadata(on_lake, tmp_path):
    make_tree(tmp_path, {"file": "hello"})
    (tmp_path / "file").chmod(0o640)
    assert on_lake("put", "file", f"{on_lake.lake}/file").code == 0
    assert on_lake("cp", f"{on_lake.lake}/file", "back").code == 0
    assert (tmp_path / "back").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "back").stat().st_mtime_ns == (tmp_path / "file").stat().st_mtime_ns


def test_several_objects_are_written_one_after_the_other(on_lake):
    for name in "ab":
        on_lake("put", "-", f"{on_lake.lake}/{name}", "-q", stdin=name.encode())
    assert on_lake("cat", f"{on_lake.lake}/a", f"{on_lake.lake}/b", f"{on_lake.lake}/a").out == "aba"


def test_an_object_that_is_not_there_is_exit_code_1_with_nothing_on_stdout(on_lake):
    done = on_lake("cat", f"{on_lake.lake}/nothing")
    assert (done.code, done.out) == (1, "")
    assert done.trouble.startswith("error[LL302]: ")


def test_a_name_that_is_no_object_is_a_usage_error(on_lake):
    assert on_lake("cat", "s3://lake").code == 2
    assert on_lake("put", "-", f"{on_lake.lake}/directory/", stdin=b"x").code == 2
    assert on_lake("cat").code == 2
    assert on_lake("rm").code == 2


def test_a_listing_is_text_or_one_document(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "one", "sub/b": "three"})
    on_lake("sync", source, on_lake.lake, "-q")
    lines = on_lake("ls", on_lake.lake).out.splitlines()
    assert [line.split()[-1] for line in lines] == ["a", "sub/", "sub/b"]
    entries = on_lake("ls", on_lake.lake, "--json").json["entries"]
    assert [(e["path"], e["kind"], e["size_bytes"]) for e in entries] == [
        ("a", "file", 3),
        ("sub", "directory", 0),
        ("sub/b", "file", 5),
    ]
    assert on_lake("ls", f"{on_lake.lake}/none", "--json").json["entries"] == []


def test_removing_goes_on_after_one_that_is_not_there_and_says_so(on_lake):
    on_lake("put", "-", f"{on_lake.lake}/a", "-q", stdin=b"x")
    done = on_lake("rm", f"{on_lake.lake}/nothing", f"{on_lake.lake}/a", "--json")
    assert done.code == 1
    assert done.json["removed"] == [f"{on_lake.lake}/a"]
    assert [failure["code"] for failure in done.json["failed"]] == ["LL302"]
    assert on_lake("cat", f"{on_lake.lake}/a").code == 1


def test_copies_keep_their_name_below_a_slash(on_lake):
    on_lake("put", "-", f"{on_lake.lake}/a", "-q", stdin=b"x")
    assert on_lake("cp", f"{on_lake.lake}/a", f"{on_lake.lake}/elsewhere/").code == 0
    assert on_lake("cat", f"{on_lake.lake}/elsewhere/a").out == "x"


@pytest.mark.parametrize("command", ["cat", "ls"])
def test_a_reader_that_goes_away_ends_the_program_quietly(on_lake, tmp_path, command):
    if command == "cat":
        on_lake("put", "-", f"{on_lake.lake}/big", "-q", stdin=b"x" * 5_000_000)
        target = f"{on_lake.lake}/big"
    else:
        target = str(make_tree(tmp_path / "many", {f"a-rather-long-name-{n:04}-{'x' * 100}": "" for n in range(2000)}))
    process = on_lake.start(command, target)
    process.stdout.read(10)
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=PATIENCE_S), error) == (141, b"")


def test_a_full_disk_behind_standard_output_is_told(on_lake, tmp_path):
    on_lake("put", "-", f"{on_lake.lake}/a", "-q", stdin=b"x" * 10_000)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            on_lake.command("cat", f"{on_lake.lake}/a"),
            env=on_lake.env,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert b"standard output cannot be written: No space left on device" in done.stderr
    assert b"Exception ignored" not in done.stderr
