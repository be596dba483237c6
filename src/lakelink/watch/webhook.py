"""A lake's events pushed by the store: a small HTTP/1.1 receiver for MinIO, Ceph, EventBridge API destinations and SeaweedFS.

`POST /events` with one message. The answer is 200 only after every link concerned has noted it durably, so that a store with a queue of its own
keeps the message until then; 503 when a link has too much waiting or takes too long. A store that gives up pushing costs nothing either: the link
is told to look everywhere. 4xx is for what would be wrong the next time, too.

What is pushed while nobody listens may be lost: SeaweedFS 4.48 never tries again (its log says so, whatever `max_retries` is), so a link begins with a
survey, and the listing at an interval goes on.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import ipaddress
import logging
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from lakelink.config.secret import Secret
from lakelink.errors import ConfigError, StorageError
from lakelink.watch.fanout import Fanout, Health, LakeFeed, Share, coalesced
from lakelink.watch.feed import Hint
from lakelink.watch.http_request import MAX_HEADER_BYTES, Head, Rejected, answer, read_body, read_head
from lakelink.watch.s3_events import Decoded, decode

log = logging.getLogger("lakelink.watch")

PATH = "/events"
MAX_CONNECTIONS = 32  # each holds at most one body
TAKEN_TIMEOUT_S = 4.0  # shorter than the patience of those who push: EventBridge 5 s, SeaweedFS 10 s
TLS_HANDSHAKE_S = 10.0
RETRY_AFTER = "Retry-After: 2"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOptions:
    """Where to listen and whom to believe. With `cert_file` and `key_file` (PEM) over TLS; port 0 = a free one."""

    host: str = "127.0.0.1"
    port: int = 0
    token: Secret = field(default_factory=lambda: Secret(""))
    cert_file: str = ""
    key_file: str = ""


class WebhookReceiver:
    """One receiver per process; its feeds are made by `subscribe`. Belongs to one event loop; close it with `aclose`."""

    def __init__(self, options: WebhookOptions | None = None) -> None:
        """Raises:
        ConfigError: open to other machines without a token, or a certificate without its key.
        """
        self._options = options or WebhookOptions()
        self._fanout = Fanout("webhook")
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        if not is_loopback(self._options.host) and not self._options.token.reveal():
            raise ConfigError(
                f"the webhook would listen on {self._options.host} without a token",
                hint="Set a token, or let it listen on 127.0.0.1 only.",
            )
        if bool(self._options.cert_file) != bool(self._options.key_file):
            raise ConfigError("the webhook needs a certificate and its key, or neither")

    @property
    def health(self) -> Health:
        """Whether it listens, and what came in."""
        return self._fanout.health

    @property
    def url(self) -> str:
        """What to tell the store; "" while it does not listen."""
        if self._server is None or not self._server.sockets:
            return ""
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http{'s' if self._options.cert_file else ''}://{f'[{host}]' if ':' in host else host}:{port}{PATH}"

    def subscribe(self, bucket: str, prefix: str) -> LakeFeed:
        """The feed of the link at `s3://bucket/prefix`."""
        return self._fanout.subscribe(bucket, prefix)

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: certificate or key cannot be used. StorageError: the address cannot be had; another program may hold it.
        """
        options = self._options
        tls = _tls(options.cert_file, options.key_file) if options.cert_file else None
        handshake = {"ssl_handshake_timeout": TLS_HANDSHAKE_S} if tls else {}
        try:
            self._server = await asyncio.start_server(
                self._accepted, options.host, options.port, limit=MAX_HEADER_BYTES, ssl=tls, **handshake
            )
        except OSError as error:
            raise StorageError(
                f"the webhook cannot listen on {options.host} port {options.port}: {error.strerror}",
                hint="Another program may hold the port; choose another one.",
            ) from error
        self.health.up()

    async def aclose(self) -> None:
        """Stop listening, break connections, end all feeds. May be repeated."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if server is not None:
            await server.wait_closed()
        for feed in self._fanout.feeds:
            await feed.aclose()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # No coroutine: asyncio leaves a connection open whose task is cancelled before its first step.
        task = asyncio.create_task(self._connected(reader, writer))
        self._connections.add(task)
        task.add_done_callback(partial(self._ended, writer))

    def _ended(self, writer: asyncio.StreamWriter, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        if task.cancelled():
            writer.transport.abort()  # by `aclose`
        else:
            writer.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, TimeoutError, ssl.SSLError):
            if len(self._connections) > MAX_CONNECTIONS:
                await answer(writer, 503, RETRY_AFTER, close=True)
            else:
                await self._serve(reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await read_head(reader)
                if head is None:
                    return
                self._admit(head)
                body = await read_body(head, reader, writer)
                if body is None:
                    return
            except Rejected as rejected:
                await answer(writer, rejected.status, *rejected.headers, close=True)
                return
            status = await self._handle(body)
            await answer(writer, status, *((RETRY_AFTER,) if status == 503 else ()), close=not head.keep_alive)
            if not head.keep_alive:
                return

    def _admit(self, head: Head) -> None:
        """Before the body is read."""
        if not self._is_authorized(head.headers.get("authorization", "")):
            raise Rejected(401, "WWW-Authenticate: Bearer")
        if head.path != PATH:
            raise Rejected(404)
        if head.method != "POST":
            raise Rejected(405, "Allow: POST")

    def _is_authorized(self, given: str) -> bool:
        """`Bearer TOKEN`; or `Basic` with the token as password, for stores that can only write it into the URL (Ceph)."""
        token = self._options.token.reveal()
        if not token:
            return True
        scheme, _, value = given.partition(" ")
        if scheme.lower() == "basic":
            try:
                value = base64.b64decode(value, validate=True).decode("utf-8", "surrogateescape").partition(":")[2]
            except (binascii.Error, ValueError):
                value = ""
        elif scheme.lower() != "bearer":
            value = ""
        return hmac.compare_digest(value.encode("utf-8", "surrogateescape"), token.encode())

    async def _handle(self, body: bytes) -> int:
        """The status for a message that was read."""
        counts = self.health.counts
        counts.messages += 1
        decoded = decode(body)
        if decoded.problems:
            counts.malformed += 1
            log.warning("watch.message_not_understood", extra={"why": decoded.problems[0]})
            if not decoded.events:
                return 422
        found = self._by_feed(decoded)
        counts.foreign += bool(decoded.events) and not found
        full = [feed for feed, hints in found.items() if hints and feed.full]
        for feed in full:
            feed.lose()  # whoever pushes may not come again
        taken = [_share(feed, hints) for feed, hints in found.items() if hints and feed not in full]
        if full:
            counts.deferred += 1
            return 503
        return await self._wait(taken)

    def _by_feed(self, decoded: Decoded) -> dict[LakeFeed, list[Hint]]:
        """Every link concerned, and where it has to look."""
        found: dict[LakeFeed, list[Hint]] = {}
        for event in decoded.events:
            for feed in self._fanout.concerned(event):
                hint = feed.hint_of(event)
                found.setdefault(feed, []).extend([hint] if hint else [])
        return found

    async def _wait(self, taken: list[asyncio.Event]) -> int:
        try:
            async with asyncio.timeout(TAKEN_TIMEOUT_S):
                for each in taken:
                    await each.wait()
        except TimeoutError:
            return 503  # the hints stay in the feed; what is pushed again is a repetition
        return 200


def _share(feed: LakeFeed, hints: list[Hint]) -> asyncio.Event:
    """Hand the hints over; the event is set when they are noted."""
    taken = asyncio.Event()
    feed.put(Share(coalesced(hints), partial(_noted, feed, taken)))
    return taken


def _noted(feed: LakeFeed, taken: asyncio.Event) -> None:
    feed.settle()
    taken.set()


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tls(cert_file: str, key_file: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert_file, key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the certificate {cert_file} with the key {key_file} cannot be used: {error}", hint="Both in PEM."
        ) from error
    return context
