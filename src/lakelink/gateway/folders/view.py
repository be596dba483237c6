"""The tree that one user sees: the virtual folders of the account, merged into one, each with its permission and quota."""

from __future__ import annotations

from lakelink.gateway.folders.shared import Opener, Shared
from lakelink.model.account import Account


class View:
    """The files of one session. Made by `open_view`; `aclose` it when the session ends, however it ends."""

    def __init__(self, account: Account, opener: Opener, shared: Shared) -> None:
        self.account = account
        self._opener = opener
        self._shared = shared

    async def aclose(self) -> None:
        """Give up what is still open: uploads that were not closed leave nothing. Idempotent."""


async def open_view(account: Account, opener: Opener, shared: Shared) -> View:
    """What the account sees. Locations are opened when they are first used, and shared by the sessions of the process.

    Raises:
        ConfigError: the folders of the account are no tree: a path is not absolute and normal, or is there twice.
    """
    return View(account, opener, shared)
