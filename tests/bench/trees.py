"""The data that the benchmarks move."""

from __future__ import annotations

import os
import random
from pathlib import Path

FILES_PER_DIRECTORY = 100


def small_files(root: Path, count: int, size_bytes: int) -> Path:
    """`count` files of random bytes, a hundred to a directory, their times an hour in the past."""
    noise = random.Random(count)
    then = 1_700_000_000
    for number in range(count):
        directory = root / f"d{number // FILES_PER_DIRECTORY:04d}"
        if number % FILES_PER_DIRECTORY == 0:
            directory.mkdir(parents=True)
        file = directory / f"file-{number:06d}.bin"
        file.write_bytes(noise.randbytes(size_bytes))
        os.utime(file, (then, then))
    return root


def large_file(root: Path, size_bytes: int) -> Path:
    """One file of random bytes."""
    root.mkdir(parents=True)
    noise = random.Random(size_bytes)
    with (root / "large.bin").open("wb") as out:
        for _ in range(size_bytes >> 20):
            out.write(noise.randbytes(1 << 20))
    return root


def fingerprint(root: Path) -> dict[str, int]:
    """Path and size of every file: equal work leaves equal fingerprints."""
    return {
        str(Path(directory, name).relative_to(root)): Path(directory, name).stat().st_size
        for directory, _, names in os.walk(root)
        for name in names
    }
