"""Who came, how and from where, as the logs of sshd and its SFTP server tell it. Pure: lines in, counts out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lakelink.gateway.takeover.facts import TrafficFact

MOST_LISTED = 50
_LINE = re.compile(
    r"^(?P<stamp>\d{4}-\d\d-\d\dT\S+|\w{3}\s+\d+ \d\d:\d\d:\d\d)\s+\S+\s+(?P<who>sshd|sshd-session|internal-sftp|sftp-server)\[(?P<pid>\d+)\]: (?P<text>.*)$"
)
_ACCEPTED = re.compile(
    r"Accepted (?P<method>\S+) for (?P<user>\S+) from (?P<address>\S+) port \d+(?: ssh2)?(?:: \S+ (?P<key>SHA256:\S+))?"
)
_FAILED = re.compile(r"Failed (?P<method>\S+) for (?P<user>\S+) from (?P<address>\S+) port")
_VERSION = re.compile(r"Remote protocol version \S+, remote software version (?P<client>.+?)(?: \[preauth\])?$")
_OPENED = re.compile(r"session opened for (?:local )?user (?P<user>[^\s(]+)")
_CLOSED = re.compile(r"session closed for (?:local )?user (?P<user>[^\s(]+)")
_CLOSE = re.compile(r'close ".*" bytes read (?P<read>\d+) written (?P<written>\d+)')


@dataclass(slots=True)
class Tally:
    """The counts so far. Lines of one process belong together by its number."""

    users: dict[str, TrafficFact] = field(default_factory=dict)
    clients: dict[str, str] = field(default_factory=dict)  # by process
    owners: dict[str, str] = field(default_factory=dict)
    open: dict[str, set[str]] = field(default_factory=dict)  # by user
    lines: int = 0
    first: str = ""
    last: str = ""

    def add(self, line: str) -> None:
        """One line; those of other programs are passed over."""
        found = _LINE.match(line)
        if not found:
            return
        self.lines += 1
        self.first = self.first or found["stamp"]
        self.last = found["stamp"]
        text, pid = found["text"], found["pid"]
        for pattern, take in _READERS:
            if match := pattern.search(text):
                take(self, match, pid, found["who"])
                return

    def of(self, user: str) -> TrafficFact:
        return self.users.setdefault(user, TrafficFact())

    def accepted(self, match: re.Match[str], pid: str, _who: str) -> None:
        fact = self.of(match["user"])
        fact.logins += 1
        fact.last = self.last
        _count(fact.methods, match["method"])
        _count(fact.addresses, match["address"])
        if match["key"]:
            _list(fact.fingerprints, match["key"])
        if client := self.clients.pop(pid, ""):
            _list(fact.clients, client)

    def failed(self, match: re.Match[str], _pid: str, _who: str) -> None:
        if match["user"] != "invalid":
            self.of(match["user"]).failures += 1

    def version(self, match: re.Match[str], pid: str, _who: str) -> None:
        self.clients[pid] = match["client"]

    def opened(self, match: re.Match[str], pid: str, who: str) -> None:
        self.owners[f"{who}{pid}"] = match["user"]
        # sshd and its SFTP server both tell of the same session: those of the SFTP server count where there are any.
        group = self.open.setdefault(f"{'ssh' if who.startswith('sshd') else 'sftp'} {match['user']}", set())
        group.add(pid)
        fact = self.of(match["user"])
        fact.most_at_once = max(fact.most_at_once, len(group))

    def closed(self, match: re.Match[str], pid: str, who: str) -> None:
        self.open.get(f"{'ssh' if who.startswith('sshd') else 'sftp'} {match['user']}", set()).discard(pid)
        self.owners.pop(f"{who}{pid}", None)

    def file_closed(self, match: re.Match[str], pid: str, who: str) -> None:
        if user := self.owners.get(f"{who}{pid}"):
            fact = self.of(user)
            fact.largest_bytes = max(fact.largest_bytes, int(match["read"]), int(match["written"]))


_READERS: tuple[tuple[re.Pattern[str], Callable[[Tally, re.Match[str], str, str], None]], ...] = (
    (_ACCEPTED, Tally.accepted),
    (_FAILED, Tally.failed),
    (_VERSION, Tally.version),
    (_OPENED, Tally.opened),
    (_CLOSED, Tally.closed),
    (_CLOSE, Tally.file_closed),
)


def read_logs(lines: Iterable[str]) -> Tally:
    """Count all lines, the oldest first."""
    tally = Tally()
    for line in lines:
        tally.add(line)
    return tally


def _count(counts: dict[str, int], key: str) -> None:
    if key in counts or len(counts) < MOST_LISTED:
        counts[key] = counts.get(key, 0) + 1


def _list(items: list[str], item: str) -> None:
    if item not in items and len(items) < MOST_LISTED:
        items.append(item)
