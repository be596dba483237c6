"""The daemon as a process of its own, and waiting for what it does."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3

from lakelink.api.answers import StatusReport
from lakelink.api.calls import GetStatus
from lakelink.cli.links.told import status_fields
from lakelink.cli.main import run
from lakelink.daemon.client import Client
from tests.e2e.program import Program, Ran

PATIENCE_S = 60.0


def wait_for(condition: Callable[[], Any], what: str, deadline_s: float = PATIENCE_S) -> Any:
    deadline = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)
    return found


class Daemon:
    """A running `lakelink serve`."""

    def __init__(self, program: Program, process: subprocess.Popen[bytes], log: Path) -> None:
        self.program = program
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.send(number)
        return self.process.wait(PATIENCE_S)

    def report(self) -> StatusReport:
        """As `lakelink status` gets it, without a process for each look."""
        return Client(Path(self.program.env["LAKELINK_STATE_DIR"])).ask(GetStatus())

    def status(self, name: str) -> dict[str, Any]:
        return next(status_fields(link) for link in self.report().links if link.name == name)

    def available(self, name: str) -> dict[str, Any]:
        def look():
            status = self.status(name)
            return status if status["state"] == "AVAILABLE" else None

        return wait_for(look, f"link {name} to be available; {self.log}")


@contextmanager
def serving(program: Program, *options: str | Path, **env: str) -> Iterator[Daemon]:
    """Start it, and wait until it says that it serves."""
    log = program.folder / f"serve-{time.monotonic_ns()}.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            program.command("serve", "--log", "json", *options),
            cwd=program.folder,
            env=program.env | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    daemon = Daemon(program, process, log)
    try:
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        wait_for(lambda: process.stdout.read() or process.poll() is not None, f"the daemon to serve; {daemon.log}")
        yield daemon
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(PATIENCE_S)
        process.stdout.close()


class InProcess(Program):
    """Commands run in this process: hundreds of milliseconds less for each. The daemon has a process of its own all the same."""

    def __call__(self, *arguments: str | Path, stdin: bytes | None = None, **env: str) -> Ran:
        assert stdin is None
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, self.env | env, clear=True),
            contextlib.chdir(self.folder),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = run([str(argument) for argument in arguments])
        return Ran(code, out.getvalue(), err.getvalue())


class Lake:
    """The prefix of a test, as another program sees it."""

    def __init__(self, program: Program) -> None:
        env = program.env
        session = boto3.session.Session(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
        self._s3 = session.client("s3", endpoint_url=env["AWS_ENDPOINT_URL_S3"])
        self._bucket, _, self._prefix = program.lake.removeprefix("s3://").partition("/")

    def put(self, name: str, text: str) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=f"{self._prefix}/{name}", Body=text.encode())

    def remove(self, name: str) -> None:
        self._s3.delete_object(Bucket=self._bucket, Key=f"{self._prefix}/{name}")

    def text(self, name: str) -> str | None:
        """The content of an object, None where there is none."""
        try:
            return self._s3.get_object(Bucket=self._bucket, Key=f"{self._prefix}/{name}")["Body"].read().decode()
        except self._s3.exceptions.NoSuchKey:
            return None

    def names(self) -> set[str]:
        """Every object but markers of directories and lakelink's own."""
        listed = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=f"{self._prefix}/").get("Contents", [])
        found = {row["Key"].removeprefix(f"{self._prefix}/") for row in listed}
        return {name for name in found if not name.endswith("/") and not name.startswith(".lakelink/")}


def same_text(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except FileNotFoundError:
        return False
