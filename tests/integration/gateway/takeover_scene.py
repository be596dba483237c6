"""A take-over as it is played: the commands, the gateway on a port, and OpenSSH's client that knows the old server alone."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time

from tests.integration.gateway import old_server

BY_PASSWORD = ("yescrypt", "sha512", "sha256", "bcrypt", "bound")


class Place:
    """An old server, and a gateway that is to take its place."""

    def __init__(self, server, directory, **env):
        self.server = server
        self.directory = directory
        self.env = {
            **os.environ,
            "LAKELINK_STATE_DIR": str(directory / "state"),
            "LAKELINK_CONFIG": str(directory / "lakelink.toml"),
            **env,
        }
        self.config = directory / "lakelink.toml"
        self.config.write_text("[gateway]\nworkers = 1\n")
        self.askpass = directory / "askpass"
        self.askpass.write_text(f"#!/bin/sh\necho '{old_server.PASSWORD}'\n")
        self.askpass.chmod(0o700)

    def command(self, *words):
        return [sys.executable, "-m", "lakelink", *words]

    def lakelink(self, *words, given="", code=0):
        """Run a command; the result is what it printed."""
        done = subprocess.run(
            self.command(*words),
            input=given,
            capture_output=True,
            text=True,
            env=self.env,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def step(self, name, *words, **options):
        return self.lakelink("gateway", "import", name, "--out", str(self.directory / "out"), *words, **options)

    @contextlib.contextmanager
    def gateway(self, port):
        """The gateway on that port, until the end."""
        command = self.command("gateway", "serve", "--listen", f"127.0.0.1:{port}")
        with (self.directory / "gateway.log").open("ab") as log:
            process = subprocess.Popen(command, env=self.env, stdout=log, stderr=log)
        try:
            _await_port(process, port)
            yield
        finally:
            process.terminate()
            process.wait(60)

    def sftp(self, user, commands, *options):
        """The lines that OpenSSH's sftp prints, given its commands. Its known_hosts has the old server's keys and nothing else."""
        environ = os.environ | {"SSH_ASKPASS": str(self.askpass), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": "none"}
        batch = self.directory / "batch"
        batch.write_text("\n".join(commands) + "\n")
        words = self.server.client(user, *options)
        if user in BY_PASSWORD:
            words += ["-o", "PubkeyAuthentication=no"]
        # BatchMode would forbid passwords: the commands come by standard input.
        with batch.open("rb") as given:
            done = subprocess.run(
                ["sftp", "-q", *words, "127.0.0.1"],
                stdin=given,
                capture_output=True,
                env=environ,
                timeout=120,
                check=False,
            )
        output = (done.stdout + done.stderr).decode()
        assert done.returncode == 0, output
        return [line for line in output.splitlines() if line and not line.startswith(("sftp>", "Partners only."))]


def _await_port(process, port):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]
