"""Writes: what is there afterwards, and what is not."""

import asyncio
import os
import stat
from pathlib import Path

import pytest
from local_scene import POSIX, Arriving, Scene, Unknown, mode_of

from lakelink.errors import (
    Corrupt,
    NameUnsupported,
    NotPermitted,
    PreconditionFailed,
    RootMissing,
    Unsupported,
)
from lakelink.locations.base import Write
from lakelink.locations.content import BytesContent
from lakelink.locations.local.options import Durability, LocalOptions
from lakelink.model.entry import Entry, Expect, Kind, Posix, Version
from lakelink.ports.linux import LinuxKernel

LARGE = os.urandom(3 << 20)
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives files to another user")


@pytest.mark.parametrize(
    "content",
    [
        BytesContent(b"hello"),
        BytesContent(b""),
        Arriving(b"hello"),
        Unknown(b"hello"),
        Arriving(LARGE),
        Unknown(LARGE),
        BytesContent(LARGE),
    ],
    ids=["memory", "empty", "loaded", "poured", "large", "stream", "large-memory"],
)
def test_a_new_file_has_its_bytes_mode_and_times_and_nothing_else_is_left(scene, content):
    answer = scene.write("a/b/file", content)
    path = scene.root / "a/b/file"
    st = path.stat()
    assert isinstance(answer, Entry)
    assert (st.st_mtime_ns, st.st_atime_ns) == (POSIX.mtime_ns, POSIX.atime_ns)
    assert path.read_bytes() == content.data
    assert mode_of(path) == 0o640
    assert answer.version == scene.version("a/b/file")
    assert answer.posix == POSIX
    assert scene.left_behind() == []


def test_without_posix_the_umask_decides(scene):
    before = os.umask(0o027)
    try:
        scene.write("file", b"x", posix=None)
        scene.write("dir", None, kind=Kind.DIR, posix=None)
    finally:
        os.umask(before)
    assert mode_of(scene.root / "file") == 0o640
    assert mode_of(scene.root / "dir") == 0o750


@pytest.mark.parametrize("content", [BytesContent(b"new"), Unknown(b"new")], ids=["memory", "poured"])
def test_a_write_that_expects_nothing_never_replaces(scene, content):
    (scene.root / "file").write_bytes(b"theirs")
    (scene.root / "dir").mkdir()
    for path in ("file", "dir"):
        assert isinstance(scene.write(path, content), PreconditionFailed)
    assert (scene.root / "file").read_bytes() == b"theirs"
    assert scene.left_behind() == []


@pytest.mark.parametrize("content", [BytesContent(b"new"), Unknown(b"new")], ids=["memory", "poured"])
def test_a_replacement_takes_the_place_of_the_version_it_names(scene, content):
    (scene.root / "file").write_bytes(b"old")
    answer = scene.write("file", content, expect=scene.version("file"))
    assert isinstance(answer, Entry)
    assert (scene.root / "file").read_bytes() == b"new"
    assert scene.left_behind() == []


def test_a_replacement_of_another_version_is_refused(scene):
    (scene.root / "file").write_bytes(b"old")
    seen = scene.version("file")
    (scene.root / "file").write_bytes(b"edited")
    assert isinstance(scene.write("file", b"new", expect=seen), PreconditionFailed)
    (scene.root / "file").unlink()
    assert isinstance(scene.write("file", b"new", expect=seen), PreconditionFailed)
    assert not (scene.root / "file").exists()
    assert scene.left_behind() == []


def test_with_trash_what_is_replaced_is_kept_with_its_mode_and_times(tmp_path):
    scene = Scene(tmp_path, LocalOptions(trash=True))
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_bytes(b"old")
    (tmp_path / "a/file").chmod(0o604)
    os.utime(tmp_path / "a/file", ns=(1, 1_234_567_890_123_456_789))
    scene.write("a/file", b"new", expect=scene.version("a/file"))
    assert scene.kept() == [("a/file", b"old")]
    assert mode_of(tmp_path / ".lakelink") == 0o700
    (kept,) = list((tmp_path / ".lakelink/trash").rglob("file"))
    assert (mode_of(kept), kept.stat().st_mtime_ns) == (0o604, 1_234_567_890_123_456_789)
    assert scene.paths() == ["", "a", "a/file"]


def test_the_trash_keeps_both_where_one_path_is_replaced_twice_in_a_run(tmp_path):
    scene = Scene(tmp_path, LocalOptions(trash=True))
    (tmp_path / "file").write_bytes(b"one")

    async def replace(data):
        await scene.location.write([Write("file", Kind.FILE, BytesContent(data), POSIX, Expect(scene.version("file")))])

    scene.run(lambda: replace(b"two"), lambda: replace(b"three"))
    assert sorted(data for _, data in scene.kept()) == [b"one", b"two"]


def test_a_replaced_file_that_is_still_open_for_writing_is_kept(scene):
    (scene.root / "log").write_bytes(b"line\n")
    with (scene.root / "log").open("ab") as log:
        assert isinstance(scene.write("log", b"new", expect=scene.version("log")), Entry)
        log.write(b"late\n")
    assert scene.kept() == [("log", b"line\nlate\n")]
    assert (scene.root / "log").read_bytes() == b"new"


def test_an_open_reader_does_not_keep_a_replaced_file(scene):
    (scene.root / "file").write_bytes(b"old")
    with (scene.root / "file").open("rb"):
        scene.write("file", b"new", expect=scene.version("file"))
    assert scene.left_behind() == []


def test_symlinks_are_made_replaced_and_never_followed(scene):
    (scene.root / "outside").write_bytes(b"untouched")
    assert isinstance(scene.write("link", b"outside", kind=Kind.SYMLINK), Entry)
    assert (scene.root / "link").readlink() == Path("outside")
    assert os.lstat(scene.root / "link").st_mtime_ns == POSIX.mtime_ns
    assert isinstance(scene.write("link", b"other", kind=Kind.SYMLINK, expect=scene.version("link")), Entry)
    assert (scene.root / "link").readlink() == Path("other")
    assert isinstance(scene.write("link", b"bytes"), PreconditionFailed)
    assert (scene.root / "outside").read_bytes() == b"untouched"
    assert scene.left_behind() == []


def test_directories_are_made_and_adopted_with_their_metadata(scene):
    answer = scene.write("a/dir", None, kind=Kind.DIR, posix=Posix(0o751, POSIX.uid, POSIX.gid, 5_000_000_001, 6))
    assert answer.posix == Posix(0o751, POSIX.uid, POSIX.gid, 5_000_000_001, 6)
    again = scene.write("a/dir", None, kind=Kind.DIR, posix=Posix(0o700, POSIX.uid, POSIX.gid, 7, 8))
    assert again.version.ino == answer.version.ino
    assert mode_of(scene.root / "a/dir") == 0o700
    assert (scene.root / "a/dir").stat().st_mtime_ns == 7


def test_a_directory_does_not_take_the_place_of_a_file(scene):
    (scene.root / "x").write_bytes(b"file")
    assert isinstance(scene.write("x", None, kind=Kind.DIR), PreconditionFailed)
    assert isinstance(scene.write("x", None, kind=Kind.DIR, posix=None), PreconditionFailed)
    assert (scene.root / "x").read_bytes() == b"file"


@pytest.mark.parametrize("link", [False, True], ids=["file", "link"])
def test_a_file_or_link_in_the_way_of_a_parent_is_a_failed_precondition(scene, tmp_path, link):
    (tmp_path / "elsewhere").mkdir()
    if link:
        (scene.root / "x").symlink_to(tmp_path / "elsewhere")
    else:
        (scene.root / "x").write_bytes(b"file")
    answer = scene.write("x/y/z", b"data")
    assert isinstance(answer, PreconditionFailed)
    assert answer.message == "x is there and not a directory"
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    "path", ["../out", "a/../../out", "/abs", "a//b", "./a", "", "nul\0", ".lakelink", ".lakelink/tmp/x", "x" * 256]
)
def test_names_that_cannot_be_are_refused(scene, path):
    answer = scene.write(path, b"x")
    assert isinstance(answer, (NameUnsupported, PreconditionFailed))
    assert isinstance(answer, NameUnsupported) or path == ""
    assert list(scene.root.parent.iterdir()) == [scene.root]


@pytest.mark.parametrize(
    "name",
    [b"\xff\xfe not utf-8", b"new\nline", b"x" * 255, "ünïcödé".encode() * 10, b"back\\slash", b"\xcc\x88", b"-rf"],
)
def test_any_bytes_can_be_a_name(scene, name):
    path = os.fsdecode(name)
    assert isinstance(scene.write(path, b"data"), Entry)
    assert [os.fsencode(p.name) for p in scene.root.iterdir()] == [name]
    assert scene.paths() == ["", path]
    assert scene.read(path) == b"data"
    assert scene.delete(path, scene.version(path)) is None


@pytest.mark.parametrize("announced", [4, 6])
def test_a_body_of_another_length_than_announced_is_not_stored(scene, announced):
    large = 2 << 20
    assert isinstance(scene.write("small", Arriving(b"12345", announced)), Corrupt)
    assert isinstance(scene.write("large", Arriving(b"12345", large)), Corrupt)
    assert list(scene.root.iterdir()) == []


def test_a_body_that_fails_leaves_nothing(scene):
    def fail():
        raise Corrupt("the checksum is off")

    assert isinstance(scene.write("file", Unknown(b"12345", fail)), Corrupt)
    assert list(scene.root.iterdir()) == []


def test_one_bad_write_does_not_stop_the_others(scene):
    (scene.root / "taken").write_bytes(b"")
    names = ["a", "taken", "b", "x" * 300, "c/d"]
    answers = scene.writes(*[Write(n, Kind.FILE, BytesContent(b"x"), None, Expect(None)) for n in names])
    assert [type(a) for a in answers] == [Entry, PreconditionFailed, Entry, NameUnsupported, Entry]


@AS_ROOT
def test_as_root_the_owner_is_kept_and_setuid_survives_the_change_of_owner(scene):
    answer = scene.write("su", b"x", posix=Posix(0o6755, 1234, 4321, 1, 1))
    st = (scene.root / "su").stat()
    assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (1234, 4321, 0o6755)
    assert answer.posix == Posix(0o6755, 1234, 4321, 1, 1)
    scene.write("link", b"su", kind=Kind.SYMLINK, posix=Posix(0o777, 1234, 4321, 1, 1))
    st = os.lstat(scene.root / "link")
    assert (st.st_uid, st.st_gid) == (1234, 4321)


def test_without_the_owner_setuid_is_not_granted_to_somebody_else(tmp_path):
    scene = Scene(tmp_path, LocalOptions(owner=False))
    scene.write("su", b"x", posix=Posix(0o6755, os.geteuid() + 1, os.getegid() + 1, 1, 1))
    assert mode_of(tmp_path / "su") == 0o755
    scene.write("own", b"x", posix=Posix(0o4755, os.geteuid(), os.getegid(), 1, 1))
    assert mode_of(tmp_path / "own") == 0o4755


@pytest.mark.parametrize("mtime_ns", [0, -1, -1_000_000_001, 1, 2**31 * 10**9 + 1])
def test_times_are_kept_to_the_nanosecond(scene, mtime_ns):
    answer = scene.write("file", b"x", posix=Posix(0o600, POSIX.uid, POSIX.gid, mtime_ns, 0))
    assert (scene.root / "file").stat().st_mtime_ns == mtime_ns == answer.version.time_ns


def test_times_and_owners_beyond_the_system_are_reported(scene):
    assert isinstance(scene.write("file", b"x", posix=Posix(0o600, 0, 0, 2**100, 0)), Unsupported)
    assert list(scene.root.iterdir()) == []


def test_the_root_is_made_by_the_first_write_but_not_by_a_look(tmp_path):
    scene = Scene(tmp_path / "new/root")
    with pytest.raises(RootMissing):
        scene.scan()
    assert not (tmp_path / "new").exists()
    assert isinstance(scene.write("file", b"x"), Entry)
    assert (tmp_path / "new/root/file").read_bytes() == b"x"
    with pytest.raises(RootMissing):
        Scene(tmp_path / "other", LocalOptions(create_root=False)).write("file", b"x")


@pytest.mark.parametrize("durability", list(Durability))
def test_flush_and_close_may_be_called_at_any_time_and_twice(tmp_path, durability):
    scene = Scene(tmp_path, LocalOptions(durability=durability))
    loc = scene.location

    async def put():
        return await loc.write([Write("a", Kind.FILE, BytesContent(b"1"), POSIX, Expect(None))])

    scene.run(loc.flush, put, loc.flush, loc.flush, loc.aclose, loc.aclose)
    assert (tmp_path / "a").read_bytes() == b"1"


def test_bytes_are_synced_before_their_name_shows_them_where_that_is_asked_for(tmp_path):
    calls = []

    class Noting(LinuxKernel):
        def fdatasync(self, fd):
            calls.append("sync")
            os.fdatasync(fd)

        def link_fd(self, fd, new, *, dir_fd):
            calls.append("name")
            super().link_fd(fd, new, dir_fd=dir_fd)

    Scene(tmp_path, LocalOptions(durability=Durability.FILE), Noting()).write("file", b"x")
    assert calls == ["sync", "name"]


def test_a_root_that_was_replaced_is_noticed_by_flush(scene):
    async def swap():
        await scene.location.write([Write("a", Kind.FILE, BytesContent(b"1"), POSIX, Expect(None))])
        scene.root.rename(scene.root.parent / "moved")
        scene.root.mkdir()

    with pytest.raises(RootMissing):
        scene.run(swap, scene.location.flush)


def test_the_times_of_the_root_do_not_tell_of_the_staging_directory(scene):
    (scene.root / "d").mkdir()
    (scene.root / "d/file").write_bytes(b"old")
    os.utime(scene.root, ns=(5, 1_000_000_007))
    scene.write("d/file", b"new", expect=scene.version("d/file"))
    assert scene.root.stat().st_mtime_ns == 1_000_000_007
    assert scene.left_behind() == []


def test_a_staging_directory_of_another_user_is_not_used(scene):
    (scene.root / ".lakelink").mkdir()
    if os.geteuid():
        pytest.skip("needs root: a directory of another user")
    os.chown(scene.root / ".lakelink", 12345, 12345)
    (scene.root / "file").write_bytes(b"old")
    answer = scene.write("file", b"new", expect=scene.version("file"))
    assert isinstance(answer, NotPermitted)
    assert (scene.root / "file").read_bytes() == b"old"


def test_a_write_can_be_repeated_after_it_was_refused(scene):
    first = scene.write("file", b"same")
    assert isinstance(scene.write("file", b"same"), PreconditionFailed)
    assert isinstance(scene.write("file", b"same", expect=first.version), Entry)
    assert isinstance(first.version, Version)


class Barred(LinuxKernel):
    """As an ordinary user has it, also where root runs the tests: no name is removed from a directory that its owner may not write."""

    def rmdir(self, name, *, dir_fd=None):
        if not os.fstat(dir_fd).st_mode & 0o200:
            raise PermissionError(13, "Permission denied")
        os.rmdir(name, dir_fd=dir_fd)


def test_a_root_that_ends_read_only_keeps_nothing_of_ours_and_its_mode_and_time(tmp_path):
    scene = Scene(tmp_path, kernel=Barred())

    async def main():
        link = Write("link", Kind.SYMLINK, BytesContent(b"x"), POSIX, Expect(None))
        assert isinstance((await scene.location.write([link]))[0], Entry)
        tmp_path.chmod(0o555)
        os.utime(tmp_path, ns=(7, 7))
        await scene.location.aclose()

    try:
        asyncio.run(main())
        st = tmp_path.stat()
        assert [path.name for path in tmp_path.iterdir()] == ["link"]
        assert (stat.S_IMODE(st.st_mode), st.st_mtime_ns) == (0o555, 7)
    finally:
        tmp_path.chmod(0o755)
