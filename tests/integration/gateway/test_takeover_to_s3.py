"""From an OpenSSH server with local homes to a gateway whose homes are in S3: what S3 cannot hold is asked about, the data moves with a last delta, clients
notice nothing, and what was dropped meanwhile comes back with the port."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.integration.gateway import old_server
from tests.integration.gateway.takeover_scene import Place, free_port

USERS = ("keyed", "bcrypt", "both")
BEHIND = (" .", " ..", "/.", "/..", "/pipe", "\\351.csv")
KEPT_BACK = "caf\udce9.csv"  # no UTF-8: no key can be called so


@pytest.fixture(scope="module")
def place(tmp_path_factory, seaweed):
    """A running old server, whose user keyed has in its home all that a prefix holds otherwise or not at all."""
    old_server.needed()
    directory = tmp_path_factory.mktemp("to-s3")
    server = old_server.build(directory)
    for user in USERS:
        _fill(server.root / "srv/sftp" / user / "upload")
    _trouble(server.root / "srv/sftp/keyed/upload")
    for path in [path for user in USERS for path in (server.root / "srv/sftp" / user / "upload").rglob("*")]:
        home = server.root / "srv/sftp" / path.relative_to(server.root / "srv/sftp").parts[0] / "upload"
        os.lchown(path, home.stat().st_uid, 2000)
    server.start()
    yield Place(
        server,
        directory,
        AWS_ENDPOINT_URL_S3=seaweed.endpoint,
        AWS_ACCESS_KEY_ID=seaweed.access_key,
        AWS_SECRET_ACCESS_KEY=seaweed.secret_key,
        AWS_REGION="us-east-1",
        LAKE=f"s3://{seaweed.bucket}/{directory.name}",
    )
    server.stop()


def _fill(upload):
    (upload / "2026" / "empty").mkdir(parents=True)
    (upload / "2026" / "orders.csv").write_text("1,2,3\n")
    (upload / "nothing").write_text("")
    (upload / "large.bin").write_bytes(os.urandom(9 << 20))
    for path in upload.rglob("*"):
        os.utime(path, ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))


def _trouble(upload):
    (upload / "newest").symlink_to("2026/orders.csv")
    (upload / "elsewhere").symlink_to("/etc/hostname")
    os.link(upload / "2026" / "orders.csv", upload / "same.csv")
    os.mkfifo(upload / "pipe")
    (upload / KEPT_BACK).write_text("stays behind\n")


def look(place, user, tag):
    """What a session shows: names, sizes, owners, modes, times, and the bytes."""
    got = place.directory / f"{user}-{tag}"
    got.mkdir()
    lines = place.sftp(
        user,
        ["pwd", "ls -ln /upload", "ls -ln /upload/2026", "ls -la /upload/2026/empty", f"get -p /upload/large.bin {got}/large.bin",
         f"get /upload/2026/orders.csv {got}/orders.csv", f"get /outgoing/welcome.txt {got}/welcome.txt"],
    )  # fmt: skip
    shown = [line for line in lines if not line.startswith(("Fetching", "/upload/", "/outgoing/"))]
    return [_comparable(line) for line in shown if not line.rstrip().endswith(BEHIND)], {
        path.name: path.read_bytes() for path in got.iterdir()
    }


def _comparable(line):
    """Without the number of names, which an object has one of, and the size of a directory, which has none."""
    words = line.split()
    if len(words) == 9:
        words = [words[0], *words[2:]]
        words[3:4] = [] if words[0].startswith("d") else words[3:4]
    return words


def drop(place, user, tag):
    """The user uploads a file, and replaces another by the way of careful clients."""
    file = place.directory / f"{user}-{tag}.txt"
    file.write_text(f"{user} {tag}\n")
    place.sftp(user, [f"put {file} dropped-{tag}.txt", f"put {file} state.tmp", "rename state.tmp state.txt"])


def lake(place, path):
    return place.lakelink("cat", f"{place.env['LAKE']}/{path}")


def test_homes_move_to_s3_and_back_and_clients_notice_nothing(place):
    server = place.server
    seen = {user: look(place, user, "before") for user in USERS}

    # What a prefix cannot hold is a question, and nothing is applied before it is answered.
    place.step("scan", "--root", str(server.root))
    home = f"{place.env['LAKE']}/{{user}}"
    told = json.loads(place.step("plan", "--home", home, "--json", code=3))
    asked = {finding["ident"] for finding in told["findings"] if finding.get("accepting")}
    assert asked == {"user:keyed:leading-out", "user:keyed:not-utf8"}
    noted = {finding["ident"] for finding in told["findings"]} - asked
    assert {f"user:keyed:{what}" for what in ("symlinks", "hard-links", "special", "empty")} <= noted
    text = (place.directory / "out" / "plan.md").read_text()
    assert "caf%E9.csv" in text
    assert "elsewhere" in text
    place.step("apply", code=3)
    assert json.loads(place.lakelink("gateway", "user", "list", "--json"))["users"] == []

    answers = [word for ident in sorted(asked) for word in ("--accept", ident)]
    place.step("plan", "--home", home, *answers)
    place.step("apply")
    place.config.write_text((place.directory / "out" / "gateway.toml").read_text())

    # Data moves while the old server is at work; what S3 cannot hold stays behind and is named.
    first = json.loads(place.step("sync", "--json"))
    assert {user: first[user]["failed"] for user in USERS} == {"keyed": 0, "bcrypt": 0, "both": 0}
    assert [each["path"] for each in first["keyed"]["stay_behind"]] == ["upload/caf%E9.csv"]
    for user in USERS:
        drop(place, user, "meanwhile")
    place.sftp("bcrypt", ["rm /upload/nothing"])
    side = free_port()
    with place.gateway(side):
        verdicts = _verify(place, side)
        assert verdicts["user bcrypt: files"] == "different"

        # The last delta, with the old server silent.
        server.stop()
        last = json.loads(place.step("sync", "--delete", "--json"))
        assert last["bcrypt"] == last["bcrypt"] | {"transferred_files": 2, "deleted": 1, "failed": 0}
        assert last["both"]["transferred_files"] == 2
        verdicts = _verify(place, side, with_old=False)
    assert {verdicts[f"user {user}: files"] for user in USERS} == {"good"}
    assert verdicts["user bcrypt: password at the new server"] == "good"
    assert verdicts["host key ssh-ed25519"] == "good"

    # The port moves: the same client with the same known_hosts, key and password.
    with place.gateway(server.port):
        for user in USERS:
            names = {"/upload/dropped-meanwhile.txt", "/upload/state.txt"}
            lines, files = look(place, user, "after")
            gone = "/upload/nothing" if user == "bcrypt" else None
            before = [line for line in seen[user][0] if gone is None or line[-1] != gone]
            assert [line for line in lines if line[-1] not in names] == before
            assert files == seen[user][1]
            drop(place, user, "after")
            assert lake(place, f"{user}/upload/dropped-after.txt") == f"{user} after\n"
            assert lake(place, f"{user}/upload/state.txt") == f"{user} after\n"
        place.sftp("keyed", [f"get /upload/newest {place.directory}/newest"])
        assert (place.directory / "newest").read_text() == "1,2,3\n"
        place.sftp("keyed", ["-get /upload/elsewhere elsewhere"])  # it leads out of the home, and so nowhere
        assert not Path("elsewhere").exists()

    # And back: the reverse delta, then the accounts.
    for user in USERS:
        place.lakelink("sync", f"{place.env['LAKE']}/{user}/upload", str(server.root / "srv/sftp" / user / "upload"))
    place.step("rollback")
    assert json.loads(place.lakelink("gateway", "user", "list", "--json"))["users"] == []
    server.start()
    for user in USERS:
        assert (server.root / "srv/sftp" / user / "upload" / "dropped-after.txt").read_text() == f"{user} after\n"
        drop(place, user, "after")  # it may replace its own files, as before
    assert (server.root / "srv/sftp/keyed/upload" / KEPT_BACK).read_text() == "stays behind\n"


def _verify(place, side, *, with_old=True):
    old = ["--old", f"127.0.0.1:{place.server.port}"] if with_old else []
    asked = ["--new", f"127.0.0.1:{side}", *old, "--test-user", "bcrypt", "--listing", "--json"]
    checks = json.loads(place.step("verify", *asked, given=old_server.PASSWORD + "\n"))["checks"]
    return {check["subject"]: check["verdict"] for check in checks}
