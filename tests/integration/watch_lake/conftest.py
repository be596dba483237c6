from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.integration.watch_lake.emulator import Emulator, NotInstalled, installed
from tests.integration.watch_lake.lake import Lake

_numbers = itertools.count()


@pytest.fixture(scope="session")
def emulator(tmp_path_factory) -> Iterator[Emulator]:
    """S3 with events and SQS, on loopback."""
    place = tmp_path_factory.mktemp("emulator")
    try:
        running = Emulator(installed(place), (place / "log").open("wb"))
    except NotInstalled as error:
        pytest.skip(f"the emulator of S3 events cannot be installed: {error}")
    try:
        running.start()
        yield running
    finally:
        running.stop()
        running.log.close()


@pytest.fixture
def lake(emulator) -> Lake:
    """A bucket and a name for queues that no other test uses."""
    return Lake(emulator.endpoint, f"lake{next(_numbers)}", emulator.region)
