"""A store that can be killed, and comes back at the same place with its data."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from lakelink.locations.embedded import EmbeddedStore

_NOTIFICATION = """
[notification.webhook]
enabled = true
endpoint = "http://127.0.0.1:{port}/events"
max_retries = 3
backoff_seconds = 1
path_prefixes = ["/buckets/"]
"""


class MortalStore(EmbeddedStore):
    """The embedded store. It pushes its events to `webhook_port`, whoever listens there."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._ports: list[int] = []
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            self.webhook_port: int = held.getsockname()[1]
        directory.mkdir(parents=True, exist_ok=True)
        # The server reads this file where it stands (`weed scaffold -config=notification`).
        settings = _NOTIFICATION.format(port=self.webhook_port)
        (directory / "notification.toml").write_text(settings, encoding="utf-8")

    def _command(self, program: str, ports: list[int]) -> list[str]:
        self._ports = self._ports or ports  # its members find each other again, and its clients find it
        self._port = self._ports[0]
        return super()._command(program, self._ports)

    def kill(self) -> None:
        """As if its machine were switched off, but for what the kernel has taken already."""
        process, self._process = self._process, None
        assert process is not None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)

    def client(self) -> Any:
        """A client that tries nothing twice: an error means that it is not known what happened."""
        options = Config(
            retries={"total_max_attempts": 1},
            connect_timeout=10,
            read_timeout=60,
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        session = boto3.session.Session(self.access_key, self.secret_key, region_name="us-east-1")
        return session.client("s3", endpoint_url=self.endpoint, config=options)
