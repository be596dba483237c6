"""Concurrent edits on both sides while the link is killed again and again: in the end both sides are equal, and every written byte is somewhere."""

from __future__ import annotations

import asyncio
import random
import sys
import time

from tests.integration.links.world import make_world

KILLS = 6
PATHS = [f"d{n % 3}/f{n}" if n % 2 else f"f{n}" for n in range(12)]


class Ledger:
    """Who wrote what, when."""

    def __init__(self):
        self.local: dict[str, tuple[float, bytes]] = {}
        self.lake: dict[str, tuple[float, bytes]] = {}
        self.count = 0

    def token(self, side: str, size: int) -> bytes:
        self.count += 1
        return f"<{side} {self.count}>".encode().ljust(size, b".")


async def _write_here(world, ledger, chance, stop) -> None:
    while not stop.is_set():
        path = chance.choice(PATHS)
        file = world.root / path
        data = ledger.token("files", chance.choice([20, 3000, 300_000]))
        try:
            file.parent.mkdir(exist_ok=True)
            if chance.random() < 0.5:
                file.write_bytes(data)
            else:  # as an editor saves
                staged = world.root.parent / "stage"
                staged.write_bytes(data)
                staged.replace(file)
        except OSError:
            continue
        ledger.local[path] = (time.monotonic(), data)
        await asyncio.sleep(chance.random() * 0.1)


async def _write_there(world, ledger, chance, stop) -> None:
    while not stop.is_set():
        path = chance.choice(PATHS)
        data = ledger.token("lake", chance.choice([20, 3000, 9_000_000]))
        began = time.monotonic()
        try:
            await world.put(path, data)
        except AssertionError:
            continue  # the link was there in between
        ledger.lake[path] = (began, data)
        await asyncio.sleep(chance.random() * 0.2)


async def _child(world):
    store = world.store
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.links.child", str(world.root), str(world.state), world.prefix,
        store.endpoint, store.bucket, store.access_key, store.secret_key,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert await asyncio.wait_for(child.stdout.readline(), 60) == b"up\n"
    return child


def test_nothing_is_lost_under_kill_and_both_sides_end_equal(tmp_path, seaweed, s3_prefix):
    world = make_world(tmp_path, seaweed, s3_prefix)
    chance = random.Random(7)
    ledger = Ledger()

    async def work() -> None:
        stop = asyncio.Event()
        writers = [
            asyncio.ensure_future(_write_here(world, ledger, chance, stop)),
            asyncio.ensure_future(_write_there(world, ledger, chance, stop)),
        ]
        for _ in range(KILLS):
            child = await _child(world)
            await asyncio.sleep(0.2 + chance.random() * 1.2)
            child.kill()
            await child.wait()
        stop.set()
        await asyncio.gather(*writers)
        async with world.link() as link:
            await world.agree(link, rounds=8)
            assert not link.journal.intents()
            assert not link.journal.problems()
        left = {one[1] for one in world.local().values() if one[0] == "file"} | set(world.trash())
        for path, (_, data) in ledger.local.items():
            assert data in left, (path, data[:30])
        for path, (when, data) in ledger.lake.items():
            # What somebody here replaced after it had arrived is gone by his will.
            assert data in left or ledger.local.get(path, (0.0,))[0] > when, (path, data[:30])
        assert ledger.count > 30

    asyncio.run(work())
