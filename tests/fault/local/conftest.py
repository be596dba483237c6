"""The scene of the unit tests, and file systems of every kind that can be mounted here."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "unit/local"))

_libc = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096  # linux/mount.h
MNT_DETACH = 2


def _mount(source: str, target: Path, kind: str, flags: int = 0, options: str = "") -> None:
    if _libc.mount(source.encode(), os.fsencode(target), kind.encode(), flags, options.encode()):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"mount {kind}")


class Mounts:
    """Mounts below one folder, undone in the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack: list[Path] = []

    def _at(self, path: Path | None, kind: str) -> Path:
        path = path or self.folder / kind
        path.mkdir(exist_ok=True)
        return path

    def tmpfs(self, options: str = "", at: Path | None = None) -> Path:
        path = self._at(at, "tmpfs")
        _mount("none", path, "tmpfs", 0, options)
        self._stack.append(path)
        return path

    def bind(self, source: Path, at: Path) -> Path:
        self._at(at, "bind")
        _mount(str(source), at, "none", MS_BIND)
        self._stack.append(at)
        return at

    def overlay(self, lower: Path) -> Path:
        path = self._at(None, "overlay")
        for name in ("upper", "work"):
            (self.folder / name).mkdir()
        options = f"lowerdir={lower},upperdir={self.folder / 'upper'},workdir={self.folder / 'work'}"
        _mount("none", path, "overlay", 0, options)
        self._stack.append(path)
        return path

    def loop(self, kind: str) -> Path:
        make = shutil.which(f"mkfs.{kind}", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if make is None:
            pytest.skip(f"mkfs.{kind} is not installed")
        path, image = self._at(None, kind), self.folder / f"{kind}.image"
        with image.open("wb") as file:
            file.truncate(320 << 20)
        subprocess.run([make, "-q" if kind != "btrfs" else "-f", str(image)], check=True, capture_output=True)
        done = subprocess.run(
            ["mount", "-o", "loop", str(image), str(path)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no loop mount of {kind} here: {done.stderr.strip()}")
        self._stack.append(path)
        return path

    def readonly(self, path: Path) -> None:
        _mount("none", path, "none", MS_REMOUNT | MS_RDONLY | MS_BIND)

    def close(self) -> None:
        while self._stack:
            _libc.umount2(os.fsencode(self._stack.pop()), MNT_DETACH)


@pytest.fixture
def mounts(tmp_path) -> Mounts:
    """Something to mount with; skips where mounting is not allowed."""
    if os.geteuid():
        pytest.skip("needs root: mounts file systems")
    folder = tmp_path / "mounts"
    folder.mkdir()
    made = Mounts(folder)
    try:
        made.tmpfs(at=folder / "probe")
    except OSError as error:
        pytest.skip(f"mounting is not allowed here: {error}")
    yield made
    made.close()


@pytest.fixture(params=["tmpfs", "ext4", "xfs", "btrfs", "overlay"])
def any_filesystem(request, mounts, tmp_path) -> Path:
    """An empty directory on a file system of each kind."""
    match request.param:
        case "tmpfs":
            top = mounts.tmpfs()
        case "overlay":
            (tmp_path / "lower").mkdir()
            (tmp_path / "lower/below").write_bytes(b"from the lower layer")
            mounts.folder = mounts.tmpfs()
            top = mounts.overlay(tmp_path / "lower")
        case kind:
            top = mounts.loop(kind)
    root = top / "root"
    root.mkdir()
    return root
