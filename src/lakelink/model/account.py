"""A user of the gateway as a value: who it is, how it proves that, and what it sees."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Proof(StrEnum):
    """What a user has to show."""

    ANY = "any"  # a key or the password, whichever it has
    KEY = "key"
    PASSWORD = "password"  # noqa: S105  # the name of a method
    BOTH = "key+password"  # a key first, then the password


class Permission(StrEnum):
    """What a user may do below a virtual folder."""

    READ_WRITE = "read-write"
    READ_ONLY = "read-only"
    WRITE_ONLY = "write-only"  # a drop box: names may be listed, content may not be read back


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """One virtual directory of a user and the location behind it.

    The folder with the longest `path` that contains a name decides about it; no operation leaves the location behind it.
    """

    path: str  # absolute and normal: "/", "/outgoing"
    location: str  # as on the command line: a path, s3://bucket/prefix, or NAME:sub/path
    permission: Permission = Permission.READ_WRITE
    quota_bytes: int = 0  # of all that is stored below it; 0 = none


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user. Times in nanoseconds since the epoch, 0 = never."""

    name: str
    folders: tuple[Folder, ...] = ()
    start: str = "/"  # virtual directory in which a session begins
    password_hash: str = ""  # as crypt(3) writes it ($y$, $6$, $2b$ …); "" = no password works
    keys: tuple[str, ...] = ()  # lines of authorized_keys, options included
    proof: Proof = Proof.ANY
    allow: tuple[str, ...] = ()  # networks in CIDR form from which it may come; () = anywhere
    is_enabled: bool = True
    expires_ns: int = 0
    max_sessions: int = 0  # 0 = as the gateway says
    bandwidth_bytes_per_s: int = 0  # of all its sessions together, each direction; 0 = unlimited
    uid: int = 0  # owner of what it stores, kept as POSIX metadata
    gid: int = 0
    file_mode: int = 0o644  # of new files, unless the client asks for another
    directory_mode: int = 0o755
    comment: str = ""
