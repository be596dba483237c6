"""sshd_config as sshd reads it: includes, Match blocks, defaults. Pure: files are handed in.

A keyword of a satisfied Match block overrides the global section, and among those the first counts; in the global section the first counts
as well (sshd_config(5)). Lists such as AllowUsers add up in their section.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from lakelink.gateway.takeover.words import address_in_list, in_list, split

Values: TypeAlias = dict[str, list[str]]
"""Keyword in lower case to its values; one for most, several for HostKey, AllowUsers, AuthorizedKeysFile …"""

DEPTH = 16
ALIASES = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "skeyauthentication": "kbdinteractiveauthentication",
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
    "hostbasedacceptedkeytypes": "hostbasedacceptedalgorithms",
    "dsaauthentication": "pubkeyauthentication",
}
ADDED_UP = {
    "port",
    "listenaddress",
    "hostkey",
    "hostcertificate",
    "allowusers",
    "denyusers",
    "allowgroups",
    "denygroups",
}
LISTED = {*ADDED_UP, "authorizedkeysfile", "authenticationmethods"}  # each word is a value; of others the line is one
DEFAULTS: Mapping[str, str] = {
    "authenticationmethods": "any",
    "authorizedkeyscommand": "none",
    "authorizedprincipalscommand": "none",
    "authorizedprincipalsfile": "none",
    "banner": "none",
    "chrootdirectory": "none",
    "clientalivecountmax": "3",
    "clientaliveinterval": "0",
    "forcecommand": "none",
    "hostkeyagent": "none",
    "kbdinteractiveauthentication": "yes",
    "gssapiauthentication": "no",
    "hostbasedauthentication": "no",
    "kerberosauthentication": "no",
    "logingracetime": "120",
    "maxauthtries": "6",
    "maxsessions": "10",
    "maxstartups": "10:30:100",
    "passwordauthentication": "yes",
    "permitemptypasswords": "no",
    "permitrootlogin": "prohibit-password",
    "pubkeyauthentication": "yes",
    "revokedkeys": "none",
    "strictmodes": "yes",
    "trustedusercakeys": "none",
    "usepam": "no",
}
CRITERIA = {"user", "group", "host", "address", "localaddress", "localport", "rdomain"}


@dataclass(frozen=True, slots=True)
class Match:
    """The criteria of one Match line, all of which have to hold."""

    criteria: tuple[tuple[str, tuple[str, ...]], ...]
    where: str


@dataclass(frozen=True, slots=True)
class Directive:
    """One line: its keyword in lower case, its words, and the Match blocks around it."""

    keyword: str
    words: tuple[str, ...]
    where: str  # file:line
    conditions: tuple[Match, ...] = ()


@dataclass(frozen=True, slots=True)
class Connection:
    """Whom a Match line is asked about."""

    user: str = ""
    groups: tuple[str, ...] = ()
    address: str = ""
    host: str = ""


@dataclass(slots=True)
class Config:
    """The directives in the order in which sshd meets them, and what was not understood: `where: sentence`."""

    directives: list[Directive] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def matches(self) -> list[Match]:
        return list(dict.fromkeys(match for line in self.directives for match in line.conditions))


Read: TypeAlias = Callable[[str], bytes | None]
Glob: TypeAlias = Callable[[str], Sequence[str]]


def parse(path: str, read: Read, glob: Glob) -> Config:
    """The settings that start at `path`; `glob` answers with the names that a pattern of Include means, sorted."""
    config = Config()
    _parse_file(config, path, read, glob, ())
    return config


def _parse_file(config: Config, path: str, read: Read, glob: Glob, around: tuple[Match, ...], depth: int = 0) -> None:
    raw = read(path)
    if raw is None:
        config.troubles.append(f"{path}: it is not there")
        return
    conditions = around
    for number, line in enumerate(raw.decode("utf-8", "surrogateescape").splitlines(), 1):
        where = f"{path}:{number}"
        try:
            keyword, words = _line(line)
        except ValueError as error:
            config.troubles.append(f"{where}: {error}")
            continue
        if keyword == "match":
            # A Match line ends the one before it, and never the one around the file.
            conditions = (*around, _match(words, where, config))
        elif keyword == "include":
            if depth >= DEPTH:
                config.troubles.append(f"{where}: includes are nested deeper than {DEPTH}")
                continue
            for pattern in words:
                for name in glob(pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"):
                    _parse_file(config, name, read, glob, conditions, depth + 1)
        elif keyword:
            config.directives.append(Directive(ALIASES.get(keyword, keyword), tuple(words), where, conditions))


def _line(line: str) -> tuple[str, list[str]]:
    """Keyword and words; `Keyword=value` is allowed as well."""
    text = line.strip()
    end = next((at for at, char in enumerate(text) if char in " \t=#"), len(text))
    rest = text[end:].lstrip()
    return text[:end].lower(), split(rest.removeprefix("="))


def _match(words: Sequence[str], where: str, config: Config) -> Match:
    if [word.lower() for word in words] == ["all"]:
        return Match((), where)
    criteria: list[tuple[str, tuple[str, ...]]] = []
    queue = list(words)
    while queue:
        name, equals, value = queue.pop(0).partition("=")
        name = name.lower()
        if not equals and name != "invalid-user":
            value = queue.pop(0) if queue else ""
        if name not in CRITERIA or not value:
            config.troubles.append(f"{where}: Match {name} is not understood")
        criteria.append((name, tuple(value.split(","))))
    return Match(tuple(criteria), where)


def holds(match: Match, connection: Connection) -> bool:
    """Whether all criteria of a Match line hold. A criterion that cannot be known here (local port, unknown words) does not."""
    return all(_criterion(name, patterns, connection) for name, patterns in match.criteria)


def _criterion(name: str, patterns: tuple[str, ...], connection: Connection) -> bool:
    match name:
        case "user":
            return in_list(patterns, connection.user)
        case "group":
            # As sshd: each group is asked; a negated pattern that one of them matches decides against it.
            negated = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
            if any(in_list(negated, group) for group in connection.groups):
                return False
            return any(in_list(patterns, group) for group in connection.groups)
        case "address":
            return address_in_list(patterns, connection.address)
        case "host":
            return in_list(patterns, connection.host or connection.address)
        case _:
            return False


def effective(config: Config, connection: Connection | None = None) -> Values:
    """The settings for a connection, defaults included; for None those of the global section."""
    outside = _collect(line for line in config.directives if not line.conditions)
    inside: Values = {}
    if connection is not None:
        inside = _collect(
            line
            for line in config.directives
            if line.conditions and all(holds(match, connection) for match in line.conditions)
        )
    defaults = {keyword: [value] for keyword, value in DEFAULTS.items()}
    defaults["authorizedkeysfile"] = [".ssh/authorized_keys", ".ssh/authorized_keys2"]
    return defaults | outside | inside


def _collect(lines: Iterator[Directive]) -> Values:
    values: Values = {}
    for line in lines:
        if not line.words:
            continue
        if line.keyword == "subsystem":
            values.setdefault(f"subsystem {line.words[0]}", [" ".join(line.words[1:])])
        elif line.keyword in ADDED_UP:
            values.setdefault(line.keyword, []).extend(line.words)
        elif line.keyword in LISTED:
            values.setdefault(line.keyword, list(line.words))
        else:
            values.setdefault(line.keyword, [" ".join(line.words)])
    return values


def read_test_output(text: str) -> Values:
    """What `sshd -T` prints: the same shape as `effective` gives."""
    values: Values = {}
    for line in text.splitlines():
        keyword, _, value = line.strip().partition(" ")
        keyword = keyword.lower()
        if not keyword:
            continue
        if keyword == "subsystem":
            name, _, command = value.partition(" ")
            values[f"subsystem {name}"] = [command]
        elif keyword in ADDED_UP:
            values.setdefault(keyword, []).append(value)
        elif keyword in LISTED:
            values[keyword] = value.split()
        else:
            values[keyword] = [value]
    return {keyword: [value] for keyword, value in DEFAULTS.items()} | values


def one(values: Values, keyword: str) -> str:
    """The value of a keyword that has one; "" where it is not known."""
    return (values.get(keyword) or [""])[0]
