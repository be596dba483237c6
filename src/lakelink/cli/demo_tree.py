"""The demonstration's tree: a real one with oddities added, and a comparison that owes nothing to the code it judges."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lakelink.model.path import OWN_DIRECTORY

# Other people's packages, static libraries, and compiled files that there are two of already.
LEFT_OUT = shutil.ignore_patterns("site-packages", "dist-packages", "config-*", "*.opt-*.pyc")
SPARSE_BYTES = 8 << 20
CHANGED_EVERY = 40  # one file in so many is edited
STAMP_NS = 1_111_111_111_123_456_789  # 2005, with nanoseconds that must survive


@dataclass(frozen=True, slots=True)
class Size:
    """What a tree holds."""

    files: int
    directories: int
    links: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """All that must be equal at one path. `content` is a SHA-256 or the target of a link; empty for directories."""

    mode: int
    mtime_ns: int
    content: str


def build(root: Path) -> None:
    """Fill `root` with the running Python's standard library and with what real trees have besides plain files."""
    shutil.copytree(sysconfig.get_paths()["stdlib"], root, symlinks=True, ignore=LEFT_OUT)
    odd = root / "oddities"
    odd.mkdir()
    (odd / "empty-directory").mkdir(mode=0o750)
    (odd / "empty-file").touch()
    (odd / "executable").write_text("#!/bin/sh\necho hello\n", encoding="utf-8")
    (odd / "executable").chmod(0o751)
    (odd / "read-only").write_text("do not touch\n", encoding="utf-8")
    (odd / "read-only").chmod(0o400)
    (odd / "name with blanks, a % and a +").write_text("a name\n", encoding="utf-8")
    (odd / "snow-\N{SNOWMAN}-and-e\N{COMBINING ACUTE ACCENT}").write_text(
        "two code points stay two\n", encoding="utf-8"
    )
    (odd / "relative-link").symlink_to("executable")
    (odd / "link-to-directory").symlink_to("../json")
    (odd / "dangling-link").symlink_to("nowhere")
    with (odd / "sparse").open("wb") as sparse:
        sparse.truncate(SPARSE_BYTES)
        sparse.seek(SPARSE_BYTES // 2)
        sparse.write(b"an island")
    os.utime(odd / "executable", ns=(STAMP_NS, STAMP_NS))
    os.utime(odd / "empty-directory", ns=(STAMP_NS, STAMP_NS))


def edit(root: Path) -> tuple[int, int, int]:
    """Change, remove and add some files, as people do; returns how many of each."""
    files = sorted(p for p in root.rglob("*.py") if p.is_file() and not p.is_symlink())
    changed = files[::CHANGED_EVERY]
    for path in changed:
        with path.open("ab") as file:
            file.write(b"\n# edited\n")
    removed = files[1 :: CHANGED_EVERY * 4]
    for path in removed:
        path.unlink()
    added = [root / "oddities" / f"new-{number}.txt" for number in range(10)]
    for path in added:
        path.write_text(f"{path.name}\n", encoding="utf-8")
    (root / "oddities" / "executable").chmod(0o700)
    return len(changed), len(removed), len(added)


def measure(root: Path) -> Size:
    """Count a tree."""
    files = directories = links = size_bytes = 0
    for path in _walk(root):
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            links += 1
        elif stat.S_ISDIR(status.st_mode):
            directories += 1
        else:
            files += 1
            size_bytes += status.st_size
    return Size(files, directories, links, size_bytes)


def differences(one: Path, other: Path, *, directory_times: bool = True) -> list[str]:
    """What differs between two trees in names, content, mode, modification time or link target; empty when they are equal.

    Without `directory_times` the times of directories do not count, nor the mode of the two roots.
    """
    here, there = (_fingerprints(root, directory_times=directory_times) for root in (one, other))
    found = [f"only in {one}: {name}" for name in sorted(here.keys() - there.keys())]
    found += [f"only in {other}: {name}" for name in sorted(there.keys() - here.keys())]
    found += [
        f"{name}: {here[name]} became {there[name]}"
        for name in sorted(here.keys() & there.keys())
        if here[name] != there[name]
    ]
    return found


def _fingerprints(root: Path, *, directory_times: bool) -> dict[str, Fingerprint]:
    paths = [root, *_walk(root)] if directory_times else _walk(root)
    return {str(path.relative_to(root)): _fingerprint(path, directory_times=directory_times) for path in paths}


def _fingerprint(path: Path, *, directory_times: bool) -> Fingerprint:
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode) and not directory_times:
        return Fingerprint(status.st_mode, 0, "")
    if stat.S_ISLNK(status.st_mode):
        content = str(path.readlink())
    elif stat.S_ISDIR(status.st_mode):
        content = ""
    else:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    return Fingerprint(status.st_mode, status.st_mtime_ns, content)


def _walk(root: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(root):
        if Path(directory) == root and OWN_DIRECTORY in names:
            names.remove(OWN_DIRECTORY)
        for name in (*names, *files):
            yield Path(directory, name)
