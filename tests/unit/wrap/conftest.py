import asyncio

import pytest

from lakelink.locations.memory import MemoryLocation, MemoryStore
from lakelink.testing.clocks import JumpingClock


@pytest.fixture
def run():
    return asyncio.run


@pytest.fixture
def clock():
    return JumpingClock()


@pytest.fixture
def store(clock):
    return MemoryStore(clock)


@pytest.fixture
def memory(store):
    return MemoryLocation(store)
