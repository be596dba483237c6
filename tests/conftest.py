"""Real servers, one of each per session, on loopback; each test works below a prefix of its own."""

from __future__ import annotations

import http.client
import itertools
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings

from lakelink.errors import Unsupported
from lakelink.locations.embedded import EmbeddedStore

_numbers = itertools.count()

# What runs in the background of a script ignores Ctrl-C, and so would the programs that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples each time, however slow the machine: a run that fails has found something in the code that it tests. To look for more,
# `pytest --hypothesis-profile=explore`.
SLOW_MACHINE = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=SLOW_MACHINE)
settings.register_profile("explore", deadline=None, max_examples=1000, suppress_health_check=SLOW_MACHINE)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory) -> Iterator[EmbeddedStore]:
    """An embedded SeaweedFS with the bucket `lake`. One bucket, many prefixes: each new bucket takes volumes for good."""
    store = EmbeddedStore(tmp_path_factory.mktemp("seaweed"))
    try:
        store.start()
    except Unsupported as error:
        pytest.skip(f"{error} ({error.hint})")
    yield store
    store.stop()


@dataclass(frozen=True)
class MotoServer:
    """A running moto: every key that S3 allows, virtual-hosted addressing, no racing."""

    endpoint: str
    bucket: str = "lake"
    access_key: str = "moto"
    secret_key: str = "moto"


@pytest.fixture(scope="session")
def moto_server() -> Iterator[MotoServer]:
    """moto as its own process, with the bucket `lake`."""
    pytest.importorskip("moto", reason="moto is not installed")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _make_bucket(process, port)
        yield MotoServer(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(60)


def _make_bucket(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "moto ended at once"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request(
                "PUT",
                "/lake",
                headers={"Authorization": "AWS4-HMAC-SHA256 Credential=moto/20200101/us-east-1/s3/aws4_request"},
            )
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
        finally:
            connection.close()
    raise AssertionError("moto did not answer")


@pytest.fixture
def s3_prefix(request) -> str:
    """A prefix that no other test of this session uses."""
    return f"t{next(_numbers)}-{request.node.name[:40].replace('[', '-').replace(']', '')}"
