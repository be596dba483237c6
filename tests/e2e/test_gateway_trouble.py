"""A gateway that cannot start: links go on without it, everybody who asks is told why, and it starts when the cause is gone."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import urllib.request

import pytest

from tests.e2e.program import make_tree
from tests.e2e.serving import InProcess, Lake, serving, wait_for

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="needs the OpenSSH client (apt: openssh-client)"
)


@pytest.fixture
def here(tmp_path, seaweed, s3_prefix):
    """The program, with a link."""
    program = InProcess(tmp_path, seaweed, s3_prefix)
    files = make_tree(tmp_path / "files", {})
    assert program("link", "add", "plans", files, program.lake, "--list-interval", "1s").code == 0
    return program


def settle(program, text):
    (program.folder / "lakelink.toml").write_text(f'[serve]\nmetrics = "0"\n[gateway]\n{text}\n', encoding="utf-8")


def gateway_of(daemon):
    return daemon.report().gateway


def metric(daemon):
    with urllib.request.urlopen(daemon.report().daemon.metrics) as page:  # noqa: S310  # http
        lines = page.read().decode().splitlines()
    return next(line for line in lines if line.startswith("lakelink_gateway_up "))


def test_a_port_in_use_stops_no_link_and_is_tried_again(here):
    with socket.create_server(("127.0.0.1", 0)) as rival:
        port = rival.getsockname()[1]
        settle(here, f'listen = "{port}"')
        with serving(here) as daemon:
            daemon.available("plans")
            (here.folder / "files" / "plan.txt").write_text("plan")
            wait_for(lambda: Lake(here).text("plan.txt") == "plan", "the link to carry")
            found = gateway_of(daemon)
            assert (found.state, found.code, f":{port}" in found.reason) == ("failed", "LL101", True)
            ran = here("status")
            assert ran.code == 1
            assert "gateway: failed, and tried again and again" in ran.out
            assert "LL101" in ran.out
            assert here("status", "plans").code == 0
            assert here("status", "--json").json["gateway"]["hint"] == found.hint
            ran = here("gateway", "sessions")
            assert (ran.code, "LL101" in ran.err, "cannot listen" in ran.err) == (4, True, True)
            checks = [each for each in here("doctor", "--json").json["checks"] if each["check"] == "gateway"]
            assert "fail" in {each["status"] for each in checks}
            assert metric(daemon) == "lakelink_gateway_up 0"
            assert [each["code"] for each in daemon.events() if each["event"] == "gateway.failed"] == ["LL101"]
            rival.close()
            wait_for(lambda: gateway_of(daemon).state == "running", "the gateway to start by itself")
            assert gateway_of(daemon).listening == [f"127.0.0.1:{port}"]
            assert metric(daemon) == "lakelink_gateway_up 1"
            ran = here("status")
            assert (ran.code, f"gateway: running on 127.0.0.1:{port}, 0 sessions" in ran.out) == (0, True)
            assert daemon.stop() == 0


def test_a_bad_host_key_stops_no_link_and_a_reload_with_a_good_one_starts_the_gateway(here):
    key = here.folder / "host_key"
    key.write_text("no key\n")
    settle(here, f'listen = "0"\nhost_keys = ["{key}"]')
    with serving(here) as daemon:
        daemon.available("plans")
        found = gateway_of(daemon)
        assert (found.state, str(key) in found.reason, bool(found.hint)) == ("failed", True, True)
        # Another reading of settings that are right in themselves does not fail for it.
        daemon.send(signal.SIGHUP)
        wait_for(lambda: "does not start, and is tried again" in daemon.log, "the reload to be told")
        key.unlink()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        daemon.send(signal.SIGHUP)
        wait_for(lambda: gateway_of(daemon).state == "running", "the gateway to start")
        assert here("gateway", "sessions").code == 0
        (here.folder / "lakelink.toml").write_text('[serve]\nmetrics = "0"\n')
        daemon.send(signal.SIGHUP)
        wait_for(lambda: gateway_of(daemon) is None, "the gateway to go with its section")
        assert daemon.stop() == 0


def test_settings_that_make_no_gateway_stop_no_link(here):
    settle(here, 'listen = "0"\nusers.acme.home = "nowhere:x"')
    with serving(here) as daemon:
        daemon.available("plans")
        found = gateway_of(daemon)
        assert (found.state, "nowhere" in found.reason) == ("failed", True), found
        assert daemon.stop() == 0


def test_a_daemon_is_stopped_while_its_gateway_is_tried_again(here):
    with socket.create_server(("127.0.0.1", 0)) as rival:
        settle(here, f'listen = "{rival.getsockname()[1]}"')
        with serving(here) as daemon:
            assert gateway_of(daemon).state == "failed"
            assert daemon.stop() == 0
