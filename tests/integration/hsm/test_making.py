"""Stubs by the thousand: each has the owner, mode, times, size and mark that its row says, whichever process made it."""

from __future__ import annotations

import os
import stat

import pytest

from lakelink.errors import NotFound, PreconditionFailed
from lakelink.links.hsm.base import NewStub
from lakelink.links.hsm.making import ALONE
from lakelink.links.hsm.stub import Origin
from lakelink.model.entry import Posix, Version
from tests.integration.hsm.scene import MTIME_NS, Scene, noise

MODES = (0o644, 0o600, 0o755, 0o4755, 0o2755, 0o1644, 0o000, 0o666)
OWNERS = ((0, 0), (1000, 1000), (0, 4), (65534, 0))


def rows(directory: str, count: int) -> list[NewStub]:
    found = []
    for number in range(count):
        (uid, gid), mode = OWNERS[number % len(OWNERS)], MODES[number // len(OWNERS) % len(MODES)]
        posix = Posix(mode, uid, gid, MTIME_NS + number, MTIME_NS - number)
        version = Version(1000 + number, MTIME_NS, ino=1)
        found.append(NewStub(f"{directory}/{number}", posix, Origin("lake", f"{directory}/{number}", version)))
    return found


def seen(scene: Scene, path: str) -> tuple[int, int, int, int, int, int, int]:
    found = (scene.tree / path).stat()
    times = found.st_mtime_ns, found.st_atime_ns
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_size, found.st_blocks, *times


def wanted(stub: NewStub) -> tuple[int, int, int, int, int, int, int]:
    posix = stub.posix
    return posix.mode, posix.uid, posix.gid, stub.origin.version.size_bytes, 0, posix.mtime_ns, posix.atime_ns


@pytest.mark.parametrize("count", [64, ALONE + 200])
def test_each_stub_is_what_its_row_says_in_any_directory_and_under_any_umask(scene, count):
    before = os.umask(0o077)
    try:
        for name, mode in (("plain", 0o755), ("inherits", 0o2775)):
            directory = scene.tree / name
            directory.mkdir()
            os.chown(directory, 0, 1234)
            directory.chmod(mode)
            made = scene.guard.make(rows(name, count))
            for stub, version in zip(rows(name, count), made, strict=True):
                assert seen(scene, stub.path) == wanted(stub)
                assert isinstance(version, Version)
                assert version.ino == (scene.tree / stub.path).stat().st_ino
                assert scene.is_stub(stub.path)
    finally:
        os.umask(before)


def test_what_is_there_already_and_what_has_no_directory_is_told_one_by_one(scene):
    data = noise(5000, 1)
    scene.make({"d/0": data})
    others = rows("nowhere", 3)
    made = scene.guard.make([scene.stub("d/0"), *others])
    assert isinstance(made[0], PreconditionFailed)
    assert all(isinstance(one, NotFound) for one in made[1:])
    assert scene.cat("d/0") == data
