"""The real adapters over the simulated kernel and wire keep the contract that they keep over the real ones: that is what validates the simulator."""

import os
import random

import pytest

from lakelink.errors import LakelinkError
from lakelink.locations.local.location import LocalLocation
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.location import S3Location
from lakelink.locations.s3.options import S3Options
from lakelink.locations.wrap.wire_retrying import RetryingWire
from lakelink.ports.crt_endpoint import parse_endpoint
from lakelink.testing import contract_expect, contract_read, contract_scan
from lakelink.testing.clocks import SeededRandom
from lakelink.testing.contract import PROMISES, NotApplicable
from lakelink.testing.hand import Hand
from lakelink.testing.sim.borders import Borders
from lakelink.testing.sim.clock import EPOCH_NS, SimClock
from lakelink.testing.sim.disk import Disk
from lakelink.testing.sim.kernel import SimKernel
from lakelink.testing.sim.loop import simulate
from lakelink.testing.sim.profile import PROFILES
from lakelink.testing.sim.store import BUCKET, SimStore
from lakelink.testing.sim.wire import SimWire, Weather

SEED = 1
LIGHT = [promise for promise in PROMISES if not promise.heavy]
CASES = [
    *((profile, promise) for profile in ("aws", "seaweedfs") for promise in LIGHT),
    # These differ from aws in conditions and listings alone.
    *((profile, promise) for profile in ("no-conditions", "versioned") for promise in contract_expect.PROMISES),
    *(("versioned", promise) for promise in contract_scan.PROMISES),
]
EXEMPT = {
    (
        "seaweedfs",
        "a name with a backslash comes back as it was given",
    ): "this profile takes a backslash for a slash, as SeaweedFS does",
}


class _Scratch:
    """A temporary file of the simulated kernel, for promises that pour into one."""

    def __init__(self, kernel):
        self._kernel = kernel
        self._fd = kernel.open("/", os.O_TMPFILE | os.O_RDWR)

    def fileno(self):
        return self._fd

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._kernel.close(self._fd)


def keep(promise, story):
    try:
        simulate(SEED, story)
    except NotApplicable as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.name)
def test_the_local_adapter_keeps_its_promises_over_the_simulated_kernel(promise, monkeypatch):
    async def story(loop):
        clock, borders = SimClock(loop), Borders(loop, SEED)
        disk = Disk(SEED, clock.time_ns)
        kernel = borders.add(
            SimKernel(disk, lambda _call, _about: loop.tick(2e-6), first_fd=borders.first_fd()),
        )
        kernel.mkdir("/root")
        monkeypatch.setattr(contract_read.tempfile, "TemporaryFile", lambda: _Scratch(kernel))
        with borders.led():
            location = LocalLocation("/root", kernel=kernel, clock=clock, random=SeededRandom(SEED))
            try:
                await promise.keep(location)
            finally:
                await location.aclose()
        assert len(kernel.files) == 0, "descriptors stayed open"
        assert b".lakelink" not in disk.top.entries[b"root"].entries, "staging files stayed behind"

    keep(promise, story)


@pytest.mark.parametrize(("profile", "promise"), CASES, ids=[f"{profile}-{promise.name}" for profile, promise in CASES])
def test_the_s3_adapter_keeps_its_promises_over_the_simulated_wire(promise, profile):
    if reason := EXEMPT.get((profile, promise.name)):
        pytest.skip(reason)

    async def story(loop):
        clock, borders = SimClock(loop), Borders(loop, SEED)
        store = SimStore(PROFILES[profile], loop.time, EPOCH_NS, page_keys=7 if profile == "versioned" else 1000)
        weather = Weather(random.Random(SEED), slow=0.0)
        wire = SimWire(store, loop, weather, writer="us", alive=lambda _operation, _path: None)
        retrying = RetryingWire(wire, clock, SeededRandom(SEED))
        with borders.led():
            client = S3Client(retrying, BUCKET, parse_endpoint(store.profile.endpoint), clock, S3Options())
            location = S3Location(client, "prefix")
            await _learn(location)
            await promise.keep(location)

    keep(promise, story)


async def _learn(location):
    """What the store honours is known only after the first change; which promises are made depends on it."""
    hand = Hand(location)
    try:
        await hand.remove("first", await hand.put("first", b"x"))
    except LakelinkError:
        raise AssertionError("the simulated store refuses an ordinary write") from None
