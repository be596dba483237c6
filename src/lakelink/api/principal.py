"""Who asks: every call of the daemon's interface carries it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from lakelink.errors import NotPermitted

ROOT_UID = 0


@dataclass(frozen=True, slots=True)
class Principal:
    """The process at the other end of the socket, as the kernel names it (SO_PEERCRED, unix(7)): it cannot be forged."""

    uid: int
    gid: int
    pid: int

    def check(self, owner_uid: int | None = None) -> None:
        """Only who runs the daemon, and root, may ask it. The socket's mode says the same; this holds where somebody changed that.

        Raises:
            NotPermitted: somebody else asks.
        """
        owner = os.geteuid() if owner_uid is None else owner_uid
        if self.uid not in {ROOT_UID, owner}:
            raise NotPermitted(
                f"user {self.uid} may not command the daemon of user {owner}", hint=f"Ask as user {owner}, or as root."
            )
