"""A wire that counts: requests, bytes and failures by operation, as the store bills them."""

from __future__ import annotations

from dataclasses import dataclass

from lakelink.errors import Unreachable
from lakelink.ports.wire import S3Wire, WireRequest, WireResponse


@dataclass(slots=True)
class OperationCount:
    """What one operation cost so far."""

    requests: int = 0
    refused: int = 0  # answered with a status of 400 or more
    lost: int = 0  # no answer
    sent_bytes: int = 0
    received_bytes: int = 0


class MeteredWire:
    """`S3Wire` over another. Directly above the real wire it counts every attempt; above retries, every wish."""

    def __init__(self, wire: S3Wire) -> None:
        self._wire = wire
        self.operations: dict[str, OperationCount] = {}

    async def send(self, request: WireRequest) -> WireResponse:
        """As the wire below."""
        count = self.operations.get(request.operation)
        if count is None:
            count = self.operations[request.operation] = OperationCount()
        count.requests += 1
        count.sent_bytes += len(request.body) if isinstance(request.body, bytes) else request.body_bytes
        try:
            response = await self._wire.send(request)
        except Unreachable:
            count.lost += 1
            raise
        count.received_bytes += response.body_bytes
        if response.status >= 400:
            count.refused += 1
        return response

    def requests(self) -> dict[str, int]:
        """Requests by operation, as `SyncResult.requests` carries them."""
        return {name: count.requests for name, count in sorted(self.operations.items())}

    async def aclose(self) -> None:
        await self._wire.aclose()
