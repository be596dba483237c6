"""Where the contract is checked: each place opens an empty location of its own and closes it."""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager

from lakelink.core.backoff import Backoff
from lakelink.locations.local.location import LocalLocation
from lakelink.locations.memory import MemoryLocation, MemoryStore
from lakelink.locations.s3.open import S3Access, open_s3
from lakelink.locations.s3.options import Addressing, S3Options
from lakelink.locations.wrap.faulty import Fault, FaultKind, Faulty
from lakelink.locations.wrap.metered import Metered
from lakelink.locations.wrap.retrying import Retrying
from lakelink.locations.wrap.throttled import Throttled
from lakelink.ports.clock import SystemClock
from lakelink.ports.crt_auth import CredentialSource
from lakelink.testing.clocks import JumpingClock, SeededRandom
from lakelink.testing.faults import Both, Seeded

_numbers = itertools.count()


def _memory():
    return MemoryLocation(MemoryStore())


def _retrying():
    return Retrying(_memory(), Backoff(), JumpingClock(), SeededRandom(0))


def _throttled():
    return Throttled(_memory(), JumpingClock(), bytes_per_s=1 << 20, paths_per_s=100)


def _retrying_over_faults():
    """Every verb fails again and again, by value and by exception; contents break off. Patience makes it as good as new."""
    script = Seeded(
        7,
        0.3,
        [Fault(FaultKind.BEFORE), Fault(FaultKind.BEFORE, delay_s=0.1)],
        verbs=["stat", "write", "delete", "set_posix", "copy", "flush"],
    )
    breaking = Seeded(8, 0.5, [Fault(FaultKind.BROKEN), Fault(FaultKind.BEFORE)], verbs=["read"])
    faulty = Faulty(_memory(), Both(script, breaking), JumpingClock())
    return Retrying(faulty, Backoff(attempts=60, base_s=0.01), JumpingClock(), SeededRandom(0))


LOCATIONS = {
    "memory": _memory,
    "metered": lambda: Metered(_memory(), SystemClock()),
    "throttled": _throttled,
    "retrying": _retrying,
    "faulty without faults": lambda: Faulty(_memory(), Both(), JumpingClock()),
    "retrying over faults": _retrying_over_faults,
}


def _place(make):
    @asynccontextmanager
    async def opened(_):
        location = make()
        try:
            yield location
        finally:
            await location.aclose()

    return opened


PLACES = {name: _place(make) for name, make in LOCATIONS.items()}


@asynccontextmanager
async def _local(path):
    root = path / "root"
    root.mkdir()
    location = LocalLocation(str(root))
    try:
        yield location
    finally:
        await location.aclose()
        assert not (root / ".lakelink" / "tmp").exists(), "staging files stayed behind"


PLACES["local"] = _local


@asynccontextmanager
async def s3_place(server, addressing=Addressing.AUTO):
    """A prefix of its own in the server's bucket."""
    # Names below an endpoint's host resolve nowhere here: with the server as its proxy, every name leads to it.
    virtual = addressing is Addressing.VIRTUAL
    access = S3Access(
        endpoint="http://store.test" if virtual else server.endpoint,
        region="us-east-1",
        proxy=server.endpoint if virtual else "",
        credentials=CredentialSource(server.access_key, server.secret_key),
    )
    options = S3Options(addressing=addressing)
    location = open_s3(f"s3://{server.bucket}/contract{next(_numbers)}", access, options)
    try:
        yield location
    finally:
        await location.aclose()


EXEMPT = {  # what a place cannot keep by its nature, with the reason
    ("retrying over faults", "a stream of unknown length is stored whole"): "a pipe cannot be read twice",
    ("seaweedfs", "a name with a backslash comes back as it was given"): "SeaweedFS takes a backslash for a slash",
    ("moto", "a name with a newline comes back as it was given"): "moto's routes know no newline",
}
