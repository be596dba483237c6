"""Who may knock: networks, half-open connections, failed logins."""

import pytest

from lakelink.gateway.server.admission import Door, HalfOpenLimits
from lakelink.gateway.server.networks import Networks, source_of
from lakelink.gateway.server.throttle import FREE_FAILURES, LONGEST_DELAY_S, Throttle, ThrottleRule


class Dice:
    def __init__(self, value=0.0):
        self.value = value

    def uniform(self):
        return self.value

    def token(self):
        return "0" * 16


def test_networks_know_addresses_in_every_form():
    networks = Networks(["10.0.0.0/8", "2001:db8::/32"])
    assert "10.1.2.3" in networks
    assert "::ffff:10.1.2.3" in networks
    assert "2001:db8::1%eth0" in networks
    assert "192.0.2.1" not in networks
    assert "nonsense" not in networks
    assert 7 not in networks
    assert not Networks([])


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("odd", "odd"),
    ],
)
def test_one_customer_of_ipv6_is_one_source(address, source):
    assert source_of(address) == source


def test_from_some_number_on_half_open_connections_are_dropped_at_random_and_at_last_all():
    dice = Dice(0.29)
    door = Door(HalfOpenLimits(start=2, full=4, per_source=10), dice)
    door.enter("192.0.2.1")
    assert door.refusal("192.0.2.9") == ""
    door.enter("192.0.2.2")
    assert door.refusal("192.0.2.9") == "too-many-half-open"
    dice.value = 0.31
    assert door.refusal("192.0.2.9") == ""
    door.enter("192.0.2.3")
    door.enter("192.0.2.4")
    dice.value = 0.999999
    assert door.refusal("192.0.2.9") == "too-many-half-open"
    door.leave("192.0.2.4")
    assert door.refusal("192.0.2.9") == ""
    assert door.half_open == 3


def test_one_address_does_not_fill_the_porch():
    door = Door(HalfOpenLimits(start=100, full=100, per_source=2), Dice())
    for _ in range(2):
        door.enter("192.0.2.1")
    assert door.refusal("192.0.2.1") == "too-many-from-address"
    assert door.refusal("192.0.2.2") == ""
    door.leave("192.0.2.1")
    assert door.refusal("192.0.2.1") == ""


def test_an_address_that_fails_too_often_is_shut_out_for_longer_each_time():
    throttle = Throttle(ThrottleRule(failures=3, within_s=60, ban_s=100))
    for now_s in (0.0, 1.0):
        throttle.failed("192.0.2.1", "ann", now_s)
    assert throttle.admits("192.0.2.1", 1.0)
    throttle.failed("192.0.2.1", "bob", 2.0)
    assert not throttle.admits("192.0.2.1", 101.9)
    assert throttle.admits("192.0.2.1", 102.0)
    assert throttle.admits("192.0.2.2", 2.0)
    for _ in range(3):
        throttle.failed("192.0.2.1", "ann", 110.0)
    assert throttle.banned(110.0) == {"192.0.2.1": 200.0}
    assert throttle.lift("192.0.2.1")
    assert throttle.admits("192.0.2.1", 110.0)
    assert not throttle.lift("192.0.2.1")


def test_failures_of_long_ago_do_not_count():
    throttle = Throttle(ThrottleRule(failures=2, within_s=60, ban_s=100))
    throttle.failed("192.0.2.1", "ann", 0.0)
    throttle.failed("192.0.2.1", "ann", 61.0)
    assert throttle.admits("192.0.2.1", 61.0)


def test_a_name_is_answered_later_and_later_and_never_shut_out():
    throttle = Throttle(ThrottleRule(failures=10**6))
    delays = [throttle.failed(f"192.0.2.{number}", "ann", 0.0) for number in range(60)]
    assert delays[:FREE_FAILURES] == [0.0] * FREE_FAILURES
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST_DELAY_S
    assert throttle.failed("192.0.2.1", "bob", 0.0) == 0.0
    throttle.succeeded("ann")
    assert throttle.failed("192.0.2.1", "ann", 0.0) == 0.0


def test_who_is_exempt_is_never_shut_out():
    throttle = Throttle(ThrottleRule(failures=1, exempt=("192.0.2.0/24",)))
    throttle.failed("192.0.2.1", "ann", 0.0)
    throttle.failed("198.51.100.1", "ann", 0.0)
    assert throttle.admits("192.0.2.1", 0.0)
    assert not throttle.admits("198.51.100.1", 0.0)


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr("lakelink.gateway.server.throttle.MOST_KEPT", 100)
    throttle = Throttle(ThrottleRule(failures=1))
    for number in range(1000):
        throttle.failed(f"10.0.{number // 256}.{number % 256}", f"user{number}", float(number))
    assert len(throttle.banned(1000.0)) == 100
    assert throttle.failed("192.0.2.1", "user0", 1000.0) == 0.0
