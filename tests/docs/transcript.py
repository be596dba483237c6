"""Reads the fenced blocks of a Markdown file and plays them: what the documentation shows is what happens.

A `console` block is a session: lines that begin with `$ ` are commands, `> ` continues one, the lines after it are its output, in
which `...` stands for anything on a line, and a line of only `...` for any number of lines. A command must succeed, unless the next one asks `echo $?`.
A `python` block is a program. Comments before a block direct the player:

    <!-- background -->               the command stays in the background; its output appears before the session goes on
    <!-- not executed: REASON -->     for the few that cannot run in a test
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.program import PROGRESS

DEADLINE_S = 120.0
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
DIRECTION = re.compile(r"<!-- (background|not executed): ?([^>]*?) ?-->\s*\Z|<!-- (background) -->\s*\Z")
MARK = "\x01status "
COLD = "bin-cold"
"""Beside the page's directory: `lakelink` as it is installed, for what runs in the background."""


@dataclass
class Step:
    line: int
    command: str
    expected: list[str] = field(default_factory=list)


@dataclass
class Block:
    language: str
    text: str
    line: int
    background: bool = False
    not_executed: str = ""

    def steps(self) -> list[Step]:
        found: list[Step] = []
        for offset, line in enumerate(self.text.splitlines(), start=self.line + 1):
            if line.startswith("$ "):
                found.append(Step(offset, line[2:]))
            elif line.startswith("> ") or line == ">":
                found[-1].command += "\n" + line[2:]
            else:
                found[-1].expected.append(line)
        return found


def blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        before = text[: match.start()]
        direction = DIRECTION.search(before)
        block = Block(match[1], match[2], before.count("\n") + 1)
        if direction:
            block.background = "background" in (direction[1], direction[3])
            block.not_executed = (direction[2] or "") if direction[1] == "not executed" else ""
        found.append(block)
    return found


def matches(expected: list[str], actual: list[str]) -> bool:
    pattern = ""
    for line in expected:
        if line.strip() == "...":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += ".*?".join(re.escape(piece) for piece in line.rstrip().split("...")) + r"[ \t]*\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in actual)) is not None


class Session:
    """One shell for a whole document, in a directory of its own."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.env = env
        self._background: list[subprocess.Popen[bytes]] = []
        # Standard error goes where standard output goes, as on a terminal.
        self._shell = subprocess.Popen(
            ["/bin/bash", "--noprofile", "--norc"],
            cwd=folder,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._status = 0

    def run(self, command: str) -> tuple[list[str], int]:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        script = f"(exit {self._status})\n{command}\nprintf '\\n{MARK}%s\\n' $?\n"
        self._shell.stdin.write(script.encode())
        self._shell.stdin.flush()
        lines: list[str] = []
        for raw in self._shell.stdout:
            line = raw.decode("utf-8", "backslashreplace").rstrip("\n")
            if line.startswith(MARK):
                self._status = int(line[len(MARK) :])
                if lines and lines[-1] == "":
                    lines.pop()  # the mark stands on a line of its own, also after output without a line end
                return lines, self._status
            lines.append(line)
        raise AssertionError(f"the shell ended during: {command}")

    def start(self, step: Step) -> None:
        with tempfile.NamedTemporaryFile(dir=self.folder.parent, suffix=".out") as out:
            command = f"exec {step.command}" if "\n" not in step.command else step.command
            env = self.env | {"PATH": f"{self.folder.parent / COLD}:{self.env['PATH']}"}
            process = subprocess.Popen(
                ["/bin/bash", "-c", command], cwd=self.folder, env=env, stdout=out, stderr=subprocess.STDOUT
            )
            self._background.append(process)
            deadline = time.monotonic() + DEADLINE_S
            while True:
                actual = Path(out.name).read_text(encoding="utf-8").splitlines()
                if matches(step.expected, actual):
                    return
                assert process.poll() is None, f"line {step.line}: it ended: {actual}"
                assert time.monotonic() < deadline, f"line {step.line}: expected {step.expected}, saw {actual}"
                time.sleep(0.05)

    def close(self) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.close()
        self._shell.wait(timeout=DEADLINE_S)
        assert self._shell.stdout is not None
        self._shell.stdout.close()
        for process in self._background:
            process.terminate()
            process.wait(timeout=DEADLINE_S)


def play(path: Path, folder: Path, env: dict[str, str]) -> None:
    session = Session(folder, env)
    try:
        for block in blocks(path):
            if block.not_executed:
                continue
            if block.language == "python":
                _play_python(block, folder, env)
            elif block.language == "console":
                _play_console(block, session)
    finally:
        session.close()


def _play_console(block: Block, session: Session) -> None:
    steps = block.steps()
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if block.background:
            session.start(step)
            continue
        actual, status = session.run(step.command)
        actual = [
            line for line in actual if not (PROGRESS.match(line) or line.startswith("note: Two writers"))
        ]  # of slow, busy machines
        assert matches(step.expected, actual), _said(step, actual)
        asked = following is not None and following.command.strip() == "echo $?"
        assert status == 0 or asked, f"line {step.line}: `{step.command}` ended with {status}: {actual}"


def _play_python(block: Block, folder: Path, env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block.text], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"line {block.line}: {done.stdout}{done.stderr}"


def _said(step: Step, actual: list[str]) -> str:
    return "\n".join(
        [f"line {step.line}: $ {step.command}", "expected:", *step.expected, "but it said:", *actual, "(end)"]
    )


def environment(folder: Path, store: dict[str, str], program: str = "") -> dict[str, str]:
    """What the commands of a document see: a home of their own, `lakelink` on the path, and a store.

    `program`: a command that does the same more quickly.
    """
    real = f"{shlex.quote(sys.executable)} -m lakelink"
    for name, command in (("bin", program or real), (COLD, real)):
        shim = folder.parent / name / "lakelink"
        shim.parent.mkdir(exist_ok=True)
        shim.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        shim.chmod(0o755)
    kept = {name: os.environ[name] for name in ("PYTHONPATH", "TMPDIR") if name in os.environ}
    return kept | {
        "PATH": f"{folder.parent / 'bin'}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "LAKELINK_STATE_DIR": str(folder.parent / "state"),
        **store,
    }
