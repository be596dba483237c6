"""A real OpenSSH server is looked at in each of the three ways, and all find the same."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys

import msgspec
import pytest

from lakelink.gateway.takeover.facts import Facts, Severity, Way
from lakelink.gateway.takeover.plan import Answers, Here, make_plan
from lakelink.gateway.takeover.plan_text import render
from lakelink.gateway.takeover.scan import Asked, scan
from lakelink.gateway.takeover.source import RootSource
from lakelink.gateway.takeover.ssh_source import SshSource
from lakelink.model.account import Permission
from tests.integration.gateway import old_server

NOW = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    old_server.needed()
    server = old_server.build(tmp_path_factory.mktemp("old"))
    server.start()
    yield server
    server.stop()


def look(source):
    return scan(source, Asked(), NOW)


def essence(facts: Facts):
    """What has to be the same however it was looked at."""
    users = {
        user.name: (
            user.way,
            user.proof,
            user.allow,
            user.tree,
            user.start,
            user.umask,
            user.password,
            [key.fingerprint for key in user.keys],
            user.home and user.home.folders,
        )
        for user in facts.users
    }
    return users, facts.host_keys, facts.server.ports, facts.server.banner, facts.server.settings["maxauthtries"]


@pytest.fixture(scope="module")
def by_ssh(server):
    """What was found over ssh; nothing is changed by looking."""
    options = [word for word in server.client("root") if word]
    with SshSource("127.0.0.1", options=options) as source:
        return look(source)


def test_an_offline_tree_and_the_running_server_tell_the_same(server, by_ssh):
    offline, offline_secrets = look(RootSource(str(server.root)))
    remote, remote_secrets = by_ssh

    assert offline.server.read_by == "own reading"
    assert remote.server.read_by == "sshd -T"
    assert essence(offline) == essence(remote)
    assert offline_secrets == remote_secrets


def test_on_the_machine_itself_sshd_is_asked(server, tmp_path):
    script = (
        "import datetime as dt, sys, msgspec\n"
        "from lakelink.gateway.takeover.scan import Asked, scan\n"
        "from lakelink.gateway.takeover.source import RootSource\n"
        "facts, _ = scan(RootSource('/'), Asked(), dt.datetime(2026, 11, 28, tzinfo=dt.UTC))\n"
        "sys.stdout.buffer.write(msgspec.json.encode(facts))\n"
    )
    done = subprocess.run(server.namespace(sys.executable, "-c", script), capture_output=True, check=True)
    live = msgspec.json.decode(done.stdout, type=Facts)

    assert live.server.read_by == "sshd -T"
    assert essence(live) == essence(look(RootSource(str(server.root)))[0])


def test_every_user_becomes_what_it_was(by_ssh):
    facts, secrets = by_ssh
    plan = make_plan(facts, secrets, Answers(home="s3://lake/partners/{user}"), Here(), "now")
    users = {user.name: user for user in plan.users}

    assert set(users) == set(old_server.PEOPLE)
    assert plan.not_taken["shell"] == "its shell is /bin/sh"
    assert {name: users[name].proof for name in users} == {
        "yescrypt": "password", "sha512": "password", "sha256": "password", "bcrypt": "password", "keyed": "key", "both": "key+password",
        "bound": "password",
    }  # fmt: skip
    assert users["bound"].allow == ["10.0.0.0/8", "127.0.0.0/8"]
    assert users["keyed"].allow == []
    assert users["keyed"].start == "/upload"
    assert {(f.path, f.location, f.permission) for f in users["keyed"].folders} == {
        ("/", "s3://lake/partners/keyed", Permission.READ_ONLY),
        ("/upload", "s3://lake/partners/keyed/upload", Permission.READ_WRITE),
    }
    assert not plan.blockers


def test_no_secret_is_in_facts_plan_or_text(by_ssh):
    facts, secrets = by_ssh
    plan = make_plan(facts, secrets, Answers(), Here(), "now")
    shown = (
        msgspec.json.encode(facts).decode() + msgspec.json.encode(plan).decode() + render(plan, facts) + repr(secrets)
    )

    hidden = [secret.hash for secret in secrets.users.values() if secret.hash]
    hidden += [line.split()[-2] for secret in secrets.users.values() for line in secret.keys.values()]
    hidden += [line for text in secrets.host_keys.values() for line in text.splitlines()[1:-1]]
    assert len(hidden) > 20
    assert not [text for text in hidden if text in shown]


def test_a_setting_that_nobody_knows_blocks_the_plan(server, tmp_path):
    (server.root / "etc/ssh/sshd_config.d/20-strange.conf").write_text("FrobnicateLogins yes\n")
    try:
        facts, secrets = look(RootSource(str(server.root)))
    finally:
        (server.root / "etc/ssh/sshd_config.d/20-strange.conf").unlink()
    plan = make_plan(facts, secrets, Answers(), Here(), "now")
    assert [finding.ident for finding in plan.blockers] == ["sshd:keyword:frobnicatelogins"]

    accepted = make_plan(facts, secrets, Answers(accepted=["sshd:keyword:frobnicatelogins"]), Here(), "now")
    assert not accepted.blockers
    assert accepted.accepted[0].severity is Severity.BLOCKER


def test_users_with_a_shell_are_listed_and_taken_only_when_told(server):
    root = RootSource(str(server.root))
    facts, _ = scan(root, Asked(included=frozenset({"shell"})), NOW)
    shell = next(user for user in facts.users if user.name == "shell")
    assert (shell.way, shell.tree, shell.root, shell.start) == (Way.SFTP, "/home/shell", "/home/shell", "/home/shell")
    assert json.dumps([finding.ident for finding in shell.findings]) == '["user:shell:no-chroot", "user:shell:locked"]'
