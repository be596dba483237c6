"""A link doing one piece of work, in a process of its own: `python -m tests.bench.linked WORK ROOT STATE URL RESULT [TAR | PORT]`. RESULT gets JSON."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from lakelink.core.brake import Brake
from lakelink.links.parts import Parts, SidedFeed
from lakelink.links.runtime import Link
from lakelink.locations.base import Location, Write
from lakelink.locations.content import BytesContent
from lakelink.locations.local.location import LocalLocation
from lakelink.locations.local.options import LocalOptions
from lakelink.locations.s3.open import S3Access, open_s3
from lakelink.model.entry import Entry, Expect, Kind
from lakelink.model.linkspec import LinkSpec, Safety
from lakelink.ports.clock import SystemClock
from lakelink.ports.random import SystemRandom
from lakelink.state.journal import Journal
from lakelink.watch.choose import open_local_feed
from lakelink.watch.lake import LakeFeeds, QueueAccess
from lakelink.watch.webhook import WebhookOptions, WebhookReceiver

DEADLINE_S = 600.0
CLOSES = 300
ARRIVALS = 300
REST_S = 30.0


class AnyRoot:
    """The root is a fresh directory of ours."""

    async def check(self) -> None:
        """All is well."""

    def allow_empty(self) -> None:
        """Nothing to allow."""


async def main(work: str, root: str, state: str, url: str, result: str, *rest: str) -> None:
    spec = LinkSpec(name="bench", ident="bench", files=root, lake=url)
    files = LocalLocation(root, options=LocalOptions(trash=True, create_root=False))
    lake = open_s3(url, S3Access())
    journal = Journal.open(Path(state) / "journal.sqlite")
    chosen = await open_local_feed(root, scan_interval_s=spec.pace.scan_interval_s)
    pushed = _pushed(url, int(rest[0])) if work == "arrives" else _unpushed()
    async with pushed as feeds:
        parts = _parts(files, lake, journal, [SidedFeed("files", chosen.feed), *feeds])
        link = Link(spec, parts)
        running = asyncio.ensure_future(link.run())
        try:
            assert await link.settle(DEADLINE_S), link.status()
            figures = await WORKS[work](link, lake, Path(root), *rest)
        finally:
            running.cancel()
            await asyncio.wait([running])
            await chosen.feed.aclose()
            await files.aclose()
            await lake.aclose()
            journal.close()
    Path(result).write_text(json.dumps(figures))  # noqa: ASYNC240


def _parts(files: Location, lake: Location, journal: Journal, feeds: list[SidedFeed]) -> Parts:
    return Parts(
        files=files,
        lake=lake,
        journal=journal,
        feeds=feeds,
        clock=SystemClock(),
        random=SystemRandom(),
        guard=AnyRoot(),
        brake=Brake(Safety()),
        host="bench",
    )


@asynccontextmanager
async def _pushed(url: str, port: int) -> AsyncIterator[list[SidedFeed]]:
    """The store posts its events to a webhook on that port."""
    receiver = WebhookReceiver(WebhookOptions(port=port))
    await receiver.start()
    feeds = LakeFeeds(receiver)
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    feed = feeds.subscribe("", QueueAccess(), bucket, prefix)
    assert feed is not None
    try:
        yield [SidedFeed("lake", feed)]
    finally:
        await feed.aclose()
        await feeds.aclose()


@asynccontextmanager
async def _unpushed() -> AsyncIterator[list[SidedFeed]]:
    yield []


async def follow(link: Link, _lake: Location, root: Path, tar: str) -> dict[str, float]:
    """`tar x` into the root, until nothing is left to do."""
    began = time.perf_counter()
    wanted = len(subprocess.run(["tar", "tf", tar], capture_output=True, check=True).stdout.splitlines()) - 1  # noqa: ASYNC221
    process = await asyncio.create_subprocess_exec("tar", "xf", tar, "-C", str(root))
    await process.wait()
    written = time.perf_counter()
    while link.journal.agreed < wanted:  # noqa: ASYNC110  # a status counts all that waits, each time
        await asyncio.sleep(0.02)
    assert await link.settle(DEADLINE_S)
    ended = time.perf_counter()
    return {
        "written_s": written - began,
        "drained_s": ended - written,
        "pending_p50_s": link.status().exports.latency_p50_s,
    }


async def nothing(link: Link, _lake: Location, _root: Path) -> dict[str, float]:
    """The first survey and what it finds, done before this is called."""
    return {"agreed": link.status().agreed}


async def closes(_link: Link, lake: Location, root: Path) -> dict[str, float]:
    """From the close of a file of 4 KiB to an object that HEAD finds."""
    found: list[float] = []
    for number in range(CLOSES):
        name = f"closed-{number}"
        (root / name).write_bytes(os.urandom(4096))
        began = time.perf_counter()
        while not isinstance((await lake.stat([name]))[0], Entry):
            assert time.perf_counter() - began < DEADLINE_S
        found.append(time.perf_counter() - began)
        await asyncio.sleep(0.02)
    found.sort()
    return {"p50_ms": found[len(found) // 2] * 1e3, "p99_ms": found[len(found) * 99 // 100] * 1e3}


async def arrives(_link: Link, lake: Location, root: Path, _port: str) -> dict[str, float]:
    """From the answer to the PUT of an object of 4 KiB to a file that has its bytes, by events that the store pushes."""
    found: list[float] = []
    for number in range(ARRIVALS):
        name, data = f"put-{number}", os.urandom(4096)
        (answer,) = await lake.write([Write(name, Kind.FILE, BytesContent(data), None, Expect(None))])
        assert isinstance(answer, Entry), answer
        began = time.perf_counter()
        while not (root / name).exists():  # it appears whole
            assert time.perf_counter() - began < DEADLINE_S
            await asyncio.sleep(0.001)
        found.append(time.perf_counter() - began)
        assert (root / name).read_bytes() == data
        await asyncio.sleep(0.02)
    found.sort()
    return {"p50_ms": found[len(found) // 2] * 1e3, "p99_ms": found[len(found) * 99 // 100] * 1e3}


async def rest(link: Link, lake: Location, _root: Path) -> dict[str, float]:
    """The processor time and the requests of a link that has nothing to do."""
    await asyncio.sleep(4.0)
    await link.survey()  # what was young is asked for once more
    await asyncio.sleep(1.0)
    requests, cpu_s, began = sum(lake.requests.values()), time.process_time(), time.perf_counter()
    await asyncio.sleep(REST_S)
    wall_s = time.perf_counter() - began
    cpu_share = (time.process_time() - cpu_s) / wall_s
    asked = sum(lake.requests.values()) - requests
    survey_cpu = time.process_time()
    survey_began = time.perf_counter()
    await link.survey()
    return {
        "core_percent": cpu_share * 100,
        "requests": asked,
        "survey_s": time.perf_counter() - survey_began,
        "survey_cpu_s": time.process_time() - survey_cpu,
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "agreed": link.status().agreed,
    }


async def one_change(link: Link, lake: Location, root: Path) -> dict[str, float]:
    """One file changed among many: until the object has its bytes, and the processor time of it."""
    await asyncio.sleep(1.0)
    file = next(path for path in sorted(root.iterdir()) if path.is_dir() and path.name != ".lakelink")  # noqa: ASYNC240
    changed = next(iter(sorted(file.iterdir())))
    path = str(changed.relative_to(root))
    walls, cpus = [], []
    for number in range(10):
        (before,) = await lake.stat([path])
        cpu_s, began = time.process_time(), time.perf_counter()
        changed.write_bytes(b"%d" % number * 100)
        assert isinstance(before, Entry)
        while (now := (await lake.stat([path]))[0]) is None or now.version == before.version:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert await link.settle(DEADLINE_S)
        walls.append(time.perf_counter() - began)
        cpus.append(time.process_time() - cpu_s)
    return {"wall_ms": sorted(walls)[5] * 1e3, "cpu_ms": sorted(cpus)[5] * 1e3, "agreed": link.status().agreed}


WORKS = {
    "follow": follow,
    "nothing": nothing,
    "closes": closes,
    "arrives": arrives,
    "rest": rest,
    "one-change": one_change,
}

if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
