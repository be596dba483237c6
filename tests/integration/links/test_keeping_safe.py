"""What surrounds a link, on a real directory and a real store: its root's identity, its brake, its trash, its tasks, its event log."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import subprocess
from contextlib import asynccontextmanager

import pytest

from lakelink.core.brake import Brake
from lakelink.links.conflicts import advice, trash_reasons
from lakelink.links.events import Events
from lakelink.links.halting import Halting
from lakelink.links.identity import RootGuard
from lakelink.links.parts import Parts
from lakelink.links.report import read_csv
from lakelink.links.runtime import Link
from lakelink.links.tasks import Tasks
from lakelink.links.trash import Trash
from lakelink.locations.local.location import LocalLocation
from lakelink.locations.local.options import LocalOptions
from lakelink.locations.s3.open import S3Access, open_s3
from lakelink.model.link import ConflictRule, Rule
from lakelink.model.linkspec import Direction, LinkState
from lakelink.model.linktask import TaskState
from lakelink.ports.clock import SystemClock
from lakelink.ports.crt_auth import CredentialSource
from lakelink.ports.linux import LinuxKernel
from lakelink.ports.notify import LinuxNotify
from lakelink.ports.random import SystemRandom
from lakelink.state.event_log import EventLog
from lakelink.state.journal import Journal
from lakelink.watch.mounts import file_system
from tests.integration.links.world import make_world

DEADLINE_S = 60.0


@pytest.fixture
def world(tmp_path, seaweed, s3_prefix):
    return make_world(tmp_path, seaweed, s3_prefix)


def identify(path):
    return file_system(LinuxKernel(), LinuxNotify(), path).identity


class Kept:
    """A link with all that surrounds it."""

    def __init__(self, link, events, tasks):
        self.link = link
        self.events = events
        self.tasks = tasks

    async def state(self, wanted):
        await until(lambda: self.link.status().state is wanted)
        return self.link.status()

    async def task(self, *arguments):
        task = self.tasks.submit(*arguments)
        await until(lambda: self.tasks.get(task.id).state.is_final)
        return self.tasks.get(task.id)


async def until(holds):
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110  # what runs is not told that it is watched
            await asyncio.sleep(0.01)


@asynccontextmanager
async def kept(world, lake=None):
    files = Halting(
        LocalLocation(str(world.root), options=LocalOptions(trash=True, create_root=False)), "files", str(world.root)
    )
    lake = Halting(lake or world.open_lake(), "lake", world.spec.lake)
    journal = Journal.open(world.state / "journal.sqlite")
    clock, brake = SystemClock(), Brake(world.spec.safety)
    guard = RootGuard(
        str(world.root),
        world.spec,
        journal,
        agreed=lambda: journal.agreed,
        brake=brake,
        clock=clock,
        identify=identify,
    )
    link = Link(world.spec, Parts(files, lake, journal, (), clock, SystemRandom(), guard, brake, "here"))
    events = Events(EventLog(journal.db), clock)
    link.told.append(events.outcome)
    tasks = Tasks(link, journal, clock, events)
    running = [asyncio.create_task(work.run()) for work in (link, events, tasks)]
    try:
        yield Kept(link, events, tasks)
        assert not any(task.done() for task in running), running
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        journal.close()
        await files.aclose()
        await lake.aclose()


def fill(root, count=30):
    for number in range(count):
        (root / f"f{number:02}").write_text(str(number))


def test_a_vanished_root_halts_the_link_and_deletes_nothing(world):
    async def work():
        fill(world.root)
        async with kept(world) as one:
            await world.agree(one.link)
            away = world.root.parent / "away"
            world.root.rename(away)
            asyncio.ensure_future(asyncio.wait_for(one.link.survey(), DEADLINE_S)).add_done_callback(
                lambda done: done.exception()
            )
            status = await one.state(LinkState.MISCONFIGURED)
            assert "cannot be opened" in status.reason
            assert status.hint
            world.root.mkdir()
            one.link.resume()
            await until(lambda: "without its marker" in one.link.status().reason)
            assert len(await world.remote()) == 30
            world.root.rmdir()
            away.rename(world.root)
            one.link.resume()
            await one.state(LinkState.AVAILABLE)
            await world.agree(one.link)
            assert len(world.local()) == 30

    asyncio.run(work())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_an_unmounted_root_halts_the_link_and_deletes_nothing(world, tmp_path):
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", disk], check=True)
    mount = ["mount", "-o", "loop", disk, world.root]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounts are not allowed here")

    async def before():
        fill(world.root)
        shutil.rmtree(world.root / "lost+found")
        async with kept(world) as one:
            await world.agree(one.link)

    async def after():
        async with kept(world) as one:
            status = await one.state(LinkState.MISCONFIGURED)
            assert "as a directory is whose file system is not mounted" in status.reason
            assert [path.name for path in world.root.iterdir()] == []
            assert len(await world.remote()) == 30
            await asyncio.to_thread(subprocess.run, mount, check=True)
            one.link.resume()
            await one.state(LinkState.AVAILABLE)
            await world.agree(one.link)
            assert len(world.local()) == 30

    try:
        asyncio.run(before())
        subprocess.run(["umount", world.root], check=True)
        asyncio.run(after())
    finally:
        subprocess.run(["umount", world.root], check=False)


def test_an_emptied_root_halts_until_the_operator_allows_it(world):
    async def work():
        fill(world.root)
        async with kept(world) as one:
            await world.agree(one.link)
            for path in world.root.glob("f*"):
                path.unlink()
            with pytest.raises(Exception, match="would be deleted in the lake"):
                await asyncio.wait_for(one.link.survey(), DEADLINE_S)
            await one.state(LinkState.MISCONFIGURED)
            assert len(await world.remote()) == 30
            one.link.resume(allow_deletes=True)
            await one.state(LinkState.AVAILABLE)
            await world.agree(one.link)
            assert await world.remote() == {}

    asyncio.run(work())


def test_a_mass_delete_in_the_lake_halts_until_the_operator_allows_it(world):
    async def work():
        fill(world.root)
        async with kept(world) as one:
            await world.agree(one.link)
            await world.remove(*(f"f{number:02}" for number in range(20)))
            survey = asyncio.ensure_future(asyncio.wait_for(one.link.survey(), DEADLINE_S))
            status = await one.state(LinkState.MISCONFIGURED)
            await asyncio.wait([survey])
            assert survey.exception()
            assert "20 of 30 paths would be deleted" in status.reason
            assert len(world.local()) == 30
            one.link.resume(allow_deletes=True)
            await one.state(LinkState.AVAILABLE)
            await world.agree(one.link)
            assert len(world.local()) == 10
            trash = Trash(str(world.root))
            assert len(list(trash.items())) == 20
            assert {answer.error for answer in trash.restore()} == {None}
            await world.agree(one.link)
            assert len(await world.remote()) == 30

    asyncio.run(work())


@pytest.mark.parametrize(("change", "code"), [("bucket", "LL216"), ("key", "LL217")])
def test_a_bucket_that_is_gone_or_forbidden_halts_the_link_and_touches_no_file(world, change, code):
    store = world.store
    key = "not-a-key" if change == "key" else store.access_key
    bucket = "no-such-bucket-here" if change == "bucket" else store.bucket
    access = S3Access(
        endpoint=store.endpoint, region="us-east-1", credentials=CredentialSource(key, store.secret_key, "")
    )

    async def work():
        fill(world.root)
        async with kept(world) as one:
            await world.agree(one.link)
        async with kept(world, open_s3(f"s3://{bucket}/{world.prefix}", access)) as one:
            status = await one.state(LinkState.MISCONFIGURED)
            assert dict(status.errors).get(code), status
            assert status.hint
            assert len(world.local()) == 30
        async with kept(world) as one:
            await one.state(LinkState.AVAILABLE)
            await world.agree(one.link)
            assert len(world.local()) == len(await world.remote()) == 30

    asyncio.run(work())


def test_tasks_carry_what_is_found_in_their_direction_deletes_included(world, tmp_path):
    async def work():
        fill(world.root, 4)
        async with kept(world) as one:
            await world.agree(one.link)
            await world.put("new/a", b"a")
            await world.put("new/b", b"b")
            await world.put("other", b"o")
            await world.remove("f00")
            (world.root / "out").write_text("out")
            imported = await one.task(Direction.IMPORT, ["new", "f00"], str(tmp_path / "i.csv"))
            assert (imported.state, imported.failed) == (TaskState.SUCCEEDED, 0)
            assert imported.succeeded >= 3  # two files, one deletion; the directory may count
            assert not (world.root / "f00").exists()
            assert not (world.root / "other").exists()
            exported = await one.task(Direction.EXPORT)
            assert (exported.state, exported.total) == (TaskState.SUCCEEDED, 1)
            await world.agree(one.link)

            (world.root / os.fsdecode(b"caf\xe9")).write_text("no key can have this name")
            failed = await one.task(Direction.EXPORT, [], str(tmp_path / "failures.csv"))
            assert (failed.state, failed.failed) == (TaskState.FAILED, 1)
            one.events.flush()
            codes = [line.code for line in EventLog(one.link.journal.db).newest(100)]
            assert codes.count("TaskSucceeded") == 2
            assert "TaskFailed" in codes

    asyncio.run(work())
    assert (tmp_path / "i.csv").read_text() == ""
    text = (tmp_path / "failures.csv").read_text("utf-8", "surrogateescape")
    assert read_csv(text) == [(os.fsdecode(b"caf\xe9"), "failed", "LL406")]


def test_what_lost_a_conflict_is_in_the_trash_with_its_reason(world):
    world.spec = dataclasses.replace(world.spec, rule=Rule(conflict=ConflictRule.LAKE))

    async def work():
        (world.root / "x").write_text("first")
        async with kept(world) as one:
            await world.agree(one.link)
            (world.root / "x").write_text("mine!")
            await world.put("x", b"theirs")
            await world.agree(one.link)
            assert (world.root / "x").read_bytes() == b"theirs"
            clashes = one.link.journal.conflicts(resolved=True)
            why = trash_reasons(clashes)
            reasons = {why(item) for item in Trash(str(world.root)).items(["x"])}
            assert any(reason.startswith(f"it lost conflict {clashes[0].id}") for reason in reasons), reasons
            assert all(advice(clash, "t") for clash in clashes)

    asyncio.run(work())
