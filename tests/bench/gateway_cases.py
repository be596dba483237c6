"""The SFTP gateway against OpenSSH's internal-sftp and `rclone serve sftp`: one OpenSSH client, aes128-gcm, the CPU of the server counted."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench import peers
from tests.bench.cases import Bench, large, small
from tests.bench.measure import Contender
from tests.bench.trees import fingerprint

SSHD = "/usr/sbin/sshd"
START_S = 60
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Server:
    """A running one, and how its client reaches it."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    user: str
    directory: Path
    home: str = "."  # where the client works

    @property
    def client(self) -> list[str]:
        options = ["-q", "-F", "/dev/null", "-i", str(self.directory / "key"), "-c", "aes128-gcm@openssh.com"]
        for option in ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"):
            options += ["-o", option]
        return ["sftp", *options, "-P", str(self.port)]

    def cpu_s(self) -> float:
        """Of it and of all that it started: what has ended is counted once its parent has seen that."""
        deadline = time.monotonic() + 5
        while self.name == "openssh" and len(_tree(self.process.pid)) > 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        return sum(_ticks(pid, ended=pid == self.process.pid) for pid in _tree(self.process.pid)) / TICKS_PER_S


def _tree(pid: int) -> list[int]:
    found = [pid]
    for path in Path("/proc").glob(f"{pid}/task/*/children"):
        for child in path.read_text().split():
            found += _tree(int(child))
    return found


def _ticks(pid: int, *, ended: bool) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(field) for field in fields[11 : 15 if ended else 13])


def _port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def _started(stack: ExitStack, command: list[str], port: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    stack.callback(process.wait, 30)
    stack.callback(process.terminate)
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return process
    raise RuntimeError(f"{command[0]} does not listen on {port}")


def _keys(directory: Path) -> None:
    directory.mkdir(parents=True)
    for name in ("key", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)], check=True)


def _lakelink(bench: Bench, stack: ExitStack, location: str) -> Server:
    directory = bench.place("gateway")
    _keys(directory)
    port = _port()
    program = str(peers.BIN / "lakelink")
    environment = {**os.environ, **bench.store.environment(directory / "state")}
    user = [program, "gateway", "user", "add", "partner", "--home", location, "--key", str(directory / "key.pub")]
    subprocess.run(user, check=True, stdout=subprocess.DEVNULL, env=environment)
    command = [program, "gateway", "serve", "--listen", f"127.0.0.1:{port}"]
    return Server("lakelink", _started(stack, command, port, environment), port, "partner", directory)


def _openssh(bench: Bench, stack: ExitStack, home: Path) -> Server:
    directory = bench.place("sshd")
    _keys(directory)
    shutil.copy(directory / "key.pub", directory / "authorized_keys")
    Path("/run/sshd").mkdir(exist_ok=True)
    port = _port()
    lines = [
        f"HostKey {directory}/host",
        f"AuthorizedKeysFile {directory}/authorized_keys",
        "StrictModes no",
        "UsePAM no",
        "PermitRootLogin yes",
        f"PidFile {directory}/pid",
        "Subsystem sftp internal-sftp",
    ]
    (directory / "config").write_text("\n".join(lines) + "\n")
    command = [SSHD, "-D", "-f", str(directory / "config"), "-p", str(port), "-o", "ListenAddress=127.0.0.1"]
    return Server("openssh", _started(stack, command, port, dict(os.environ)), port, "root", directory, str(home))


def _rclone(bench: Bench, stack: ExitStack, remote: str) -> Server:
    directory = bench.place("rclone")
    _keys(directory)
    port = _port()
    command = [str(peers.BIN / "rclone"), "serve", "sftp", remote, "--addr", f"127.0.0.1:{port}"]
    command += ["--authorized-keys", str(directory / "key.pub"), "--key", str(directory / "host")]
    environment = {**os.environ, **bench.store.environment(bench.state)}
    return Server("rclone serve", _started(stack, command, port, environment), port, "partner", directory)


def _servers(bench: Bench, stack: ExitStack, *, local: bool) -> list[Server]:
    """Each with a home of its own."""
    found: list[Server] = []
    homes = [bench.place("home") for _ in range(3)]
    urls = [bench.store.url(f"sftp/{next(bench.numbers)}") for _ in range(3)]
    for home in homes:
        home.mkdir()
    found.append(_lakelink(bench, stack, str(homes[0]) if local else urls[0]))
    if local and os.geteuid() == 0 and Path(SSHD).exists():
        found.append(_openssh(bench, stack, homes[1]))
    if (peers.BIN / "rclone").exists():
        found.append(_rclone(bench, stack, str(homes[2]) if local else urls[2].replace("s3://", "s3:")))
    return found


def _batch(bench: Bench, lines: list[str]) -> Path:
    path = bench.place("batch")
    path.write_text("\n".join(lines) + "\n")
    return path


def _contender(server: Server, batch: Path) -> Contender:
    command = [*server.client, "-b", str(batch), f"{server.user}@127.0.0.1"]
    return Contender(server.name, command, server_cpu_s=server.cpu_s)


def _source(bench: Bench, files: int) -> Path:
    return small(bench, files) if files > 1 else large(bench, 512)


def up(bench: Bench, stack: ExitStack, *, local: bool, files: int) -> list[Contender]:
    """One large file, or a directory of small ones, to a new name."""
    source = _source(bench, files)
    contenders = []
    for server in _servers(bench, stack, local=local):
        contender = _contender(server, bench.scratch)

        def prepare(server: Server = server, contender: Contender = contender) -> None:
            name = f"up{next(bench.numbers)}"
            lines = [f"cd {server.home}", f"mkdir {name}", f"cd {name}", f"put -r {source}/* ."]
            contender.command = _contender(server, _batch(bench, lines)).command

        contender.prepare = prepare
        contenders.append(contender)
    return contenders


def down(bench: Bench, stack: ExitStack, *, local: bool, files: int) -> list[Contender]:
    """The same back."""
    source = _source(bench, files)
    wanted = fingerprint(source)
    contenders = []
    for server in _servers(bench, stack, local=local):
        put = _contender(server, _batch(bench, [f"cd {server.home}", "mkdir d", "cd d", f"put -r {source}/* ."]))
        subprocess.run(put.command, check=True, stdout=subprocess.DEVNULL)
        contender = _contender(server, bench.scratch)
        target: list[Path] = []

        def prepare(server: Server = server, contender: Contender = contender, target: list[Path] = target) -> None:
            while target:
                shutil.rmtree(target.pop())
            target.append(bench.place("back"))
            target[0].mkdir()
            lines = [f"cd {server.home}/d", f"get -r * {target[0]}"]
            contender.command = _contender(server, _batch(bench, lines)).command

        def check(target: list[Path] = target) -> str | None:
            return None if fingerprint(target[0]) == wanted else "files are missing, or of other sizes"

        contender.prepare, contender.check = prepare, check
        contenders.append(contender)
    return contenders
