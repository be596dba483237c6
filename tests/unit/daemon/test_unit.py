"""The unit for systemd: this installation's program is in it, and systemd understands it."""

import os
import shutil
import subprocess

import pytest

from lakelink.daemon.unit import lazy_drop_in, unit

OF_A_MOUNT_NAMESPACE = (
    "ProtectSystem", "ProtectHome", "ReadWritePaths", "PrivateTmp", "PrivateDevices", "ProtectControlGroups", "ProtectHostname",
    "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables",
)  # fmt: skip
"""Whoever is in another mount namespace than the daemon would not see the views that it mounts."""


def test_the_unit_runs_this_program_and_speaks_to_systemd():
    lines = unit().splitlines()
    (start,) = [line for line in lines if line.startswith("ExecStart=")]
    program = start.removeprefix("ExecStart=").split()[0]
    assert os.access(program, os.X_OK)
    assert start.endswith(" serve --quiet")
    for line in ("Type=notify", "NoNewPrivileges=yes", "ProtectSystem=strict", "WatchdogSec=60"):
        assert line in lines


def settings(text):
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def test_where_links_are_lazy_the_daemon_mounts_where_users_are_and_its_helpers_outlive_it():
    plain, lazy = settings(unit()), settings(lazy_drop_in())
    assert {lazy[name] for name in OF_A_MOUNT_NAMESPACE} == {"no", ""}
    assert (
        not {name for name in plain if name.startswith(("Bind", "Private", "ReadOnly", "Inaccessible"))} - lazy.keys()
    )
    assert lazy["KillMode"] == "process"
    assert os.access(lazy["ExecStopPost"].removeprefix("-").split()[0], os.X_OK)
    assert {"CAP_SYS_ADMIN", "CAP_LEASE"} <= set(plain["CapabilityBoundingSet"].split())


@pytest.mark.parametrize("lazy", [False, True])
def test_systemd_understands_it(tmp_path, lazy):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    file = tmp_path / "lakelink.service"
    file.write_text(unit(), encoding="utf-8")
    if lazy:
        (tmp_path / "lakelink.service.d").mkdir()
        (tmp_path / "lakelink.service.d/lazy.conf").write_text(lazy_drop_in(), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
    if "Failed to" in done.stderr and str(file) not in done.stderr:
        pytest.skip(f"systemd-analyze does not work here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) not in done.stderr
