"""Users that a service outside knows, asked over HTTP: docs/reference/gateway-identity.md says what is asked and answered.

Whoever the service does not know, or does not answer for in time, is not let in. A password is sent to it and to nobody else, kept nowhere and
never logged.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from pathlib import Path

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from lakelink.config.document import Document
from lakelink.config.gateway_identity import Identity
from lakelink.config.secret import Secret
from lakelink.errors import NotPermitted, Unreachable, UsageError
from lakelink.gateway.accounts.check import check_account, check_name
from lakelink.gateway.http_call import Answer, Endpoint, check_url, post
from lakelink.model.account import Account, Folder, Proof
from lakelink.ports.clock import Clock

VERSION = 1
MOST_KEPT = 1000
AT_ONCE = 32
MOST_WAITING = 256
_HINT = "Nobody whom it knows is let in until it answers as the reference says."


class _User(Struct, frozen=True, forbid_unknown_fields=True):
    """`user` of an answer: an account without its name, and without a password."""

    folders: tuple[Folder, ...]
    start: str = "/"
    keys: tuple[str, ...] = ()
    proof: Proof = Proof.ANY
    allow: tuple[str, ...] = ()
    expires_ns: int = 0
    max_sessions: int = 0
    bandwidth_bytes_per_s: int = 0
    uid: int = 0
    gid: int = 0
    file_mode: int = 0o644
    directory_mode: int = 0o755
    comment: str = ""

    def account(self, name: str) -> Account:
        values = {key: getattr(self, key) for key in self.__struct_fields__}
        return Account(name=name, **values)


class _Reply(Struct, frozen=True):
    """`user` null = there is no such user, or the password is not its."""

    user: _User | UnsetType | None = field(default=UNSET)


class HttpIdentity:
    """Implements `IdentityService`. One per process; nothing is open between two questions."""

    def __init__(self, identity: Identity, document: Document, clock: Clock) -> None:
        """Raises ConfigError where the URL is neither https nor of this machine."""
        check_url(identity.url, "url of [gateway.identity]")
        if identity.ca_bundle and not Path(identity.ca_bundle).is_file():
            raise UsageError(f"ca_bundle {identity.ca_bundle} is not there", hint="A file of certificates in PEM form.")
        self._identity = identity
        self._document = document
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Account | None]] = OrderedDict()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def find(self, name: str) -> Account | None:
        """The account, from an answer that is at most `cache` old; None = the service says that there is none.

        Raises:
            Unreachable, Untrusted: it did not answer, or not in a way that is understood. NotPermitted: it does not take our token.
        """
        if not _is_name(name):
            return None
        kept = self._kept.get(name)
        if kept and self._clock.monotonic() - kept[0] < self._identity.cache_s:
            return kept[1]
        account = await self._ask({"version": VERSION, "question": "find", "user": name}, name)
        self._kept[name] = (self._clock.monotonic(), account)
        self._kept.move_to_end(name)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return account

    async def check(self, name: str, password: Secret, address: str) -> Account | None:
        """The account, when the service says that this is its password. Never from memory.

        Raises:
            As `find`.
        """
        if not _is_name(name):
            return None
        question = {
            "version": VERSION,
            "question": "check",
            "user": name,
            "password": password.reveal(),
            "address": address,
        }
        account = await self._ask(question, name)
        return None if account is None or account.proof is Proof.KEY else account

    async def _ask(self, question: dict[str, object], name: str) -> Account | None:
        if self._waiting >= MOST_WAITING:
            raise Unreachable("too many logins wait for the identity service", hint="Is it slow?")
        identity = self._identity
        headers = {"Authorization": f"Bearer {identity.token.reveal()}"} if identity.token else {}
        try:
            # A password that is no UTF-8 is nobody's: JSON could not carry it.
            body = msgspec.json.encode(question)
        except (UnicodeEncodeError, msgspec.MsgspecError):
            return None
        self._waiting += 1
        try:
            async with asyncio.timeout(2 * identity.timeout_s), self._room:
                answer = await post(Endpoint(identity.url, identity.ca_bundle, identity.timeout_s), body, headers)
        except TimeoutError as error:
            raise Unreachable("the identity service is too slow for all who ask", hint=_HINT) from error
        finally:
            self._waiting -= 1
        return self._understood(answer, name)

    def _understood(self, answer: Answer, name: str) -> Account | None:
        if answer.status in {401, 403}:
            raise NotPermitted("the identity service does not take our token", hint="token_file or token_env.")
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise Unreachable(f"the identity service answered {answer.status}", hint=_HINT)
        try:
            reply = msgspec.json.decode(answer.body, type=_Reply)
            if reply.user is UNSET:
                raise Unreachable("the answer of the identity service has no user", hint=_HINT)
            if reply.user is None:
                return None
            account = reply.user.account(name)
            check_account(account, self._document)
        except (msgspec.MsgspecError, UsageError) as error:
            raise Unreachable(f"the answer of the identity service is not understood: {error}", hint=_HINT) from error
        for folder in account.folders:
            self._check_place(folder)
        return account

    def _check_place(self, folder: Folder) -> None:
        allowed = self._identity.locations
        place = folder.location.rstrip("/") + "/"
        inside = any(place.startswith(base.rstrip("/") + "/") for base in allowed) and "/../" not in place
        if allowed and not inside:
            raise Unreachable(
                f"the identity service names {folder.location}, which is in none of its locations",
                hint="locations in [gateway.identity] says where homes may be.",
            )


def _is_name(name: str) -> bool:
    """A name that is none is asked of nobody."""
    try:
        check_name(name)
    except UsageError:
        return False
    return True
