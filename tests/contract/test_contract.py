"""The contract over what needs no server. Wrappers are spared the heavy promises: the adapters have those."""

import pytest
from keeping import keep
from places import PLACES

from lakelink.testing.contract import PROMISES

CASES = [
    (place, promise) for place in PLACES for promise in PROMISES if place in {"memory", "local"} or not promise.heavy
]


@pytest.mark.parametrize(("place", "promise"), CASES, ids=[f"{place}-{promise.name}" for place, promise in CASES])
def test_the_promise_is_kept(place, promise, tmp_path):
    keep(promise, place, lambda: PLACES[place](tmp_path))
