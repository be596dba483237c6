"""A tree with everything that a file system can hold and a careless copy loses, and `rsync` as the independent judge of two trees."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import pytest

THEN_NS = 981_173_106_123_456_789
BACKSLASH = "back\\slash"
LINE_END = "new\nline"
NAMES = [
    "plain",
    "with blank",
    " lead and trail ",
    "tab\there",
    "quote\"'`$(id)",
    "é",
    "e\u0301",
    "日本語 🎣",
    "100%",
    "%2F%20",
    "a+b",
    "a=b&c?d#e;f",
    "*?[]{}|^~<>",
    "-rf",
    ".hidden",
    "trailing.",
    "x" * 255,
    "ü" * 127,
    "CASE",
    "case",
    "\x01\x7f",
]
MODES = [0o000, 0o400, 0o644, 0o755, 0o777, 0o1644, 0o2755, 0o4755, 0o6711]
TIMES_NS = [0, 1, 999_999_999, THEN_NS, 1_700_000_000_000_000_001, 4_102_444_800_999_999_999, -1, -86_400_000_000_001]


def make_oddities(root: Path, *, without: tuple[str, ...] = ()) -> Path:
    """The tree. `without`: names that a store cannot keep by its nature."""
    root.mkdir()
    _names(root / "names", [name for name in [*NAMES, BACKSLASH, LINE_END] if name not in without])
    _metadata(root / "metadata")
    _links(root / "links")
    _shapes(root / "shapes")
    deep = root.joinpath(*(f"level{n:02}" for n in range(40)))
    deep.mkdir(parents=True)
    _write(deep / "end", b"deep")
    return root


def make_unholdable(root: Path) -> None:
    """What does not travel: names that no key can hold, devices, FIFOs, sockets."""
    folder = root / "unholdable"
    folder.mkdir()
    os.close(os.open(os.fsencode(folder) + b"/caf\xe9", os.O_CREAT | os.O_WRONLY))
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        listening.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    if os.geteuid() == 0:
        os.mknod(folder / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))


def rsync_differences(source: Path, target: Path) -> list[str]:
    """What `rsync -a --checksum --delete` would change at the target: content, modes, owners, times, links, names, extra paths."""
    if shutil.which("rsync") is None:
        pytest.skip("rsync is not installed")
    done = subprocess.run(
        ["rsync", "-anic", "--delete", "--8-bit-output", f"{source}/", f"{target}/"],
        check=True,
        stdout=subprocess.PIPE,
    )
    return done.stdout.decode("utf-8", "surrogateescape").splitlines()


def _write(path: Path, data: bytes, mtime_ns: int = THEN_NS) -> None:
    path.write_bytes(data)
    os.utime(path, ns=(THEN_NS, mtime_ns))


def _names(folder: Path, names: list[str]) -> None:
    folder.mkdir()
    for name in names:
        _write(folder / name, name.encode())
        inside = folder / f"d{name}"[:255] if len(name.encode()) < 255 else folder / name[:100]
        inside.mkdir()
        _write(inside / name, b"inside")


def _metadata(folder: Path) -> None:
    folder.mkdir()
    for mode in MODES if os.geteuid() == 0 else [mode for mode in MODES if mode & 0o400]:
        _write(folder / f"mode-{mode:04o}", b"")
        (folder / f"mode-{mode:04o}").chmod(mode)
    for number, time_ns in enumerate(TIMES_NS):
        _write(folder / f"time-{number}", b"%d" % number, time_ns)
    if os.geteuid() == 0:
        _write(folder / "owned", b"owned")
        os.chown(folder / "owned", 12345, 54321)


def _links(folder: Path) -> None:
    folder.mkdir()
    _write(folder / "file", b"target")
    targets = {
        "dangling": "nowhere/at all",
        "absolute": "/etc/hostname",
        "to-directory": "../shapes",
        "loop": "loop",
        "ping": "pong",
        "pong": "ping",
        "outside": "../../..",
        "odd": "né % \t + target",
        "long": "x/" * 1000 + "x",
    }
    for name, target in targets.items():
        (folder / name).symlink_to(target)
        os.utime(folder / name, ns=(THEN_NS, THEN_NS + len(name)), follow_symlinks=False)
    (folder / "hard").hardlink_to(folder / "file")


def _shapes(folder: Path) -> None:
    folder.mkdir()
    _write(folder / "empty", b"")
    with (folder / "sparse").open("wb") as file:
        file.seek(9 << 20)
        file.write(b"end")
    _write(folder / "one-mebibyte", b"m" * (1 << 20))
    _write(folder / "parts", os.urandom(10 << 20))  # more than one part
    (folder / "empty-directory").mkdir(mode=0o711)


def dress_directories(root: Path) -> None:
    """Modes and times of directories, after their children: sticky, setgid, one that may not be entered."""
    for number, (directory, _, _) in enumerate(sorted(os.walk(root), reverse=True)):
        mode = (0o755, 0o1777, 0o2750, 0o711, 0o555)[number % 5]
        os.chmod(directory, mode)  # noqa: PTH101  # names are bytes with surrogates
        os.utime(directory, ns=(THEN_NS, THEN_NS + number))
