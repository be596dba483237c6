"""A relay whose line can be cut and mended."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.e2e.relay import Relay


class CutRelay(Relay):
    """While cut, every connection ends at once, those under way included."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self._is_cut = False
        self._clients: set[socket.socket] = set()

    def cut(self) -> None:
        self._is_cut = True
        for client in list(self._clients):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._is_cut = False

    def _serve(self, client: socket.socket) -> None:
        self._clients.add(client)
        try:
            if not self._is_cut:
                super()._serve(client)
        finally:
            self._clients.discard(client)


@contextmanager
def relay_to(endpoint: str) -> Iterator[CutRelay]:
    relay = CutRelay(endpoint)
    relay.start()
    try:
        yield relay
    finally:
        relay.cut()
        relay.stop()
