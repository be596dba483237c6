"""Ctrl-C and SIGTERM: the run stops, says what is done, and leaves nothing partial."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.program import PATIENCE_S, make_tree


def wait_for(condition, what, deadline_s=PATIENCE_S):
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


FILES = 4000


def slow_run(program, tmp_path, *options):
    """A run that has begun to move, and needs many seconds more."""
    source = make_tree(tmp_path / "source", {f"f{n:04}": "x" * 10_000 for n in range(FILES)})
    target = tmp_path / "target"
    process = program.start("sync", source, target, "--bandwidth", "3MB/s", "--concurrency", "1", *options)
    wait_for(lambda: target.is_dir() and len(list(target.glob("f*"))) >= FILES // 8, "some hundred files")
    return source, target, process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_what_is_done_and_the_next_one_finishes_it(program, tmp_path, number):
    source, target, process = slow_run(program, tmp_path, "--json")
    process.send_signal(number)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    document = json.loads(out)
    assert document["interrupted"] is True
    assert 0 < document["transferred_files"] < FILES
    for path in target.glob("f*"):
        assert path.read_bytes() == (source / path.name).read_bytes()
    assert program("sync", source, target, "-q").code == 0
    assert subprocess.run(["diff", "-r", source, target], check=False).returncode == 0
    assert names(target) == names(source)


def test_an_interrupted_run_still_writes_its_report(program, tmp_path):
    _, _, process = slow_run(program, tmp_path, "--report", tmp_path / "report")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert out.startswith(b"interrupted: copied ")
    lines = (tmp_path / "report").read_text(encoding="utf-8").splitlines()
    assert lines
    assert all(json.loads(line)["action"] == "create" for line in lines)


def test_a_killed_run_leaves_whole_files_and_the_next_one_finishes_it(program, tmp_path):
    source, target, process = slow_run(program, tmp_path)
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    for path in target.glob("f*"):
        assert path.read_bytes() == (source / path.name).read_bytes()
    assert program("sync", source, target, "-q").code == 0
    assert names(target) == names(source)


def test_a_second_run_on_the_same_target_says_so_and_stops(program, tmp_path):
    source, target, process = slow_run(program, tmp_path)
    try:
        done = program("sync", source, target)
        assert (done.code, done.out) == (3, "")
        assert done.trouble.startswith("error[LL201]: ")
        assert str(process.pid) in done.err
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE_S)


def test_an_interrupted_pipe_stores_nothing(on_lake):
    reading, writing = os.pipe()
    process = on_lake.start("put", "-", f"{on_lake.lake}/never", stdin=reading)
    os.close(reading)
    os.write(writing, b"half of it")
    # It has loaded what it needs to talk to the store, and so it hears signals.
    wait_for(lambda: "_awscrt" in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8"), "the program")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    os.close(writing)
    assert process.returncode == 130
    assert on_lake("cat", f"{on_lake.lake}/never").code == 1


def test_progress_is_written_as_plain_lines_when_nobody_watches_a_terminal(program, tmp_path):
    _, _, process = slow_run(program, tmp_path)
    os.set_blocking(process.stderr.fileno(), False)
    seen = b""

    def told() -> bool:
        nonlocal seen
        seen += process.stderr.read() or b""
        return b" files, " in seen

    wait_for(told, "a line of progress")
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    assert b"\x1b[" not in seen
    assert b"transferring: " in seen
