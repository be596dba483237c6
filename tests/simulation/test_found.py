"""What simulated stories found, each as short as it can be told."""

import asyncio
import errno
import os
from contextlib import closing

from lakelink.locations.base import Delete
from lakelink.locations.local.location import LocalLocation
from lakelink.model.entry import Expect, Kind
from lakelink.model.link import Event
from lakelink.state.findings import Held, Result
from lakelink.state.journal import Journal
from lakelink.testing.clocks import SeededRandom
from lakelink.testing.hand import Hand
from lakelink.testing.sim.borders import Borders
from lakelink.testing.sim.clock import SimClock
from lakelink.testing.sim.disk import Disk
from lakelink.testing.sim.inode import fail
from lakelink.testing.sim.kernel import SimKernel
from lakelink.testing.sim.loop import simulate
from lakelink.testing.sim.objects import Mutation, StoredObject
from lakelink.testing.sim.traces import Traces


def test_a_file_in_use_is_kept_when_no_descriptor_is_to_be_had_for_asking():
    async def story(loop):
        clock, borders = SimClock(loop), Borders(loop, 1)
        disk = Disk(1, clock.time_ns)
        full = []

        def between(call, about):
            loop.tick(1e-6)
            if call == "open" and about.startswith("old-") and full:
                fail(errno.EMFILE)

        ours = borders.add(SimKernel(disk, between, first_fd=borders.first_fd()))
        theirs = borders.add(SimKernel(disk, lambda _call, _about: None, first_fd=borders.first_fd()))
        theirs.mkdir("/root")
        fd = theirs.open("/root/f", os.O_WRONLY | os.O_CREAT)
        theirs.write(fd, b"begun")
        location = LocalLocation("/root", kernel=ours, clock=clock, random=SeededRandom(1))
        version = await Hand(location).version("f")
        full.append(True)
        with borders.led():
            await location.delete([Delete("f", Kind.FILE, Expect(version))])
            await asyncio.sleep(1)
        theirs.write(fd, b", and ended")
        theirs.close(fd)
        await location.aclose()
        return [bytes(inode.data) for _, inode in disk.tree(disk.top) if inode.is_file]

    assert simulate(1, story) == [b"begun, and ended"]


def test_an_effect_that_was_looked_at_again_and_is_held_has_left_its_trace(tmp_path):
    place = tmp_path / "journal.sqlite"
    traces = Traces("data/", "m1.")
    traces.heard(Mutation(1.0, "m1.1", "PutObject", "data/f", None, StoredObject(b"", "an etag", 1), conditional=True))
    with closing(Journal.open(place)) as journal:
        journal.settle([Result("other", held=Held("other", "lake", Event.CHANGED))], 1)
        assert len(traces.missing(place)) == 1
        journal.settle([Result("f", held=Held("f", "lake", Event.CHANGED))], 1)
    assert traces.missing(place) == []
