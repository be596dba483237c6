"""The embedded server: private, complete, and gone when its owner is."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lakelink.errors import Unsupported
from lakelink.locations.embedded import find_weed


@pytest.fixture(autouse=True)
def installed():
    try:
        find_weed()
    except Unsupported as error:
        pytest.skip(f"{error} ({error.hint})")


def test_its_keys_are_private_and_never_in_the_process_list(seaweed):
    path = seaweed.directory / "s3.json"

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    command = Path(f"/proc/{seaweed.pid}/cmdline").read_bytes()
    environment = Path(f"/proc/{seaweed.pid}/environ").read_bytes()
    assert seaweed.secret_key.encode() not in command + environment
    assert len(seaweed.secret_key) >= 30


def test_it_listens_on_loopback_only(seaweed):
    sockets = set()
    for descriptor in Path(f"/proc/{seaweed.pid}/fd").iterdir():
        try:
            sockets.add(str(descriptor.readlink()))
        except FileNotFoundError:
            continue
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{seaweed.pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                listening.append(fields[1].rpartition(":")[0])
    loopback = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
    assert listening
    assert set(listening) <= loopback


def test_it_dies_with_the_process_that_started_it(tmp_path):
    script = (
        "import sys, time\n"
        "from lakelink.locations.embedded import EmbeddedStore\n"
        "store = EmbeddedStore(sys.argv[1]); store.start()\n"
        "print(store.pid, flush=True); time.sleep(300)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    server = int(owner.stdout.readline())
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    owner.stdout.close()

    deadline = time.monotonic() + 60
    while _alive(server):
        assert time.monotonic() < deadline, "the server outlived its owner"
        time.sleep(0.05)


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
