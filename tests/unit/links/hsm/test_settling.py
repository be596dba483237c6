"""What was loaded settles behind those who wait, and in small turns."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from lakelink.links.hsm import settling
from lakelink.links.hsm.base import Tier
from lakelink.links.hsm.places import Places
from lakelink.links.hsm.settling import SLICE, Settling
from lakelink.links.hsm.tree import Tree
from lakelink.links.hsm.turns import Turns


def settling_of(top: str) -> Settling:
    tree = Path(top) / "tree"
    tree.mkdir()
    return Settling(Tree(str(tree), Places(top), -1, Tier.PRE_CONTENT), Turns())


def in_memory():
    """A file system whose flush costs nothing."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)  # noqa: S108


def test_others_have_their_turn_between_a_few_files():
    async def main(top: str) -> int:
        found = settling_of(top)
        for number in range(SLICE * 20):
            found.add(b"gone %d" % number)
        turns, settled = 0, asyncio.ensure_future(found.settle())
        while not settled.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    with in_memory() as top:
        assert asyncio.run(main(top)) >= 20


def test_nothing_settles_while_loads_are_under_way_but_not_for_ever(monkeypatch):
    for name in ("EVERY_S", "_LOOK_AGAIN_S"):
        monkeypatch.setattr(settling, name, 0.001)

    async def main(top: str, put_off_s: float) -> tuple[int, int]:
        monkeypatch.setattr(settling, "PUT_OFF_S", put_off_s)
        found, looks, begun = settling_of(top), 0, asyncio.Event()

        def busy() -> bool:
            nonlocal looks
            looks += 1
            return looks < 50

        async def settle() -> None:
            begun.set()

        found.busy, found.settle = busy, settle
        running = asyncio.ensure_future(found.run())
        await asyncio.wait_for(begun.wait(), 60)
        running.cancel()
        return looks, int(put_off_s * 1000)

    with in_memory() as top:
        assert asyncio.run(main(top, 1000.0))[0] >= 50
    with in_memory() as top:
        looks, most = asyncio.run(main(top, 0.01))
        assert looks <= most + 2
