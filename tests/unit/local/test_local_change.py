"""Deletes, metadata and copies: only ever of the version that was named."""

import os
import subprocess

import pytest
from local_scene import POSIX, Scene, mode_of

from lakelink.errors import ChangedWhileRead, NameUnsupported, NotFound, PreconditionFailed
from lakelink.locations.base import Delete, SetPosix, Write
from lakelink.locations.content import BytesContent
from lakelink.locations.local.options import LocalOptions
from lakelink.model.entry import Entry, Expect, Kind, Posix, Version
from lakelink.ports.linux import LinuxKernel

LARGE = os.urandom(3 << 20)


def test_a_delete_removes_the_version_it_names_and_is_done_when_nothing_is_there(scene):
    (scene.root / "file").write_bytes(b"x")
    seen = scene.version("file")
    assert scene.delete("file", seen) is None
    assert scene.delete("file", seen) is None
    assert scene.delete("gone/file", seen) is None
    assert list(scene.root.iterdir()) == []


def test_a_delete_of_another_version_is_refused(scene):
    (scene.root / "file").write_bytes(b"x")
    seen = scene.version("file")
    (scene.root / "file").write_bytes(b"edited")
    assert isinstance(scene.delete("file", seen), PreconditionFailed)
    assert isinstance(scene.delete("file", None), PreconditionFailed)
    assert isinstance(scene.delete("file", scene.version("file"), Kind.SYMLINK), PreconditionFailed)
    assert (scene.root / "file").read_bytes() == b"edited"


def test_directories_are_removed_only_when_empty(scene):
    (scene.root / "d").mkdir()
    seen = scene.version("d")
    (scene.root / "d/new").touch()
    assert isinstance(scene.delete("d", seen, Kind.DIR), PreconditionFailed)
    (scene.root / "d/new").unlink()
    assert scene.delete("d", seen, Kind.DIR) is None
    (scene.root / "d").mkdir()
    (scene.root / "other").mkdir()
    assert isinstance(scene.delete("d", scene.version("other"), Kind.DIR), PreconditionFailed)


def test_a_symlink_is_removed_and_not_what_it_leads_to(scene):
    (scene.root / "file").write_bytes(b"x")
    (scene.root / "link").symlink_to("file")
    assert scene.delete("link", scene.version("link"), Kind.SYMLINK) is None
    assert (scene.root / "file").read_bytes() == b"x"


def test_nothing_is_removed_through_a_symlink(scene, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/file").write_bytes(b"x")
    (scene.root / "link").symlink_to(tmp_path / "out")
    st = (tmp_path / "out/file").stat()
    assert scene.delete("link/file", Version(1, st.st_mtime_ns, st.st_ino)) is None
    assert (tmp_path / "out/file").exists()


@pytest.mark.parametrize("path", [".lakelink/tmp/x", "../x", "a/../../x"])
def test_paths_outside_are_not_removed(scene, path):
    (scene.root.parent / "x").touch()
    assert isinstance(scene.delete(path, Version(0, 0, 1)), NameUnsupported)
    assert (scene.root.parent / "x").exists()


def test_with_trash_what_is_removed_is_kept(tmp_path):
    scene = Scene(tmp_path, LocalOptions(trash=True))
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_bytes(b"1")

    async def step():
        first = await scene.location.delete([Delete("a/b", Kind.FILE, Expect(scene.version("a/b")))])
        second = await scene.location.delete([Delete("a", Kind.DIR, Expect(scene.version("a")))])
        (tmp_path / "a").write_bytes(b"2")
        third = await scene.location.delete([Delete("a", Kind.FILE, Expect(scene.version("a")))])
        return first + second + third

    assert scene.run(step) == [None, None, None]
    assert sorted(data for _, data in scene.kept()) == [b"1", b"2"]
    assert ("a/b", b"1") in scene.kept()


def test_a_removed_file_that_is_still_open_for_writing_is_kept(scene):
    with (scene.root / "log").open("wb") as log:
        assert scene.delete("log", scene.version("log")) is None
        log.write(b"late")
    assert scene.kept() == [("log", b"late")]


def test_metadata_is_replaced_and_content_is_not_touched(scene):
    (scene.root / "file").write_bytes(b"x")
    before = scene.version("file")
    answer = scene.set_posix("file", POSIX, before)
    assert answer.posix == POSIX
    assert answer.version == scene.version("file")
    assert (answer.version.ino, (scene.root / "file").read_bytes()) == (before.ino, b"x")


def test_metadata_of_links_directories_and_the_root(scene):
    (scene.root / "d").mkdir()
    (scene.root / "link").symlink_to("d")
    posix = Posix(0o711, POSIX.uid, POSIX.gid, 1_000_000_001, 2)
    link = scene.set_posix("link", posix, scene.version("link"), Kind.SYMLINK)
    assert (os.lstat(scene.root / "link").st_mtime_ns, link.target) == (1_000_000_001, "d")
    for path in ("d", ""):
        assert scene.set_posix(path, posix, scene.version(path), Kind.DIR).posix == posix
        assert (mode_of(scene.root / path), (scene.root / path).stat().st_mtime_ns) == (0o711, 1_000_000_001)


def test_a_directory_is_the_same_version_whatever_happened_in_it(scene):
    (scene.root / "d").mkdir()
    seen = scene.version("d")
    (scene.root / "d/file").touch()
    assert isinstance(scene.set_posix("d", POSIX, seen, Kind.DIR), Entry)


def test_metadata_of_another_version_or_kind_is_not_touched(scene):
    (scene.root / "file").write_bytes(b"x")
    seen = scene.version("file")
    (scene.root / "file").write_bytes(b"edited")
    mode = mode_of(scene.root / "file")
    assert isinstance(scene.set_posix("file", POSIX, seen), PreconditionFailed)
    assert isinstance(scene.set_posix("file", POSIX, scene.version("file"), Kind.SYMLINK), PreconditionFailed)
    assert isinstance(scene.set_posix("file", POSIX, None), PreconditionFailed)
    assert isinstance(scene.set_posix("gone", POSIX, seen), NotFound)
    os.mkfifo(scene.root / "fifo")
    assert isinstance(scene.set_posix("fifo", POSIX, scene.version("fifo")), PreconditionFailed)
    assert mode_of(scene.root / "file") == mode


def test_a_time_is_not_set_under_a_writer_since_it_would_hide_the_edit(scene):
    (scene.root / "file").write_bytes(b"x")
    with (scene.root / "file").open("r+b"):
        assert isinstance(scene.set_posix("file", POSIX, scene.version("file")), PreconditionFailed)
    assert isinstance(scene.set_posix("file", POSIX, scene.version("file")), Entry)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_the_owner_changes_the_mode_of_a_file_that_is_not_readable(scene):
    (scene.root / "file").write_bytes(b"x")
    (scene.root / "file").chmod(0)
    assert isinstance(scene.set_posix("file", POSIX, scene.version("file")), Entry)
    assert mode_of(scene.root / "file") == POSIX.mode


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
def test_a_copy_has_bytes_and_metadata_of_its_origin(scene, data):
    (scene.root / "origin").write_bytes(data)
    scene.set_posix("origin", POSIX, scene.version("origin"))
    answer = scene.copy("origin", scene.version("origin"), "a/copy")
    assert (scene.root / "a/copy").read_bytes() == data
    assert answer.posix == POSIX
    assert isinstance(scene.copy("origin", scene.version("origin"), "a/copy"), PreconditionFailed)
    assert isinstance(scene.copy("origin", scene.version("origin"), "a/copy", scene.version("a/copy")), Entry)
    assert scene.left_behind() == []


def test_a_copy_of_another_version_of_the_origin_is_refused(scene):
    (scene.root / "origin").write_bytes(b"x")
    (scene.root / "link").symlink_to("origin")
    assert isinstance(scene.copy("origin", Version(1, 1, 1), "copy"), ChangedWhileRead)
    assert isinstance(scene.copy("link", scene.version("link"), "copy"), ChangedWhileRead)
    assert isinstance(scene.copy("gone", Version(1, 1, 1), "copy"), NotFound)
    assert not (scene.root / "copy").exists()


def test_directory_times_can_be_set_after_their_children_deepest_first(scene):
    async def step():
        loc = scene.location
        dirs = ["a", "a/b"]
        posix = Posix(0o755, POSIX.uid, POSIX.gid, 1_111_111_111_000_000_001, 0)
        made = await loc.write([Write(d, Kind.DIR, None, posix, Expect(None)) for d in dirs])
        await loc.write([Write(f"{d}/file", Kind.FILE, BytesContent(b"x"), POSIX, Expect(None)) for d in dirs])
        late = zip(reversed(dirs), reversed(made), strict=True)
        return await loc.set_posix([SetPosix(d, Kind.DIR, posix, Expect(e.version)) for d, e in late])

    answers = scene.run(step)
    assert [a.posix.mtime_ns for a in answers] == [1_111_111_111_000_000_001] * 2
    assert (scene.root / "a").stat().st_mtime_ns == (scene.root / "a/b").stat().st_mtime_ns == 1_111_111_111_000_000_001


class Opening(LinuxKernel):
    """Notes which names are opened; somebody else acts right before the first of them."""

    def __init__(self, act=lambda: None) -> None:
        super().__init__()
        self.act = act
        self.opened = []

    def open(self, path, flags, mode=0o777, *, dir_fd=None):
        if dir_fd is not None and path == "file":
            self.opened.append(path)
            act, self.act = self.act, lambda: None
            act()
        return os.open(path, flags, mode, dir_fd=dir_fd)


def test_a_file_that_takes_the_place_after_the_look_keeps_its_metadata(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x")
    (tmp_path / "theirs").write_bytes(b"theirs")
    (tmp_path / "theirs").chmod(0o604)
    scene = Scene(tmp_path, kernel=Opening(lambda: (tmp_path / "theirs").rename(path)))
    assert isinstance(scene.set_posix("file", POSIX, scene.version("file")), PreconditionFailed)
    assert mode_of(path) == 0o604


def test_a_device_or_fifo_is_not_even_opened_for_its_metadata(tmp_path):
    os.mkfifo(tmp_path / "file")
    kernel = Opening()
    scene = Scene(tmp_path, kernel=kernel)
    assert isinstance(scene.set_posix("file", POSIX, scene.version("file")), PreconditionFailed)
    assert kernel.opened == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives files to another user")
def test_setuid_survives_a_change_of_owner_alone(scene):
    (scene.root / "file").write_bytes(b"x")
    (scene.root / "file").chmod(0o4755)
    scene.set_posix("file", Posix(0o4755, 1234, 1234, 1, 1), scene.version("file"))
    st = (scene.root / "file").stat()
    assert (st.st_uid, mode_of(scene.root / "file")) == (1234, 0o4755)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_flush_reaches_a_file_system_below_the_root_of_which_a_file_was_only_looked_at(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", inner], capture_output=True, check=False).returncode:
        pytest.skip("mounts are not allowed here")
    synced = []

    class Noting(LinuxKernel):
        def syncfs(self, fd):
            synced.append(os.fstat(fd).st_dev)
            super().syncfs(fd)

    try:
        (inner / "file").write_bytes(b"somebody else wrote it")
        scene = Scene(tmp_path, kernel=Noting())
        scene.run(lambda: scene.location.stat(["inner/file"]), scene.location.flush)
        assert set(synced) == {tmp_path.stat().st_dev, inner.stat().st_dev}
    finally:
        subprocess.run(["umount", inner], check=True)
