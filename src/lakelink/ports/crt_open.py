"""Native connections, opened for asyncio: one that comes after nobody waits any more is closed."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import TYPE_CHECKING

from lakelink.errors import Unreachable, Untrusted
from lakelink.ports.crt_io import Endpoint, crt_error_name
from lakelink.ports.pool import no_connection

if TYPE_CHECKING:
    from awscrt.http import HttpClientConnection


async def opened(endpoint: Endpoint, opening: Future[HttpClientConnection]) -> HttpClientConnection:
    """The connection that `opening` brings.

    Raises:
        Untrusted: TLS was refused. Unreachable: any other failure.
    """
    from awscrt.exceptions import AwsCrtError

    loop = asyncio.get_running_loop()
    arrival: asyncio.Future[HttpClientConnection] = loop.create_future()
    opening.add_done_callback(lambda done: _hand_over(loop, arrival, done))
    try:
        return await arrival
    except (AwsCrtError, OSError) as error:
        raise _refused(endpoint, error) from error
    except BaseException:
        if arrival.done() and not arrival.cancelled() and arrival.exception() is None:
            arrival.result().close()
        raise


def _refused(endpoint: Endpoint, error: BaseException) -> Unreachable:
    reason = crt_error_name(error)
    if "TLS_ERROR" in getattr(error, "name", ""):
        return Untrusted(
            f"no connection to {endpoint.url}: {reason}",
            hint="Name the certificate authority with ca_bundle (or AWS_CA_BUNDLE), or check http/https.",
        )
    return no_connection(endpoint, reason)


def _hand_over(
    loop: asyncio.AbstractEventLoop,
    arrival: asyncio.Future[HttpClientConnection],
    opening: Future[HttpClientConnection],
) -> None:
    """On the native thread: bring the connection to the loop, or close it where nobody waits any more."""
    try:
        loop.call_soon_threadsafe(_settle, arrival, opening)
    except RuntimeError:  # the loop is closed
        _close(opening)


def _settle(arrival: asyncio.Future[HttpClientConnection], opening: Future[HttpClientConnection]) -> None:
    error = opening.exception()
    if arrival.done():
        _close(opening)
    elif error is not None:
        arrival.set_exception(error)
    else:
        arrival.set_result(opening.result())


def _close(opening: Future[HttpClientConnection]) -> None:
    if opening.exception() is None:
        opening.result().close()
