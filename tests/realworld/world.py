"""The stage: the directory, the store, the relay between, and the daemon as a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lakelink.api.calls import GetStatus, PauseLink, ReconcileLink, ResumeLink
from lakelink.daemon.client import Client
from lakelink.errors import LakelinkError
from lakelink.model.linkspec import LinkState, LinkStatus
from tests.realworld.ledger import Ledger
from tests.realworld.relay import Relay
from tests.realworld.store import MortalStore

PATIENCE_S = 180.0
LINK = "story"


class Failed(AssertionError):
    """The story has not ended as it must."""


def wait_for(condition: Callable[[], Any], what: str, deadline_s: float = PATIENCE_S) -> Any:
    deadline = time.monotonic() + deadline_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise Failed(f"waited in vain for {what}")
        time.sleep(0.05)
    return found


class World:
    """Everything that a story has but its writers and its misfortunes."""

    def __init__(self, folder: Path, store: MortalStore, relay: Relay, ledger: Ledger, prefix: str) -> None:
        self.folder = folder
        self.store = store
        self.relay = relay
        self.ledger = ledger
        self.prefix = prefix
        self.mount = folder / "mount"  # where root and aside are; root runs may unmount it
        self.root = self.mount / "files"
        self.aside = self.mount / "aside"
        self.log = folder / "serve.log"
        self.kills = 0
        self._daemon: subprocess.Popen[bytes] | None = None
        self._client = Client(folder / "state")
        self._is_mounted = False

    # ── the directory ──

    def make_tree(self) -> None:
        """The two directories; where that is allowed on a mount of their own, with an empty root below it."""
        self.root.mkdir(parents=True)
        behind = self.folder / "behind"
        behind.mkdir()
        if os.geteuid() == 0:
            done = subprocess.run(["mount", "--bind", behind, self.mount], check=False, capture_output=True)
            self._is_mounted = done.returncode == 0
        self.root.mkdir(exist_ok=True)
        self.aside.mkdir()

    def remove_root(self) -> str:
        """The root is gone or another one, as after a reboot without its mount. Nobody may be writing."""
        if self._is_mounted:
            subprocess.run(["umount", "--lazy", self.mount], check=True)
            return "the file system is unmounted"
        self.root.rename(self.folder / "elsewhere")
        self.root.mkdir()
        return "the root is replaced by an empty directory"

    def restore_root(self) -> None:
        if self._is_mounted:
            subprocess.run(["mount", "--bind", self.folder / "behind", self.mount], check=True)
        else:
            shutil.rmtree(self.root)
            (self.folder / "elsewhere").rename(self.root)

    # ── the daemon ──

    def hear_of_events(self) -> None:
        """The daemon listens for what the store pushes. Before its start."""
        settings = f'[serve]\nwebhook = "127.0.0.1:{self.store.webhook_port}"\n'
        (self.folder / "lakelink.toml").write_text(settings, encoding="utf-8")

    def _environment(self) -> dict[str, str]:
        names = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAKELINK_"))}
        return names | {
            "LAKELINK_STATE_DIR": str(self.folder / "state"),
            "HOME": str(self.folder),
            "AWS_ENDPOINT_URL_S3": self.relay.endpoint,
            "AWS_ACCESS_KEY_ID": self.store.access_key,
            "AWS_SECRET_ACCESS_KEY": self.store.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def command(self, *arguments: str | Path) -> None:
        """A command of the user."""
        command = [sys.executable, "-m", "lakelink", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment(), capture_output=True, timeout=PATIENCE_S, check=False
        )
        if done.returncode:
            raise Failed(f"{' '.join(command[2:])}: {done.stderr.decode()}")

    def start(self) -> None:
        """Start the daemon if it does not run, and wait until it serves."""
        if self._daemon is not None and self._daemon.poll() is None:
            return
        if self._daemon is not None and self._daemon.returncode not in {0, -signal.SIGKILL}:
            raise Failed(f"the daemon ended by itself with {self._daemon.returncode}")
        with self.log.open("ab") as log:
            self._daemon = subprocess.Popen(
                [sys.executable, "-m", "lakelink", "serve", "--log", "json"],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        daemon = self._daemon
        wait_for(lambda: daemon.poll() is not None or self.status() is not None, "the daemon to serve")
        if daemon.poll() is not None:
            raise Failed(f"the daemon ended at its start with {daemon.returncode}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the daemon; SIGKILL if that is asked for, or if it is the end of everything."""
        daemon = self._daemon
        if daemon is None or daemon.poll() is not None:
            return
        daemon.send_signal(number)
        daemon.wait(PATIENCE_S)
        if number == signal.SIGTERM and daemon.returncode:
            raise Failed(f"the daemon ended with {daemon.returncode} when told to stop")

    def kill(self) -> None:
        """kill -9."""
        self.kills += 1
        self.stop(signal.SIGKILL)

    def signal(self, number: int) -> None:
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.send_signal(number)

    def lose_journal(self) -> None:
        """The daemon must not run."""
        for journal in (self.folder / "state" / "links").glob("*/journal.sqlite*"):
            journal.unlink()

    def status(self) -> LinkStatus | None:
        """What the daemon says of the link; None where it cannot be asked."""
        try:
            return next(link for link in self._client.ask(GetStatus()).links if link.name == LINK)
        except (LakelinkError, StopIteration):
            return None

    def state(self) -> LinkState | None:
        """The link's state, None where the daemon cannot be asked. A link that has failed is the end of the story."""
        status = self.status()
        if status is not None and status.state is LinkState.FAILED:
            raise Failed(f"the link has failed: {status.reason}")
        return status.state if status else None

    def pause(self) -> None:
        self._client.ask(PauseLink(link=LINK))

    def resume(self) -> None:
        self._client.ask(ResumeLink(link=LINK))

    def reconcile(self) -> None:
        """Compare both sides now. An outage of either is the link's business, not the asker's."""
        try:
            self._client.ask(ReconcileLink(link=LINK))
        except LakelinkError as error:
            self.ledger.tell("stage", f"reconcile: {error}")

    def close(self) -> None:
        """Everything that was started is ended; idempotent."""
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.kill()
            self._daemon.wait(PATIENCE_S)
        if self._is_mounted:
            subprocess.run(["umount", "--lazy", self.mount], check=False, capture_output=True)
            self._is_mounted = False
