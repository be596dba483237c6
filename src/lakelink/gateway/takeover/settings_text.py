"""The old server's settings as a [gateway] section, for the operator to take over into lakelink.toml."""

from __future__ import annotations

import json

from lakelink.gateway.takeover.facts import Facts

SNIPPET = "gateway.toml"


def settings_text(facts: Facts) -> str:
    """A [gateway] section; what has no counterpart is a comment, so that it is seen."""
    server = facts.server
    listen = server.listen or [f"0.0.0.0:{port}" for port in server.ports or [22]]
    lines = [
        "# Written by `lakelink gateway import apply`: the old server's settings. Take over what you want into lakelink.toml."
    ]
    lines += ["[gateway]", f"listen = {json.dumps(listen)}  # once the old server has let go of the port"]
    lines.append(
        'policy = "compatible"  # what clients of a grown server need; `verify` says what "modern" would take away'
    )
    if server.banner:
        lines.append(f"banner = {json.dumps(server.banner, ensure_ascii=False)}")
    if server.allow:
        lines.append(f"allow = {json.dumps(server.allow)}  # each user has this list as well")
    if server.never_banned:
        lines.append(f"never_ban = {json.dumps(server.never_banned)}  # as fail2ban")
    lines += _limits(server.settings)
    return "\n".join(lines) + "\n"


def _limits(settings: dict[str, list[str]]) -> list[str]:
    lines = []
    values = {keyword: words[0] for keyword, words in settings.items() if words}
    grace = values.get("logingracetime", "")
    if grace.isdecimal() and int(grace):
        lines.append(f'login_timeout = "{grace}s"')
    if values.get("maxauthtries", "").isdecimal():
        lines.append(f"max_attempts = {values['maxauthtries']}")
    if values.get("maxsessions", "").isdecimal() and int(values["maxsessions"]):
        lines.append(f"max_channels = {values['maxsessions']}")
    full = values.get("maxstartups", "").split(":")[-1]
    if full.isdecimal() and int(full):
        lines.append(f"max_half_open = {full}")
    return lines
