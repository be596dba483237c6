"""The power fails when an import has placed its file and not yet synced it, and the lake changes its mind before the machine is up again."""

import asyncio
import random

import pytest

from lakelink.links import judge
from lakelink.ports.wire import WireRequest
from lakelink.testing.sim.inode import Crash
from lakelink.testing.sim.ledger import CONFLICT
from lakelink.testing.sim.loop import simulate
from lakelink.testing.sim.member import Member
from lakelink.testing.sim.process import End
from lakelink.testing.sim.store import BUCKET
from lakelink.testing.sim.world import Told, staged

KEY = "data/f"
OLD, NEW = b"old" * 4000, b"new" * 5000
SEEDS = range(16)


def ask(world, operation, body=b""):
    world.store.handle(WireRequest(operation, "POST", f"/{BUCKET}/{KEY}", "", [], body), body, "stranger")


def content(member):
    inode = member.people.files().get("f")
    return None if inode is None else bytes(inode.data)


async def until(is_true):
    for _ in range(600):
        if is_true():
            return
        await asyncio.sleep(0.5)
    raise AssertionError("it does not come to that")


def fail_before_it_is_synced(member):
    kernel = member.machine.kernel
    go_on = kernel.between

    def between(call, about):
        if call == "syncfs" and content(member) == NEW:
            member.fail(End.POWER)
            raise Crash(call)
        go_on(call, about)

    kernel.between = between


async def tell(world, *, deleted):
    """What the power failure left at the path, and what both sides hold in the end."""
    world.calm()
    member = Member(world, "m1", "data/")
    member.operator.open()
    member.start()
    ask(world, "PutObject", OLD)
    await until(lambda: content(member) == OLD and member.link.journal.agreed == 1)
    fail_before_it_is_synced(member)
    ask(world, "PutObject", NEW)
    await until(lambda: not member.is_up)
    left = content(member)
    ask(world, "DeleteObject") if deleted else ask(world, "PutObject", OLD)
    member.start()
    await asyncio.sleep(200)
    files = {path: bytes(inode.data) for path, inode in member.people.files().items()}
    await member.stop()
    lake = {key.removeprefix("data/"): stored.body for key, stored in world.store.objects.now.items()}
    return left, files, lake


def play(seed, *, deleted):
    async def story(loop):
        with staged(loop, Told(seed, profile=random.Random(seed).choice(["aws", "seaweedfs"]))) as world:
            return await tell(world, deleted=deleted)

    return simulate(seed, story)


def wrong(*, deleted):
    """(seeds that ended with something else than the lake's last word at the path, power failures that tore the file)"""
    found, torn = [], 0
    for seed in SEEDS:
        left, files, lake = play(seed, deleted=deleted)
        torn += left not in (None, OLD, NEW)
        copies = {path: data for path, data in files.items() if path != "f"}
        kept_apart = all(CONFLICT in path and data == left for path, data in copies.items())
        if files != lake or files.get("f") != (None if deleted else OLD) or not kept_apart:
            found.append(seed)
    return found, torn


@pytest.mark.parametrize("deleted", [False, True], ids=["the lake changes back", "the lake deletes"])
def test_what_is_torn_is_never_carried_as_somebodys_edit(deleted):
    found, torn = wrong(deleted=deleted)
    assert found == []
    assert torn > 2, "the power failures tore too little to say anything"


@pytest.mark.parametrize("deleted", [False, True], ids=["the lake changes back", "the lake deletes"])
def test_it_would_be_if_nobody_doubted(deleted, monkeypatch):
    async def never(_look, _etag, _files):
        return False

    monkeypatch.setattr(judge, "is_doubtful", never)
    assert wrong(deleted=deleted)[0]
