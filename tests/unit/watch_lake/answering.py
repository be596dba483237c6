"""A wire that answers the same to everything, and remembers what was asked."""

import json

from lakelink.ports.wire import WireResponse


class Wire:
    def __init__(self, status, body):
        self.response = WireResponse(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())
        self.requests = []

    async def send(self, request):
        self.requests.append(request)
        return self.response

    async def aclose(self):
        return
