"""A plan as a person reads it: Markdown, the questions first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from lakelink.gateway.takeover.facts import Facts, Finding, Severity, UserFact
from lakelink.gateway.takeover.plan import Plan, PlannedUser
from lakelink.model.units import format_bytes

HEADINGS = {
    Severity.BLOCKER: "Has to be answered before anything is applied",
    Severity.WARNING: "Becomes different",
    Severity.NOTE: "Good to know",
}


def render(plan: Plan, facts: Facts) -> str:
    """The text of `plan.md`."""
    return "\n".join(_lines(plan, facts)) + "\n"


def _lines(plan: Plan, facts: Facts) -> Iterator[str]:
    blocked = f"**blocked by {len(plan.blockers)} questions**" if plan.blockers else "nothing stands in the way"
    yield f"# Taking over the SFTP server at {plan.source}"
    yield ""
    yield f"Scanned {facts.scanned_at}, planned {plan.made_at}. {len(plan.users)} users, {blocked}."
    for severity in Severity:
        findings = [finding for finding in plan.findings if finding.severity is severity]
        if findings:
            yield from ("", f"## {HEADINGS[severity]}", "")
            for finding in findings:
                yield from _finding(finding)
    if plan.accepted:
        yield from ("", "## Accepted", "")
        for finding in plan.accepted:
            yield f"- {_one_line(finding.message)}: {finding.accepting} [`{finding.ident}`]"
    yield from _server(plan, facts)
    by_name = {user.name: user for user in facts.users}
    yield from ("", "## Users", "")
    for user in plan.users:
        yield from _user(user, by_name[user.name])
    if plan.not_taken:
        yield from ("", "## Not taken over", "")
        yield from (f"- {name}: {reason}" for name, reason in plan.not_taken.items())
    yield from _data(plan, facts)


def _finding(finding: Finding) -> Iterator[str]:
    yield f"- {_one_line(finding.message)} [`{finding.ident}`]"
    if finding.hint:
        yield f"  {finding.hint}"
    if finding.accepting:
        yield f"  With `--accept '{finding.ident}'`: {finding.accepting}."


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _server(plan: Plan, facts: Facts) -> Iterator[str]:
    server = facts.server
    yield from ("", "## Server", "")
    yield f"- settings: read by {server.read_by}"
    yield f"- port: {', '.join(map(str, server.ports))}; listens on {', '.join(server.listen) or 'all addresses'}"
    yield f"- clients may come from: {', '.join(server.allow) or 'anywhere'}"
    if server.never_banned:
        yield f"- fail2ban never bans: {', '.join(server.never_banned)}"
    for key in plan.host_keys:
        yield f"- host key {key.type} {key.fingerprint} ({key.path}{', with its certificate' if key.certificate else ''})"
    yield from (f"- {keyword}: {' '.join(values)}" for keyword, values in server.settings.items())
    yield f"- banner: {len(server.banner.splitlines())} lines" if server.banner else "- banner: none"


def _user(user: PlannedUser, fact: UserFact) -> Iterator[str]:
    yield f"### {user.name} ({user.state})"
    yield ""
    for folder in user.folders:
        yield f"- `{folder.path}` is {folder.location}, {folder.permission}"
    yield f"- begins in `{user.start}`; proof: {user.proof}; password: {user.password}"
    for key in user.keys:
        options = f" {','.join(key.options)}" if key.options else ""
        yield f"- key {key.type} {key.fingerprint} {key.comment}{options}".rstrip()
    yield f"- may come from: {', '.join(user.allow) or 'anywhere'}"
    yield f"- uid {user.uid}, gid {user.gid}, files {user.file_mode:04o}, directories {user.directory_mode:04o}"
    if not user.is_enabled:
        yield "- is locked"
    if user.expires_ns:
        yield f"- expires {dt.datetime.fromtimestamp(user.expires_ns // 10**9, dt.UTC):%Y-%m-%d}"
    if fact.home and not fact.home.is_missing:
        home = fact.home
        yield f"- {home.files:,} files, {format_bytes(home.size_bytes)}, in {home.directories:,} directories; the largest {format_bytes(home.largest_bytes)}"
    yield from _traffic(fact)
    yield ""


def _traffic(fact: UserFact) -> Iterator[str]:
    traffic = fact.traffic
    if traffic is None or not traffic.logins:
        yield "- no login in the logs"
        return
    parts = [
        f"{traffic.logins:,} logins, the last {traffic.last}",
        f"by {', '.join(traffic.methods)}",
        f"from {', '.join(list(traffic.addresses)[:8])}",
    ]
    if traffic.clients:
        parts.append(f"with {', '.join(traffic.clients)}")
    if traffic.most_at_once > 1:
        parts.append(f"up to {traffic.most_at_once} sessions at once")
    yield f"- {'; '.join(parts)}"


def _data(plan: Plan, facts: Facts) -> Iterator[str]:
    moving = [user for user in plan.users if user.sync]
    if not moving:
        return
    yield from ("", "## Data", "", "Once now, again to catch up, and a last time with the old server read-only:", "")
    if facts.source.startswith("ssh://"):
        yield from ("On the old server, as root:", "")
    yield "```text"
    for user in moving:
        source, target = user.sync
        yield f"lakelink sync {quoted(source)} {quoted(target)}"
    yield "```"


def quoted(word: str) -> str:
    """A word for a shell."""
    import shlex

    return shlex.quote(word)
