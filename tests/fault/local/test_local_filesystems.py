"""The same promises on every file system that can be mounted here, and under every missing kernel feature."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from local_scene import POSIX, Scene, Unknown

from lakelink.errors import NoSpace, NotPermitted, PreconditionFailed, RootMissing
from lakelink.locations.base import Read, Write
from lakelink.locations.content import BytesContent
from lakelink.locations.local.options import LocalOptions
from lakelink.model.entry import Entry, Expect, Kind
from lakelink.ports.linux import LinuxKernel

MIB = 1 << 20


class Without(LinuxKernel):
    """A kernel or file system that lacks some calls."""

    def __init__(self, *missing: str) -> None:
        super().__init__(openat2="openat2" not in missing)
        self.missing = missing

    def open(self, path, flags, mode=0o777, *, dir_fd=None):
        if "O_TMPFILE" in self.missing and flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no O_TMPFILE")
        return os.open(path, flags, mode, dir_fd=dir_fd)

    def rename(self, old, new, *, old_dir_fd, new_dir_fd, flags=0):
        if flags and "renameat2" in self.missing:
            raise OSError(errno.EINVAL, "no flags")
        super().rename(old, new, old_dir_fd=old_dir_fd, new_dir_fd=new_dir_fd, flags=flags)

    def link(self, old, new, *, old_dir_fd, new_dir_fd):
        if "link" in self.missing:
            raise OSError(errno.EPERM, "no hard links")
        super().link(old, new, old_dir_fd=old_dir_fd, new_dir_fd=new_dir_fd)

    def copy_file_range(self, *args):
        if "copy_file_range" in self.missing:
            raise OSError(errno.EXDEV, "no copy_file_range")
        return os.copy_file_range(*args)

    def flock(self, fd, operation):
        if "flock" in self.missing:
            raise OSError(errno.EBADF, "no locks")
        super().flock(fd, operation)

    def lease(self, fd):
        return None if "lease" in self.missing else super().lease(fd)

    def clone(self, target_fd, source_fd):
        if "copy_file_range" in self.missing:
            raise OSError(errno.EOPNOTSUPP, "no FICLONE")
        super().clone(target_fd, source_fd)


LACKING = [
    (),
    ("openat2",),
    ("O_TMPFILE",),
    ("renameat2",),
    ("O_TMPFILE", "renameat2"),
    ("O_TMPFILE", "renameat2", "link", "openat2", "flock", "lease", "copy_file_range"),
]


def _everything(root: Path, kernel: LinuxKernel, *, trash: bool = False) -> None:
    """One of each: create, refuse, replace, refuse, delete; nothing of ours is left."""
    scene = Scene(root, LocalOptions(trash=trash), kernel)
    assert isinstance(scene.write("a/file", b"one"), Entry)
    assert isinstance(scene.write("a/file", b"two"), PreconditionFailed)
    first = scene.version("a/file")
    assert isinstance(scene.write("a/file", b"two", expect=first), Entry)
    assert isinstance(scene.write("a/file", b"three", expect=first), PreconditionFailed)
    assert (root / "a/file").read_bytes() == b"two"
    assert isinstance(scene.write("a/link", b"file", kind=Kind.SYMLINK), Entry)
    assert isinstance(scene.write("a/link", b"gone", kind=Kind.SYMLINK), PreconditionFailed)
    assert isinstance(scene.write("a/link", b"gone", kind=Kind.SYMLINK, expect=scene.version("a/link")), Entry)
    assert (root / "a/link").readlink() == Path("gone")
    posix = replace(POSIX, mode=0o750)
    assert scene.write("a", None, kind=Kind.DIR, posix=posix).posix == posix
    assert isinstance(scene.delete("a/file", first), PreconditionFailed)
    assert scene.delete("a/file", scene.version("a/file")) is None
    assert scene.delete("a/link", scene.version("a/link"), Kind.SYMLINK) is None
    assert scene.delete("a", scene.version("a"), Kind.DIR) is None
    assert [data for _, data in scene.kept()] == ([b"one", b"two"] if trash else [])
    if not trash:
        assert list(root.iterdir()) == []


@pytest.mark.parametrize("missing", LACKING, ids="+".join)
@pytest.mark.parametrize("trash", [False, True])
def test_the_promises_hold_without_the_newer_calls(tmp_path, missing, trash):
    _everything(tmp_path, Without(*missing), trash=trash)


def test_the_promises_hold_on_every_file_system(any_filesystem):
    _everything(any_filesystem, LinuxKernel())


def test_a_file_of_a_lower_layer_is_replaced_and_removed(mounts, tmp_path):
    (tmp_path / "lower").mkdir()
    for name in ("one", "two"):
        (tmp_path / "lower" / name).write_bytes(b"lower")
    mounts.folder = mounts.tmpfs()
    scene = Scene(mounts.overlay(tmp_path / "lower"))
    assert isinstance(scene.write("one", b"new", expect=scene.version("one")), Entry)
    assert scene.delete("two", scene.version("two")) is None
    assert sorted(p.name for p in scene.root.iterdir()) == ["one"]
    assert (scene.root / "one").read_bytes() == b"new"


def _copy_between(source_root: Path, target_root: Path, path: str, kernel: LinuxKernel | None = None):
    source, target = Scene(source_root), Scene(target_root, kernel=kernel or LinuxKernel())
    version = source.version(path)

    async def step():
        (content,) = await source.location.read([Read(path, version.size_bytes, version)])
        return await target.location.write([Write(path, Kind.FILE, content, POSIX, Expect(None))])

    return target.run(step)[0]


def _sparse(path: Path, size_bytes: int, data: dict[int, bytes]) -> None:
    with path.open("wb") as file:
        for offset, piece in data.items():
            os.pwrite(file.fileno(), piece, offset)
        file.truncate(size_bytes)


@pytest.mark.parametrize("missing", [(), ("copy_file_range",)], ids=["copy_file_range", "buffered"])
@pytest.mark.parametrize(
    ("size_bytes", "data"),
    [
        (64 * MIB, {0: b"head", 30 * MIB: os.urandom(MIB), 64 * MIB - 5: b"tail."}),
        (64 * MIB, {10 * MIB: b"only the middle"}),
        (64 * MIB, {}),
        (200_000, {100_000: b"small and sparse"}),
    ],
    ids=["three", "middle", "empty", "small"],
)
def test_sparse_files_stay_sparse(any_filesystem, missing, size_bytes, data):
    (any_filesystem / "from").mkdir()
    path = any_filesystem / "from/file"
    _sparse(path, size_bytes, data)
    answer = _copy_between(any_filesystem / "from", any_filesystem / "to", "file", Without(*missing))
    assert isinstance(answer, Entry)
    copied = any_filesystem / "to/file"
    assert copied.stat().st_size == size_bytes
    assert copied.read_bytes() == path.read_bytes()
    # A file system rounds what it allocates, in its own way, for each piece of data.
    assert copied.stat().st_blocks * 512 <= path.stat().st_blocks * 512 + len(data) * MIB // 8


def test_zeros_that_are_stored_are_not_made_holes(tmp_path):
    (tmp_path / "from").mkdir()
    (tmp_path / "from/file").write_bytes(bytes(4 * MIB))
    os.sync()
    _copy_between(tmp_path / "from", tmp_path / "to", "file")
    os.sync()
    assert (tmp_path / "to/file").stat().st_blocks >= (tmp_path / "from/file").stat().st_blocks - 16


def test_a_large_file_crosses_from_one_file_system_to_another(mounts, tmp_path):
    other = mounts.tmpfs()
    (tmp_path / "from").mkdir()
    data = os.urandom(5 * MIB + 3)
    (tmp_path / "from/file").write_bytes(data)
    assert isinstance(_copy_between(tmp_path / "from", other, "file"), Entry)
    assert (other / "file").read_bytes() == data


@pytest.mark.parametrize("source", ["memory", "file", "poured"])
def test_a_full_disk_is_reported_and_leaves_nothing(mounts, tmp_path, source):
    root = mounts.tmpfs("size=4m")
    (root / "old").write_bytes(b"old")
    (tmp_path / "big").write_bytes(os.urandom(8 * MIB))
    scene = Scene(root)
    before = os.statvfs(root).f_bfree
    for expect, path in ((None, "big"), (scene.version("old"), "old")):
        if source == "memory":
            answer = scene.write(path, (tmp_path / "big").read_bytes(), expect=expect)
        elif source == "poured":
            answer = scene.write(path, Unknown((tmp_path / "big").read_bytes()), expect=expect)
        else:
            answer = _copy_between(tmp_path, root, "big") if expect is None else NoSpace("")
        assert isinstance(answer, NoSpace)
    assert sorted(p.name for p in root.iterdir()) == ["old"]
    assert (root / "old").read_bytes() == b"old"
    assert os.statvfs(root).f_bfree == before


def test_no_inodes_left_is_reported_as_no_space(mounts):
    root = mounts.tmpfs("nr_inodes=4")
    scene = Scene(root)
    answers = [scene.write(f"d{i}/file", b"x") for i in range(4)]
    assert isinstance(answers[-1], NoSpace)


def test_a_read_only_file_system_is_not_permitted(mounts):
    root = mounts.tmpfs()
    (root / "file").write_bytes(b"x")
    mounts.readonly(root)
    scene = Scene(root)
    seen = scene.version("file")
    answers = [
        scene.write("new", b"x"),
        scene.write("d", None, kind=Kind.DIR),
        scene.write("file", b"new", expect=seen),
        scene.delete("file", seen),
        scene.set_posix("file", POSIX, seen),
    ]
    assert [type(a) for a in answers] == [NotPermitted] * 5
    assert scene.read("file", seen) == b"x"
    assert scene.paths() == ["", "file"]


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
@pytest.mark.parametrize("trash", [False, True])
def test_a_directory_that_is_another_mount_is_written_like_any_other(mounts, tmp_path, kind, trash):
    root = tmp_path / "root"
    (root / "a/mnt").mkdir(parents=True)
    if kind == "tmpfs":
        mounts.tmpfs(at=root / "a/mnt")
    else:
        (tmp_path / "elsewhere").mkdir()
        mounts.bind(tmp_path / "elsewhere", root / "a/mnt")
    (root / "a/mnt/deep").mkdir()
    (root / "a/mnt/deep/file").write_bytes(b"old")
    (root / "a/mnt/deep/bye").write_bytes(b"bye")
    scene = Scene(root, LocalOptions(trash=trash))
    assert isinstance(scene.write("a/mnt/deep/file", b"new", expect=scene.version("a/mnt/deep/file")), Entry)
    assert isinstance(scene.write("a/mnt/deep/link", b"x", kind=Kind.SYMLINK), Entry)
    assert scene.delete("a/mnt/deep/bye", scene.version("a/mnt/deep/bye")) is None
    assert isinstance(scene.write("a/mnt/deep/new", BytesContent(b"x")), Entry)
    scene.run(scene.location.flush)
    assert (root / "a/mnt/deep/file").read_bytes() == b"new"
    trashed = [p for p in (root / "a/mnt/.lakelink").rglob("*") if p.is_file()]
    assert sorted(p.read_bytes() for p in trashed) == ([b"bye", b"old"] if trash else [])
    assert (root / "a/mnt/.lakelink").exists() == trash
    assert not (root / ".lakelink").exists()


def test_flush_reaches_the_file_systems_mounted_below(mounts, tmp_path):
    synced = []

    class Noting(LinuxKernel):
        def syncfs(self, fd):
            synced.append(os.fstat(fd).st_dev)
            super().syncfs(fd)

    (tmp_path / "root").mkdir()
    mounts.tmpfs(at=tmp_path / "root/mnt")
    scene = Scene(tmp_path / "root", kernel=Noting())

    async def step():
        await scene.location.write([Write("mnt/file", Kind.FILE, BytesContent(b"x"), POSIX, Expect(None))])
        await scene.location.flush()

    scene.run(step)
    assert sorted(synced) == sorted([(tmp_path / "root").stat().st_dev, (tmp_path / "root/mnt").stat().st_dev])


def test_an_unmounted_root_is_missing_not_empty(mounts):

    root = mounts.tmpfs()
    (root / "file").write_bytes(b"x")
    scene = Scene(root)

    async def step():
        await scene.location.stat([""])
        mounts.close()
        return [b async for b in scene.location.scan()]

    with pytest.raises(RootMissing):
        scene.run(step)
