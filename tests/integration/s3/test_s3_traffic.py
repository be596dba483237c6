"""Throttle and meter on real traffic."""

from __future__ import annotations

import asyncio
import os

from lakelink.locations.base import Read, Write
from lakelink.locations.content import BytesContent, StreamContent
from lakelink.locations.s3.open import S3Access, Traffic, open_s3
from lakelink.locations.s3.options import MIB
from lakelink.locations.wrap.wire_throttled import ThrottledWire
from lakelink.model.entry import Entry, Expect, Kind
from lakelink.ports.crt_auth import CredentialSource
from lakelink.ports.wire import WireRequest, WireResponse


def opened(store, prefix, **traffic):
    access = S3Access(
        endpoint=store.endpoint, credentials=CredentialSource(store.access_key, store.secret_key), proxy=""
    )
    return open_s3(f"s3://lake/{prefix}", access, traffic=Traffic(**traffic))


def test_throttled_traffic_arrives_whole_both_ways(seaweed, s3_prefix, tmp_path):
    data = os.urandom(9 * MIB)

    async def stream():
        for start in range(0, len(data), MIB):
            yield data[start : start + MIB]

    async def main():
        location = opened(seaweed, s3_prefix, bytes_per_s=40 * MIB, requests_per_s=500, concurrency=3)
        try:
            large, small = await location.write(
                [
                    Write("large", Kind.FILE, StreamContent(stream), None, Expect(None)),
                    Write("small", Kind.FILE, BytesContent(b"abc"), None, Expect(None)),
                ]
            )
            assert isinstance(large, Entry)
            contents = await location.read([Read("large", len(data), large.version), Read("small", 3, small.version)])
            with (tmp_path / "out").open("w+b") as file:
                await contents[0].pour(file.fileno())
            assert (tmp_path / "out").read_bytes() == data
            assert await contents[1].load() == b"abc"
            counts = location.meter.operations
            assert counts["UploadPart"].sent_bytes == len(data)
            assert counts["GetObject"].received_bytes == len(data) + 3
            assert location.requests["CompleteMultipartUpload"] == 1
        finally:
            await location.aclose()

    asyncio.run(main())


class SlowClock:
    """A clock that only moves when somebody sleeps."""

    def __init__(self):
        self.now_s = 0.0

    def time_ns(self):
        return int(self.now_s * 1e9)

    def monotonic(self):
        return self.now_s

    async def sleep(self, seconds):
        self.now_s += seconds


class Answering:
    """A wire that answers at once, with so many bytes."""

    def __init__(self, size):
        self.size = size

    async def send(self, request):
        return WireResponse(200, {}, b"x" * self.size, self.size)

    async def aclose(self):
        return


def test_the_rates_are_kept_in_both_directions():
    async def main():
        clock = SlowClock()
        wire = ThrottledWire(Answering(100), clock, bytes_per_s=1000)
        for _ in range(50):
            await wire.send(WireRequest("PutObject", "PUT", "/x", body=b"y" * 100))
        assert abs(clock.now_s - (50 * 200 - 250) / 1000) < 0.01
        clock = SlowClock()
        wire = ThrottledWire(Answering(100), clock, requests_per_s=10)
        for _ in range(50):
            await wire.send(WireRequest("GetObject", "GET", "/x"))
        assert abs(clock.now_s - (50 - 2.5) / 10) < 0.01

    asyncio.run(main())
