"""passwd, group and shadow as values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

DAY_NS = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class Person:
    """A line of passwd(5), with the names of all groups that it is in."""

    name: str
    uid: int
    gid: int
    comment: str
    home: str
    shell: str
    groups: tuple[str, ...] = ()
    gids: frozenset[int] = frozenset()


class Standing(StrEnum):
    """What an entry of shadow(5) means for a login with a password."""

    USABLE = "usable"
    EMPTY = "empty"  # nothing has to be typed
    LOCKED = "locked"  # ! in front: usermod -L
    NONE = "none"  # *, x or !!: there was never one
    EXPIRED = "expired"  # it has to be changed first, which SFTP cannot do


@dataclass(frozen=True, slots=True)
class Shadow:
    """A line of shadow(5). `hash` is as it stands there without the mark of a lock; never shown."""

    name: str
    hash: str
    standing: Standing
    has_lock: bool = False  # what sshd without PAM takes as "no login at all"
    expires_ns: int = 0  # of the account, not of the password; 0 = never

    def __repr__(self) -> str:
        return f"Shadow({self.name}, ***, {self.standing})"


def read_people(passwd: str, group: str) -> tuple[list[Person], list[str]]:
    """The people and what was not understood. The first line of a name counts, as for getpwnam(3)."""
    troubles: list[str] = []
    members: dict[str, list[str]] = {}
    names: dict[int, str] = {}
    numbers: dict[str, int] = {}
    for number, fields in _lines(group):
        if len(fields) < 4 or not fields[2].isdecimal():
            troubles.append(f"group:{number} is not understood")
            continue
        names.setdefault(int(fields[2]), fields[0])
        numbers.setdefault(fields[0], int(fields[2]))
        for member in filter(None, fields[3].split(",")):
            members.setdefault(member, []).append(fields[0])
    people: dict[str, Person] = {}
    for number, fields in _lines(passwd):
        if len(fields) < 7 or not (fields[2].isdecimal() and fields[3].isdecimal()):
            troubles.append(f"passwd:{number} is not understood")
            continue
        name, _, uid, gid, comment, home, shell = fields[:7]
        groups = list(dict.fromkeys([names.get(int(gid), gid), *members.get(name, ())]))
        gids = frozenset([int(gid), *(numbers[group] for group in groups if group in numbers)])
        person = Person(
            name, int(uid), int(gid), comment.split(",")[0], home or "/", shell or "/bin/sh", tuple(groups), gids
        )
        people.setdefault(name, person)
    return list(people.values()), troubles


def read_shadow(text: str, today: int) -> tuple[dict[str, Shadow], list[str]]:
    """Entries by name, and what was not understood. `today` in days since the epoch."""
    found: dict[str, Shadow] = {}
    troubles: list[str] = []
    for number, fields in _lines(text):
        if len(fields) < 2 or not fields[0]:
            troubles.append(f"shadow:{number} is not understood")
            continue
        days = [*fields[2:8], "", "", "", "", "", ""][:6]
        if any(day and not day.lstrip("-").isdecimal() for day in days):
            troubles.append(f"shadow:{number} has a date that is none")
            continue
        found.setdefault(fields[0], _entry(fields[0], fields[1], [int(day) if day else -1 for day in days], today))
    return found, troubles


def _entry(name: str, stored: str, days: list[int], today: int) -> Shadow:
    changed, longest, expires = days[0], days[2], days[5]
    bare = stored.lstrip("!")
    if not stored:
        standing = Standing.EMPTY
    elif not bare or (bare[0] in "*x" and len(bare) <= 2):
        standing = Standing.NONE
    elif bare != stored:
        standing = Standing.LOCKED
    elif changed == 0 or (changed > 0 and 0 <= longest < 99999 and changed + longest < today):
        standing = Standing.EXPIRED
    else:
        standing = Standing.USABLE
    expires_ns = expires * DAY_NS if expires >= 0 else 0
    return Shadow(name, bare, standing, stored.startswith("!"), max(expires_ns, 1) if expires >= 0 else 0)


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and line[0] not in "#+-":  # + and - are of NIS, and are asked for in nsswitch.conf
            yield number, line.split(":")
