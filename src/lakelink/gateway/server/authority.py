"""Who may come: every place that knows users, in one order, and one answer for whoever is not let in."""

from __future__ import annotations

from collections.abc import Sequence

from lakelink.config.secret import Secret
from lakelink.gateway.base import Accounts, IdentityService
from lakelink.gateway.credentials.passwords import PasswordChecker
from lakelink.gateway.server.networks import Networks
from lakelink.model.account import Account, Proof


class Authority:
    """Settings first, then the store, then a service outside. The first place that knows a name decides about it."""

    def __init__(
        self, places: Sequence[Accounts], passwords: PasswordChecker, service: IdentityService | None = None
    ) -> None:
        self._places = places
        self._passwords = passwords
        self._service = service

    async def find(self, name: str) -> Account | None:
        """The account of that name; None = nobody knows it.

        Raises:
            LakelinkError: a place could not be asked.
        """
        account = await self._here(name)
        if account is None and self._service is not None:
            account = await self._service.find(name)
        return account

    async def check(self, name: str, password: str, address: str) -> Account | None:
        """The account, when this is its password. One hash is computed for every question that is answered here, whoever asks.

        Raises:
            LakelinkError: a place could not be asked, or too many passwords are being checked; nobody is let in.
        """
        account = await self._here(name)
        if account is None and self._service is not None:
            return await self._service.check(name, Secret(password), address)
        # An account that takes keys alone has to cost as much as any other.
        password_hash = account.password_hash if account and account.proof is not Proof.KEY else ""
        good = await self._passwords.check(password_hash, password)
        return account if good else None

    async def _here(self, name: str) -> Account | None:
        for place in self._places:
            account = await place.find(name)
            if account is not None:
                return account
        return None


def admits(account: Account, address: str, now_ns: int) -> bool:
    """Whether the account may be used from there, now."""
    if not account.is_enabled or (account.expires_ns and now_ns >= account.expires_ns):
        return False
    return not account.allow or address in Networks(account.allow)
