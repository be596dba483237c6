"""POSIX metadata: to the bit and to the nanosecond."""

from __future__ import annotations

import os
import stat

from lakelink.errors import LakelinkError
from lakelink.locations.base import Write
from lakelink.locations.content import BytesContent
from lakelink.model.entry import Entry, Expect, Kind, Posix
from lakelink.testing.contents import pattern
from lakelink.testing.hand import ABSENT, Hand, require
from lakelink.testing.promise import Registry

_registry = Registry()
PROMISES = _registry.promises
promise = _registry.promise

_NS = 1_000_000_000


def _posix(mode: int, mtime_ns: int) -> Posix:
    """With an owner that this process may give away: any as root, only its own otherwise."""
    root = os.geteuid() == 0
    return Posix(mode, 4242 if root else os.geteuid(), 4343 if root else os.getegid(), mtime_ns, mtime_ns - _NS)


def _same(entry: Entry | None, posix: Posix, what: str) -> None:
    seen = entry.posix if entry else None
    require(seen is not None, f"{what}: no metadata")
    if seen is not None:
        require(
            (oct(seen.mode), seen.uid, seen.gid, seen.mtime_ns)
            == (oct(posix.mode), posix.uid, posix.gid, posix.mtime_ns),
            f"{what}: {seen} instead of {posix}",
        )


MODES = [0o644, 0o600, 0o400, 0o000, 0o755, 0o777, 0o4755, 0o2755, 0o1777, 0o6711]
TIMES_NS = [0, 1, 999_999_999, 1_700_000_000_123_456_789, 2**31 * _NS + 5, -(86400 * _NS) - 1]


@promise(concerns=lambda t: t.posix)
async def every_mode_comes_back(at: Hand) -> None:
    for mode in MODES:
        posix = _posix(mode, 1_700_000_000_000_000_001)
        await at.put(f"m{mode:o}", b"x", posix=posix)
        _same(await at.stat(f"m{mode:o}"), posix, f"mode {mode:o}")


@promise(concerns=lambda t: t.posix)
async def every_time_comes_back_to_the_nanosecond(at: Hand) -> None:
    for mtime_ns in TIMES_NS:
        posix = _posix(0o644, mtime_ns)
        await at.put(f"t{mtime_ns}", b"x", posix=posix)
        _same(await at.stat(f"t{mtime_ns}"), posix, f"mtime {mtime_ns}")


@promise(concerns=lambda t: t.posix)
async def large_files_keep_their_metadata_as_well(at: Hand) -> None:
    posix = _posix(0o640, 1_700_000_000_123_456_789)
    await at.put("large", pattern((9 << 20) + 1), posix=posix)
    _same(await at.stat("large"), posix, "a large file")


@promise(concerns=lambda t: t.posix)
async def an_answer_carries_the_metadata_that_is_there(at: Hand) -> None:
    posix = _posix(0o640, 1_700_000_000_123_456_789)
    entry = await at.write(Write("f", Kind.FILE, BytesContent(b"x"), posix, ABSENT))
    if entry.posix is not None:
        _same(entry, posix, "the answer of write")
    version = await at.version("f")
    later = _posix(0o600, 1_700_000_000_000_000_002)
    entry = await at.set_posix("f", later, version)
    if entry.posix is not None:
        _same(entry, later, "the answer of set_posix")
    require(entry.version is not None, "the answer of set_posix carries no version")
    if entry.version is not None:
        await at.put("f", b"y", expect=Expect(entry.version))


@promise(concerns=lambda t: t.posix)
async def metadata_changes_without_the_bytes(at: Hand) -> None:
    for size_bytes in (3, (9 << 20) + 1):
        name = f"f{size_bytes}"
        version = await at.put(name, pattern(size_bytes), posix=_posix(0o644, _NS))
        posix = _posix(0o4750, 1_700_000_000_123_456_789)
        await at.set_posix(name, posix, version)
        _same(await at.stat(name), posix, f"set_posix on {size_bytes} bytes")
        require(await at.get(name, size_bytes=size_bytes) == pattern(size_bytes), "set_posix changed the bytes")


@promise(concerns=lambda t: t.posix and t.directories)
async def a_directory_keeps_mode_and_time_once_its_children_are_there(at: Hand) -> None:
    posix = _posix(0o2750, 1_700_000_000_123_456_789)
    await at.make_directory("d", posix)
    _same(await at.stat("d"), posix, "a directory")
    await at.put("d/f", b"x")
    version = await at.version("d")
    await at.set_posix("d", posix, version, Kind.DIR)
    _same(await at.stat("d"), posix, "a directory whose metadata was set after its children")
    require(await at.get("d/f") == b"x", "set_posix on a directory harmed what is in it")


@promise(concerns=lambda t: t.posix and t.symlinks)
async def a_symlink_has_a_time_of_its_own(at: Hand) -> None:
    await at.put("f", b"x", posix=_posix(0o644, 5 * _NS))
    posix = _posix(0o777, 1_700_000_000_123_456_789)
    await at.make_symlink("l", "f", posix)
    _same(await at.stat("l"), posix, "a link")
    _same(await at.stat("f"), _posix(0o644, 5 * _NS), "what the link points at")


@promise(concerns=lambda t: t.posix)
async def a_new_version_brings_its_own_metadata(at: Hand) -> None:
    version = await at.put("f", b"x", posix=_posix(0o600, _NS))
    posix = _posix(0o755, 2 * _NS)
    await at.put("f", b"y", posix=posix, expect=Expect(version))
    _same(await at.stat("f"), posix, "a replaced file")


@promise(concerns=lambda t: t.posix)
async def a_write_without_metadata_is_an_ordinary_file(at: Hand) -> None:
    await at.put("f", b"x")
    posix = (await at.see("f")).posix
    if posix is not None:
        require(not posix.mode & (stat.S_ISUID | stat.S_ISGID | 0o111), f"mode {posix.mode:o} out of nowhere")


@promise(concerns=lambda t: t.posix)
async def metadata_on_nothing_is_an_error(at: Hand) -> None:
    version = await at.put("f", b"x")
    await at.remove("f", version)
    try:
        await at.set_posix("f", _posix(0o644, 0), version)
    except LakelinkError:
        require(await at.stat("f") is None, "setting metadata brought a file back")
        return
    require(condition=False, sentence="metadata was set on nothing")
