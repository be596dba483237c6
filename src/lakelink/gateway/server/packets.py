"""The packets of a connection, with less work for each than asyncssh does: it copies all that has arrived for each of them, and all that is sent eight times.

Only what is encrypted by AES-GCM goes this way; its lengths are readable. The rest, and all decisions, are asyncssh's.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
from typing import Any

from asyncssh.connection import SSHServerConnection, SSHServerConnectionOptions
from asyncssh.constants import MSG_CHANNEL_DATA
from asyncssh.encryption import Encryption

from lakelink.gateway.server.ciphers import KeptGcm, keep_key

_LENGTH = struct.Struct(">I")
_DATA = struct.Struct(">BBII")  # length of the padding, kind, channel, length of the data
BLOCK_BYTES = 16
LEAST_PADDING = 4  # RFC 4253, section 6


class Packets(SSHServerConnection):
    """A connection without what it owes to its user: that is `Connection`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: SSHServerConnectionOptions) -> None:
        super().__init__(loop, options)
        self._heard_s = 0.0
        self._readable: Encryption | None = None  # what arrives under it can be cut into packets
        self._rest = b""  # the beginning of a packet
        self._keys: KeptGcm | None = None  # of what is sent

    def log_sent_packet(self, *_: Any, **__: Any) -> None:
        """Not described for a log: that costs as much as to encrypt a small one."""

    log_received_packet = log_sent_packet

    def _reset_keepalive_timer(self) -> None:
        """Called for all that arrives: the moment is noted, and the timer looks at it when it goes off."""
        self._heard_s = self._loop.time()
        if self._auth_complete and self._keepalive_timer is None:
            self._set_keepalive_timer()

    def _keepalive_timer_callback(self) -> None:
        left_s = self._heard_s + self._keepalive_interval - self._loop.time()
        if left_s > 0:
            self._keepalive_timer = self._loop.call_later(left_s, self._keepalive_timer_callback)
        else:
            super()._keepalive_timer_callback()

    def send_newkeys(self, k: bytes, h: bytes) -> None:
        super().send_newkeys(k, h)
        coming = self._next_recv_encryption
        self._readable = coming if keep_key(coming) is not None else None
        self._keys = keep_key(self._send_encryption)

    def data_received(self, data: bytes, datatype: Any = None) -> None:
        """Hand over one whole packet at a time, as long as asyncssh takes them."""
        self._heard_s = self._loop.time()
        if self._rest:
            data, self._rest = self._rest + data, b""
        at, end = 0, len(data)
        while at < end and self._takes_one():
            size = int.from_bytes(data[at : at + 4], "big") if end - at >= 4 else 0
            after = at + 4 + size + self._recv_macsize
            if size > self._max_recv_pktlen:
                break  # asyncssh says what it thinks of that
            if after > end:
                self._rest = data[at:]
                return
            super().data_received(data[at:after], datatype)
            at = after
        if at < end and self._transport is not None:
            super().data_received(data[at:] if at else data, datatype)

    def _takes_one(self) -> bool:
        """Whether the next packet is worked on as soon as it is handed over, and its length can be read."""
        readable = self._readable
        return (
            readable is not None
            and self._recv_encryption is readable
            and not self._inpbuf
            and self._recv_handler == self._recv_pkthdr
            and self._transport is not None
        )

    def send_data(self, channel: int, data: memoryview) -> bool:
        """The data are on their way, in one packet; False: that is left to asyncssh, since keys are to be exchanged, or by another cipher."""
        keys = self._keys
        if keys is None or self._transport is None or not self._may_send():
            return False
        padding = -(_DATA.size + len(data)) % BLOCK_BYTES
        if padding < LEAST_PADDING:
            padding += BLOCK_BYTES
        plain = b"".join((_DATA.pack(padding, MSG_CHANNEL_DATA, channel, len(data)), data, os.urandom(padding)))
        length = _LENGTH.pack(len(plain))
        self._transport.write(length)
        self._transport.write(keys.encrypt(length, plain))
        self._send_seq = (self._send_seq + 1) & 0xFFFF_FFFF
        self._rekey_bytes_sent += len(plain)
        return True

    def _may_send(self) -> bool:
        if not (self._auth_complete and self._kex_complete) or self._compressor is not None:
            return False
        if self._rekey_bytes_sent >= self._rekey_bytes:
            return False
        return not self._rekey_seconds or time.monotonic() < self._rekey_time
