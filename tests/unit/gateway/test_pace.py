"""Bandwidth: a debt that time pays."""

import pytest

from lakelink.gateway.server.pace import BURST_S, Bucket


def test_what_moves_beyond_the_rate_has_to_wait_and_rest_saves_nothing_up():
    now = [0.0]
    bucket = Bucket(1000, lambda: now[0])
    bucket.take(50)
    assert bucket.wait_s() == 0
    bucket.take(1950)
    assert bucket.wait_s() == pytest.approx(2.0 - BURST_S)
    now[0] += 2.0
    assert bucket.wait_s() == 0
    now[0] += 1000.0
    bucket.take(1000)
    assert bucket.wait_s() == pytest.approx(1.0 - BURST_S)
