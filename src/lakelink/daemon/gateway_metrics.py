"""What a scrape gets about the gateway. Names are a contract."""

from __future__ import annotations

from collections.abc import Iterator

from lakelink.api.answers import GatewayCondition
from lakelink.daemon.metrics import Family
from lakelink.model.gateway import GatewayStatus

REFUSED = "refused_"
_COUNTERS = {
    "uploaded_bytes": "Bytes that users have written.",
    "downloaded_bytes": "Bytes that users have read.",
    "operations": "Operations of users that the audit log has.",
    "operations_failed": "Of these, those that failed.",
}


def gateway_families(condition: GatewayCondition | None, status: GatewayStatus | None) -> Iterator[Family]:
    """The metrics of the gateway of a daemon; none where it is to run none."""
    if condition is None:
        return
    up = Family("lakelink_gateway_up", "gauge", "1 while it takes connections; 0 while it cannot start.")
    up.add({}, int(status is not None))
    yield up
    if status is not None:
        yield from _families(status)


def _families(status: GatewayStatus) -> Iterator[Family]:
    counts = dict(status.counts)
    for name, text, value in (
        ("sessions", "Users who are logged in.", status.sessions),
        ("half_open_connections", "Connections that have not logged in yet.", status.half_open),
        ("workers", "Processes that take connections.", status.workers),
        ("banned_addresses", "Addresses that are kept out after failed logins.", len(status.banned)),
    ):
        gauge = Family(f"lakelink_gateway_{name}", "gauge", text)
        gauge.add({}, value)
        yield gauge
    logins = Family("lakelink_gateway_logins_total", "counter", "Logins by result.")
    logins.add({"result": "done"}, counts.get("logins", 0))
    logins.add({"result": "failed"}, counts.get("logins_failed", 0))
    yield logins
    refused = Family(
        "lakelink_gateway_refused_connections_total", "counter", "Connections that were not let in, by reason."
    )
    for name, count in counts.items():
        if name.startswith(REFUSED):
            refused.add({"reason": name.removeprefix(REFUSED)}, count)
    yield refused
    for name, text in _COUNTERS.items():
        counter = Family(f"lakelink_gateway_{name}_total", "counter", text)
        counter.add({}, counts.get(name, 0))
        yield counter
