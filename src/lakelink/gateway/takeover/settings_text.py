"""The old server's settings as a [gateway] section, for the operator to take over into lakelink.toml."""

from __future__ import annotations

import json

from lakelink.gateway.takeover.facts import Facts

SNIPPET = "gateway.toml"


def settings_text(facts: Facts) -> str:
    """A [gateway] section; what has no counterpart is a comment, so that it is seen."""
    server = facts.server
    port = server.ports[0] if server.ports else 22
    hosts = [address.rpartition(":")[0] for address in server.listen if address.rpartition(":")[2] == str(port)]
    listen = [f"{host}:{port}" for host in dict.fromkeys(hosts) if host] or [f"0.0.0.0:{port}"]
    lines = [
        "# Written by `lakelink gateway import apply`: the old server's settings. Take over what you want into lakelink.toml."
    ]
    lines += ["[gateway]", f"listen = {json.dumps(listen)}  # once the old server has let go of the port"]
    if server.banner:
        lines.append(f"banner = {json.dumps(server.banner, ensure_ascii=False)}")
    if server.allow:
        lines.append(f"allow = {json.dumps(server.allow)}  # each user has this list as well")
    if server.never_banned:
        lines.append(f"never_ban = {json.dumps(server.never_banned)}  # as fail2ban")
    lines += _limits(server.settings)
    if len(server.ports) > 1:
        lines.append(f"# the old server also listens on port {', '.join(map(str, server.ports[1:]))}")
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
