"""`lakelink gateway log`: the audit log."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any

from cyclopts import Group, Parameter

from lakelink.cli.parameters import OUTPUT, Output, flag
from lakelink.errors import NotFound, NotPermitted
from lakelink.model.path import display

WHICH = Group("Which lines", sort_key=1)
POLL_S = 0.25


def log(
    *,
    user: Annotated[str, Parameter(help="Of this user.", metavar="NAME", group=WHICH, show_default=False)] = "",
    session: Annotated[str, Parameter(help="Of this session.", metavar="ID", group=WHICH, show_default=False)] = "",
    operation: Annotated[
        str,
        Parameter(help="Of this operation: login, write, remove …", metavar="NAME", group=WHICH, show_default=False),
    ] = "",
    failed: Annotated[bool, flag(WHICH, "Only what failed or was refused.")] = False,
    most: Annotated[int, Parameter(name=["--lines", "-n"], help="The newest so many.", metavar="N", group=WHICH)] = 100,
    follow: Annotated[
        bool, flag(OUTPUT, "Go on with what is written from now on, until interrupted.", ["--follow", "-f"])
    ] = False,
    output: Output = Output(),
) -> int:
    """Show the audit log: who did what, from where, with which result.

    Reads the file itself, so it works whether or not the gateway runs; lines in files that were rotated away are not looked at. With --json the
    lines are printed as they are, one object each.

    For example:

    ```
    lakelink gateway log --user acme
    lakelink gateway log --failed --operation login -n 20
    lakelink gateway log --follow --json
    ```
    """
    path = _path(output.config)
    wanted = {name: value for name, value in (("user", user), ("session", session), ("operation", operation)) if value}
    if failed:
        wanted["result"] = "failed"
    try:
        with path.open("rb") as file:
            for line in deque(_matching(file, wanted), maxlen=max(0, most)):
                _print(line, output)
            sys.stdout.flush()
            if follow:
                _follow(path, file, wanted, output)
    except FileNotFoundError as error:
        raise NotFound(f"there is no audit log {path} yet", hint="The gateway makes it when it starts.") from error
    except PermissionError as error:
        raise NotPermitted(
            f"{path} belongs to another user", hint="Run as the user of the gateway, or as root."
        ) from error
    return 0


def _path(config: str | None) -> Path:
    from lakelink.config.document import load_document
    from lakelink.config.gateway import read_gateway
    from lakelink.config.state_dir import state_dir_path

    settings = read_gateway(load_document(config))
    return Path(settings.audit_log) if settings.audit_log else state_dir_path() / "gateway" / "audit.log"


def _matching(file: IO[bytes], wanted: dict[str, str]) -> Iterator[dict[str, Any]]:
    for raw in file:
        try:
            line = json.loads(raw)
        except ValueError:  # a disk that was full has cut it
            continue
        if all(line.get(name) == value for name, value in wanted.items()):
            yield line


def _follow(path: Path, file: IO[bytes], wanted: dict[str, str], output: Output) -> None:
    """What is appended, also to the file that comes after a rotation."""
    current, rest = file, b""
    while True:
        chunk = current.read()
        rest += chunk
        *lines, rest = rest.split(b"\n")
        for raw in lines:
            for line in _matching(iter([raw]), wanted):  # type: ignore[arg-type]  # lines are all that it asks for
                _print(line, output)
        sys.stdout.flush()
        if not chunk:
            time.sleep(POLL_S)
            if _rotated(path, current):
                current, rest = path.open("rb"), b""


def _rotated(path: Path, file: IO[bytes]) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return there.st_ino != os.fstat(file.fileno()).st_ino or there.st_size < file.tell()


def _print(line: dict[str, Any], output: Output) -> None:
    if output.json:
        sys.stdout.write(json.dumps(line) + "\n")
        return
    known = ("time", "operation", "user", "address", "session", "path", "size_bytes", "code", "result")
    rest = " ".join(f"{name}={value}" for name, value in line.items() if name not in known)
    size = f" {line['size_bytes']} bytes" if "size_bytes" in line else ""
    failed = f" FAILED {line.get('code', '')}" if line.get("result") == "failed" else ""
    head = (
        f"{line.get('time', '')[:19]}Z {line.get('user', '-')} {line.get('address', '-')} {line.get('operation', '')}"
    )
    text = f"{head} {line.get('path', '')}{size}{failed} {rest}".replace("  ", " ").rstrip()
    sys.stdout.write(display(text) + "\n")  # names and versions are what clients say: no terminal obeys them
