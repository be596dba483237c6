"""A TCP relay in front of a store: counts what passes, and breaks connections when told to. It is no party to the protocol."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Relay:
    """`endpoint` leads to the store. Counts bytes in both directions; `break_after` holds byte counts, one per connection, that end in a reset."""

    def __init__(self, store_endpoint: str) -> None:
        where = urlsplit(store_endpoint)
        self._store = (where.hostname, where.port)
        self.to_store_bytes = 0
        self.from_store_bytes = 0
        self.connections = 0
        self.most_connections = 0
        self.broken = 0
        self.break_after: list[int] = []
        self._open = 0
        self._lock = threading.Lock()
        relay = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                relay._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self.connections += 1
            self._open += 1
            self.most_connections = max(self.most_connections, self._open)
            limit = self.break_after.pop() if self.break_after else None
        with suppress(OSError), socket.create_connection(self._store) as store:
            back = threading.Thread(target=self._pump, args=(store, client, "from_store_bytes", limit), daemon=True)
            back.start()
            self._pump(client, store, "to_store_bytes", limit)
            back.join()
        with self._lock:
            self._open -= 1

    def _pump(self, source: socket.socket, target: socket.socket, counter: str, limit: int | None) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(1 << 16):
                passed += len(data)
                if limit is not None and passed > limit:
                    self._reset(source, target)
                    return
                target.sendall(data)
                with self._lock:
                    setattr(self, counter, getattr(self, counter) + len(data))
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _reset(self, *ends: socket.socket) -> None:
        with self._lock:
            self.broken += 1
        for end in ends:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                end.shutdown(socket.SHUT_RDWR)

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def relay_to(endpoint: str) -> Iterator[Relay]:
    relay = Relay(endpoint)
    relay.start()
    try:
        yield relay
    finally:
        relay.stop()
