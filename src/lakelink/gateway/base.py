"""The borders inside the gateway: who comes, what is written down about it, and who knows the users."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from lakelink.config.secret import Secret
from lakelink.model.account import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who is on the other end of one session, after authentication."""

    session: str  # unique in the audit log, over all worker processes
    account: Account
    address: str  # of the client itself, also behind a balancer that speaks the PROXY protocol
    port: int = 0
    client: str = ""  # the version string that it sent


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One line of the audit log: who did what, from where, with which result."""

    time_ns: int
    session: str
    user: str
    address: str
    operation: str  # login, open, read, write, close, rename, remove, mkdir, rmdir, setstat, logout …
    path: str = ""  # virtual, as the client said it; percent-escaped where it is not UTF-8
    size_bytes: int = 0  # moved by this operation
    code: str = ""  # "" = done, else the code of the error
    detail: Mapping[str, str] = field(default_factory=dict)


Audit: TypeAlias = Callable[[AuditRecord], None]
"""Takes a record without waiting; what cannot be written is counted, never raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file that a client closed and that is now, whole, at its location. Workflows start from here."""

    visitor: Visitor
    path: str  # virtual
    location: str  # of the folder, as the account names it
    relative: str  # below that location
    size_bytes: int


class Accounts(Protocol):
    """Who may come. Implementations: the state database, files, an HTTP service."""

    async def find(self, name: str) -> Account | None:
        """The account of that name as it is now; None = there is none.

        Raises:
            LakelinkError: it could not be looked up; nobody is let in, and nobody is told that the name does not exist.
        """
        ...


class IdentityService(Accounts, Protocol):
    """A place outside that knows users, and checks their passwords itself."""

    async def check(self, name: str, password: Secret, address: str) -> Account | None:
        """The account, when this is its password; None = it is not, or there is no such user (nobody is told which).

        `address` is that of the client. The account that comes back is the one that the session is opened with.

        Raises:
            LakelinkError: the service did not answer; nobody is let in.
        """
        ...
