"""An OpenSSH server as one may be found: users of each kind, keys with options, Match blocks, several host keys. It runs in a mount namespace of its
own, so that its users are real ones and the machine's are not touched."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lakelink.gateway.credentials.crypt import crypt

PASSWORD = "correct horse"
SETTINGS = {
    "yescrypt": "$y$j9T$abcdefghijklmnopqrstu.",
    "sha512": "$6$saltsalt$",
    "sha256": "$5$saltsalt$",
    "bcrypt": "$2b$05$abcdefghijklmnopqrstuu",
}
CONFIG = """\
Include /etc/ssh/sshd_config.d/*.conf
Port {port}
ListenAddress 127.0.0.1
HostKey /etc/ssh/ssh_host_ed25519_key
HostKey /etc/ssh/ssh_host_rsa_key
HostKey /etc/ssh/ssh_host_ecdsa_key
AuthorizedKeysFile /etc/ssh/keys/%u .ssh/authorized_keys
Subsystem sftp internal-sftp -u 0027
UsePAM no
PidFile none
Banner /etc/ssh/banner
MaxStartups 100
Match Group partners
  ChrootDirectory /srv/sftp/%u
  ForceCommand internal-sftp -d /upload
Match User bound Address 10.0.0.0/8,127.0.0.0/8
  PasswordAuthentication yes
Match User bound
  PasswordAuthentication no
Match User both
  AuthenticationMethods publickey,password
"""
PEOPLE = ("yescrypt", "sha512", "sha256", "bcrypt", "keyed", "both", "bound")


@dataclass(slots=True)
class OldServer:
    """`root` is a tree that holds what differs from the machine; `key` is the private key of keyed, both and root."""

    root: Path
    port: int = 0
    key: Path = field(default_factory=Path)
    process: subprocess.Popen[bytes] | None = None

    def namespace(self, *command: str) -> list[str]:
        """The command line that runs a command where this server's users are."""
        script = "set -e; mount -t tmpfs tmpfs /run; mkdir -m 755 /run/sshd\n"
        for path in ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/ssh", "/srv", "/home"):
            script += f"mount --bind {self.root}{path} {path}\n"
        return ["unshare", "--mount", "sh", "-c", script + 'exec "$@"', "sh", *command]

    def start(self) -> None:
        command = self.namespace(shutil.which("sshd", path="/usr/sbin:/sbin") or "sshd", "-D", "-e")
        with (self.root / "sshd.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError((self.root / "sshd.log").read_text())

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def client(self, user: str, *options: str) -> list[str]:
        """Options of ssh, sftp and scp that know nothing but this server's host key."""
        return [
            "-F", "none", "-o", f"Port={self.port}", "-o", f"UserKnownHostsFile={self.root / 'known_hosts'}", "-o", "StrictHostKeyChecking=yes",
            "-o", "GlobalKnownHostsFile=none", "-o", f"User={user}", "-o", f"IdentityFile={self.key}", "-o", "IdentitiesOnly=yes", *options,
        ]  # fmt: skip


def needed() -> None:
    """Skip where such a server cannot run."""
    if os.geteuid() != 0:
        pytest.skip("an sshd with users of its own takes root")
    if shutil.which("sshd", path="/usr/sbin:/sbin") is None or shutil.which("sftp") is None:
        pytest.skip("openssh-server and openssh-client are not installed")
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("mount namespaces are not allowed here")


def build(directory: Path) -> OldServer:
    """Everything on disk, not started."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    server = OldServer(directory / "root", port, directory / "id")
    etc = server.root / "etc"
    for path in (
        etc / "ssh" / "sshd_config.d",
        etc / "ssh" / "keys",
        server.root / "srv" / "sftp",
        server.root / "home" / "shell",
    ):
        path.mkdir(parents=True)
    for path in (
        server.root,
        etc,
        etc / "ssh",
        etc / "ssh" / "keys",
        server.root / "srv",
        server.root / "srv" / "sftp",
    ):
        path.chmod(0o755)
    (etc / "ssh" / "sshd_config").write_text(CONFIG.format(port=port))
    (etc / "ssh" / "sshd_config.d" / "10-tries.conf").write_text("MaxAuthTries 4\n")
    (etc / "ssh" / "banner").write_text("Partners only.\n")
    _people(server)
    _keys(server)
    return server


def _people(server: OldServer) -> None:
    etc = server.root / "etc"
    passwd = [
        "root:x:0:0:root:/root:/bin/sh",
        "sshd:x:110:65534::/run/sshd:/usr/sbin/nologin",
        "nobody:x:65534:65534::/:/usr/sbin/nologin",
    ]
    passwd.append("shell:x:2100:2100::/home/shell:/bin/sh")
    shadow = ["root:*:19000::::::", "sshd:!:19000::::::", "nobody:*:19000::::::", "shell:!:19000::::::"]
    for number, name in enumerate(PEOPLE, 2001):
        setting = SETTINGS.get(name, SETTINGS["sha512"])
        stored = "*" if name == "keyed" else crypt(PASSWORD, setting)
        assert stored, f"{setting} is not known to crypt(3) here"
        passwd.append(f"{name}:x:{number}:2000:{name.title()} Ltd:/home/{name}:/usr/sbin/nologin")
        shadow.append(f"{name}:{stored}:19000:0:99999:7:::")
        home = server.root / "srv" / "sftp" / name
        for path, owner in ((home, 0), (home / "upload", number), (home / "outgoing", 0)):
            path.mkdir(mode=0o755)
            os.chown(path, owner, 2000 if owner else 0)
        (home / "outgoing" / "welcome.txt").write_text(f"for {name}\n")
    (etc / "passwd").write_text("\n".join(passwd) + "\n")
    (etc / "group").write_text("root:x:0:\npartners:x:2000:\nnogroup:x:65534:\n")
    (etc / "shadow").write_text("\n".join(shadow) + "\n")
    (etc / "shadow").chmod(0o600)


def _keys(server: OldServer) -> None:
    ssh = server.root / "etc" / "ssh"
    known = []
    for kind, form in (("ed25519", ()), ("rsa", ("-m", "PEM")), ("ecdsa", ())):
        path = ssh / f"ssh_host_{kind}_key"
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", *form, "-f", str(path)], check=True)
        known.append(f"[127.0.0.1]:{server.port} {path.with_name(path.name + '.pub').read_text()}")
    (server.root / "known_hosts").write_text("".join(known))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "partner", "-f", str(server.key)], check=True)
    public = server.key.with_name("id.pub").read_text()
    for name in ("keyed", "both", "root"):
        options = "" if name == "root" else 'from="127.0.0.0/8,10.0.0.0/8",restrict,command="internal-sftp" '
        (ssh / "keys" / name).write_text(f"# partners\n{options}{public}")
    (ssh / "keys" / "shell").write_text(public)
