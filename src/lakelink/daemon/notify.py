"""Telling the service manager how it goes: datagrams to `$NOTIFY_SOCKET` (sd_notify(3)), nothing where there is none."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping


class ServiceManager:
    """The one that started this process, if it wants to be told. It never fails and never waits: a lost message is only a lost message."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # "@" stands for the NUL of the abstract namespace.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        period = environ.get("WATCHDOG_USEC", "") if mine and self._address else ""
        self.watchdog_s = int(period) / 1e6 if period.isdecimal() else 0.0

    def ready(self, status: str) -> None:
        """It serves, also after a reload."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The settings are read again; `ready` follows. The stamp is what Type=notify-reload asks for."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1", "STATUS=Stopping")

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={status}")

    def alive(self) -> None:
        """The event loop turns. To be said at least every `watchdog_s`, where that is not 0."""
        self._send("WATCHDOG=1")

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(assignments).encode(), self._address)
        except OSError:  # nobody listens: the daemon works all the same
            pass
