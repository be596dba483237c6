"""Checking passwords: off the event loop, in a bounded pool, with the same work for who is not there."""

from __future__ import annotations

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor

from lakelink.config.secret import Secret
from lakelink.errors import Unreachable
from lakelink.gateway.credentials.crypt import hash_password, matches

THREADS = 2
WAITING = 64
"""So many checks may wait for a thread. Beyond that an attempt fails without work, whoever it is for."""
CHECKED_WITHIN_S = 30.0


class PasswordChecker:
    """One per process. `checks` counts the hashes that were computed, for who watches that all questions cost the same."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="password")
        self._most = threads + WAITING
        self._under_way = 0
        self.checks = 0

    async def check(self, password_hash: str, password: str) -> bool:
        """Whether the password is that of the hash. An empty hash costs the same, and no password is its own.

        Raises:
            Unreachable: too many checks wait already, or it took too long; nobody is let in.
        """
        if self._under_way >= self._most:
            raise Unreachable(f"{self._under_way} passwords are being checked", hint="Try again in a moment.")
        self._under_way += 1
        self.checks += 1
        try:
            async with asyncio.timeout(CHECKED_WITHIN_S):
                work = functools.partial(_check, password_hash, password)
                return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except TimeoutError as error:
            raise Unreachable(
                f"a password was not checked within {CHECKED_WITHIN_S:.0f} s", hint="Is the machine overloaded?"
            ) from error
        finally:
            self._under_way -= 1

    def close(self) -> None:
        """Take no more; what is under way ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _check(password_hash: str, password: str) -> bool:
    found = matches(password, password_hash or nobody())
    return found and bool(password_hash)


@functools.cache
def nobody() -> str:
    """A hash of the kind and cost that new passwords get, of a password that nobody knows."""
    import secrets

    return hash_password(Secret(secrets.token_urlsafe(32)))
