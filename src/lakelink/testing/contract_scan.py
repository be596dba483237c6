"""Scanning: complete or an error, each path once, nothing of lakelink's own."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from lakelink.errors import LakelinkError
from lakelink.locations.base import Write
from lakelink.locations.content import BytesContent
from lakelink.model.change import SkipReason
from lakelink.model.entry import Entry, Kind
from lakelink.model.path import to_bytes
from lakelink.testing.hand import ABSENT, PATIENCE_S, Hand, require
from lakelink.testing.promise import NotApplicable, Registry

_registry = Registry()
PROMISES = _registry.promises
promise = _registry.promise


async def _fill(at: Hand, names: list[str]) -> None:
    for start in range(0, len(names), 500):
        writes = [Write(n, Kind.FILE, BytesContent(n.encode()), None, ABSENT) for n in names[start : start + 500]]
        async with asyncio.timeout(PATIENCE_S):
            answers = await at.location.write(writes)
        bad = [answer for answer in answers if isinstance(answer, LakelinkError)]
        require(not bad, f"{len(bad)} writes failed, the first with {bad[:1]}")


@promise()
async def a_fresh_location_is_empty_not_an_error(at: Hand) -> None:
    require(set(await at.rows()) <= {""}, "something is there already")


@promise(heavy=True)
async def a_scan_sees_everything_once(at: Hand) -> None:
    flat = [f"flat/f{number:05}" for number in range(2100)]
    # A key that sorts between a directory's own name and what is below it, at every turn of a page.
    tricky = [f"t{number:03}{tail}" for number in range(150) for tail in ("-b", ".c", "/x", "/x-y", "0")]
    deep = ["/".join([f"d{level}" for level in range(depth)]) + "/leaf" for depth in range(1, 30)]
    names = flat + tricky + deep
    await _fill(at, names)
    seen = await at.files()
    require(seen == set(names), f"missing {sorted(set(names) - seen)[:5]}, invented {sorted(seen - set(names))[:5]}")


@promise(concerns=lambda t: t.ordered_list)
async def an_ordered_scan_is_in_byte_order(at: Hand) -> None:
    await _fill(at, ["b", "a/x", "a-b", "a.c", "a0", "\u00e9", "z", "Z", "a/b/c", "\uffff", "\U00010000"])
    rows = [row.path async for batch in at.location.scan() for row in batch.rows]
    require(rows == sorted(rows, key=to_bytes), f"the order is {rows}")


@promise()
async def rows_say_what_stat_says(at: Hand) -> None:
    await at.put("d/f", b"12345")
    await at.put("g", b"")
    if at.location.traits.symlinks:
        await at.make_symlink("l", "g")
    rows = await at.rows()
    paths = [path for path in rows if path]
    for path, entry in zip(paths, await at.location.stat(paths), strict=True):
        require(isinstance(entry, Entry), f"{path!r} is in the scan, stat says {entry!r}")
        if not isinstance(entry, Entry) or rows[path].kind is Kind.DIR:
            continue
        row = rows[path]
        if at.location.traits.posix_in_list:
            posix = entry.posix
            require(row.kind is entry.kind, f"{path!r}: scan {row.kind}, stat {entry.kind}")
            require(
                posix is not None
                and (row.mtime_ns, row.mode, row.uid, row.gid) == (posix.mtime_ns, posix.mode, posix.uid, posix.gid),
                f"{path!r}: scan {row}, stat {posix}",
            )
        require(row.size_bytes == entry.size_bytes, f"{path!r}: scan {row.size_bytes}, stat {entry.size_bytes} bytes")


@promise()
async def directories_above_files_are_in_the_scan(at: Hand) -> None:
    await at.put("a/b/c", b"x")
    rows = await at.rows()
    for path in ("a", "a/b"):
        require(path in rows and rows[path].kind is Kind.DIR, f"{path!r} is missing, or no directory: {rows.get(path)}")


@promise()
async def what_is_excluded_is_left_out_with_all_below(at: Hand) -> None:
    await _fill(at, ["keep/a", "skip/a", "skip/sub/b", "keep/skip/c", "skipper", "x.tmp", "keep/y.tmp"])

    def excludes(path: str, is_directory: bool) -> bool:
        return path == "skip" or (path.endswith(".tmp") and not is_directory)

    rows: set[str] = set()
    skipped: set[str] = set()
    async with asyncio.timeout(PATIENCE_S):
        async for batch in at.location.scan(excludes):
            rows |= {row.path for row in batch.rows if row.kind is not Kind.DIR}
            skipped |= {skip.path for skip in batch.skipped if skip.reason is SkipReason.EXCLUDED}
    require(rows == {"keep/a", "keep/skip/c", "skipper"}, f"the scan saw {sorted(rows)}")
    require({"x.tmp", "keep/y.tmp"} <= skipped, f"reported as excluded: {sorted(skipped)}")


@promise()
async def a_scan_can_be_left_early(at: Hand) -> None:
    await _fill(at, [f"f{number}" for number in range(50)])
    for _ in range(3):
        async with aclosing(at.location.scan()) as batches:  # type: ignore[type-var]  # adapters' scans are generators
            await anext(batches)
    require(len(await at.files()) == 50, "after scans left early, a scan is not complete")


@promise()
async def several_scans_at_once_do_not_disturb_each_other(at: Hand) -> None:
    await _fill(at, [f"d{number % 7}/f{number}" for number in range(100)])
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        scans = [tasks.create_task(at.files()) for _ in range(4)]
    require(all(len(scan.result()) == 100 for scan in scans), "a scan beside others is not complete")


@promise()
async def a_scan_beside_writers_sees_all_that_stays(at: Hand) -> None:
    stays = [f"d{number % 5}/stays{number}" for number in range(200)]
    await _fill(at, stays)
    busy = True

    async def churn() -> None:
        number = 0
        while busy:
            number += 1
            path = f"d{number % 5}/moves{number}"
            await at.remove(path, await at.put(path, b"x"))

    async def look() -> None:
        nonlocal busy
        try:
            for _ in range(4):
                missing = set(stays) - await at.files()
                require(not missing, f"missing {sorted(missing)[:5]}")
        finally:
            busy = False

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(churn())
        tasks.create_task(look())


@promise()
async def nothing_of_lakelinks_own_is_seen(at: Hand) -> None:
    await at.put("f", b"x")
    own = ".lakelink/made-by-hand"
    answer = (await at.location.write([Write(own, Kind.FILE, BytesContent(b"x"), None, ABSENT)]))[0]
    require(
        not [path for path in await at.rows() if path.startswith(".lakelink")], "lakelink's own names are in the scan"
    )
    if isinstance(answer, LakelinkError):
        raise NotApplicable("the location refuses to write below its own directory")
    await at.remove(own, answer.version)


@promise()
async def closing_twice_is_fine(at: Hand) -> None:
    await at.put("f", b"x")
    await at.location.aclose()
    await at.location.aclose()
