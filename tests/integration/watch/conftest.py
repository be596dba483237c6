"""Roots under watch, by every kind of feed that there is."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from watch_scene import Place, mount_ext4, unmount


@pytest.fixture(scope="session")
def ext4_mount(tmp_path_factory) -> Iterator[Path]:
    """The top of an ext4 of its own."""
    if os.geteuid():
        pytest.skip("needs root: mounts a file system")
    top = tmp_path_factory.mktemp("ext4")
    mount_ext4(top)
    yield top
    unmount(top)


@pytest.fixture(params=["inotify", "fanotify", "fanotify-whole", "fanotify-halves"])
def place(request, tmp_path) -> Iterator[Place]:
    """An empty root, and the feed that is to watch it."""
    if request.param != "inotify" and os.geteuid():
        pytest.skip("needs root: fanotify")
    if request.param == "fanotify-whole":
        root = request.getfixturevalue("ext4_mount")
        yield Place(root, request.param, tmp_path)
        for entry in os.scandir(root):
            shutil.rmtree(entry) if entry.is_dir(follow_symlinks=False) else Path(entry).unlink()
        return
    # In memory where possible: these tests make tens of thousands of files, and the disk is not what they are about.
    memory = Path("/dev/shm")  # noqa: S108
    base = Path(tempfile.mkdtemp(dir=memory)) if os.access(memory, os.W_OK) else tmp_path
    root = base / "root"
    root.mkdir()
    yield Place(root, request.param, base)
    shutil.rmtree(base)
