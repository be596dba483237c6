"""Reads: the bytes of one version, or an error, never a mix."""

import asyncio
import os
import threading
import time

import pytest
from local_scene import POSIX, Scene

from lakelink.errors import ChangedWhileRead, NotFound, NotPermitted, PreconditionFailed, Unsupported
from lakelink.locations.base import Read, Write
from lakelink.locations.content import BytesContent
from lakelink.locations.local.options import LocalOptions
from lakelink.model.entry import Entry, Expect, Kind
from lakelink.model.task import Symlinks
from lakelink.ports.linux import LinuxKernel

LARGE = os.urandom((2 << 20) + 17)


class Meddling(LinuxKernel):
    """A kernel in which somebody else acts right after a file was opened or between two reads."""

    def __init__(self, act, after="read") -> None:
        super().__init__()
        self.act = act
        self.after = after

    def _then(self, name):
        if name == self.after and self.act is not None:
            act, self.act = self.act, None
            act()

    def read(self, fd, length):
        data = os.read(fd, length)
        self._then("read")
        return data

    def pread(self, fd, length, offset):
        data = os.pread(fd, length, offset)
        self._then("pread")
        return data

    def copy_file_range(self, src, dst, count, offset_src=None, offset_dst=None):
        done = os.copy_file_range(src, dst, min(count, 1 << 20), offset_src, offset_dst)
        self._then("copy")
        return done

    def clone(self, target_fd, source_fd):
        raise OSError(95, "not here")


@pytest.mark.parametrize("data", [b"", b"x", b"y" * 4096, LARGE], ids=["empty", "one", "block", "large"])
def test_content_is_what_is_in_the_file(scene, data):
    (scene.root / "file").write_bytes(data)
    assert scene.read("file", scene.version("file")) == data
    assert scene.read("file") == data


def test_a_symlink_reads_as_its_target(scene):
    (scene.root / "link").symlink_to(os.fsdecode(b"no/such\xff"))
    assert scene.read("link", scene.version("link")) == b"no/such\xff"
    assert scene.read("link") == b"no/such\xff"


def test_reading_leaves_the_access_time_alone(scene):
    (scene.root / "file").write_bytes(b"x")
    os.utime(scene.root / "file", ns=(1, 2))
    scene.read("file")
    assert (scene.root / "file").stat().st_atime_ns == 1


def test_another_version_than_asked_for_is_refused(scene):
    for name, data in (("small", b"1"), ("large", LARGE)):
        (scene.root / name).write_bytes(data)
        seen = scene.version(name)
        os.utime(scene.root / name, ns=(0, 1))
        assert isinstance(scene.read(name, seen), ChangedWhileRead)


def test_what_cannot_be_read_says_why(scene):
    (scene.root / "dir").mkdir()
    os.mkfifo(scene.root / "fifo")
    (scene.root / "file").write_bytes(b"")
    (scene.root / "out").symlink_to("/etc")
    assert isinstance(scene.read("gone"), NotFound)
    assert isinstance(scene.read("dir"), NotFound)
    assert isinstance(scene.read("fifo"), Unsupported)
    assert isinstance(scene.read("file/below"), PreconditionFailed)
    assert isinstance(scene.read("out/passwd"), PreconditionFailed)


def _grow(path):
    with path.open("ab") as file:
        file.write(b"more")


def _shrink(path):
    os.truncate(path, 1)


def _overwrite(path):
    st = path.stat()
    with path.open("r+b") as file:
        file.write(b"Z")
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))  # hides it from mtime: only ctime tells


@pytest.mark.parametrize("change", [_grow, _shrink, _overwrite])
@pytest.mark.parametrize("size_bytes", [4096, len(LARGE)])
def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path, change, size_bytes):
    path = tmp_path / "file"
    path.write_bytes(LARGE[:size_bytes])
    scene = Scene(tmp_path, kernel=Meddling(lambda: change(path)))
    assert isinstance(scene.read("file", scene.version("file")), ChangedWhileRead)


@pytest.mark.parametrize("change", [_grow, _shrink, _overwrite])
def test_a_file_that_changes_between_two_chunks_is_noticed_before_the_last(tmp_path, change):
    path = tmp_path / "file"
    path.write_bytes(LARGE)
    scene = Scene(tmp_path, kernel=Meddling(lambda: change(path), "pread"))
    got = []

    async def step():
        (content,) = await scene.location.read([Read("file", len(LARGE), scene.version("file"))])
        async for chunk in content.chunks():
            got.append(chunk)  # noqa: PERF401  # what came before the error counts

    with pytest.raises(ChangedWhileRead):
        scene.run(step)
    assert len(b"".join(got)) < len(LARGE)


@pytest.mark.parametrize("change", [_grow, _shrink, _overwrite])
def test_a_file_that_changes_while_it_is_copied_is_not_stored(tmp_path, change):
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    path = tmp_path / "from/file"
    path.write_bytes(LARGE)
    source = Scene(tmp_path / "from")
    target = Scene(tmp_path / "to", kernel=Meddling(lambda: change(path), "copy"))

    async def step():
        (content,) = await source.location.read([Read("file", len(LARGE), source.version("file"))])
        return await target.location.write([Write("file", Kind.FILE, content, POSIX, Expect(None))])

    (answer,) = target.run(step)
    assert not isinstance(answer, Entry)
    assert list((tmp_path / "to").iterdir()) == []


def test_without_a_version_a_changing_file_is_read_again(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"first")
    scene = Scene(tmp_path, kernel=Meddling(lambda: _grow(path)))
    assert scene.read("file") == b"firstmore"


def test_chunks_can_start_and_end_anywhere_and_content_can_be_read_twice(scene):
    (scene.root / "file").write_bytes(LARGE)

    async def step():
        (content,) = await scene.location.read([Read("file", len(LARGE), scene.version("file"))])
        for start, end in ((0, None), (5, 9), (1 << 20, None), (len(LARGE) - 1, len(LARGE) + 5), (7, 7)):
            assert b"".join([c async for c in content.chunks(start, end)]) == LARGE[start:end]

    scene.run(step)


def test_a_large_file_pours_into_a_descriptor(scene, tmp_path):
    (scene.root / "file").write_bytes(LARGE)

    async def step():
        (content,) = await scene.location.read([Read("file", len(LARGE), scene.version("file"))])
        (tmp_path / "out").write_bytes(b"longer than what comes" * 200_000)
        with (tmp_path / "out").open("r+b") as out:
            assert await content.pour(out.fileno()) == len(LARGE)

    scene.run(step)
    assert (tmp_path / "out").read_bytes() == LARGE


def test_many_files_in_one_call_are_each_their_own(scene):
    for i in range(300):
        (scene.root / f"f{i}").write_bytes(b"%d" % i * 40_000)

    async def step():
        reads = [Read(f"f{i}", 0, scene.version(f"f{i}")) for i in range(300)]
        contents = await scene.location.read(reads)
        assert any(not isinstance(c, BytesContent) for c in contents)  # beyond what one call reads at once
        return [await c.load() for c in contents]

    assert scene.run(step) == [b"%d" % i * 40_000 for i in range(300)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_not_permitted(scene):
    (scene.root / "file").write_bytes(b"")
    (scene.root / "file").chmod(0)
    assert isinstance(scene.read("file"), NotPermitted)


def test_stat_tells_everything_there_is(scene):
    (scene.root / "d").mkdir()
    (scene.root / "d/file").write_bytes(b"12345")
    (scene.root / "d/link").symlink_to("file")
    (scene.root / "out").symlink_to("/")
    paths = ["", "d", "d/file", "d/link", "gone", "d/file/x", "out/etc", "gone/x"]
    root, d, file, link, *absent = scene.run(lambda: scene.location.stat(paths))
    assert (root.kind, d.kind, file.kind, link.kind) == (Kind.DIR, Kind.DIR, Kind.FILE, Kind.SYMLINK)
    assert (file.size_bytes, file.version, link.target) == (5, scene.version("d/file"), "file")
    assert absent == [None] * 4


def test_followed_links_read_as_what_they_lead_to(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(LARGE)
    (tmp_path / "root").mkdir()
    (tmp_path / "root/link").symlink_to("../outside")
    (tmp_path / "root/file").symlink_to("../outside/file")
    scene = Scene(tmp_path / "root", LocalOptions(symlinks=Symlinks.FOLLOW))
    st = (tmp_path / "outside/file").stat()
    for path in ("link/file", "file"):
        assert scene.stat(path).version.ino == st.st_ino
        assert scene.read(path, scene.stat(path).version) == LARGE


def test_a_cancelled_copy_ends_and_leaves_nothing(tmp_path):
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "from/file").write_bytes(LARGE)
    begun = []
    started = threading.Event()

    class Slow(Meddling):
        def copy_file_range(self, src, dst, count, offset_src=None, offset_dst=None):
            begun.append(offset_src)
            started.set()
            time.sleep(0.005)
            return os.copy_file_range(src, dst, 1024, offset_src, offset_dst)

    source, target = Scene(tmp_path / "from"), Scene(tmp_path / "to", kernel=Slow(None))

    async def step():
        contents = await source.location.read([Read("file", len(LARGE), source.version("file"))])
        call = asyncio.ensure_future(
            target.location.write([Write("file", Kind.FILE, contents[0], POSIX, Expect(None))])
        )
        assert await asyncio.to_thread(started.wait, 60)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return len(begun)

    assert 0 < target.run(step) < len(LARGE) // 1024
    assert list((tmp_path / "to").iterdir()) == []
