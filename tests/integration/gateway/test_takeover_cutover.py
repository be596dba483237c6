"""From an OpenSSH server to the gateway on the same port: the same client, with the same known_hosts, key or password, notices nothing. And back."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.integration.gateway import old_server
from tests.integration.gateway.takeover_scene import Place, free_port


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A running old server, and an empty gateway with its settings."""
    old_server.needed()
    directory = tmp_path_factory.mktemp("cutover")
    server = old_server.build(directory)
    server.start()
    place = Place(server, directory)
    yield place
    server.stop()


def what_each_sees(place, tag):
    """A session of every user: where it begins, what it sees, and a file that it drops."""
    seen = {}
    for user in old_server.PEOPLE:
        drop = place.directory / f"{user}-{tag}.txt"
        drop.write_text(f"{user} {tag}\n")
        lines = place.sftp(
            user,
            [
                "pwd",
                "ls -1 /",
                "ls -1 /outgoing",
                f"put {drop} drop.txt",
                "ls -1",
                f"get /outgoing/welcome.txt {place.directory}/got",
            ],
        )
        seen[user] = [
            line for line in lines if not line.startswith(("Uploading", "Fetching", "/outgoing/welcome", str(drop)))
        ]
        assert (place.directory / "got").read_text() == f"for {user}\n"
    return seen


def test_a_client_notices_nothing_when_the_port_moves_and_nothing_when_it_moves_back(place):
    server = place.server
    before = what_each_sees(place, "before")
    assert before["keyed"][0] == "Remote working directory: /upload"

    # Look and plan; both read only.
    place.step("scan", "--root", str(server.root))
    place.step("plan", "--home", f"{place.directory}/lake/{{user}}")
    place.step("apply")
    place.config.write_text((place.directory / "out" / "gateway.toml").read_text())
    place.step("sync")
    side = free_port()
    with place.gateway(side):
        checks = json.loads(
            place.step(
                "verify",
                "--new",
                f"127.0.0.1:{side}",
                "--old",
                f"127.0.0.1:{server.port}",
                "--test-user",
                "bcrypt",
                "--listing",
                "--json",
                given=old_server.PASSWORD + "\n",
            )
        )["checks"]
    verdicts = {check["subject"]: check["verdict"] for check in checks}
    assert [verdicts[f"host key {kind}"] for kind in ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256")] == [
        "good"
    ] * 3, checks
    assert verdicts["user bcrypt: password at the new server"] == "good"
    assert not [check for check in checks if check["verdict"] == "failed"], checks
    assert {check["verdict"] for check in checks if ": key " in check["subject"]} == {"good"}
    assert {check["verdict"] for check in checks if check["subject"].endswith(": files")} == {"good"}

    # Cut over: the old server lets go of its port, and the gateway takes it.
    server.stop()
    place.step("sync")
    with place.gateway(server.port):
        after = what_each_sees(place, "after")
        refused = subprocess.run(
            ["sftp", "-q", "-b", "/dev/null", *server.client("shell"), "127.0.0.1"],
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert refused.returncode == 255
        with pytest.raises(AssertionError, match=r"denied|Permission|failed|Failure"):
            place.sftp("keyed", [f"-put {server.key}.pub /outgoing/x", f"put {server.key}.pub /outgoing/x"], "-b", "-")
    assert after == before
    assert (place.directory / "lake" / "keyed" / "upload" / "drop.txt").read_text() == "keyed after\n"

    # And back: what was made is taken back, and the old server serves as before.
    told = json.loads(place.step("rollback", "--json"))
    assert sorted(told["removed"]) == sorted(old_server.PEOPLE)
    assert told["host_keys"] == "removed"
    assert json.loads(place.lakelink("gateway", "user", "list", "--json"))["users"] == []
    server.start()
    assert what_each_sees(place, "back") == before
