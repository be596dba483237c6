"""The contract over real servers: SeaweedFS, and moto for the keys that SeaweedFS folds and for virtual-hosted addressing."""

import pytest
from keeping import keep
from places import s3_place

from lakelink.locations.s3.options import Addressing
from lakelink.testing import contract_expect
from lakelink.testing.contract import PROMISES

LIGHT = [promise for promise in PROMISES if not promise.heavy]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.name)
def test_the_promise_is_kept_on_seaweedfs(promise, seaweed, monkeypatch):
    # Its lock polls by the second: a crowd at one name takes a while, and shows no more than a few do.
    monkeypatch.setattr(contract_expect, "RACERS", 5)
    monkeypatch.setattr(contract_expect, "ROUNDS", 3)
    keep(promise, "seaweedfs", lambda: s3_place(seaweed))


@pytest.mark.parametrize("promise", LIGHT, ids=lambda promise: promise.name)
def test_the_promise_is_kept_on_moto_with_the_bucket_in_the_host(promise, moto_server):
    keep(promise, "moto", lambda: s3_place(moto_server, Addressing.VIRTUAL))
