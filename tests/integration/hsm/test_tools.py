"""Every tool that copies or reads a tree gets the true bytes, on every file system."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.integration.hsm.conftest import scene_at
from tests.integration.hsm.scene import MTIME_NS, Scene, noise, python, run

FILES = {
    "small": noise(4096, 1),
    "odd": noise(70_001, 2),
    "large": noise(3 << 20, 3),
    "holes": bytes(1 << 20) + noise(5000, 4) + bytes(1 << 20),
    "d/below": noise(12_345, 5),
    "nothing": b"",
}

READ = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"
MMAP = """
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(fd).st_size
sys.stdout.buffer.write(mmap.mmap(fd, size, prot=mmap.PROT_READ)[:] if size else b"")
"""
SENDFILE = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
at, size = 0, os.fstat(fd).st_size
while at < size:
    at += os.sendfile(1, fd, at, size - at)
"""
RANDOM = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(fd).st_size
out = bytearray(size)
for at in reversed(range(0, size, 4096)):
    out[at:at + 4096] = os.pread(fd, 4096, at)
sys.stdout.buffer.write(out)
"""
AS_NOBODY = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork"]

READERS = {
    "cat": lambda path: run("cat", path),
    "dd": lambda path: run("dd", f"if={path}", "bs=64k", "status=none"),
    "dd direct": lambda path: run("dd", f"if={path}", "bs=64k", "status=none", "iflag=direct"),
    "read": lambda path: python(READ, path),
    "mmap": lambda path: python(MMAP, path),
    "sendfile": lambda path: python(SENDFILE, path),
    "random pread": lambda path: python(RANDOM, path),
    "private mount namespace": lambda path: run("unshare", "--mount", "cat", path),
    "user namespace": lambda path: run(*AS_NOBODY, "cat", path),
}
COPIES = {
    "cp": ["cp", "-r"],
    "cp sparse always": ["cp", "-r", "--sparse=always"],
    "cp sparse never": ["cp", "-r", "--sparse=never"],
    "cp reflink": ["cp", "-r", "--reflink=auto"],
    "cp no reflink": ["cp", "-r", "--reflink=never"],
    "rsync": ["rsync", "-a"],
    "rsync sparse": ["rsync", "-aS"],
    "tar": ["sh", "-c", 'mkdir "$1" && tar -C "$0" -c . | tar -C "$1" -x'],
    "tar sparse": ["sh", "-c", 'mkdir "$1" && tar -C "$0" -S -c . | tar -C "$1" -x'],
}


def digests(top: Path) -> dict[str, str]:
    return {
        str(path.relative_to(top)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in top.rglob("*")
        if path.is_file()
    }


TRUE = {path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()}


def copy_by(scene: Scene, command: list[str], target: Path) -> None:
    source = scene.view
    names = [f"{source}/", target] if command[0] in {"rsync", "sh"} else [f"{source}/.", target]
    if command[0] == "cp":
        target.mkdir()
    run(*command, *names)


def all_stubs(scene: Scene) -> None:
    """Release everything that was loaded; what stays fails the test."""
    loaded = [path for path in FILES if path != "nothing" and not scene.is_stub(path)]
    scene.release(*loaded)
    assert all(scene.is_stub(path) for path in loaded)


def test_every_tool_gets_the_true_bytes(any_file_system, tmp_path):
    with scene_at(any_file_system, "tools") as scene:
        scene.make(FILES)
        for name, command in COPIES.items():
            target = scene.top / f"copy-{name.replace(' ', '-')}"
            copy_by(scene, command, target)
            assert digests(target) == TRUE, name
            all_stubs(scene)
        for name, read in READERS.items():
            for path, data in FILES.items():
                assert read(scene.view / path) == data, f"{name} of {path}"
            all_stubs(scene)
        elsewhere = tmp_path / "moved"
        elsewhere.mkdir()
        run("mv", scene.view / "large", scene.view / "holes", elsewhere)
        assert (elsewhere / "large").read_bytes() == FILES["large"]
        assert (elsewhere / "holes").read_bytes() == FILES["holes"]


@pytest.mark.parametrize("kind", ["btrfs", "xfs"])
def test_a_reflink_of_a_stub_shares_true_bytes(file_systems, kind):
    with scene_at(file_systems(kind), "reflink") as scene:
        scene.make({"large": FILES["large"]})
        target = scene.top / "copy"
        run("cp", "--reflink=always", scene.view / "large", scene.view / "clone")
        run("cp", scene.view / "clone", target)
        assert target.read_bytes() == FILES["large"]


def test_an_overlay_over_the_view_reads_and_copies_up_true_bytes(scene):
    scene.make(FILES)
    upper, work, merged = (scene.top / name for name in ("upper", "work", "merged"))
    for directory in (upper, work, merged):
        directory.mkdir()
    options = f"lowerdir={scene.view},upperdir={upper},workdir={work}"
    run("mount", "-t", "overlay", "overlay", "-o", options, merged)
    try:
        assert run("cat", merged / "odd") == FILES["odd"]
        run("sh", "-c", f"printf x >> {merged}/large")
        assert run("cat", merged / "large") == FILES["large"] + b"x"
        assert run("cat", scene.view / "d/below") == FILES["d/below"]
    finally:
        run("umount", merged)


def test_a_loop_device_on_a_stub_shows_true_bytes(scene):
    data = noise(1 << 20, 9)
    scene.make({"image": data})
    device = run("losetup", "--find", "--show", "--read-only", scene.view / "image").decode().strip()
    try:
        assert run("cat", device) == data
    finally:
        run("losetup", "--detach", device)


def test_an_unprivileged_user_reads_and_writes_without_noticing(scene):
    scene.make({"small": FILES["small"], "mine": FILES["odd"]})
    os.chown(scene.tree / "mine", 1000, 1000)
    as_user = {"user": 1000, "group": 1000, "extra_groups": []}
    for parent in [scene.top, *scene.top.parents]:
        if parent.stat().st_mode & 0o5 != 0o5 and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o5)
    assert run("cat", scene.view / "small", **as_user) == FILES["small"]
    run("sh", "-c", f"printf end >> {scene.view}/mine", **as_user)
    assert run("cat", scene.view / "mine") == FILES["odd"] + b"end"


def test_names_links_and_modes_of_a_stub_change_without_its_bytes(scene):
    scene.make({"one": FILES["odd"]})
    run("mv", scene.view / "one", scene.view / "two")
    run("ln", scene.view / "two", scene.view / "three")
    run("chmod", "600", scene.view / "three")
    run("stat", scene.view / "two")
    assert scene.is_stub("two")
    assert scene.is_stub("three")
    assert run("du", "--apparent-size", "-b", scene.view / "two").startswith(b"70001")
    assert scene.cat("three") == FILES["odd"]
    assert not scene.is_stub("two")
    assert (scene.tree / "two").stat().st_mtime_ns == MTIME_NS


def test_a_program_behind_a_stub_runs(scene):
    scene.make({"program": Path("/bin/true").read_bytes()})
    (scene.tree / "program").chmod(0o700)
    assert subprocess.run([scene.view / "program"], timeout=60, check=False).returncode == 0
