"""The first-boot scripts, run for real below a root of their own with stubs of the system's programs on PATH."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

from lakelink.infra import agent
from lakelink.infra.spec import ClientSpec
from lakelink.infra.userdata import image_parameter, mount_command, mount_options, render
from tests.infra.matrix import spec

BASH = shutil.which("bash")
RELEASES = {
    "amzn2023": 'ID="amzn"\nVERSION_ID="2023"\n',
    "amzn2": 'ID="amzn"\nVERSION_ID="2"\n',
    "ubuntu": 'ID=ubuntu\nVERSION_ID="22.04"\nVERSION_CODENAME=jammy\n',
    "rocky8": 'ID="rocky"\nVERSION_ID="8.9"\n',
    "suse": "ID=sles\nVERSION_ID=15\n",
}
STUBS = ("dnf", "apt-get", "amazon-linux-extras", "modprobe", "systemctl", "curl", "gpg", "rpm", "sleep", "python3.11")


class Machine:
    """A root directory, stubs that write down how they were called, and a mount that succeeds at the given attempt."""

    def __init__(self, root: Path, release: str, succeeds_at: int = 1) -> None:
        self.root, self.log = root / "root", root / "log"
        self.bin = root / "bin"
        for folder in ("etc/yum.repos.d", "tmp"):
            (self.root / folder).mkdir(parents=True)
        self.bin.mkdir()
        self.log.write_text("")
        (self.root / "etc/os-release").write_text(RELEASES[release])
        (self.root / "etc/fstab").write_text("UUID=1 / xfs defaults 0 0\n# a remark about /mnt/fsx\n")
        for name in STUBS:
            self.stub(name, "exit 0")
        self.stub("uname", "echo 6.1.0-test")
        self.stub("mountpoint", f"test -e {root}/mounted")
        self.stub("mount", f"n=$(grep -c '^mount ' {self.log}); test \"$n\" -ge {succeeds_at} && touch {root}/mounted")

    def stub(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >>"{self.log}"\n{body}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "LAKELINK_ROOT": str(self.root),
            "LAKELINK_MOUNT_ATTEMPTS": "5",
        }
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def calls(self, name: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if line.startswith(f"{name} ")]

    @property
    def fstab(self) -> list[str]:
        return (self.root / "etc/fstab").read_text().splitlines()


def script(**keys) -> str:
    return render(ClientSpec(**keys), "fs-1.fsx.eu-central-1.amazonaws.com", "abcd1234")


LINE = (
    "fs-1.fsx.eu-central-1.amazonaws.com@tcp:/abcd1234 /mnt/fsx lustre "
    "relatime,flock,_netdev,x-systemd.automount,x-systemd.requires=network-online.target 0 0"
)


def test_run_twice_it_leaves_one_line_and_one_mount(tmp_path):
    machine = Machine(tmp_path, "amzn2023")
    for _ in range(2):
        done = machine.run(script())
        assert done.returncode == 0, done.stderr
    assert machine.fstab == ["UUID=1 / xfs defaults 0 0", "# a remark about /mnt/fsx", LINE]
    assert machine.calls("mount") == [
        "mount -t lustre -o relatime,flock fs-1.fsx.eu-central-1.amazonaws.com@tcp:/abcd1234 /mnt/fsx"
    ]
    assert machine.calls("systemctl") == ["systemctl daemon-reload"]
    assert stat.S_IMODE((machine.root / "etc/fstab").stat().st_mode) == 0o644


def test_a_changed_option_replaces_the_line(tmp_path):
    machine = Machine(tmp_path, "amzn2023")
    machine.run(script())
    machine.run(script(noatime=True))
    assert machine.fstab[2:] == [LINE.replace("relatime", "noatime")]


@pytest.mark.parametrize(
    ("release", "program", "call"),
    [
        ("amzn2023", "dnf", "dnf install -y lustre-client"),
        ("amzn2", "amazon-linux-extras", "amazon-linux-extras install -y lustre"),
        ("ubuntu", "apt-get", "apt-get install -y lustre-client-modules-6.1.0-test"),
        ("rocky8", "dnf", "dnf install -y kmod-lustre-client lustre-client"),
    ],
)
def test_each_system_gets_its_package(tmp_path, release, program, call):
    machine = Machine(tmp_path, release)
    done = machine.run(script())
    assert done.returncode == 0, done.stderr
    assert call in machine.calls(program)
    assert machine.calls("modprobe") == ["modprobe lustre"]


def test_amazon_linux_2_is_told_its_successor(tmp_path):
    done = Machine(tmp_path, "amzn2").run(script())
    assert "dnf install lustre-client" in done.stdout


def test_the_old_package_name_becomes_its_successor(tmp_path):
    machine = Machine(tmp_path, "amzn2023")
    assert machine.run(script(lustre_package="lustre2.10")).returncode == 0
    assert machine.calls("dnf") == ["dnf install -y lustre-client"]


def test_an_unknown_system_stops_with_3_before_anything_is_changed(tmp_path):
    machine = Machine(tmp_path, "suse")
    before = machine.fstab
    done = machine.run(script())
    assert (done.returncode, machine.fstab, machine.calls("mount")) == (3, before, [])
    assert "unknown operating system 'sles' '15'" in done.stderr


def test_a_mount_that_fails_three_times_succeeds_at_the_fourth(tmp_path):
    machine = Machine(tmp_path, "amzn2023", succeeds_at=4)
    assert machine.run(script()).returncode == 0
    assert len(machine.calls("mount")) == 4


def test_a_mount_that_never_succeeds_stops_with_4_and_names_the_ports(tmp_path):
    machine = Machine(tmp_path, "amzn2023", succeeds_at=99)
    done = machine.run(script())
    assert (done.returncode, len(machine.calls("mount"))) == (4, 5)
    assert "988" in done.stderr


def test_an_installation_that_fails_stops_before_the_mount(tmp_path):
    machine = Machine(tmp_path, "amzn2023")
    machine.stub("dnf", "exit 1")
    assert machine.run(script()).returncode == 1
    assert machine.calls("mount") == []


def test_no_value_can_become_a_command(tmp_path):
    machine = Machine(tmp_path, "amzn2023")
    evil = render(ClientSpec(), "x'; touch owned; '$(touch pwned)", "`id`")
    done = machine.run(evil)
    assert done.returncode == 0
    assert machine.calls("mount")[0].endswith("x'; touch owned; '$(touch pwned)@tcp:/`id` /mnt/fsx")
    assert not list(machine.root.rglob("*wned"))


def test_the_agent_gets_its_configuration_and_a_service_however_often_it_runs(tmp_path):
    machine = Machine(tmp_path, "amzn2023")
    machine.stub("python3.11", 'test "$2" != venv || { mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; }')
    given = spec(file_system=False, agent={"enabled": True, "prefix": "in'; reboot; '"})
    for _ in range(2):
        done = machine.run(agent.render(given))
        assert done.returncode == 0, done.stderr
    written = machine.root / "etc/lakelink/lakelink.toml"
    assert tomllib.loads(written.read_text())["links"]["lab"] == {
        "files": "/srv/lake",
        "lake": "lab-lake:in'; reboot; '/",
    }
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert (machine.root / "srv/lake").is_dir()
    assert (
        "ExecStart=/opt/lakelink/bin/lakelink serve"
        in (machine.root / "etc/systemd/system/lakelink.service").read_text()
    )
    assert machine.calls("systemctl")[-1] == "systemctl enable --now lakelink.service"


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize(
    "text", [script(), agent.render(spec(file_system=False, agent={"enabled": True}))], ids=["client", "agent"]
)
def test_shellcheck_finds_nothing(text):
    done = subprocess.run(["shellcheck", "-"], input=text, capture_output=True, text=True, check=False, timeout=240)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_follows_the_processor():
    wanted = {
        "c6i.large": "x86_64",
        "c7g.large": "arm64",
        "t4g.micro": "arm64",
        "g5.xlarge": "x86_64",
        "g5g.xlarge": "arm64",
        "m6gd.metal": "arm64",
        "a1.large": "arm64",
    }
    for kind, arch in wanted.items():
        assert image_parameter(ClientSpec(instance_type=kind)).endswith(f"-{arch}"), kind
    assert "/amd64/" in image_parameter(ClientSpec(os="ubuntu-22.04"))


def test_the_mount_options_keep_access_times_unless_told():
    assert mount_options(ClientSpec()) == "relatime,flock"
    assert mount_options(ClientSpec(noatime=True)) == "noatime,flock"
    assert mount_command(ClientSpec(), "dns", "name") == "sudo mount -t lustre -o relatime,flock dns@tcp:/name /mnt/fsx"
