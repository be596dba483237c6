"""A store for these tests alone, since they kill it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lakelink.errors import Unsupported
from tests.realworld.store import MortalStore


@pytest.fixture(scope="package")
def mortal_store(tmp_path_factory) -> Iterator[MortalStore]:
    """A store that may be killed by a test, if it starts it again."""
    store = MortalStore(tmp_path_factory.mktemp("mortal"))
    try:
        store.start()
    except Unsupported as error:
        pytest.skip(f"{error} ({error.hint})")
    yield store
    store.stop()
