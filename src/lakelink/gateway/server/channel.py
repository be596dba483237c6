"""A session channel that carries SFTP and nothing else, no faster than its user may."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import asyncssh
from asyncssh.connection import SSHServerConnection
from asyncssh.packet import SSHPacket

from lakelink.gateway.server.pace import Pace
from lakelink.gateway.server.packets import Packets

WINDOW_BYTES = 2 << 20
PACKET_BYTES = 32 << 10
STEP_BYTES = 64 << 10  # sent at once where there is a bandwidth
_SFTP = re.compile(r"(internal-sftp|\S*/sftp-server)(\s.*)?")


class Channel(asyncssh.SSHServerChannel[bytes]):
    """A session channel on which only the sftp subsystem can be started."""

    def __init__(
        self,
        connection: SSHServerConnection,
        loop: asyncio.AbstractEventLoop,
        on_closed: Callable[[Channel], None],
        pace: Pace | None,
    ) -> None:
        self._on_closed = on_closed
        self._pace = pace
        self._is_held = self._is_slowed = self._is_flush_due = False
        super().__init__(connection, loop, False, False, False, 0, 0, None, "strict", WINDOW_BYTES, PACKET_BYTES)
        self.active_ns = time.time_ns()

    def log_sent_packet(self, *_: Any, **__: Any) -> None:
        """As `Connection.log_sent_packet`."""

    log_received_packet = log_sent_packet

    def _cleanup(self, exc: Exception | None = None) -> None:
        super()._cleanup(exc)
        self._on_closed(self)

    def _accept_data(self, data: bytes, datatype: Any = None) -> None:
        self.active_ns = time.time_ns()
        super()._accept_data(data, datatype)
        if self._pace is not None:
            self._pace.up.take(len(data))
            if not self._is_slowed and (wait_s := self._pace.up.wait_s()) > 0:
                self._is_slowed = True
                super().pause_reading()
                self._loop.call_later(wait_s, self._read_on)

    def pause_reading(self) -> None:
        self._is_held = True
        super().pause_reading()

    def resume_reading(self) -> None:
        self._is_held = False
        if not self._is_slowed:
            super().resume_reading()

    def _read_on(self) -> None:
        self._is_slowed = False
        if not self._is_held:
            super().resume_reading()

    def _flush_send_buf(self) -> None:
        """In steps, when there is a bandwidth; what waits meanwhile fills the buffer, and so the session hears that it should pause."""
        pace = self._pace
        if pace is None or not self._send_buf:
            self._send_pieces()
            super()._flush_send_buf()
            return
        if (wait_s := pace.down.wait_s()) > 0:
            self._flush_after(wait_s)
            self._pause_resume_writing()
            return
        window, waiting = self._send_window, self._send_buf_len
        self._send_window = min(window, STEP_BYTES)
        super()._flush_send_buf()
        sent = waiting - self._send_buf_len
        self._send_window = window - sent
        pace.down.take(sent)
        if self._send_buf and self._send_window:
            self._flush_after(pace.down.wait_s())

    def _send_pieces(self) -> None:
        """As asyncssh does it next, as far as the connection takes it in this way."""
        while self._send_buf and self._send_window:
            buffer, datatype = self._send_buf[0]
            sent = self._send_from(buffer) if datatype is None else 0
            self._send_buf_len -= sent
            if sent < len(buffer):
                del buffer[:sent]
                return
            del self._send_buf[0]

    def _send_from(self, buffer: bytearray) -> int:
        """Bytes from its beginning that were sent."""
        connection, at, size = self._conn, 0, len(buffer)
        if not isinstance(connection, Packets) or self._send_chan is None:
            return 0
        with memoryview(buffer) as view:
            while at < size and self._send_window:
                count = min(size - at, self._send_window, self._send_pktsize)
                with view[at : at + count] as piece:
                    if not connection.send_data(self._send_chan, piece):
                        break
                self._send_window -= count
                at += count
        return at

    def _flush_after(self, wait_s: float) -> None:
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_later(wait_s, self._flush_now)

    def _flush_now(self) -> None:
        self._is_flush_due = False
        if self._send_state != "closed":
            self._flush_send_buf()

    def _process_env_request(self, packet: SSHPacket) -> bool:
        """Not kept: there is no program that could read it, and no bound on how much there is of it."""
        packet.get_string()
        packet.get_string()
        packet.check_end()
        return False

    def _start_session(self, command: str | None = None, subsystem: str | None = None) -> bool:
        """A command that a certificate forces is heeded when it is an SFTP server; every other program is refused, forced or asked for."""
        forced = self._conn.get_certificate_option("force-command")
        if forced is not None:
            command, subsystem = None, "sftp" if _SFTP.fullmatch(str(forced).strip()) else None
        if command is not None or subsystem != "sftp":
            return False
        return super()._start_session(subsystem="sftp") if forced is None else self._start_forced()

    def _start_forced(self) -> bool:
        if self._session_started:
            return False
        self._session_started = True
        self._subsystem = "sftp"
        return bool(self._session.subsystem_requested("sftp"))
