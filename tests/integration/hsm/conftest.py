"""File systems of our own for lazy trees, and the reason where there can be none."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lakelink.links.hsm.base import Tier
from lakelink.links.hsm.probe import probe
from tests.integration.hsm.scene import Scene

IMAGE_BYTES = 512 << 20
MKFS = {"ext4": ["mkfs.ext4", "-q"], "xfs": ["mkfs.xfs", "-q"], "btrfs": ["mkfs.btrfs", "-q"]}


class FileSystems:
    """Loop-mounted file systems, made when they are first wanted."""

    def __init__(self, top: Path, stack: ExitStack) -> None:
        self._top = top
        self._stack = stack
        self._mounted: dict[str, Path] = {}

    def __call__(self, kind: str, size_bytes: int = IMAGE_BYTES) -> Path:
        name = f"{kind}-{size_bytes}"
        if name not in self._mounted:
            self._mounted[name] = self._make(kind, name, size_bytes)
        return self._mounted[name]

    def _make(self, kind: str, name: str, size_bytes: int) -> Path:
        program, *options = MKFS[kind]
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
        image, point = self._top / f"{name}.img", self._top / name
        with image.open("wb") as file:
            file.truncate(size_bytes)
        subprocess.run([program, *options, image], check=True, capture_output=True)
        point.mkdir()
        mounted = subprocess.run(["mount", "-o", "loop", image, point], capture_output=True, check=False)
        if mounted.returncode:
            pytest.skip(f"no loop mount of {kind} here: {mounted.stderr.decode().strip()}")
        self._stack.callback(subprocess.run, ["umount", "-l", point], check=False)
        return point


@pytest.fixture(scope="session")
def file_systems(tmp_path_factory) -> Iterator[FileSystems]:
    if os.geteuid() != 0:
        pytest.skip("lazy files need root (CAP_SYS_ADMIN)")
    top = tmp_path_factory.mktemp("hsm")
    found = probe(str(top))
    if found.tier is not Tier.PRE_CONTENT:
        pytest.skip(f"no pre-content events here: {found.why}")
    with ExitStack() as stack:
        yield FileSystems(top, stack)


@pytest.fixture(params=list(MKFS))
def any_file_system(request, file_systems) -> Path:
    """Each kind in turn."""
    return file_systems(request.param)


@pytest.fixture
def scene(file_systems, request) -> Iterator[Scene]:
    """A guarded tree on ext4."""
    with scene_at(file_systems("ext4"), request.node.name) as scene:
        yield scene


@pytest.fixture
def scene_of(file_systems, request) -> Iterator[Callable[..., Scene]]:
    """Guarded trees with a spec of their own, on ext4."""
    with ExitStack() as stack:

        def make(**spec: Any) -> Scene:
            return stack.enter_context(scene_at(file_systems("ext4"), request.node.name, **spec))

        yield make


class scene_at:  # noqa: N801  # used as a function
    """A scene in a directory of its own, which is removed afterwards."""

    def __init__(self, place: Path, name: str, **spec: Any) -> None:
        self._top = place / name.replace("/", "-")[:60]
        shutil.rmtree(self._top, ignore_errors=True)
        self._scene = Scene(self._top, **spec)

    def __enter__(self) -> Scene:
        return self._scene.__enter__()

    def __exit__(self, *_: object) -> None:
        self._scene.__exit__()
        shutil.rmtree(self._top, ignore_errors=True)
