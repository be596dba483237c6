"""An emulator of S3 with its events and of SQS, as a process of its own.

Its dependencies are pinned against ours, so it has a virtual environment of its own, which is kept beside the running one. It
is bound to loopback.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

REQUIREMENT = "ministack==1.5.33"
PYTHON = Path("bin/python")
INSTALL_TIMEOUT_S = 90  # both steps together; a test has 120 s
ACCOUNT = "000000000000"


class NotInstalled(Exception):
    """Why there is no emulator here."""


def installed(fallback: Path) -> Path:
    """The environment with the emulator in it; made at the first call, by one process at a time."""
    home = Path(sys.prefix) if os.access(sys.prefix, os.W_OK) else fallback
    place = home / REQUIREMENT
    with (home / f"{REQUIREMENT}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            _install(place)
            (place / "complete").touch()
    return place


def _install(place: Path) -> None:
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", REQUIREMENT]
    deadline = time.monotonic() + INSTALL_TIMEOUT_S
    for command in ([sys.executable, "-m", "venv", str(place)], [str(place / PYTHON), *pip]):
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=max(1.0, deadline - time.monotonic()))
        except subprocess.CalledProcessError as error:
            raise NotInstalled(" ".join(error.stderr.decode("utf-8", "replace").splitlines()[-1:])) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotInstalled(str(error)) from error


@dataclass
class Emulator:
    """A running one. Everything in it is gone when it stops."""

    place: Path
    log: IO[bytes]
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    region: str = "us-east-1"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.port = self.port or free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
        environment |= {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "SFTP_HOST": "127.0.0.1",
            "SFTP_PORT": str(free_port()),
            "IOT_MTLS_ENABLED": "0",
        }
        command = [str(self.place / PYTHON), "-m", "ministack"]
        self.process = subprocess.Popen(command, env=environment, stdout=self.log, stderr=self.log, cwd=self.place)
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None, "the emulator ended at once"
            assert time.monotonic() < deadline, "the emulator did not answer"
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()  # it keeps nothing, and takes seconds to say goodbye
            self.process.wait(20)
            self.process = None

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/_ministack/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]
