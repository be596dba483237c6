"""Memory of whole processes: it grows neither with file sizes nor much with their number."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakelink.core.diff import seal
from lakelink.model.entry import Kind, Row
from lakelink.model.task import SyncOptions
from lakelink.oneway.pair import open_pair
from tests.e2e.listing_store import PER_DIRECTORY, path_of
from tests.e2e.program import Program, make_tree

MIB = 1 << 20
PEAK = Path(__file__).with_name("peak.py")
LARGE_BYTES = 400 * MIB
MANY = int(os.environ.get("LAKELINK_TEST_ENTRIES", "0"))
many = pytest.mark.skipif(not MANY, reason="takes minutes: set LAKELINK_TEST_ENTRIES=1000000")


def peak_bytes(program: Program, *arguments: str | Path, stdin: Path = Path(os.devnull), **env: str) -> int:
    """The largest resident set of a run that succeeds."""
    with tempfile.TemporaryDirectory() as folder, stdin.open("rb") as source:
        out = Path(folder) / "peak"
        command = [sys.executable, PEAK, out, *program.command(*arguments)]
        done = subprocess.run(
            command, env=program.env | env, stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
        )
        assert done.returncode == 0, done.stderr
        return int(out.read_text()) * 1024


@pytest.fixture
def pythonpath(monkeypatch):
    """The program is found from any directory."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))


def test_a_large_file_goes_up_and_down_and_is_compared_in_bounded_memory(pythonpath, on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {})
    with (source / "large").open("wb") as file:
        file.truncate(LARGE_BYTES - 1)
        file.seek(LARGE_BYTES - 1)
        file.write(b"x")
    assert peak_bytes(on_lake, "sync", source, on_lake.lake, "-q") < 300 * MIB
    assert peak_bytes(on_lake, "sync", on_lake.lake, tmp_path / "back", "-q") < 300 * MIB
    assert peak_bytes(on_lake, "verify", tmp_path / "back", on_lake.lake, "-q") < 300 * MIB
    assert peak_bytes(on_lake, "sync", source, tmp_path / "copy", "-q") < 300 * MIB
    assert subprocess.run(["cmp", source / "large", tmp_path / "back/large"], check=False).returncode == 0


def test_a_pipe_of_any_length_goes_through_bounded_memory(pythonpath, on_lake, tmp_path):
    with (tmp_path / "dump").open("wb") as file:
        file.truncate(LARGE_BYTES)
    dump = tmp_path / "dump"
    assert peak_bytes(on_lake, "put", "-", f"{on_lake.lake}/dump", "-q", stdin=dump) < 300 * MIB


@pytest.fixture(scope="module")
def a_million() -> Iterator[Path]:
    """Empty files on a memory file system, a thousand to a directory."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))  # noqa: PTH112, S108
    directory = -1
    for number in range(MANY):
        path = folder / path_of(number)
        if number % PER_DIRECTORY == 0:
            path.parent.mkdir()
            directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.close(os.open(path.name, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=directory))
        if number % PER_DIRECTORY == PER_DIRECTORY - 1:
            os.close(directory)
    yield folder
    shutil.rmtree(folder)


def listing(program: Program, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.e2e.listing_store", str(count), "many"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    program.env |= {
        "AWS_ENDPOINT_URL_S3": process.stdout.readline().strip(),
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
    }
    return process


@many
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("output", ["-q", "--json"])
@pytest.mark.parametrize("case", ["local", "up", "down"])
def test_the_plan_of_a_first_run_over_a_million_entries_fits(pythonpath, program, a_million, tmp_path, case, output):
    server = listing(program, MANY if case == "down" else 0)
    try:
        nowhere, lake = tmp_path / "nowhere", "s3://lake/many"
        source, target = {"local": (a_million, nowhere), "up": (a_million, lake), "down": (lake, nowhere)}[case]
        peak = peak_bytes(program, "sync", source, target, "--dry-run", output)
        print(f"{case} {output}: {peak / MIB:.0f} MiB")
        assert peak < 600 * MIB
    finally:
        server.kill()
        server.communicate()


@many
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_first_run_over_a_million_entries_fits_and_so_does_one_that_changes_nothing(pythonpath, program, a_million):
    with tempfile.TemporaryDirectory(dir=a_million.parent) as folder:
        for what in ("first", "nothing changed"):
            peak = peak_bytes(program, "sync", a_million, Path(folder, "target"), "-q")
            print(f"{what}: {peak / MIB:.0f} MiB")
            assert peak < 600 * MIB


@many
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_to_a_lake_that_changes_nothing_fits(pythonpath, program, a_million, monkeypatch):
    server = listing(program, MANY)
    try:
        with monkeypatch.context() as patch:
            for name, value in program.env.items():
                patch.setenv(name, value)
            asyncio.run(remember_all(str(a_million), "s3://lake/many"))
        peak = peak_bytes(program, "sync", a_million, "s3://lake/many", "-q", "--no-posix")
        print(f"to the lake, nothing changed: {peak / MIB:.0f} MiB")
        assert peak < 600 * MIB
    finally:
        server.kill()
        server.communicate()


async def remember_all(source: str, target: str) -> None:
    """What a run that has stored every file would remember. Directories are implicit there."""
    async with open_pair(source, target, SyncOptions(posix=False), config=None, writes=True) as pair:
        there: dict[str, Row] = {}
        async for batch in pair.target.scan():
            there |= {row.path: row for row in batch.rows}
        async for batch in pair.source.scan():
            files = [row for row in batch.rows if row.kind is Kind.FILE]
            pair.index.remember([(row.path, seal(row), seal(there[row.path])) for row in files])
