"""Keys that end in a slash and have content all the same: no directory can hold it, and nobody here has seen it."""

import random

import pytest

from lakelink.errors import Unsupported
from lakelink.locations.base import Delete, SetPosix
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.location import S3Location
from lakelink.locations.s3.options import S3Options
from lakelink.model.entry import Expect, Kind, Posix
from lakelink.ports.crt_endpoint import parse_endpoint
from lakelink.testing.sim.borders import Borders
from lakelink.testing.sim.clock import EPOCH_NS, SimClock
from lakelink.testing.sim.loop import simulate
from lakelink.testing.sim.profile import PROFILES
from lakelink.testing.sim.store import BUCKET, SimStore
from lakelink.testing.sim.wire import SimWire, Weather


@pytest.mark.parametrize(("body", "stays"), [(b"precious", True), (b"", False)])
def test_a_marker_with_content_is_neither_rewritten_nor_removed(body, stays):
    async def story(loop):
        borders = Borders(loop, 1)
        store = SimStore(PROFILES["aws"], loop.time, EPOCH_NS)
        wire = SimWire(
            store, loop, Weather(random.Random(1), slow=0.0), writer="us", alive=lambda _operation, _path: None
        )
        with borders.led():
            client = S3Client(wire, BUCKET, parse_endpoint(store.profile.endpoint), SimClock(loop), S3Options())
            lake = S3Location(client, "prefix")
            marker = client.request("PutObject", "PUT", "prefix/d/")
            marker.body = body
            await client.call(marker, "d")
            (seen,) = await lake.stat(["d"])
            (changed,) = await lake.set_posix([SetPosix("d", Kind.DIR, Posix(0o700, 1, 1, 1, 1), Expect(seen.version))])
            (seen,) = await lake.stat(["d"])
            (error,) = await lake.delete([Delete("d", Kind.DIR, Expect(seen.version))])
        return changed, error, store.objects.now.get("prefix/d/")

    changed, error, left = simulate(1, story)
    assert isinstance(changed, Unsupported) is stays
    assert isinstance(error, Unsupported) is stays
    assert (left.body if left else None) == (body if stays else None)
