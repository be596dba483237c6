"""Objects of a real store behind a relay that can be held up: slow, failing, changed, gone; one fetch however many wait."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lakelink.links.hsm.base import Candidate, Happened, NewStub, Outcome
from lakelink.links.hsm.holding import find_holder
from lakelink.links.hsm.stub import Origin
from lakelink.locations.base import LocationSpec, Write
from lakelink.locations.content import BytesContent
from lakelink.locations.resolve import OpenOptions, open_location
from lakelink.model.entry import Entry, Expect, Kind, Posix
from tests.e2e.relay import Relay
from tests.integration.hsm.scene import MTIME_NS, Scene, eventually, finish, noise, waits

POSIX = Posix(0o644, 0, 0, MTIME_NS, MTIME_NS)


class Gate(Relay):
    """A relay that lets nothing from the store through while it is shut."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self.open = threading.Event()
        self.open.set()
        self.lie: tuple[bytes, bytes] | None = None  # what is said instead of what

    def _pump(self, source, target, counter, limit) -> None:
        super()._pump(_Held(source, self) if counter == "from_store_bytes" else source, target, counter, limit)


class _Held:
    def __init__(self, socket, gate: Gate) -> None:
        self._socket, self._gate = socket, gate

    def recv(self, size: int) -> bytes:
        data = self._socket.recv(size)
        self._gate.open.wait(120)
        return data.replace(*self._gate.lie) if self._gate.lie else data

    def __getattr__(self, name: str):
        return getattr(self._socket, name)


class Lake:
    """Objects below a prefix, by the store's own door; the worker comes through the gate."""

    def __init__(self, seaweed, prefix: str, gate: Gate, tmp_path) -> None:
        key_file = tmp_path / "key"
        key_file.write_text(f"{seaweed.access_key}\n{seaweed.secret_key}\n")
        os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"] = seaweed.access_key, seaweed.secret_key
        self.url = f"s3://{seaweed.bucket}/{prefix}"
        self.gate = gate
        self._options = {"endpoint": seaweed.endpoint, "region": "us-east-1", "addressing": "path"}
        self.location = (self.url, "", {**self._options, "endpoint": gate.endpoint})

    def put(self, path: str, data: bytes) -> Entry:
        async def work() -> Entry:
            location = await open_location(LocationSpec(self.url, "", self._options), OpenOptions())
            try:
                (old,) = await location.stat([path])
                expect = Expect(old.version if isinstance(old, Entry) else None)
                write = Write(path, Kind.FILE, BytesContent(data), POSIX, expect)
                (made,) = await location.write([write])
                assert isinstance(made, Entry), made
                return made
            finally:
                await location.aclose()

        return asyncio.run(work())


@pytest.fixture
def lake(seaweed, s3_prefix, tmp_path, monkeypatch) -> Iterator[Lake]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    gate = Gate(seaweed.endpoint)
    gate.start()
    yield Lake(seaweed, s3_prefix, gate, tmp_path)
    gate.open.set()
    gate.stop()


def stubs(scene: Scene, lake: Lake, files: dict[str, bytes]) -> None:
    made = []
    for path, data in files.items():
        entry = lake.put(path, data)
        assert entry.version is not None
        made.append(NewStub(path, POSIX, Origin("s3", path, entry.version)))
    assert not [one for one in scene.guard.make(made) if isinstance(one, Exception)]


@contextmanager
def shut(gate: Gate) -> Iterator[None]:
    gate.open.clear()
    try:
        yield
    finally:
        gate.open.set()


def test_objects_small_and_large_come_whole_with_their_times(scene_of, lake):
    scene = scene_of(locations={"s3": lake.location})
    files = {"small": noise(4096, 1), "middle": noise(300_000, 2), "large": noise(20 << 20, 3), "none": b""}
    stubs(scene, lake, files)
    for path, data in files.items():
        assert scene.cat(path) == data
        assert (scene.tree / path).stat().st_mtime_ns == MTIME_NS


def test_hundreds_of_readers_of_one_stub_share_one_fetch(scene_of, lake):
    scene = scene_of(locations={"s3": lake.location})
    data = noise(1 << 20, 4)
    stubs(scene, lake, {"f": data})
    with shut(lake.gate):
        readers = [scene.reader("f") for _ in range(300)]
        assert all(waits(reader) for reader in readers)
    assert all(finish(reader)[0] == data for reader in readers)
    assert lake.gate.from_store_bytes < 2 * len(data)


def test_a_worker_killed_while_it_loads_is_followed_by_another_which_serves_the_reader(scene_of, lake):
    scene = scene_of(locations={"s3": lake.location})
    data = noise(2 << 20, 5)
    stubs(scene, lake, {"f": data})
    with shut(lake.gate):
        before = lake.gate.to_store_bytes
        reader = scene.reader("f")
        assert waits(reader)
        eventually(lambda: lake.gate.to_store_bytes > before)
        os.kill(scene.guard.crew.worker_pid, signal.SIGKILL)
    assert finish(reader)[0] == data


@pytest.mark.parametrize("dead", ["worker", "holder", "worker holder", "daemon worker holder"])
def test_whoever_dies_while_a_file_is_loaded_the_reader_gets_its_bytes(scene_of, lake, dead):
    scene = scene_of(locations={"s3": lake.location})
    data = noise(2 << 20, 15)
    stubs(scene, lake, {"f": data})
    held = find_holder(str(scene.backing))
    held.close()
    pids = {"worker": scene.guard.crew.worker_pid, "holder": held.pid}
    with shut(lake.gate):
        before = lake.gate.to_store_bytes
        reader = scene.reader("f")
        assert waits(reader)
        eventually(lambda: lake.gate.to_store_bytes > before)
        if "daemon" in dead:
            scene.loop.run(scene.guard.crew.stop(keep=True))
        for victim in set(dead.split()) - {"daemon"}:
            os.kill(pids[victim], signal.SIGKILL)
        if "daemon" in dead:
            scene.again()
            assert not scene.guard.crew.fresh
    assert finish(reader)[0] == data


@pytest.mark.parametrize("size", [4096, 300_000])
def test_bytes_that_are_not_those_of_the_version_are_refused(scene_of, lake, size):
    scene = scene_of(locations={"s3": lake.location})
    data = b"the true bytes, " + noise(size, 16)
    stubs(scene, lake, {"f": data})
    lake.gate.lie = (b"the true bytes, ", b"the wrong bytes,")
    out, complaint = finish(scene.reader("f"))
    assert (out, b"Input/output error" in complaint) == (b"", True)
    assert scene.is_stub("f")
    lake.gate.lie = None
    assert scene.cat("f") == data


def test_a_store_that_is_too_slow_ends_in_an_error_and_the_next_reader_gets_the_bytes(scene_of, lake):
    scene = scene_of(locations={"s3": lake.location}, load_timeout_s=1.0)
    data = noise(100_000, 6)
    stubs(scene, lake, {"f": data})
    with shut(lake.gate):
        out, complaint = finish(scene.reader("f"))
        assert (out, b"Input/output error" in complaint) == (b"", True)
    assert scene.is_stub("f")
    assert scene.cat("f") == data


@pytest.mark.parametrize("size", [5000, 9 << 20])
def test_an_object_that_changed_is_refused_and_the_link_is_told(scene_of, lake, size):
    scene = scene_of(locations={"s3": lake.location})
    stubs(scene, lake, {"f": noise(size, 7)})
    lake.put("f", noise(size, 8))
    out, complaint = finish(scene.reader("f"))
    assert (out, b"Input/output error" in complaint) == (b"", True)
    assert scene.is_stub("f")
    (result,) = scene.loop.run(scene.guard.restore(["f"]))
    assert result.outcome is Outcome.CHANGED
    eventually(lambda: Happened.CHANGED in {event.kind for event in scene.guard._events})


def test_an_object_that_is_gone_is_refused(scene_of, lake):
    scene = scene_of(locations={"s3": lake.location})
    entry = lake.put("other", b"x")
    assert entry.version is not None
    scene.guard.make([NewStub("f", POSIX, Origin("s3", "never", entry.version))])
    assert b"Input/output error" in finish(scene.reader("f"))[1]
    (result,) = scene.loop.run(scene.guard.restore(["f"]))
    assert result.outcome is Outcome.CHANGED


def test_a_stub_becomes_one_of_the_new_version_in_place(scene_of, lake):
    scene = scene_of(locations={"s3": lake.location})
    old, new = noise(50_000, 9), noise(20_000, 10)
    stubs(scene, lake, {"f": old})
    for data in (new, old, noise(90_000, 11)):
        if data is old:
            assert scene.cat("f") == new  # loaded, clean and closed: it may become a stub again
        before = scene.sight("f")
        entry = lake.put("f", data)
        assert entry.version is not None
        candidate = Candidate("f", before.version, before.stub.origin if before.stub else None)
        stub = NewStub("f", POSIX, Origin("s3", "f", entry.version))
        (result,) = scene.loop.run(scene.guard.restub([candidate], [stub]))
        assert result.outcome is Outcome.DONE, result
        assert scene.sight("f").version.ino == before.version.ino
        assert scene.sight("f").version.size_bytes == len(data)
    assert scene.cat("f") == noise(90_000, 11)
