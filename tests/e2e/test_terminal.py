"""What a person at a terminal sees."""

import os
import pty
import select
import subprocess
import time

import pytest

from tests.e2e.program import PATIENCE_S, make_tree


def test_a_live_display_is_drawn_on_a_terminal_and_taken_away_again(program, tmp_path):
    source = make_tree(tmp_path / "source", {f"f{n:03}": "x" * 20_000 for n in range(50)})
    try:
        ours, theirs = pty.openpty()
    except OSError as error:
        pytest.skip(f"no terminal to be had here: {error}")
    command = program.command("sync", source, tmp_path / "target", "--bandwidth", "500KB/s")
    process = subprocess.Popen(
        command,
        env=program.env | {"TERM": "xterm", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        ready, _, _ = select.select([ours], [], [], 0.2)
        if not ready:
            continue
        try:
            piece = os.read(ours, 65536)
        except OSError:  # EIO: the other end is closed
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert out.startswith(b"copied 50 files")
    assert b"transferring" in seen
    assert b" of 50 files" in seen
    assert seen.rstrip().endswith((b"\x1b[2K", b"\x1b[?25h"))
