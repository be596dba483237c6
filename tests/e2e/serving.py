"""The daemon as a process of its own, and waiting for what it does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.program import Program

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

    def status(self, name: str) -> dict[str, Any]:
        ran = self.program("status", name, "--json")
        assert ran.code in {0, 1}, ran.err
        return ran.json["links"][0]

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


def lake_text(program: Program, name: str) -> str | None:
    """The content of an object, None where there is none."""
    ran = program("cat", f"{program.lake}/{name}")
    return ran.out if ran.code == 0 else None


def lake_names(program: Program, below: str = "") -> set[str]:
    ran = program("ls", f"{program.lake}{below}", "--json")
    assert ran.code == 0, ran.err
    return {row["path"] for row in ran.json["entries"] if row["kind"] == "file"}


def same_text(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except FileNotFoundError:
        return False
