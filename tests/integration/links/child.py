"""A link in a process of its own, to be killed: `python -m tests.integration.links.child ROOT STATE PREFIX ENDPOINT BUCKET ACCESS SECRET`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace

from lakelink.links.parts import SidedFeed
from lakelink.model.linkspec import LinkSpec, Pace
from lakelink.watch.choose import open_local_feed
from tests.integration.links.world import World


async def main(root: str, state: str, prefix: str, endpoint: str, bucket: str, access: str, secret: str) -> None:
    store = SimpleNamespace(endpoint=endpoint, bucket=bucket, access_key=access, secret_key=secret)
    pace = Pace(quiet_s=0.2, list_interval_s=0.5)
    spec = LinkSpec(name="t", ident="t1", files=root, lake=f"s3://{bucket}/{prefix}", pace=pace)
    world = World(Path(root), store, prefix, Path(state), spec)
    chosen = await open_local_feed(root, scan_interval_s=3600.0)
    async with world.link([SidedFeed("files", chosen.feed)]):
        sys.stdout.write("up\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
