"""What holds for a gateway as a whole, whichever worker a client meets."""

from __future__ import annotations

from dataclasses import dataclass

from lakelink.config.gateway import GatewaySettings
from lakelink.gateway.server.admission import HalfOpenLimits
from lakelink.gateway.server.throttle import ThrottleRule


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRules:
    """How many may be half-open and logged in at a time, and what becomes of who fails to log in."""

    throttle: ThrottleRule
    half_open: HalfOpenLimits
    most_sessions: int


def shared_rules(settings: GatewaySettings) -> SharedRules:
    """Those of the settings."""
    limits = settings.limits
    return SharedRules(
        throttle=ThrottleRule(limits.bans_after, limits.bans_within_s, limits.ban_s, settings.never_ban),
        half_open=HalfOpenLimits(
            start=limits.half_open_start, full=limits.half_open_full, per_source=limits.half_open_per_address
        ),
        most_sessions=limits.max_sessions,
    )
