"""The step that runs a program: an argument list, no shell, its own process group, a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence

from lakelink.errors import StorageError

MOST_OUTPUT_BYTES = 4096
GRACE_S = 5.0
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""Of the gateway's own environment a program sees these alone: credentials of the lake are not its business unless it is told."""


async def run_command(command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> None:
    """Run it to its end. Standard input is empty; the end of what it prints goes into the record when it fails.

    When it takes too long, or the call is cancelled, its process group is ended: SIGTERM, and SIGKILL if it is still there five seconds later.

    Raises:
        StorageError: it cannot be started, took too long, or ended with anything but 0.
    """
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={**passed, **environment}, start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise StorageError(f"{command[0]} cannot be started: {error}", hint="Is it there, and executable?") from error
    tail = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            await _drain(process.stdout, tail)
            status = await process.wait()
    except TimeoutError as error:
        raise StorageError(f"{command[0]} took longer than {timeout_s:g} s", hint="timeout of the workflow says how long it may take.") from error  # fmt: skip
    finally:
        await _end(process)
    if status:
        said = tail.decode("utf-8", "replace").strip()
        how = f"ended with {status}" if status > 0 else f"was ended by signal {-status}"
        raise StorageError(f"{command[0]} {how}: {said}" if said else f"{command[0]} {how}", hint="Run it by hand.")


async def _drain(stream: asyncio.StreamReader | None, tail: bytearray) -> None:
    while stream and (part := await stream.read(16 << 10)):
        tail += part
        del tail[:-MOST_OUTPUT_BYTES]


async def _end(process: asyncio.subprocess.Process) -> None:
    """Nothing of its group goes on that does not insist. Of one that ended by itself nothing is touched: its number may be somebody else's by now."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await process.wait()
