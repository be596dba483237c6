"""Kernels before 6.13 stamp files by the timer tick: two writes of equal length within one cannot be told apart by their times."""

import os
import random

from lakelink.links.parts import Parts
from lakelink.links.runtime import Link
from lakelink.locations.local.location import LocalLocation
from lakelink.locations.local.options import LocalOptions
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.location import S3Location
from lakelink.locations.s3.options import S3Options
from lakelink.model.linkspec import LinkSpec
from lakelink.ports.crt_endpoint import parse_endpoint
from lakelink.state.journal import Journal
from lakelink.testing.clocks import SeededRandom
from lakelink.testing.sim.borders import Borders
from lakelink.testing.sim.clock import EPOCH_NS, SimClock
from lakelink.testing.sim.disk import Disk
from lakelink.testing.sim.kernel import SimKernel
from lakelink.testing.sim.loop import simulate
from lakelink.testing.sim.profile import PROFILES
from lakelink.testing.sim.store import BUCKET, SimStore
from lakelink.testing.sim.wire import SimWire, Weather
from tests.integration.links.world import NoBrake, NoGuard

TICK_NS = 10_000_000
SPEC = LinkSpec(name="t", ident="t1", files="/root", lake="s3://lake/data")


def test_a_file_that_is_written_twice_within_a_timer_tick_is_exported_as_it_ends(tmp_path):
    async def story(loop):
        clock, borders = SimClock(loop), Borders(loop, 1)
        disk = Disk(1, lambda: clock.time_ns() // TICK_NS * TICK_NS)
        looks, written = [], []

        def user_writes(text):
            fd = theirs.open("/root/f", os.O_WRONLY | os.O_CREAT)
            theirs.write(fd, text)
            theirs.close(fd)
            written.append(text)

        def between(call, about):
            """The user writes right before the link looks at the file that the scan has found."""
            loop.tick(2e-6)
            if (call, about) == ("stat", "f"):
                looks.append(call)
                if len(looks) == 2:
                    user_writes(b"one")

        def sent(operation, path):
            """And again while it is on its way."""
            if operation == "PutObject" and path.endswith("data/f") and len(written) == 1:
                user_writes(b"two")

        ours = borders.add(SimKernel(disk, between, first_fd=borders.first_fd()))
        theirs = borders.add(SimKernel(disk, lambda _call, _about: None, first_fd=borders.first_fd()))
        theirs.mkdir("/root")
        store = SimStore(PROFILES["aws"], loop.time, EPOCH_NS)
        wire = SimWire(store, loop, Weather(random.Random(1), slow=0.0), writer="us", alive=sent)
        journal = Journal.open(tmp_path / "journal.sqlite")
        with borders.led():
            client = S3Client(wire, BUCKET, parse_endpoint(store.profile.endpoint), clock, S3Options())
            files = LocalLocation(
                "/root", kernel=ours, clock=clock, random=SeededRandom(1), options=LocalOptions(trash=True)
            )
            lake = S3Location(client, "data")
            link = Link(SPEC, Parts(files, lake, journal, (), clock, SeededRandom(1), NoGuard(), NoBrake(), "here"))
            running = loop.create_task(link.run())
            assert await link.settle(60)
            theirs.close(theirs.open("/root/f", os.O_WRONLY | os.O_CREAT))
            for _ in range(3):
                await link.survey()
                assert await link.settle(60)
            running.cancel()
            await clock.sleep(1)
            await files.aclose()
        journal.close()
        return written, store.objects.now["data/f"].body

    written, stored = simulate(1, story)
    assert written == [b"one", b"two"]
    assert stored == b"two"
