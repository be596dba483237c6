"""One system call for what an SSH connection answers to what arrived at once, and nothing done for each packet that nobody wants.

asyncssh hands over each packet by itself, and before each one of data an empty packet (MSG_IGNORE), which only a CBC cipher needs: twice the
packets, and two system calls for 32 KiB, which are a third of what a download costs. It also describes each packet for a log, and sets a timer
anew for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from asyncssh.connection import SSHConnection
from asyncssh.constants import MSG_IGNORE
from asyncssh.packet import SSHPacketLogger

FLUSH_BYTES = 256 << 10


class Coalescing:
    """A transport that gathers what is written until `flush`, the next turn of the loop, or it is enough. All else is that of `inner`."""

    def __init__(self, inner: asyncio.Transport) -> None:
        self.inner = inner
        self._pieces: list[bytes] = []
        self._held = 0
        self._loop = asyncio.get_running_loop()
        self._is_receiving = False  # who calls flushes when it is done

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def write(self, data: bytes) -> None:
        if not self._pieces and not self._is_receiving:
            self._loop.call_soon(self.flush)
        self._pieces.append(data)
        self._held += len(data)
        if self._held >= FLUSH_BYTES:
            self.flush()

    def close(self) -> None:
        self.flush()
        self.inner.close()

    def abort(self) -> None:
        self._pieces.clear()
        self.inner.abort()

    def get_write_buffer_size(self) -> int:
        return self._held + self.inner.get_write_buffer_size()

    def receive(self, take: Callable[[bytes], None], data: bytes) -> None:
        """Hand over what arrived; all that is answered to it leaves together, and at once."""
        self._is_receiving = True
        try:
            take(data)
        finally:
            self._is_receiving = False
            self.flush()

    def flush(self) -> None:
        """What was gathered leaves now. Idempotent."""
        pieces, self._pieces, self._held = self._pieces, [], 0
        if pieces and not self.inner.is_closing():
            self.inner.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))


def coalesce(connection: SSHConnection) -> Callable[[], None]:
    """The connection sends so from now on; returns what sends at once. Repeatable; without effect where a later asyncssh keeps its transport elsewhere."""
    transport = getattr(connection, "_transport", None)
    if isinstance(transport, Coalescing):
        return transport.flush
    if not isinstance(transport, asyncio.Transport):
        return _nothing
    ours = Coalescing(transport)
    connection._transport = cast("asyncio.Transport", ours)  # noqa: SLF001  # there is no other way in
    take = connection.data_received
    connection.data_received = lambda data, datatype=None: ours.receive(take, data)  # type: ignore[method-assign]  # noqa: ARG005  # asyncio's, and of this connection alone
    _without_empty_packets(connection)
    return ours.flush


def _nothing() -> None:
    """There is nothing to send."""


def _without_empty_packets(connection: SSHConnection) -> None:
    """The empty packets hide the first block of the next one from whoever can choose plaintext, which only matters in CBC mode (RFC 4253, 9.3.1)."""
    if "cbc" in str(connection.get_extra_info("send_cipher", "cbc")):
        return
    send = connection.send_packet

    def send_packet(pkttype: int, *args: bytes, handler: SSHPacketLogger | None = None) -> None:
        if pkttype != MSG_IGNORE:
            send(pkttype, *args, handler=handler)

    connection.send_packet = send_packet  # type: ignore[method-assign]  # of this connection alone
